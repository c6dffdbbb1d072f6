/* Restoring over what is there, into a fresh target, and files that are put together from many places. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

/* The point of the last run into the directory "back" of the scratch directory, which must be exactly the tree then. */
static void
restore_back(struct job_box *box, struct tk_restore_result *result)
{
	char target[128], *listing = tree_list(box->tree, 0), *found;
	struct job_restore how = {.target = scratch_path(box->scratch, "back", target, sizeof(target))};
	struct tk_err err;

	if (job_restore(box, &box->result.point, &how, result, &err))
		fail_msg("restore: %s", err.text);
	if (!result->verified)
		fail_msg("restore: %s", box->fault);
	found = tree_list(target, 0);
	assert_same_tree(listing, found, "back");
	free(listing);
	free(found);
}

static void
a_name_outside_of_the_target_is_never_written_through(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {1};
	struct tk_restore_result result;
	char path[128];

	tree_write(scratch_path(box->scratch, "tree/file", path, sizeof(path)), &dice, 20000);
	tree_write(scratch_path(box->scratch, "tree/other", path, sizeof(path)), &dice, 3000);
	job_shell(box, "ln \"$1/file\" \"$1/link\"; cp -a \"$1\" \"$4/back\"; ln \"$4/back/file\" \"$4/outside\"; ln \"$4/back/other\" \"$4/outside2\"");
	job_backup_ok(box);
	job_shell(box, "touch -d 2001-01-01 \"$4/outside\" \"$4/outside2\"; cp -a \"$4/outside\" \"$4/copy\"; chmod 600 \"$4/outside\"");
	restore_back(box, &result);
	/* Both were a basis: nothing of their content was fetched. */
	assert_int_equal(result.reused_bytes, 23000);
	job_shell(box, "test \"$(stat -c %Y-%a-%h \"$4/outside\")\" = \"$(date -d 2001-01-01 +%s)-600-1\" && cmp \"$4/outside\" \"$4/copy\"");
	job_shell(box, "test \"$(stat -c %h \"$4/outside2\")\" = 1 && test \"$(stat -c %h \"$4/back/file\")\" = 2");
	/* A basis that turns out to be something else is not taken. */
	job_shell(box, "printf x | dd of=\"$4/back/file\" bs=1 seek=19999 conv=notrunc status=none; ln \"$4/back/file\" \"$4/outside3\"");
	restore_back(box, &result);
	assert_int_equal(result.reused_bytes, 16384 + 3000);
	job_shell(box, "! cmp -s \"$4/outside3\" \"$4/back/file\"");
}

static void
only_segments_that_differ_are_fetched(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {2};
	struct tk_restore_result result;
	char path[128];

	tree_write(scratch_path(box->scratch, "tree/large", path, sizeof(path)), &dice, 10 * 16384 + 77);
	job_shell(box, "truncate -s 400000 \"$1/large\"; cp -a \"$1\" \"$4/back\"");
	job_backup_ok(box);
	restore_back(box, &result);
	assert_int_equal(result.reused_bytes, 400000);
	/* Another time, one segment that is another, a hole that is data now. */
	job_shell(box, "printf xyz | dd of=\"$4/back/large\" bs=1 seek=20000 conv=notrunc status=none; printf x | dd of=\"$4/back/large\" bs=1 seek=390000 conv=notrunc status=none");
	restore_back(box, &result);
	assert_int_equal(result.reused_bytes, 400000 - 2 * 16384);
	job_shell(box, "test $(stat -c %b \"$4/back/large\") -le $(stat -c %b \"$1/large\")");
	/* The same time, another length. */
	job_shell(box, "truncate -s 100000 \"$4/back/large\"; touch -r \"$1/large\" \"$4/back/large\"");
	restore_back(box, &result);
	assert_int_equal(result.reused_bytes, 6 * 16384 + (400000 - 11 * 16384)); /* and the zeros behind the data */
	/* The same time and length, other bytes. */
	job_shell(box, "printf x | dd of=\"$4/back/large\" bs=1 seek=40000 conv=notrunc status=none; touch -r \"$1/large\" \"$4/back/large\"");
	restore_back(box, &result);
	assert_int_equal(result.reused_bytes, 400000 - 16384);
}

/* Sixteen megabytes in order, and then the same in slices from here and there. */
static void
a_file_of_slices_from_everywhere_comes_back(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {3};
	struct tk_restore_result result;
	char path[128];

	box->opts.segment_bytes = box->opts.pack_plain_bytes = 0;
	box->opts.chunk_min_bytes = 4096;
	box->opts.chunk_avg_bytes = 16384;
	box->opts.chunk_max_bytes = 65536;
	tree_write(scratch_path(box->scratch, "tree/a", path, sizeof(path)), &dice, 16u << 20);
	job_shell(box, "i=0; while [ $i -lt 64 ]; do dd if=\"$1/a\" bs=256K skip=$((i * 4 % 64 + i / 16)) count=1 status=none; i=$((i + 1)); done >\"$1/b\"; "
		       "truncate -s 20M \"$1/b\"; cat \"$1/a\" >>\"$1/b\"");
	job_backup_ok(box);
	assert_true(box->result.stored_bytes < 20u << 20);
	restore_back(box, &result);
}

#define SIDE_BY_SIDE_BYTES ((40u << 20) + 12345)

/* A large file in blobs of full size: a worker that cannot write at once goes on, and writes later. */
static void
fill_with_large(struct job_box *box, uint64_t seed)
{
	struct dice dice = {seed};
	char path[128];

	box->opts.segment_bytes = 4u << 20;
	box->opts.pack_plain_bytes = 0;
	tree_write(scratch_path(box->scratch, "tree/large", path, sizeof(path)), &dice, SIDE_BY_SIDE_BYTES);
	job_backup_ok(box);
}

static void
what_workers_write_side_by_side_comes_back(void **state)
{
	struct job_box *box = *state;
	struct tk_restore_result result;

	fill_with_large(box, 5);
	for (int i = 0; i < 4; i++) {
		restore_back(box, &result);
		job_shell(box, "rm -r \"$4/back\"");
	}
}

static void
a_write_that_fails_beside_others_ends_the_restore(void **state)
{
	struct job_box *box = *state;
	struct tk_restore_result result;
	char target[128];
	struct job_restore how = {.target = scratch_path(box->scratch, "small", target, sizeof(target))};
	struct tk_err err;
	enum tk_rc rc;
	char *left;

	fill_with_large(box, 6);
	job_shell(box, "mkdir \"$4/small\"");
	if (geteuid() != 0 || mount("none", target, "tmpfs", 0, "size=20m") != 0)
		skip();
	rc = job_restore(box, &box->result.point, &how, &result, &err);
	left = tree_list(target, 0);
	assert_int_equal(umount(target), 0);
	assert_int_equal(rc, TK_ENOSPC);
	assert_non_null(strstr(err.text, "restoring /"));
	assert_false(result.verified);
	assert_string_equal(left, "");
	free(left);
}

static const uint8_t raw_default_acl[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 1, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
	16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255};

static void
a_fresh_target_leaves_no_trace_of_its_own(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {4};
	struct tk_restore_result result;
	char path[160];

	tree_fill(box->tree, &dice);
	job_shell(box, "echo x >\"$1/a-file\"; mkdir \"$1/a-dir\"; chmod 700 \"$1/a-dir\"");
	job_backup_ok(box);
	job_shell(box, "mkdir -m 2755 \"$4/back\"");
	(void)scratch_path(box->scratch, "back", path, sizeof(path));
	if (geteuid() == 0)
		assert_int_equal(chown(path, 0, 1), 0);
	assert_int_equal(chmod(path, 02755), 0);
	restore_back(box, &result);
	job_shell(box, "rm -rf \"$4/back\"; mkdir \"$4/back\"");
	if (setxattr(path, "system.posix_acl_default", raw_default_acl, sizeof(raw_default_acl), 0) != 0)
		skip();
	restore_back(box, &result);
	(void)scratch_path(box->scratch, "back/a-file", path, sizeof(path));
	assert_true(getxattr(path, "system.posix_acl_access", NULL, 0) < 0);
	(void)scratch_path(box->scratch, "back/a-dir", path, sizeof(path));
	assert_true(getxattr(path, "system.posix_acl_default", NULL, 0) < 0);
}

#define FLAGS "flags() { (cd \"$1\" && lsattr -d $(find . ! -type l ! -type p | sort)); }; "

/* What is below "back" must have the flags of what is in the tree. */
static void
check_flags(struct job_box *box)
{
	job_shell(box, FLAGS "test \"$(flags \"$1\")\" = \"$(flags \"$4/back\")\"");
}

/* A tree with a file that is immutable, one that is append-only, one that is not to be dumped, and an immutable directory. */
static void
fill_with_flags(struct job_box *box)
{
	if (geteuid() != 0)
		skip();
	job_shell(box, "mkdir \"$1/frozen\"; head -c 30000 /dev/urandom >\"$1/fixed\"; echo in >\"$1/frozen/in\"; echo line >\"$1/log\"; echo x >\"$1/plain\"; "
		       "chattr +d \"$1/plain\" && chattr +a \"$1/log\" && chattr +i \"$1/fixed\" \"$1/frozen\" || rm -rf \"$1/plain\"");
	if (faccessat(box->scratch->fd, "tree/plain", F_OK, 0) != 0)
		skip();
	job_backup_ok(box);
}

static void
inode_flags_come_back(void **state)
{
	struct job_box *box = *state;
	struct tk_restore_result result;

	fill_with_flags(box);
	restore_back(box, &result);
	check_flags(box);
	assert_int_equal(result.not_applied.flags, 0);
	/* A second time everything is there, and needs no fetching. */
	restore_back(box, &result);
	check_flags(box);
	assert_int_equal(result.reused_bytes, result.restored_bytes);
}

static void
what_is_immutable_in_the_target_is_put_right(void **state)
{
	struct job_box *box = *state;
	struct tk_restore_result result;

	fill_with_flags(box);
	restore_back(box, &result);
	/* Other content, other rights, another type, a flag too many, all behind immutable flags. */
	job_shell(box, "cd \"$4/back\"; chattr -i fixed frozen; chattr -a log; printf x | dd of=fixed bs=1 seek=20000 conv=notrunc status=none; "
		       "rm log; mkdir log; echo below >log/below; chattr +i log/below log; echo other >frozen/in; chmod 600 frozen/in; chattr +i frozen/in frozen fixed .");
	restore_back(box, &result);
	check_flags(box);
}

static void
what_is_immutable_and_not_in_the_point_is_deleted_if_asked(void **state)
{
	struct job_box *box = *state;
	struct tk_restore_result result;
	char target[128];
	struct job_restore how = {.target = scratch_path(box->scratch, "back", target, sizeof(target)), .delete_extra = true};
	struct tk_err err;

	fill_with_flags(box);
	restore_back(box, &result);
	job_shell(box, "cd \"$4/back\"; chattr -i frozen; mkdir frozen/more; echo x >frozen/more/x; echo y >frozen/y; chattr +a frozen/more/x; chattr +i frozen/y frozen/more frozen");
	if (job_restore(box, &box->result.point, &how, &result, &err))
		fail_msg("restore: %s", err.text);
	if (!result.verified)
		fail_msg("restore: %s", box->fault);
	assert_int_equal(result.deleted, 2);
	restore_back(box, &result);
	check_flags(box);
}

#define RESTORE_TEST(name) cmocka_unit_test_setup_teardown(name, job_setup, job_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(a_name_outside_of_the_target_is_never_written_through),
		RESTORE_TEST(only_segments_that_differ_are_fetched),
		RESTORE_TEST(a_file_of_slices_from_everywhere_comes_back),
		RESTORE_TEST(what_workers_write_side_by_side_comes_back),
		RESTORE_TEST(a_write_that_fails_beside_others_ends_the_restore),
		RESTORE_TEST(a_fresh_target_leaves_no_trace_of_its_own),
		RESTORE_TEST(inode_flags_come_back),
		RESTORE_TEST(what_is_immutable_in_the_target_is_put_right),
		RESTORE_TEST(what_is_immutable_and_not_in_the_point_is_deleted_if_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
