/* What moved, was linked again or has new rights is not stored again, and is read only where its stat does not tell enough. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/job/moves.h"
#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define FILES 90u
#define S 1000000000LL

/* Backs up until nothing is too young to be believed. */
static void
age(struct job_box *box)
{
	for (int i = 0; i < 5; i++) {
		job_settle();
		job_backup_ok(box);
		if (box->result.read_bytes == 0)
			return;
	}
	fail_msg("the tree does not come to rest");
}

static void
fill(struct job_box *box)
{
	job_shell(box, "for d in a b c; do mkdir -p \"$1/$d/below\"; i=0; while [ $i -lt 15 ]; do\n"
		       "  echo \"$d $i $i\" >\"$1/$d/f$i\"; echo \"$d $i\" >\"$1/$d/below/g$i\"; i=$((i+1)); done; done\n"
		       "find \"$1\" -exec touch -d '2026-01-02 03:04:05.678901234' {} +");
	age(box);
}

static void
expect(struct job_box *box, bool is_read, uint64_t moved)
{
	char *listing;

	job_backup_ok(box);
	listing = tree_list(box->tree, 1);
	assert_int_equal(box->result.read_bytes != 0, is_read);
	assert_int_equal(box->result.literal_bytes, 0);
	assert_int_equal(box->result.scan.files_moved, moved);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
}

static void
a_directory_that_moved_is_not_read(void **state)
{
	struct job_box *box = *state;

	fill(box);
	job_shell(box, "mv \"$1/a\" \"$1/z\"; mkdir \"$1/0\"; mv \"$1/c\" \"$1/0/deeper\"; mv \"$1/b/below\" \"$1/b/above\"");
	expect(box, false, 75);
	assert_int_equal(box->result.scan.files_new, 75);
	assert_int_equal(box->result.scan.files_removed, 75);
	age(box);
	job_shell(box, "mv \"$1/z\" \"$1/a\"; rm \"$1/a/f3\"");
	expect(box, false, 29);
}

static void
a_renamed_file_is_not_read_if_moves_are_trusted(void **state)
{
	struct job_box *box = *state;

	box->opts.trust = TK_TRUST_MOVES;
	fill(box);
	job_shell(box, "mv \"$1/a/f0\" \"$1/zz\"; mv \"$1/a/f1\" \"$1/t\"; mv \"$1/a/f2\" \"$1/a/f1\"; mv \"$1/t\" \"$1/a/f2\"");
	expect(box, false, 3);
	age(box);
	box->opts.trust = TK_TRUST_CTIME;
	job_shell(box, "mv \"$1/zz\" \"$1/a/f0\"");
	expect(box, true, 0);
	assert_int_equal(box->result.read_bytes, strlen("a 0 0\n"));
}

static void
a_file_that_moved_and_changed_is_a_delta(void **state)
{
	struct job_box *box = *state;

	box->opts.trust = TK_TRUST_MOVES;
	job_shell(box, "head -c 60000 /dev/urandom >\"$1/large\"; echo >\"$1/other\"");
	age(box);
	job_shell(box, "mv \"$1/large\" \"$1/under another name\"; printf abcdef | dd of=\"$1/under another name\" bs=1 seek=30000 conv=notrunc 2>/dev/null");
	job_backup_ok(box);
	assert_int_equal(box->result.scan.files_moved, 0);
	assert_int_equal(box->result.read_bytes, 60000);
	assert_in_range(box->result.literal_bytes, 6, 500);
}

static void
what_is_known_of_a_moved_file_serves_its_next_change(void **state)
{
	struct job_box *box = *state;

	box->opts.trust = TK_TRUST_MOVES;
	job_shell(box, "head -c 60000 /dev/urandom >\"$1/large\"");
	age(box);
	/* Over a sweep of the local store. */
	for (int i = 0; i < 17; i++) {
		job_shell(box, "mv \"$1\"/large* \"$1/large$(date +%N)\"");
		job_settle();
		job_backup_ok(box);
		job_settle();
	}
	job_shell(box, "printf abcdef | dd of=\"$(echo \"$1\"/large*)\" bs=1 seek=30000 conv=notrunc 2>/dev/null");
	job_backup_ok(box);
	assert_in_range(box->result.literal_bytes, 6, 500);
}

static void
another_link_costs_no_read_if_moves_are_trusted(void **state)
{
	struct job_box *box = *state;

	box->opts.trust = TK_TRUST_MOVES;
	fill(box);
	job_shell(box, "cp -al \"$1/b\" \"$1/a/copy\"; ln \"$1/c/f1\" \"$1/c/zz\"");
	/* Of those that come before the old names the inode is looked up. */
	expect(box, false, 30);
	assert_int_equal(box->result.scan.files_new, 31);
	age(box);
	job_shell(box, "rm -r \"$1/b\"");
	expect(box, false, 0);
}

static void
a_directory_replaced_by_its_own_links_is_not_read_if_moves_are_trusted(void **state)
{
	struct job_box *box = *state;

	box->opts.trust = TK_TRUST_MOVES;
	fill(box);
	job_shell(box, "cp -al \"$1/b\" \"$1/t\"; rm -r \"$1/b\"; mv \"$1/t\" \"$1/b\"");
	expect(box, false, 0);
	age(box);
	box->opts.trust = TK_TRUST_CTIME;
	job_shell(box, "cp -al \"$1/b\" \"$1/t\"; rm -r \"$1/b\"; mv \"$1/t\" \"$1/b\"");
	expect(box, true, 0);
}

static void
new_rights_are_read_again_unless_the_mtime_is_trusted(void **state)
{
	struct job_box *box = *state;

	fill(box);
	job_shell(box, "chmod -R g-r,o-r \"$1/a\"");
	expect(box, true, 0);
	age(box);
	box->opts.trust = TK_TRUST_MTIME;
	job_shell(box, "chmod -R o+x \"$1/a\"");
	expect(box, false, 0);
}

static void
times_set_back_are_read_again(void **state)
{
	struct job_box *box = *state;

	fill(box);
	job_shell(box, "touch -d '2026-01-02 03:04:05.678901234' \"$1\"/a/f*");
	expect(box, true, 0);
}

/* `how` is run on a file whose content changed under its old size and mtime. */
static void
check_hidden_change(struct job_box *box, const char *how)
{
	char *listing;

	job_shell(box, "printf X | dd of=\"$1/a/f7\" conv=notrunc 2>/dev/null; touch -d '2026-01-02 03:04:05.678901234' \"$1/a/f7\"");
	job_shell(box, how);
	job_backup_ok(box);
	assert_int_equal(box->result.literal_bytes, strlen("a 7 7\n"));
	listing = tree_list(box->tree, 1);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
}

static void
a_change_under_the_old_size_and_mtime_is_found(void **state)
{
	struct job_box *box = *state;

	fill(box);
	check_hidden_change(box, ":");
}

static void
such_a_change_is_found_under_another_name_too(void **state)
{
	struct job_box *box = *state;

	fill(box);
	check_hidden_change(box, "mv \"$1/a/f7\" \"$1/a/renamed\"; mv \"$1/a\" \"$1/q\"");
}

static void
what_is_read_by_plan_is_counted(void **state)
{
	struct job_box *box = *state;

	fill(box);
	box->opts.reread_period_s = 1;
	job_shell(box, "sleep 1.1");
	expect(box, true, 0);
	assert_int_equal(box->result.scan.files_reread, FILES);
	assert_int_equal(box->result.scan.reread_bytes, box->result.read_bytes);
	box->opts.reread_period_s = 1000000;
	job_backup_ok(box);
	assert_in_range(box->result.scan.files_reread, 0, 2);
}

static void
an_inode_is_found_by_its_number(void **state)
{
	struct job_box *box = *state;
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_catalog_cleanup) struct tk_catalog *catalog = NULL;
	TK_AUTO(tk_moves_cleanup) struct tk_moves *moves = NULL;
	struct tk_known known;
	char path[200];
	struct stat st;

	fill(box);
	assert_int_equal(tk_packtab_new(&packs, NULL), TK_OK);
	assert_int_equal(tk_catalog_open(box->state, &box->domain, TK_SUITE_AES, packs, &catalog, NULL), TK_OK);
	assert_int_equal(tk_moves_new(catalog, packs, 0, &moves, NULL), TK_OK);
	for (unsigned i = 0; i < 3 * FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/%c/%s%u", box->tree, "abc"[i * 7 % 3], i % 2 ? "f" : "below/g", i % 15);
		assert_int_equal(lstat(path, &st), 0);
		assert_int_equal(tk_moves_find(moves, st.st_dev, st.st_ino, &known, NULL), TK_OK);
		assert_non_null(known.entry);
		assert_string_equal(known.entry->path, path + 1);
		assert_true(known.side->ino == st.st_ino && known.side->nlink == 1);
		assert_int_equal(tk_moves_find(moves, st.st_dev + 1, st.st_ino, &known, NULL), TK_OK);
		assert_null(known.entry);
	}
	assert_int_equal(tk_moves_find(moves, st.st_dev, 0, &known, NULL), TK_OK);
	assert_null(known.entry);
}

static void
a_point_of_too_many_entries_is_not_searched(void **state)
{
	struct job_box *box = *state;
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_catalog_cleanup) struct tk_catalog *catalog = NULL;
	TK_AUTO(tk_moves_cleanup) struct tk_moves *moves = NULL;
	struct tk_known known;
	struct stat st;

	fill(box);
	assert_int_equal(stat(box->tree, &st), 0);
	assert_int_equal(tk_packtab_new(&packs, NULL), TK_OK);
	assert_int_equal(tk_catalog_open(box->state, &box->domain, TK_SUITE_AES, packs, &catalog, NULL), TK_OK);
	assert_int_equal(tk_moves_new(catalog, packs, FILES, &moves, NULL), TK_OK);
	assert_int_equal(tk_moves_find(moves, st.st_dev, st.st_ino, &known, NULL), TK_OK);
	assert_null(known.entry);
}

/* ---- decisions alone ---- */

struct file {
	struct tk_trust trust;
	struct tk_entry was;
	struct tk_sidecar side;
	struct tk_stat st;
};

/* A file of the point before whose ctime is new. */
static struct file
new_ctime(enum tk_trust_rule rule)
{
	return (struct file){
		.trust = {.rule = rule, .scan_start_ns = 2000 * S, .racy_ns = 2 * S, .last_scan_ns = 1000 * S},
		.was = {.meta = {.type = TK_FT_REG, .mtime_s = 50, .mtime_ns = 7, .size_bytes = 10}},
		.side = {.dev = 1, .ino = 2, .ctime_s = 60, .ctime_ns = 8, .nlink = 1},
		.st = {.type = TK_FT_REG, .mtime_s = 50, .mtime_ns = 7, .size_bytes = 10, .dev = 1, .ino = 2, .ctime_s = 1500, .nlink = 1},
	};
}

static bool
trusted(const struct file *file, bool relinked, int64_t born_ns)
{
	return tk_trust_content(&file->trust, &file->was, &file->side, &file->st, relinked, born_ns);
}

static void
a_new_ctime_is_believed_as_far_as_the_rule_goes(void **state)
{
	struct file moves = new_ctime(TK_TRUST_MOVES), strict = new_ctime(TK_TRUST_CTIME), loose = new_ctime(TK_TRUST_MTIME);

	(void)state;
	assert_true(trusted(&moves, true, 55 * S));
	assert_false(trusted(&moves, false, 55 * S));
	assert_false(trusted(&strict, true, 55 * S));
	assert_true(trusted(&loose, false, 55 * S));
	strict.st.ctime_s = strict.side.ctime_s;
	strict.st.ctime_ns = strict.side.ctime_ns;
	assert_true(trusted(&strict, false, INT64_MAX));
}

static void
an_inode_that_may_be_younger_than_the_last_scan_is_not_taken_for_an_old_one(void **state)
{
	struct file file = new_ctime(TK_TRUST_MTIME);

	(void)state;
	assert_false(trusted(&file, true, 1400 * S));
	assert_false(trusted(&file, true, 999 * S));
	assert_false(trusted(&file, true, INT64_MAX));
	assert_true(trusted(&file, true, 997 * S));
}

static void
nothing_is_believed_of_another_file(void **state)
{
	struct file file;

	(void)state;
#define DISTRUSTS(change) file = new_ctime(TK_TRUST_MTIME); change; assert_false(trusted(&file, true, 55 * S))
	DISTRUSTS(file.st.ino = 3);
	DISTRUSTS(file.st.dev = 3);
	DISTRUSTS(file.st.size_bytes = 11);
	DISTRUSTS(file.st.mtime_s = 51);
	DISTRUSTS(file.st.mtime_ns = 8);
	DISTRUSTS(file.st.type = TK_FT_SYMLINK);
	DISTRUSTS(file.was.meta.type = TK_FT_DIR);
	DISTRUSTS(file.was.inconsistent = true);
	DISTRUSTS(file.side.racy = true);
	DISTRUSTS(file.side.ino = file.st.ino = 0);
#undef DISTRUSTS
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, job_setup, job_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_directory_that_moved_is_not_read),
		TEST(a_renamed_file_is_not_read_if_moves_are_trusted),
		TEST(a_file_that_moved_and_changed_is_a_delta),
		TEST(what_is_known_of_a_moved_file_serves_its_next_change),
		TEST(another_link_costs_no_read_if_moves_are_trusted),
		TEST(a_directory_replaced_by_its_own_links_is_not_read_if_moves_are_trusted),
		TEST(new_rights_are_read_again_unless_the_mtime_is_trusted),
		TEST(times_set_back_are_read_again),
		TEST(a_change_under_the_old_size_and_mtime_is_found),
		TEST(such_a_change_is_found_under_another_name_too),
		TEST(what_is_read_by_plan_is_counted),
		TEST(an_inode_is_found_by_its_number),
		TEST(a_point_of_too_many_entries_is_not_searched),
		cmocka_unit_test(a_new_ctime_is_believed_as_far_as_the_rule_goes),
		cmocka_unit_test(an_inode_that_may_be_younger_than_the_last_scan_is_not_taken_for_an_old_one),
		cmocka_unit_test(nothing_is_believed_of_another_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
