/* The walk: order, roots, what is left out, deep and wide trees, things that move meanwhile. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/walkahead.h"
#include "tests/unit/scratch.h"

struct seen {
	struct tk_buf text;     /* paths below the scratch directory, each with a space behind it */
	struct tk_buf notes;    /* as text, with the note's number and ':' before each */
	size_t skip_bytes;
	size_t count;
};

static void
seen_note(void *ctx, const char *path, size_t len, enum tk_walk_note note, const struct tk_err *err)
{
	struct seen *seen = ctx;
	char head[16];

	(void)err;
	assert_int_equal(strlen(path), len);
	(void)snprintf(head, sizeof(head), "%d:", (int)note);
	assert_int_equal(tk_buf_put(&seen->notes, head, strlen(head), NULL), TK_OK);
	assert_int_equal(tk_buf_put(&seen->notes, path + seen->skip_bytes, len - seen->skip_bytes, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&seen->notes, " ", 1, NULL), TK_OK);
}

static void
seen_init(struct seen *seen, const struct scratch *scratch)
{
	memset(seen, 0, sizeof(*seen));
	tk_buf_init(&seen->text, 0);
	tk_buf_init(&seen->notes, 0);
	/* "tmp/tk-unit-abc/" */
	seen->skip_bytes = strlen(scratch->path);
}

static void
seen_entry(struct seen *seen, const struct tk_walk_entry *entry)
{
	struct tk_stat st;

	assert_int_equal(strlen(entry->path), entry->path_len_bytes);
	assert_int_equal(tk_stat_at(entry->parent->fd, entry->name, &st, NULL), TK_OK);
	assert_true(st.ino == entry->st.ino);
	seen->count++;
	if (entry->path_len_bytes < seen->skip_bytes)
		return;
	assert_int_equal(tk_buf_put(&seen->text, entry->path + seen->skip_bytes, entry->path_len_bytes - seen->skip_bytes, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&seen->text, " ", 1, NULL), TK_OK);
}

/* Walks to the end, checking the order. */
static void
walk_all(struct seen *seen, struct tk_walk_opts *opts)
{
	TK_AUTO(tk_walk_cleanup) struct tk_walk *walk = NULL;
	const struct tk_walk_entry *entry;
	struct tk_buf last;

	opts->on_note = seen_note;
	opts->note_ctx = seen;
	tk_buf_init(&last, 0);
	assert_int_equal(tk_walk_new(opts, &walk, NULL), TK_OK);
	for (;;) {
		assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
		if (!entry)
			break;
		if (seen->count)
			assert_true(tk_path_cmp((const char *)last.data, last.len_bytes, entry->path, entry->path_len_bytes) < 0);
		tk_buf_clear(&last);
		assert_int_equal(tk_buf_put(&last, entry->path, entry->path_len_bytes, NULL), TK_OK);
		seen_entry(seen, entry);
	}
	assert_int_equal(tk_buf_put_u8(&seen->text, 0, NULL), TK_OK);
	assert_int_equal(tk_buf_put_u8(&seen->notes, 0, NULL), TK_OK);
	tk_buf_release(&last);
}

static void
seen_release(struct seen *seen)
{
	tk_buf_release(&seen->text);
	tk_buf_release(&seen->notes);
}

/* The same, by a walk that is ahead. */
static void
expect_ahead(struct scratch *scratch, struct tk_walk_opts *opts, const struct seen *want)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = NULL;
	const struct tk_walk_entry *entry;
	struct seen seen;

	seen_init(&seen, scratch);
	opts->note_ctx = &seen;
	assert_int_equal(tk_walkahead_new(opts, &ahead, NULL), TK_OK);
	while (tk_walkahead_next(ahead, &entry, NULL) == TK_OK && entry)
		seen_entry(&seen, entry);
	assert_int_equal(tk_buf_put_u8(&seen.text, 0, NULL), TK_OK);
	assert_int_equal(tk_buf_put_u8(&seen.notes, 0, NULL), TK_OK);
	assert_string_equal((const char *)seen.text.data, (const char *)want->text.data);
	assert_string_equal((const char *)seen.notes.data, (const char *)want->notes.data);
	seen_release(&seen);
}

static void
expect(struct scratch *scratch, struct tk_walk_opts *opts, const char *text, const char *notes)
{
	struct seen seen;

	seen_init(&seen, scratch);
	walk_all(&seen, opts);
	expect_ahead(scratch, opts, &seen);
	assert_string_equal((const char *)seen.text.data, text);
	assert_string_equal((const char *)seen.notes.data, notes);
	seen_release(&seen);
}

static void
a_slash_sorts_below_every_other_byte(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};

	scratch_dir(scratch, "a");
	scratch_file(scratch, "a/x", "");
	scratch_file(scratch, "a.b", "");
	scratch_file(scratch, "a\x01", "");
	scratch_file(scratch, "a\xff", "");
	scratch_file(scratch, "abcdefghi", "");
	scratch_file(scratch, "abcdefghh", "");
	expect(scratch, &opts, "a a/x a\x01 a.b abcdefghh abcdefghi a\xff ", "");
}

static void
roots_are_merged_and_each_is_an_entry(void **state)
{
	struct scratch *scratch = *state;
	char one[128], two[128], slashes[128];
	const char *roots[] = {scratch_path(scratch, "b/c", one, sizeof(one)), scratch_path(scratch, "b", two, sizeof(two)),
		scratch_path(scratch, "/b//c/./", slashes, sizeof(slashes))};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 3};

	scratch_dir(scratch, "b");
	scratch_dir(scratch, "b/c");
	scratch_file(scratch, "b/c/d", "");
	scratch_file(scratch, "b/e", "");
	expect(scratch, &opts, "b b/c b/c/d b/e ", "");
	opts.root_count = 1;
	expect(scratch, &opts, "b/c b/c/d ", "");
}

static void
a_root_inside_what_is_excluded_is_still_visited_in_its_place(void **state)
{
	struct scratch *scratch = *state;
	char inner[128];
	const char *roots[] = {scratch->path, scratch_path(scratch, "m/n/o", inner, sizeof(inner))};
	const char *pattern = "n";
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *ex = NULL;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 2};

	assert_int_equal(tk_exclude_new(&pattern, 1, &ex, NULL), TK_OK);
	opts.exclude = ex;
	scratch_dir(scratch, "m");
	scratch_dir(scratch, "m/n");
	scratch_dir(scratch, "m/n/o");
	scratch_file(scratch, "m/n/o/p", "");
	scratch_file(scratch, "m/n/q", "");
	scratch_file(scratch, "z", "");
	expect(scratch, &opts, "m m/n/o m/n/o/p z ", "3:m/n ");
}

static void
a_missing_root_is_an_error_that_names_it(void **state)
{
	struct scratch *scratch = *state;
	char missing[128];
	const char *roots[] = {scratch_path(scratch, "none", missing, sizeof(missing))};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};
	struct tk_walk *walk;
	struct tk_err err;

	assert_int_equal(tk_walk_new(&opts, &walk, &err), TK_ENOENT);
	assert_non_null(strstr(err.text, missing));
	roots[0] = "relative";
	assert_int_equal(tk_walk_new(&opts, &walk, &err), TK_ECONFIG);
	roots[0] = "/tmp/../etc";
	assert_int_equal(tk_walk_new(&opts, &walk, &err), TK_ECONFIG);
}

static void
a_symlink_is_followed_at_a_root_and_nowhere_else(void **state)
{
	struct scratch *scratch = *state;
	char link[128];
	const char *roots[] = {scratch_path(scratch, "link", link, sizeof(link))};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};

	scratch_dir(scratch, "real");
	scratch_file(scratch, "real/f", "");
	assert_int_equal(symlinkat("real", scratch->fd, "link"), 0);
	assert_int_equal(symlinkat("..", scratch->fd, "real/up"), 0);
	expect(scratch, &opts, "link link/f link/up ", "");
}

static void
skipped_directories_caches_and_sockets_are_noted(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .skip_caches = true};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct tk_stat st;
	struct tk_dev_ino vault;
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	scratch_path(scratch, "sock", address.sun_path, sizeof(address.sun_path));
	assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	close(sock);
	scratch_dir(scratch, "vault");
	scratch_file(scratch, "vault/pack", "");
	scratch_dir(scratch, "cache");
	scratch_file(scratch, "cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
	scratch_file(scratch, "cache/big", "");
	scratch_dir(scratch, "other");
	scratch_file(scratch, "other/CACHEDIR.TAG", "Signature: none");
	assert_int_equal(mkfifoat(scratch->fd, "pipe", 0600), 0);
	assert_int_equal(tk_stat_at(scratch->fd, "vault", &st, NULL), TK_OK);
	vault = (struct tk_dev_ino){st.dev, st.ino};
	opts.skip_dirs = &vault;
	opts.skip_dir_count = 1;
	expect(scratch, &opts, "cache cache/CACHEDIR.TAG other other/CACHEDIR.TAG pipe ", "6:cache 2:sock 4:vault ");
}

static void
another_file_system_is_not_entered_unless_asked(void **state)
{
	struct scratch *scratch = *state;
	char mnt[128];
	const char *roots[] = {scratch->path, mnt};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};

	scratch_dir(scratch, "mnt");
	scratch_path(scratch, "mnt", mnt, sizeof(mnt));
	if (geteuid() != 0 || mount("none", mnt, "tmpfs", 0, NULL) != 0)
		return;
	scratch_file(scratch, "mnt/inside", "");
	scratch_file(scratch, "z", "");
	expect(scratch, &opts, "mnt z ", "7:mnt ");
	opts.root_count = 2;
	expect(scratch, &opts, "mnt mnt/inside z ", "");
	opts.root_count = 1;
	opts.cross_file_systems = true;
	expect(scratch, &opts, "mnt mnt/inside z ", "");
	assert_int_equal(umount(mnt), 0);
}

/* A chain of `levels` directories, each with a file that sorts behind the next directory. */
static void
make_deep(const struct scratch *scratch, size_t levels)
{
	int fd = dup(scratch->fd);

	for (size_t i = 0; i < levels; i++) {
		int file, next;

		assert_int_equal(mkdirat(fd, "deep", 0755), 0);
		file = openat(fd, "z", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		next = openat(fd, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(file >= 0 && next >= 0);
		close(file);
		close(fd);
		fd = next;
	}
	close(fd);
}

static void
five_thousand_levels_need_few_descriptors(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1};
	struct rlimit old, low;
	struct seen seen;

	make_deep(scratch, 5000);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 128;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	seen_init(&seen, scratch);
	walk_all(&seen, &opts);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(seen.count, 10001);
	assert_string_equal((const char *)seen.notes.data, "");
	seen_release(&seen);
}

static void
a_level_that_moved_away_is_noted_and_the_walk_goes_on(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct seen seen;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .on_note = seen_note, .note_ctx = &seen};
	TK_AUTO(tk_walk_cleanup) struct tk_walk *walk = NULL;
	const struct tk_walk_entry *entry;
	bool saw_last = false;

	make_deep(scratch, 200);
	scratch_file(scratch, "zz", "");
	seen_init(&seen, scratch);
	assert_int_equal(tk_walk_new(&opts, &walk, NULL), TK_OK);
	for (size_t depth = 0;;) {
		assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
		if (!entry)
			break;
		if (strcmp(entry->name, "deep") == 0 && ++depth == 150)
			assert_int_equal(renameat(scratch->fd, "deep/deep/deep", scratch->fd, "away"), 0);
		saw_last |= strcmp(entry->name, "zz") == 0;
	}
	assert_true(saw_last);
	assert_int_equal(tk_buf_put_u8(&seen.notes, 0, NULL), TK_OK);
	assert_non_null(strstr((const char *)seen.notes.data, "1:deep/deep "));
	seen_release(&seen);
}

static void
a_huge_directory_is_sorted_through_a_file(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .tmp_dir = "/tmp", .spill_names = 64};
	struct seen seen;
	char name[128];

	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "%u-a-name-long-enough-to-fill-some-windows-%0*u", i * 7919 % 3000, (int)(i % 60), i);
		scratch_file(scratch, name, "");
	}
	seen_init(&seen, scratch);
	walk_all(&seen, &opts);
	assert_int_equal(seen.count, 3001);
	seen_release(&seen);
}

static void
what_vanishes_is_noted(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct seen seen;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .on_note = seen_note, .note_ctx = &seen};
	TK_AUTO(tk_walk_cleanup) struct tk_walk *walk = NULL;
	const struct tk_walk_entry *entry;

	scratch_dir(scratch, "a");
	scratch_file(scratch, "b", "");
	scratch_dir(scratch, "c");
	seen_init(&seen, scratch);
	assert_int_equal(tk_walk_new(&opts, &walk, NULL), TK_OK);
	assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
	assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
	assert_string_equal(entry->name, "a");
	assert_int_equal(unlinkat(scratch->fd, "a", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(scratch->fd, "b", 0), 0);
	assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
	assert_string_equal(entry->name, "c");
	/* A symlink put in the place of a directory is not entered. */
	assert_int_equal(unlinkat(scratch->fd, "c", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc", scratch->fd, "c"), 0);
	assert_int_equal(tk_walk_next(walk, &entry, NULL), TK_OK);
	assert_null(entry);
	assert_int_equal(tk_buf_put_u8(&seen.notes, 0, NULL), TK_OK);
	assert_string_equal((const char *)seen.notes.data, "1:a 1:b 1:c ");
	seen_release(&seen);
}

/* As user 65534, in a process of its own: asserts would report to nobody. */
static void
walk_as_nobody(const struct tk_walk_opts *opts, struct seen *seen)
{
	TK_AUTO(tk_walk_cleanup) struct tk_walk *walk = NULL;
	const struct tk_walk_entry *entry;

	if (setgid(65534) != 0 || setuid(65534) != 0 || tk_walk_new(opts, &walk, NULL) != TK_OK)
		_exit(2);
	do
		if (tk_walk_next(walk, &entry, NULL) != TK_OK)
			_exit(3);
	while (entry);
	if (tk_buf_put_u8(&seen->notes, 0, NULL) != TK_OK || strcmp((const char *)seen->notes.data, "0:closed ") != 0)
		_exit(4);
	_exit(0);
}

static void
an_unreadable_directory_is_noted_and_the_walk_goes_on(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct seen seen;
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .on_note = seen_note, .note_ctx = &seen};
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;
	scratch_dir(scratch, "closed");
	scratch_file(scratch, "z", "");
	assert_int_equal(fchmodat(scratch->fd, "closed", 0, 0), 0);
	assert_int_equal(fchmod(scratch->fd, 0755), 0);
	seen_init(&seen, scratch);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		walk_as_nobody(&opts, &seen);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
what_is_marked_nodump_is_left_out_when_asked(void **state)
{
	struct scratch *scratch = *state;
	const char *roots[] = {scratch->path};
	struct tk_walk_opts opts = {.roots = roots, .root_count = 1, .skip_nodump = true};
	struct tk_stat st;
	bool applied;
	int fd;

	scratch_dir(scratch, "d");
	scratch_file(scratch, "d/f", "");
	scratch_file(scratch, "g", "");
	fd = openat(scratch->fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tk_inoflags_set(fd, TK_INO_NODUMP, &applied);
	close(fd);
	assert_int_equal(tk_stat_at(scratch->fd, "d", &st, NULL), TK_OK);
	/* Some file systems of /tmp have no such flag. */
	if (!applied || !st.is_nodump)
		return;
	expect(scratch, &opts, "g ", "5:d ");
	opts.skip_nodump = false;
	expect(scratch, &opts, "d d/f g ", "");
}

#define WALK_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
#define FAST_WALK_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup_fast, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WALK_TEST(a_slash_sorts_below_every_other_byte),
		WALK_TEST(roots_are_merged_and_each_is_an_entry),
		WALK_TEST(a_root_inside_what_is_excluded_is_still_visited_in_its_place),
		WALK_TEST(a_missing_root_is_an_error_that_names_it),
		WALK_TEST(a_symlink_is_followed_at_a_root_and_nowhere_else),
		WALK_TEST(skipped_directories_caches_and_sockets_are_noted),
		WALK_TEST(another_file_system_is_not_entered_unless_asked),
		FAST_WALK_TEST(five_thousand_levels_need_few_descriptors),
		WALK_TEST(a_level_that_moved_away_is_noted_and_the_walk_goes_on),
		FAST_WALK_TEST(a_huge_directory_is_sorted_through_a_file),
		WALK_TEST(what_vanishes_is_noted),
		WALK_TEST(an_unreadable_directory_is_noted_and_the_walk_goes_on),
		WALK_TEST(what_is_marked_nodump_is_left_out_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
