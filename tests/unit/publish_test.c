/* Publishing files whole or not at all, reading them back, locks, holes. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/fsio/dirlist.h"
#include "engine/fsio/holes.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "tests/unit/scratch.h"

static size_t
count_names(const struct scratch *scratch)
{
	struct tk_dirlist list;
	size_t count = 0;
	int fd = openat(scratch->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	tk_dirlist_init(&list);
	assert_int_equal(tk_dirlist_read(&list, fd, NULL, NULL), TK_OK);
	for (; tk_dirlist_peek(&list); count++)
		assert_int_equal(tk_dirlist_advance(&list, NULL), TK_OK);
	tk_dirlist_release(&list);
	close(fd);
	return count;
}

static void
a_published_file_is_there_and_replaces_the_old_one(void **state)
{
	struct scratch *scratch = *state;
	struct tk_buf buf;
	struct stat st;

	tk_buf_init(&buf, 0);
	assert_int_equal(tk_publish_file(scratch->fd, "f", "one", 3, 0600, NULL), TK_OK);
	assert_int_equal(tk_publish_file(scratch->fd, "f", "two!", 4, 0640, NULL), TK_OK);
	assert_int_equal(tk_read_file_at(scratch->fd, "f", 4, &buf, NULL), TK_OK);
	assert_int_equal(buf.len_bytes, 4);
	assert_memory_equal(buf.data, "two!", 4);
	assert_int_equal(fstatat(scratch->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(count_names(scratch), 1);
	assert_int_equal(tk_read_file_at(scratch->fd, "f", 3, &buf, NULL), TK_EINVAL);
	assert_int_equal(tk_read_file_at(scratch->fd, "none", 3, &buf, NULL), TK_ENOENT);
	assert_int_equal(symlinkat("f", scratch->fd, "link"), 0);
	assert_int_not_equal(tk_read_file_at(scratch->fd, "link", 9, &buf, NULL), TK_OK);
	tk_buf_release(&buf);
}

static void
a_transaction_that_is_not_committed_leaves_nothing(void **state)
{
	struct scratch *scratch = *state;
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;

	assert_int_equal(tk_publish_begin(scratch->fd, 0600, &txn, NULL), TK_OK);
	assert_int_equal(tk_write_full(tk_publish_fd(txn), "x", 1, "x", NULL), TK_OK);
	assert_int_equal(count_names(scratch), 1);
	tk_publish_cleanup(&txn);
	assert_int_equal(count_names(scratch), 0);
}

static void
an_existing_name_is_kept_when_asked(void **state)
{
	struct scratch *scratch = *state;
	struct tk_publish *txn = NULL;
	char text[16];

	scratch_file(scratch, "f", "old");
	assert_int_equal(tk_publish_begin(scratch->fd, 0600, &txn, NULL), TK_OK);
	assert_int_equal(tk_write_full(tk_publish_fd(txn), "new", 3, "x", NULL), TK_OK);
	assert_int_equal(tk_publish_commit(txn, "f", false, NULL), TK_EEXIST);
	assert_string_equal(scratch_read(scratch, "f", text, sizeof(text)), "old");
	assert_int_equal(tk_publish_commit(txn, "g", false, NULL), TK_OK);
	tk_publish_cleanup(&txn);
	assert_string_equal(scratch_read(scratch, "g", text, sizeof(text)), "new");
	assert_int_equal(count_names(scratch), 2);
}

static void
leftovers_of_a_crash_are_swept(void **state)
{
	struct scratch *scratch = *state;
	char name[TK_TMP_NAME_MAX];

	assert_int_equal(tk_publish_tmp_name(name, NULL), TK_OK);
	assert_true(tk_publish_is_tmp(name));
	assert_false(tk_publish_is_tmp("f"));
	scratch_file(scratch, name, "half");
	scratch_file(scratch, "f", "whole");
	assert_int_equal(tk_publish_sweep(scratch->fd, NULL), TK_OK);
	assert_int_equal(count_names(scratch), 1);
}

static void
directories_are_made_with_their_parents(void **state)
{
	struct scratch *scratch = *state;
	struct stat st;
	char path[128];

	assert_int_equal(tk_mkdir_p_at(scratch->fd, "a/b//c/", 0750, NULL), TK_OK);
	assert_int_equal(tk_mkdir_p_at(scratch->fd, "a/b/c", 0750, NULL), TK_OK);
	assert_int_equal(fstatat(scratch->fd, "a/b/c", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(tk_mkdir_p_at(-1, scratch_path(scratch, "a/d", path, sizeof(path)), 0700, NULL), TK_OK);
	scratch_file(scratch, "f", "");
	assert_int_equal(tk_mkdir_p_at(scratch->fd, "f/x", 0700, NULL), TK_EEXIST);
	assert_int_equal(tk_fsync_dir(scratch->fd, "a", NULL), TK_OK);
}

static void
a_lock_has_one_holder_and_names_it(void **state)
{
	struct scratch *scratch = *state;
	struct tk_err err;
	char text[32];
	int first, second, status;
	pid_t pid;

	(void)snprintf(text, sizeof(text), "process %ld", (long)getpid());
	assert_int_equal(tk_lock_file(scratch->fd, "lock", &first, NULL), TK_OK);
	assert_int_equal(tk_lock_file(scratch->fd, "lock", &second, &err), TK_ELOCKED);
	assert_non_null(strstr(err.text, text));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(tk_lock_file(scratch->fd, "lock", &second, NULL) == TK_ELOCKED ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(first);
	assert_int_equal(tk_lock_file(scratch->fd, "lock", &second, NULL), TK_OK);
	close(second);
}

static void
runs_of_data_and_holes_cover_the_file(void **state)
{
	struct scratch *scratch = *state;
	const uint64_t size = 8U << 20;
	struct tk_holes it;
	struct tk_run run;
	uint64_t end = 0, data = 0;
	int fd = openat(scratch->fd, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	bool first = true;

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(tk_pwrite_full(fd, "x", 1, 4U << 20, "sparse", NULL), TK_OK);
	for (tk_holes_init(&it, fd, size); tk_holes_next(&it, &run); first = false) {
		assert_true(run.offset_bytes == end && run.len_bytes > 0);
		if (first)
			assert_true(run.is_hole);
		end += run.len_bytes;
		data += run.is_hole ? 0 : run.len_bytes;
	}
	assert_true(end == size);
	assert_true(data >= 1 && data <= 1U << 20);

	/* Cut meanwhile: what is missing is a hole. */
	tk_holes_init(&it, fd, size);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_true(tk_holes_next(&it, &run));
	assert_true(run.is_hole && run.len_bytes == size);
	assert_false(tk_holes_next(&it, &run));
	tk_holes_init(&it, fd, 0);
	assert_false(tk_holes_next(&it, &run));
	close(fd);
}

#define PUBLISH_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PUBLISH_TEST(a_published_file_is_there_and_replaces_the_old_one),
		PUBLISH_TEST(a_transaction_that_is_not_committed_leaves_nothing),
		PUBLISH_TEST(an_existing_name_is_kept_when_asked),
		PUBLISH_TEST(leftovers_of_a_crash_are_swept),
		PUBLISH_TEST(directories_are_made_with_their_parents),
		PUBLISH_TEST(a_lock_has_one_holder_and_names_it),
		PUBLISH_TEST(runs_of_data_and_holes_cover_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
