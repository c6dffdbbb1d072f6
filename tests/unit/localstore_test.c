/* The local store: facts under their names, damaged ones as good as absent, unused ones swept. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/localstore.h"
#include "engine/catalog/markset.h"
#include "tests/unit/scratch.h"

#define SIG_DIR "domains/64646464646464646464646464646464/sig/"

static const struct tk_id domain = {"dddddddddddddddd"};

static struct tk_localstore *
store_of(const struct scratch *scratch)
{
	struct tk_localstore *store = NULL;

	assert_int_equal(tk_localstore_open(scratch->path, &domain, TK_SUITE_AES, &store, NULL), TK_OK);
	return store;
}

static void
put(struct tk_localstore *store, enum tk_local_kind kind, const char *name, const char *text)
{
	assert_int_equal(tk_localstore_put(store, kind, name, text, strlen(text), NULL), TK_OK);
}

static void
expect(struct tk_localstore *store, enum tk_local_kind kind, const char *name, const char *text)
{
	struct tk_buf buf;

	tk_buf_init(&buf, 0);
	assert_int_equal(tk_localstore_get(store, kind, name, &buf, NULL), text ? TK_OK : TK_ENOENT);
	if (text) {
		assert_int_equal(buf.len_bytes, strlen(text));
		assert_memory_equal(buf.data, text, strlen(text));
	}
	tk_buf_release(&buf);
}

static void
a_fact_is_found_under_its_kind_and_name(void **state)
{
	struct tk_localstore *store = store_of(*state);

	put(store, TK_LOCAL_SIGNATURE, "abcdef", "one");
	put(store, TK_LOCAL_SIGNATURE, "abcdef", "two");
	put(store, TK_LOCAL_META, "a", "");
	expect(store, TK_LOCAL_SIGNATURE, "abcdef", "two");
	expect(store, TK_LOCAL_META, "abcdef", NULL);
	expect(store, TK_LOCAL_META, "a", "");
	tk_localstore_cleanup(&store);
}

static void
a_torn_file_counts_as_absent_and_is_removed(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_localstore *store = store_of(scratch);
	int fd;

	for (off_t len = 0; len < 35; len += 7) {
		put(store, TK_LOCAL_SIGNATURE, "abcdef", "one");
		fd = openat(scratch->fd, SIG_DIR "ab/abcdef", O_WRONLY);
		assert_int_equal(ftruncate(fd, len), 0);
		close(fd);
		expect(store, TK_LOCAL_SIGNATURE, "abcdef", NULL);
		assert_int_equal(faccessat(scratch->fd, SIG_DIR "ab/abcdef", F_OK, 0), -1);
	}
	tk_localstore_cleanup(&store);
}

static void
a_file_under_the_name_of_another_counts_as_absent(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_localstore *store = store_of(scratch);

	put(store, TK_LOCAL_SIGNATURE, "abcdef", "one");
	assert_int_equal(renameat(scratch->fd, SIG_DIR "ab/abcdef", scratch->fd, SIG_DIR "ab/abcde0"), 0);
	expect(store, TK_LOCAL_SIGNATURE, "abcde0", NULL);
	tk_localstore_cleanup(&store);
}

static void
a_name_that_could_leave_the_directory_is_refused(void **state)
{
	static const char *const names[] = {"", "..", "a/b", "ABC", "x"};
	struct tk_localstore *store = store_of(*state);
	char longest[82];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(tk_localstore_put(store, TK_LOCAL_META, names[i], "x", 1, NULL), TK_EINVAL);
	memset(longest, 'a', 81);
	longest[81] = '\0';
	assert_int_equal(tk_localstore_mark(store, TK_LOCAL_META, longest, NULL), TK_EINVAL);
	put(store, TK_LOCAL_META, longest + 1, "x");
	tk_localstore_cleanup(&store);
}

static void
a_sweep_leaves_what_this_run_wants_kept(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_localstore *store = store_of(scratch);

	put(store, TK_LOCAL_SIGNATURE, "aa0", "marked");
	put(store, TK_LOCAL_SIGNATURE, "aa1", "got");
	put(store, TK_LOCAL_SIGNATURE, "aa2", "unused");
	put(store, TK_LOCAL_SIGNATURE, "bb2", "unused");
	put(store, TK_LOCAL_META, "aa2", "of another kind");
	tk_localstore_cleanup(&store);
	store = store_of(scratch);
	scratch_file(scratch, SIG_DIR "aa/.tk-tmp-0", "left by a crash");
	assert_int_equal(tk_localstore_mark(store, TK_LOCAL_SIGNATURE, "aa0", NULL), TK_OK);
	expect(store, TK_LOCAL_SIGNATURE, "aa1", "got");
	assert_int_equal(tk_localstore_put_bytes(store, TK_LOCAL_SIGNATURE), 0);
	put(store, TK_LOCAL_SIGNATURE, "aa3", "new");
	assert_true(tk_localstore_put_bytes(store, TK_LOCAL_SIGNATURE) > 0);
	assert_int_equal(tk_localstore_put_bytes(store, TK_LOCAL_META), 0);
	assert_int_equal(tk_localstore_sweep(store, TK_LOCAL_SIGNATURE, NULL), TK_OK);
	expect(store, TK_LOCAL_SIGNATURE, "aa0", "marked");
	expect(store, TK_LOCAL_SIGNATURE, "aa1", NULL);
	expect(store, TK_LOCAL_SIGNATURE, "aa2", NULL);
	expect(store, TK_LOCAL_SIGNATURE, "aa3", "new");
	expect(store, TK_LOCAL_SIGNATURE, "bb2", NULL);
	expect(store, TK_LOCAL_META, "aa2", "of another kind");
	assert_int_equal(faccessat(scratch->fd, SIG_DIR "aa/.tk-tmp-0", F_OK, 0), -1);
	tk_localstore_cleanup(&store);
}

static void
a_set_of_marks_grows_and_forgets_none(void **state)
{
	struct tk_markset set = {0};
	char name[16];
	size_t strangers = 0;

	(void)state;
	assert_false(tk_markset_has(&set, "0"));
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(name, sizeof(name), "%x", (unsigned)i);
		assert_int_equal(tk_markset_add(&set, name, NULL), TK_OK);
	}
	for (int i = 0; i < 40000; i++) {
		(void)snprintf(name, sizeof(name), "%x", (unsigned)i);
		if (i < 20000)
			assert_true(tk_markset_has(&set, name));
		else
			strangers += tk_markset_has(&set, name);
	}
	assert_int_equal(strangers, 0);
	tk_markset_release(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fact_is_found_under_its_kind_and_name, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_torn_file_counts_as_absent_and_is_removed, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_file_under_the_name_of_another_counts_as_absent, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_name_that_could_leave_the_directory_is_refused, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_sweep_leaves_what_this_run_wants_kept, scratch_setup, scratch_teardown),
		cmocka_unit_test(a_set_of_marks_grows_and_forgets_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
