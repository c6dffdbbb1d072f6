/* A walk that is ahead gives what the walk gives, in its order, and lets go of everything whenever its caller ends. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/fsio/walkahead.h"
#include "tests/unit/scratch.h"

#define DIRS 400u
#define FILES_IN_FIRST 2000u
#define CACHE_TAG "Signature: 8a477f597d28d172789f06886806bc55\n"

/* More directories and entries than all batches hold, with patterns that leave some out. */
static void
make_tree(const struct scratch *scratch)
{
	char name[64];

	for (unsigned i = 0; i < DIRS; i++) {
		(void)snprintf(name, sizeof(name), "d%03u", i);
		scratch_dir(scratch, name);
		(void)snprintf(name, sizeof(name), "d%03u/sub", i);
		scratch_dir(scratch, name);
		(void)snprintf(name, sizeof(name), "d%03u/sub/file", i);
		scratch_file(scratch, name, "x");
		(void)snprintf(name, sizeof(name), "d%03u/zz", i);
		scratch_file(scratch, name, "x");
	}
	for (unsigned i = 0; i < FILES_IN_FIRST; i++) {
		(void)snprintf(name, sizeof(name), "d000/f%04u", i);
		scratch_file(scratch, name, "x");
	}
}

static size_t
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void
expect_same_entry(const struct tk_walk_entry *a, const struct tk_walk_entry *b)
{
	struct stat st;

	assert_string_equal(a->path, b->path);
	assert_int_equal(a->path_len_bytes, b->path_len_bytes);
	assert_int_equal(a->root_len_bytes, b->root_len_bytes);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->is_root, b->is_root);
	assert_int_equal(a->st.ino, b->st.ino);
	assert_int_equal(fstatat(b->parent->fd, b->name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_ino, b->st.ino);
}

/* Both walks, leaving out what is below directories with this name. */
static size_t
walk_both(const struct tk_walk_opts *opts, const char *skip)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
	TK_AUTO(tk_walk_cleanup) struct tk_walk *walk = NULL;
	const struct tk_walk_entry *a, *b;
	size_t count = 0;

	assert_int_equal(tk_walk_new(opts, &walk, NULL), TK_OK);
	assert_int_equal(tk_walkahead_new(opts, &ahead, NULL), TK_OK);
	for (;;) {
		assert_int_equal(tk_walk_next(walk, &a, NULL), TK_OK);
		assert_int_equal(tk_walkahead_next(ahead, &b, NULL), TK_OK);
		if (!a)
			break;
		assert_non_null(b);
		expect_same_entry(a, b);
		count++;
		if (skip && strcmp(a->name, skip) == 0) {
			tk_walk_skip_children(walk);
			tk_walkahead_skip_children(ahead);
		}
	}
	assert_null(b);
	return count;
}

static void
it_gives_what_the_walk_gives(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};

	make_tree(scratch);
	assert_int_equal(walk_both(&opts, NULL), 1 + 4 * DIRS + FILES_IN_FIRST);
}

static void
what_is_below_a_skipped_directory_is_not_given(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};

	make_tree(scratch);
	scratch_file(scratch, "d00", "before it in name, not in it");
	scratch_file(scratch, "d000.x", "nor is this");
	assert_int_equal(walk_both(&opts, "d000"), 3 + 4 * DIRS - 3);
	assert_int_equal(walk_both(&opts, "sub"), 3 + 3 * DIRS + FILES_IN_FIRST);
}

static void
a_root_below_a_skipped_directory_is_given(void **state)
{
	struct scratch *scratch = *state;
	char inner[96], innermost[96];
	const char *roots[] = {scratch->path, inner, innermost};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 3};

	scratch_dir(scratch, "a");
	scratch_dir(scratch, "a/b");
	scratch_dir(scratch, "a/b/c");
	scratch_dir(scratch, "a/b/c/d");
	scratch_file(scratch, "a/b/c/d/1", "x");
	scratch_file(scratch, "a/b/c/e", "x");
	scratch_file(scratch, "a/b/z", "x");
	scratch_file(scratch, "a/z", "x");
	scratch_file(scratch, "z", "x");
	(void)scratch_path(scratch, "a/b", inner, sizeof(inner));
	(void)scratch_path(scratch, "a/b/c/d", innermost, sizeof(innermost));
	assert_int_equal(walk_both(&opts, NULL), 10);
	/* Not a/z. */
	assert_int_equal(walk_both(&opts, "a"), 9);
	/* Not a/b/c/e. */
	assert_int_equal(walk_both(&opts, "c"), 9);
}

static void
count_note(void *ctx, const char *path, size_t len, enum tk_walk_note note, const struct tk_err *err)
{
	(void)path;
	(void)len;
	(void)note;
	(void)err;
	(*(unsigned *)ctx)++;
}

static void
notes_come_in_their_place(void **state)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *exclude = NULL;
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path}, *patterns[] = {"zz"};
	unsigned notes = 0;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .on_note = count_note, .note_ctx = &notes};
	const struct tk_walk_entry *entry;
	const char *dir;

	make_tree(scratch);
	assert_int_equal(tk_exclude_new(patterns, 1, &exclude, NULL), TK_OK);
	opts.exclude = exclude;
	assert_int_equal(tk_walkahead_new(&opts, &ahead, NULL), TK_OK);
	while (tk_walkahead_next(ahead, &entry, NULL) == TK_OK && entry)
		/* The notes about zz in the directories before it, whatever the walk saw meanwhile. */
		if ((dir = strstr(entry->path, "/d")) && entry->st.type == TK_FT_DIR && strlen(dir) == strlen("/d000"))
			assert_int_equal(notes, (unsigned)(dir[2] - '0') * 100 + (unsigned)(dir[3] - '0') * 10 + (unsigned)(dir[4] - '0'));
	assert_int_equal(notes, DIRS);
}

static void
of_a_skipped_directory_nothing_is_noted(void **state)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	unsigned notes = 0;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .skip_caches = true, .on_note = count_note, .note_ctx = &notes};
	const struct tk_walk_entry *entry;

	scratch_dir(scratch, "a");
	scratch_dir(scratch, "b");
	scratch_file(scratch, "a/CACHEDIR.TAG", CACHE_TAG);
	scratch_file(scratch, "b/CACHEDIR.TAG", CACHE_TAG);
	assert_int_equal(tk_walkahead_new(&opts, &ahead, NULL), TK_OK);
	while (tk_walkahead_next(ahead, &entry, NULL) == TK_OK && entry)
		if (strcmp(entry->name, "a") == 0)
			tk_walkahead_skip_children(ahead);
	/* That b is a cache. */
	assert_int_equal(notes, 1);
}

static void
a_caller_that_ends_early_leaves_nothing(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};
	size_t before = open_descriptors();

	make_tree(scratch);
	for (size_t stop = 0; stop < 1000; stop += 333) {
		TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
		const struct tk_walk_entry *entry;

		assert_int_equal(tk_walkahead_new(&opts, &ahead, NULL), TK_OK);
		for (size_t i = 0; i < stop; i++)
			assert_int_equal(tk_walkahead_next(ahead, &entry, NULL), TK_OK);
	}
	assert_int_equal(open_descriptors(), before);
}

static void
few_directories_are_open_however_many_there_are(void **state)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};
	const struct tk_walk_entry *entry;
	size_t before = open_descriptors();

	make_tree(scratch);
	assert_int_equal(tk_walkahead_new(&opts, &ahead, NULL), TK_OK);
	while (tk_walkahead_next(ahead, &entry, NULL) == TK_OK && entry)
		assert_true(open_descriptors() - before < WALKAHEAD_BATCHES * WALKAHEAD_DIRS + 10);
}

static void
a_wrong_root_is_told_at_once(void **state)
{
	struct scratch *scratch = *state;
	char gone[96];
	const char *roots[] = {scratch_path(scratch, "gone", gone, sizeof(gone))};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};
	struct tk_walkahead *ahead = NULL;

	assert_int_equal(tk_walkahead_new(&opts, &ahead, NULL), TK_ENOENT);
	assert_null(ahead);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, scratch_setup_fast, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(it_gives_what_the_walk_gives),
		WITH(what_is_below_a_skipped_directory_is_not_given),
		WITH(a_root_below_a_skipped_directory_is_given),
		WITH(notes_come_in_their_place),
		WITH(of_a_skipped_directory_nothing_is_noted),
		WITH(a_caller_that_ends_early_leaves_nothing),
		WITH(few_directories_are_open_however_many_there_are),
		WITH(a_wrong_root_is_told_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
