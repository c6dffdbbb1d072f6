/* Writing below a restore target: nothing ever leaves it, whatever the paths say and whoever plants symlinks. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/fsio/beneath.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/metaapply.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/target.h"
#include "tests/unit/scratch.h"

/* The scratch directory has "t", the target, and "out", which must stay empty. */
struct fixture {
	struct scratch *scratch;
	struct tk_target *target;
};

static int
setup_with(int (*make_scratch)(void **state), void **state)
{
	struct fixture *fix = calloc(1, sizeof(*fix));
	void *scratch;
	char path[128];

	assert_non_null(fix);
	if (make_scratch(&scratch) != 0)
		return -1;
	fix->scratch = scratch;
	scratch_dir(fix->scratch, "out");
	scratch_file(fix->scratch, "out/victim", "precious");
	assert_int_equal(tk_target_open(scratch_path(fix->scratch, "t", path, sizeof(path)), true, &fix->target, NULL), TK_OK);
	*state = fix;
	return 0;
}

static int
fixture_setup(void **state)
{
	return setup_with(scratch_setup, state);
}

static int
fixture_setup_fast(void **state)
{
	return setup_with(scratch_setup_fast, state);
}

static int
fixture_teardown(void **state)
{
	struct fixture *fix = *state;
	void *scratch = fix->scratch;
	char text[32];

	assert_string_equal(scratch_read(fix->scratch, "out/victim", text, sizeof(text)), "precious");
	assert_int_equal(unlinkat(fix->scratch->fd, "out/victim", 0), 0);
	assert_int_equal(unlinkat(fix->scratch->fd, "out", AT_REMOVEDIR), 0);
	tk_target_cleanup(&fix->target);
	free(fix);
	return scratch_teardown(&scratch);
}

static enum tk_rc
put(struct fixture *fix, const char *path, const char *text)
{
	TK_AUTO(tk_target_file_cleanup) struct tk_target_file *file = NULL;
	enum tk_rc rc = tk_target_file_begin(fix->target, path, strlen(path), &file, NULL);

	if (rc != TK_OK)
		return rc;
	assert_int_equal(tk_pwrite_full(tk_target_file_fd(file), text, strlen(text), 0, path, NULL), TK_OK);
	return tk_target_file_commit(file, NULL);
}

static const char *
get(struct fixture *fix, const char *path)
{
	static char text[64];
	struct tk_stat st;
	size_t got = 0;
	int fd;

	if (tk_target_open_file(fix->target, path, strlen(path), &fd, &st, NULL) != TK_OK)
		return "";
	assert_int_equal(tk_read_full(fd, text, sizeof(text) - 1, &got, path, NULL), TK_OK);
	text[got] = '\0';
	close(fd);
	return text;
}

static enum tk_ftype
type_of(struct fixture *fix, const char *path)
{
	struct tk_stat st;

	return tk_target_stat(fix->target, path, strlen(path), &st, NULL) == TK_OK ? st.type : TK_FT_OTHER;
}

#define CALL(fn, fix, path, ...) fn((fix)->target, path, strlen(path), __VA_ARGS__)

static void
paths_that_would_leave_the_target_are_refused(void **state)
{
	static const char *const bad[] = {"/etc/x", "..", "../out/x", "a/../../out/x", "a//b", "a/", ".", "./a", "a/./b", "a/.."};
	struct fixture *fix = *state;
	struct tk_stat st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(put(fix, bad[i], "x"), TK_ENOTSAFE);
		assert_int_equal(CALL(tk_target_mkdir, fix, bad[i], NULL), TK_ENOTSAFE);
		assert_int_equal(CALL(tk_target_remove, fix, bad[i], NULL), TK_ENOTSAFE);
	}
	assert_int_equal(tk_target_mkdir(fix->target, "a\0b", 3, NULL), TK_ENOTSAFE);
	assert_int_equal(tk_target_remove(fix->target, "", 0, NULL), TK_ENOTSAFE);
	assert_int_equal(put(fix, "", "x"), TK_ENOTSAFE);
	assert_int_equal(tk_target_stat(fix->target, "", 0, &st, NULL), TK_OK);
	assert_int_equal(st.type, TK_FT_DIR);
	assert_int_equal(put(fix, "..a/.b/...", "dots are fine"), TK_OK);
	assert_string_equal(get(fix, "..a/.b/..."), "dots are fine");
}

static void
a_symlink_planted_between_two_creates_is_not_followed(void **state)
{
	struct fixture *fix = *state;
	int fd = fix->scratch->fd;

	assert_int_equal(put(fix, "d/sub/one", "1"), TK_OK);
	assert_int_equal(put(fix, "e/x", "1"), TK_OK);
	assert_int_equal(renameat(fd, "t/d", fd, "t/d.old"), 0);
	assert_int_equal(symlinkat("../out", fd, "t/d"), 0);
	assert_int_equal(put(fix, "d/two", "2"), TK_ENOTSAFE);
	assert_int_equal(put(fix, "d/sub/two", "2"), TK_ENOTSAFE);
	assert_int_equal(CALL(tk_target_mkdir, fix, "d/new", NULL), TK_ENOTSAFE);
	assert_int_equal(CALL(tk_target_remove, fix, "d/victim", NULL), TK_ENOTSAFE);
	assert_int_equal(CALL(tk_target_symlink, fix, "d/link", "x", NULL), TK_ENOTSAFE);
	assert_int_equal(tk_target_hardlink(fix->target, "d/victim", 8, "stolen", 6, NULL), TK_ENOTSAFE);

	/* With the directory kept from the last call: what was made goes where the real directory went. */
	assert_int_equal(put(fix, "e/y", "1"), TK_OK);
	assert_int_equal(renameat(fd, "t/e", fd, "t/e.old"), 0);
	assert_int_equal(symlinkat("../out", fd, "t/e"), 0);
	assert_int_equal(put(fix, "e/z", "2"), TK_OK);
	assert_string_equal(get(fix, "e.old/z"), "2");

	/* A symlink in the place of the file itself is replaced, and not looked through. */
	assert_int_equal(symlinkat("../out/victim", fd, "t/f"), 0);
	assert_string_equal(get(fix, "f"), "");
	assert_int_equal(put(fix, "f", "mine"), TK_OK);
	assert_string_equal(get(fix, "f"), "mine");
}

static void
opening_step_by_step_refuses_the_same(void **state)
{
	struct fixture *fix = *state;
	int sfd = fix->scratch->fd, fd;

	assert_int_equal(CALL(tk_target_mkdir, fix, "a/b/c", NULL), TK_OK);
	assert_int_equal(symlinkat("../../out", sfd, "t/a/link"), 0);
	assert_int_equal(tk_beneath_open_steps(sfd, "t/a/b/c", false, &fd, NULL), TK_OK);
	close(fd);
	assert_int_equal(tk_beneath_open_steps(sfd, "t/a/link", true, &fd, NULL), TK_ENOTSAFE);
	assert_int_equal(tk_beneath_open_steps(sfd, "t/a/link/x", true, &fd, NULL), TK_ENOTSAFE);
	assert_int_equal(tk_beneath_open_steps(sfd, "t/a/none/x", false, &fd, NULL), TK_ENOENT);
	assert_int_equal(tk_beneath_open_dir(sfd, "t/a/link", true, &fd, NULL), TK_ENOTSAFE);
	assert_int_equal(tk_beneath_open_dir(sfd, "t/a/none", false, &fd, NULL), TK_ENOENT);
	assert_int_equal(tk_beneath_open_dir(sfd, "t/a/new/er", true, &fd, NULL), TK_OK);
	close(fd);
}

static void
every_kind_of_object_replaces_every_other(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(put(fix, "base", "linked"), TK_OK);
	for (int before = 0; before < 5; before++)
		for (int after = 0; after < 5; after++) {
			static const enum tk_ftype types[] = {TK_FT_REG, TK_FT_DIR, TK_FT_SYMLINK, TK_FT_FIFO, TK_FT_REG};

			for (int round = 0; round < 2; round++) {
				int what = round ? after : before;
				enum tk_rc rc = what == 0 ? put(fix, "x/o", "file")
					: what == 1 ? CALL(tk_target_mkdir, fix, "x/o", NULL)
					: what == 2 ? CALL(tk_target_symlink, fix, "x/o", "../../out", NULL)
					: what == 3 ? CALL(tk_target_mknod, fix, "x/o", TK_FT_FIFO, 0, 0, NULL)
					: tk_target_hardlink(fix->target, "base", 4, "x/o", 3, NULL);

				assert_int_equal(rc, TK_OK);
				assert_int_equal(type_of(fix, "x/o"), types[what]);
				if (what == 4)
					assert_string_equal(get(fix, "x/o"), "linked");
				if (what == 1)
					assert_int_equal(put(fix, "x/o/inner/deep", "d"), TK_OK);
			}
		}
	assert_string_equal(get(fix, "base"), "linked");
	if (geteuid() != 0)
		return;
	assert_int_equal(CALL(tk_target_mknod, fix, "x/o", TK_FT_CHAR, 1, 3, NULL), TK_OK);
	assert_int_equal(type_of(fix, "x/o"), TK_FT_CHAR);
	assert_string_equal(get(fix, "x/o"), "");
}

static void
no_temporary_name_stays_behind(void **state)
{
	struct fixture *fix = *state;
	struct tk_target_file *file;
	struct tk_dirlist names;

	assert_int_equal(put(fix, "a", "1"), TK_OK);
	assert_int_equal(tk_target_hardlink(fix->target, "a", 1, "b", 1, NULL), TK_OK);
	assert_int_equal(tk_target_hardlink(fix->target, "a", 1, "b", 1, NULL), TK_OK);
	assert_int_equal(CALL(tk_target_symlink, fix, "c", "1", NULL), TK_OK);
	assert_int_equal(CALL(tk_target_symlink, fix, "c", "2", NULL), TK_OK);
	assert_int_equal(tk_target_file_begin(fix->target, "d", 1, &file, NULL), TK_OK);
	tk_target_file_cleanup(&file);
	tk_dirlist_init(&names);
	assert_int_equal(tk_target_list(fix->target, "", 0, &names, NULL), TK_OK);
	assert_int_equal(names.count, 3);
	assert_string_equal(tk_dirlist_peek(&names), "a");
	tk_dirlist_release(&names);
	assert_int_equal(CALL(tk_target_list, fix, "c", &names, NULL), TK_ENOTSAFE);
	assert_int_equal(CALL(tk_target_list, fix, "none", &names, NULL), TK_ENOENT);
}

static void
removing_never_follows_a_symlink_nor_enters_a_mount(void **state)
{
	struct fixture *fix = *state;
	char path[128];

	assert_int_equal(put(fix, "a/b/c/d", "x"), TK_OK);
	assert_int_equal(put(fix, "a/b/e", "x"), TK_OK);
	assert_int_equal(CALL(tk_target_mkdir, fix, "a/f/g", NULL), TK_OK);
	assert_int_equal(CALL(tk_target_symlink, fix, "a/b/c/link", "../../../../out", NULL), TK_OK);
	assert_int_equal(CALL(tk_target_remove, fix, "a", NULL), TK_OK);
	assert_int_equal(type_of(fix, "a"), TK_FT_OTHER);
	assert_int_equal(CALL(tk_target_remove, fix, "a", NULL), TK_OK);
	assert_int_equal(CALL(tk_target_remove, fix, "none/x", NULL), TK_OK);

	assert_int_equal(CALL(tk_target_mkdir, fix, "m/n/mnt", NULL), TK_OK);
	scratch_path(fix->scratch, "t/m/n/mnt", path, sizeof(path));
	if (geteuid() != 0 || mount("none", path, "tmpfs", 0, NULL) != 0)
		return;
	assert_int_equal(put(fix, "m/n/mnt/kept", "kept"), TK_OK);
	assert_int_equal(CALL(tk_target_remove, fix, "m", NULL), TK_ENOTSAFE);
	assert_int_equal(CALL(tk_target_remove, fix, "m/n/mnt", NULL), TK_ENOTSAFE);
	assert_string_equal(get(fix, "m/n/mnt/kept"), "kept");
	tk_target_forget(fix->target);
	assert_int_equal(umount(path), 0);
	scratch_path(fix->scratch, "out", path + 64, 64);
	if (mount(path + 64, scratch_path(fix->scratch, "t/m/n/mnt", path, 64), NULL, MS_BIND, NULL) != 0)
		return;
	assert_int_equal(CALL(tk_target_remove, fix, "m", NULL), TK_ENOTSAFE);
	assert_int_equal(umount(path), 0);
}

static void
deep_paths_work_with_few_descriptors(void **state)
{
	struct fixture *fix = *state;
	const size_t levels = 3000;
	struct rlimit old, low;
	char *path = malloc(levels * 4 + 8);
	size_t len = 0;

	assert_non_null(path);
	for (size_t i = 0; i < levels; i++, len += 4)
		memcpy(path + len, "abc/", 4);
	memcpy(path + len, "file", 5);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 32;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(put(fix, path, "deep"), TK_OK);
	tk_target_forget(fix->target);
	assert_string_equal(get(fix, path), "deep");
	assert_int_equal(CALL(tk_target_remove, fix, "abc", NULL), TK_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(type_of(fix, "abc"), TK_FT_OTHER);
	free(path);
}

static void
immutable_objects_and_directories_are_replaced(void **state)
{
	struct fixture *fix = *state;
	struct tk_meta locked = {.type = TK_FT_REG, .flags = TK_INO_IMMUTABLE};
	struct tk_meta locked_dir = {.type = TK_FT_DIR, .flags = TK_INO_APPEND};
	struct tk_not_applied counts = {0};
	const char *name;
	int dirfd;

	assert_int_equal(put(fix, "d/f", "old"), TK_OK);
	if (geteuid() != 0)
		return;
	assert_int_equal(tk_target_parent(fix->target, "d/f", 3, false, &dirfd, &name, NULL), TK_OK);
	tk_meta_apply_flags(dirfd, name, &locked, &counts);
	tk_meta_apply_flags(dirfd, ".", &locked_dir, &counts);
	assert_true(tk_not_applied_none(&counts));
	assert_int_equal(put(fix, "d/f", "new"), TK_OK);
	assert_string_equal(get(fix, "d/f"), "new");

	tk_meta_apply_flags(dirfd, name, &locked, &counts);
	tk_meta_apply_flags(dirfd, ".", &locked_dir, &counts);
	assert_int_equal(tk_target_hardlink(fix->target, "d/f", 3, "d/g", 3, NULL), TK_OK);
	tk_meta_apply_flags(dirfd, "f", &locked, &counts);
	locked_dir.flags = TK_INO_IMMUTABLE;
	tk_meta_apply_flags(dirfd, ".", &locked_dir, &counts);
	assert_int_equal(CALL(tk_target_mkdir, fix, "d/new", NULL), TK_OK);
	tk_meta_apply_flags(dirfd, ".", &locked_dir, &counts);
	assert_int_equal(CALL(tk_target_remove, fix, "d", NULL), TK_OK);
	assert_int_equal(type_of(fix, "d"), TK_FT_OTHER);
}

static void
holes_take_no_space_and_handles_are_independent(void **state)
{
	struct fixture *fix = *state;
	TK_AUTO(tk_target_cleanup) struct tk_target *second = NULL;
	struct tk_target_file *file;
	struct stat st;

	assert_int_equal(tk_target_dup(fix->target, &second, NULL), TK_OK);
	assert_int_equal(tk_target_file_begin(second, "big", 3, &file, NULL), TK_OK);
	tk_target_cleanup(&second);
	assert_int_equal(tk_target_file_set_size(file, 1ULL << 30, NULL), TK_OK);
	assert_int_equal(tk_target_file_reserve(file, 4096, 8192, NULL), TK_OK);
	assert_int_equal(tk_pwrite_full(tk_target_file_fd(file), "x", 1, 4096, "big", NULL), TK_OK);
	assert_int_equal(tk_target_file_set_size(file, UINT64_MAX, NULL), TK_EINVAL);
	assert_int_equal(tk_target_file_commit(file, NULL), TK_OK);
	tk_target_file_cleanup(&file);
	assert_int_equal(fstatat(fix->scratch->fd, "t/big", &st, 0), 0);
	assert_true(st.st_size == 1LL << 30);
	assert_true(st.st_blocks <= 64);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(tk_target_sync(fix->target, NULL), TK_OK);
}

static enum tk_rc
put_named(struct fixture *fix, const char *path, const char *text, bool seen)
{
	TK_AUTO(tk_target_file_cleanup) struct tk_target_file *file = NULL;
	enum tk_rc rc = tk_target_file_begin_named(fix->target, path, strlen(path), &file, NULL);

	if (rc != TK_OK)
		return rc;
	assert_int_equal(tk_pwrite_full(tk_target_file_fd(file), text, strlen(text), 0, path, NULL), TK_OK);
	assert_true((strcmp(get(fix, path), text) == 0) == seen);
	return tk_target_file_commit(file, NULL);
}

static void
only_in_a_fresh_target_does_a_file_have_its_name_at_once(void **state)
{
	struct fixture *fix = *state;
	struct tk_target_file *file;

	assert_int_equal(put_named(fix, "d/before", "pending", false), TK_OK);
	tk_target_set_fresh(fix->target);
	assert_int_equal(put_named(fix, "d/a", "named", true), TK_OK);
	assert_string_equal(get(fix, "d/a"), "named");
	/* One that is given up goes. */
	assert_int_equal(tk_target_file_begin_named(fix->target, "d/b", 3, &file, NULL), TK_OK);
	assert_int_equal(type_of(fix, "d/b"), TK_FT_REG);
	tk_target_file_cleanup(&file);
	assert_int_equal(type_of(fix, "d/b"), TK_FT_OTHER);
}

static void
what_lies_in_a_fresh_target_all_the_same_is_replaced_and_never_written_through(void **state)
{
	struct fixture *fix = *state;

	tk_target_set_fresh(fix->target);
	assert_int_equal(put_named(fix, "file", "first", true), TK_OK);
	assert_int_equal(symlinkat("../out/victim", fix->scratch->fd, "t/link"), 0);
	assert_int_equal(symlinkat("../out/new", fix->scratch->fd, "t/dangling"), 0);
	assert_int_equal(linkat(fix->scratch->fd, "out/victim", fix->scratch->fd, "t/hard", 0), 0);
	assert_int_equal(put_named(fix, "file", "second", false), TK_OK);
	assert_int_equal(put_named(fix, "link", "mine", false), TK_OK);
	assert_int_equal(put_named(fix, "dangling", "mine", false), TK_OK);
	assert_int_equal(put_named(fix, "hard", "mine", false), TK_OK);
	assert_string_equal(get(fix, "file"), "second");
	assert_string_equal(get(fix, "link"), "mine");
	assert_string_equal(get(fix, "dangling"), "mine");
	assert_string_equal(get(fix, "hard"), "mine");
	/* The teardown looks at the victim, and removes "out", which must have nothing else. */
}

#define MAKES 8000

struct parent_maker {
	struct tk_target *target;
	atomic_int made;               /* so many directories are there */
};

/* Makes "d" as the parent of something, as soon as nothing is in its way. */
static void *
parent_main(void *arg)
{
	struct parent_maker *maker = arg;
	const char *name;
	int dirfd;

	while (atomic_load(&maker->made) < MAKES) {
		tk_target_forget(maker->target);
		(void)!tk_target_parent(maker->target, "d/x", 3, true, &dirfd, &name, NULL);
	}
	return NULL;
}

static void
a_directory_and_what_is_below_it_may_be_made_by_two_threads(void **state)
{
	struct fixture *fix = *state;
	struct parent_maker maker = {0};
	pthread_t thread;
	struct tk_err err;
	enum tk_rc rc = TK_OK;

	assert_int_equal(tk_target_dup(fix->target, &maker.target, NULL), TK_OK);
	assert_int_equal(pthread_create(&thread, NULL, parent_main, &maker), 0);
	for (; atomic_load(&maker.made) < MAKES; atomic_fetch_add(&maker.made, 1)) {
		(void)unlinkat(fix->scratch->fd, "t/d", AT_REMOVEDIR);
		(void)symlinkat("in the way", fix->scratch->fd, "t/d");
		if (!rc)
			rc = tk_target_mkdir(fix->target, "d", 1, &err);
	}
	pthread_join(thread, NULL);
	tk_target_cleanup(&maker.target);
	if (rc)
		fail_msg("%s", err.text);
}

#define TARGET_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define FAST_TARGET_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_fast, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TARGET_TEST(paths_that_would_leave_the_target_are_refused),
		TARGET_TEST(a_symlink_planted_between_two_creates_is_not_followed),
		TARGET_TEST(opening_step_by_step_refuses_the_same),
		TARGET_TEST(every_kind_of_object_replaces_every_other),
		TARGET_TEST(no_temporary_name_stays_behind),
		TARGET_TEST(removing_never_follows_a_symlink_nor_enters_a_mount),
		FAST_TARGET_TEST(deep_paths_work_with_few_descriptors),
		TARGET_TEST(immutable_objects_and_directories_are_replaced),
		TARGET_TEST(holes_take_no_space_and_handles_are_independent),
		TARGET_TEST(only_in_a_fresh_target_does_a_file_have_its_name_at_once),
		TARGET_TEST(what_lies_in_a_fresh_target_all_the_same_is_replaced_and_never_written_through),
		FAST_TARGET_TEST(a_directory_and_what_is_below_it_may_be_made_by_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
