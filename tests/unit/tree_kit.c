#include "tests/unit/unit.h"

#include "tests/unit/tree_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "tests/unit/file_edit.h"

#define PATH_MAX_BYTES 512
#define FILES_MAX 400

/* ---- listings ---- */

struct link_row {
	dev_t dev;
	ino_t ino;
	char path[PATH_MAX_BYTES];
};

struct lister {
	struct tk_buf text;
	struct link_row links[FILES_MAX];
	size_t link_count;
};

static void
file_digest(const char *path, char hex[2 * TK_HASH_BYTES + 1])
{
	uint8_t digest[TK_HASH_BYTES];
	struct tk_buf all = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	assert_true(fd >= 0);
	do {
		assert_int_equal(tk_buf_reserve(&all, 65536, NULL), TK_OK);
		got = read(fd, all.data + all.len_bytes, 65536);
		assert_true(got >= 0);
		all.len_bytes += (size_t)got;
	} while (got > 0);
	close(fd);
	assert_int_equal(tk_hash(TK_SUITE_AES, all.data, all.len_bytes, digest, NULL), TK_OK);
	tk_hex_encode(digest, 16, hex);
	tk_buf_release(&all);
}

static const char *
first_name(struct lister *lister, const struct stat *st, const char *path)
{
	struct link_row *row;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return "-";
	for (size_t i = 0; i < lister->link_count; i++)
		if (lister->links[i].ino == st->st_ino && lister->links[i].dev == st->st_dev)
			return lister->links[i].path;
	assert_true(lister->link_count < FILES_MAX);
	row = &lister->links[lister->link_count++];
	row->dev = st->st_dev;
	row->ino = st->st_ino;
	(void)snprintf(row->path, sizeof(row->path), "%s", path);
	return row->path;
}

static void
list_one(struct lister *lister, const char *full, const char *path, const struct stat *st)
{
	char line[2 * PATH_MAX_BYTES + 512], what[PATH_MAX_BYTES] = "", xattr[64] = "";
	ssize_t got;
	int len;

	if (S_ISREG(st->st_mode))
		file_digest(full, what);
	else if (S_ISLNK(st->st_mode) && (got = readlink(full, what, sizeof(what) - 1)) > 0)
		what[got] = '\0';
	if (!S_ISLNK(st->st_mode) && (got = getxattr(full, "user.note", xattr, sizeof(xattr) - 1)) > 0)
		xattr[got] = '\0';
	len = snprintf(line, sizeof(line), "%s %o %u:%u %lld.%09ld %lld %s [%s] %s\n", path, (unsigned)st->st_mode, st->st_uid, st->st_gid,
		       (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, S_ISREG(st->st_mode) ? (long long)st->st_size : 0LL, what, xattr,
		       first_name(lister, st, path));
	assert_true(len > 0 && (size_t)len < sizeof(line));
	assert_int_equal(tk_buf_put(&lister->text, line, (size_t)len, NULL), TK_OK);
}

static int
is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
list_dir(struct lister *lister, const char *full, const char *path)
{
	struct dirent **names = NULL;
	int count = scandir(full, &names, is_entry, by_bytes);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		char child_full[PATH_MAX_BYTES], child[PATH_MAX_BYTES];
		struct stat st;

		(void)snprintf(child_full, sizeof(child_full), "%s/%s", full, names[i]->d_name);
		(void)snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", names[i]->d_name);
		assert_int_equal(lstat(child_full, &st), 0);
		list_one(lister, child_full, child, &st);
		if (S_ISDIR(st.st_mode))
			list_dir(lister, child_full, child);
		free(names[i]);
	}
	free(names);
}

char *
tree_list(const char *root, int with_top)
{
	struct lister *lister = calloc(1, sizeof(*lister));
	struct stat st;
	char *text;

	assert_non_null(lister);
	assert_int_equal(lstat(root, &st), 0);
	if (with_top)
		list_one(lister, root, ".", &st);
	list_dir(lister, root, "");
	assert_int_equal(tk_buf_put_u8(&lister->text, 0, NULL), TK_OK);
	text = (char *)lister->text.data;
	free(lister);
	return text;
}

struct names {
	char paths[FILES_MAX][PATH_MAX_BYTES];
	mode_t modes[FILES_MAX];
	size_t count;
};

static void
collect(struct names *names, const char *dir)
{
	struct dirent **found = NULL;
	int count = scandir(dir, &found, is_entry, by_bytes);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		struct stat st;

		if (names->count < FILES_MAX) {
			char *path = names->paths[names->count];

			(void)snprintf(path, PATH_MAX_BYTES, "%s/%s", dir, found[i]->d_name);
			assert_int_equal(lstat(path, &st), 0);
			names->modes[names->count++] = st.st_mode;
			if (S_ISDIR(st.st_mode))
				collect(names, path);
		}
		free(found[i]);
	}
	free(found);
}

uint64_t
tree_allocated_bytes(const char *root)
{
	struct names *names = calloc(1, sizeof(*names));
	uint64_t sum = 0;
	struct stat st;

	assert_non_null(names);
	collect(names, root);
	for (size_t i = 0; i < names->count; i++)
		if (S_ISREG(names->modes[i]) && lstat(names->paths[i], &st) == 0)
			sum += (uint64_t)st.st_blocks * 512;
	free(names);
	return sum;
}

void
assert_same_tree(const char *expected, const char *found, const char *what)
{
	size_t at = 0, line = 0;

	if (strcmp(expected, found) == 0)
		return;
	for (; expected[at] && expected[at] == found[at]; at++)
		if (expected[at] == '\n')
			line = at + 1;
	fail_msg("%s: expected\n  %.*s\nfound\n  %.*s", what, (int)strcspn(expected + line, "\n"), expected + line,
		 (int)strcspn(found + line, "\n"), found + line);
}

/* ---- edits ---- */

void
tree_write(const char *path, struct dice *dice, size_t len_bytes)
{
	file_write_at(path, dice, 0, len_bytes, O_TRUNC);
}

/* Sizes on both sides of every border that the tests' tiny limits have. */
static size_t
some_size(struct dice *dice)
{
	static const size_t borders[] = {0, 1, 64, 256, 1024, 2048, 4096, 8192, 12288, 16384, 20480, 40960, 65536};
	size_t border = borders[dice_below(dice, sizeof(borders) / sizeof(borders[0]))];

	switch (dice_below(dice, 4)) {
	case 0:
		return border;
	case 1:
		return border ? border - 1 : 0;
	case 2:
		return border + 1;
	default:
		return dice_below(dice, 70000);
	}
}

/* A random object of a type (0: any), or NULL. */
static const char *
pick(const struct names *names, struct dice *dice, mode_t type)
{
	size_t start = dice_below(dice, names->count);

	for (size_t i = 0; i < names->count; i++) {
		size_t at = (start + i) % names->count;

		if (type == 0 || (names->modes[at] & S_IFMT) == type)
			return names->paths[at];
	}
	return NULL;
}

static void
new_name(const char *root, const struct names *names, struct dice *dice, char out[PATH_MAX_BYTES])
{
	static const char *const odd[] = {"", ".x", "-y", " z", "\xc3\xa4", "!"};
	const char *dir = dice_below(dice, 3) ? pick(names, dice, S_IFDIR) : NULL;

	(void)snprintf(out, PATH_MAX_BYTES, "%s/n%u%s", dir && strlen(dir) < 200 ? dir : root, (unsigned)dice_below(dice, 500),
		       odd[dice_below(dice, 6)]);
}

static void
copy_file(const char *from, const char *to)
{
	char command[2 * PATH_MAX_BYTES + 32];

	(void)snprintf(command, sizeof(command), "cp -- '%s' '%s' 2>/dev/null", from, to);
	(void)!system(command);
}

/* As a dump is every day: nearly yesterday's, under nearly its name. */
static void
dump_again(const char *path, struct dice *dice)
{
	size_t stem = strlen(path), edits = dice_below(dice, 5);
	char name[PATH_MAX_BYTES];

	while (stem > 0 && path[stem - 1] >= '0' && path[stem - 1] <= '9')
		stem--;
	if (stem > PATH_MAX_BYTES - 32)
		return;
	(void)snprintf(name, sizeof(name), "%.*s%u", (int)stem, path, (unsigned)dice_below(dice, 500));
	if (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	copy_file(path, name);
	if (faccessat(AT_FDCWD, name, F_OK, 0) != 0)
		return;
	for (size_t i = 0; i < edits; i++)
		file_edit(name, dice);
	if (dice_below(dice, 2))
		(void)!remove(path);
	else if (dice_below(dice, 3) == 0)
		file_edit(path, dice);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void
remove_path(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void
set_times(const char *path, struct dice *dice)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {(time_t)dice_below(dice, 2000000000), (long)dice_below(dice, 1000000000)}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void
set_owner(const char *path, struct dice *dice)
{
	if (geteuid() == 0)
		assert_int_equal(lchown(path, (uid_t)dice_below(dice, 3000), (gid_t)dice_below(dice, 3000)), 0);
}

/* Hardlinks change with it. */
static void
set_note(const char *path, struct dice *dice)
{
	static const char *const notes[] = {"hello", "", "a longer note than that one"};
	const char *note = notes[dice_below(dice, 3)];

	if (*note)
		(void)!lsetxattr(path, "user.note", note, strlen(note), 0);
	else
		(void)!lremovexattr(path, "user.note");
}

/* Becomes something of another type. */
static void
change_type(const char *path, struct dice *dice)
{
	remove_path(path);
	if (dice_below(dice, 2))
		(void)!mkdir(path, 0755);
	else if (dice_below(dice, 2))
		(void)!symlink("elsewhere", path);
	else
		tree_write(path, dice, some_size(dice));
}

static void
change_marks(const struct names *names, struct dice *dice)
{
	const char *any = pick(names, dice, 0), *file = pick(names, dice, S_IFREG), *dir = pick(names, dice, S_IFDIR);

	switch (dice_below(dice, 5)) {
	case 0:
		if (dir)
			assert_int_equal(chmod(dir, (mode_t)(0700 | dice_below(dice, 0100))), 0);
		break;
	case 1:
		if (file)
			assert_int_equal(chmod(file, (mode_t)(0600 | dice_below(dice, 0200))), 0);
		break;
	case 2:
		set_times(any, dice);
		break;
	case 3:
		set_owner(any, dice);
		break;
	default:
		set_note(any, dice);
	}
}

static void
change_names(const char *root, const struct names *names, struct dice *dice)
{
	const char *file = pick(names, dice, S_IFREG), *any = pick(names, dice, 0);
	char name[PATH_MAX_BYTES];

	new_name(root, names, dice, name);
	switch (dice_below(dice, 15)) {
	case 0:
	case 1:
		if (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
			tree_write(name, dice, some_size(dice));
		break;
	case 2:
		if (file)
			copy_file(file, name);
		break;
	case 3:
		(void)!rename(any, name);
		break;
	case 4:
		(void)!renameat2(AT_FDCWD, any, AT_FDCWD, pick(names, dice, 0), RENAME_EXCHANGE);
		break;
	case 5:
	case 6:
		if (file)
			(void)!link(file, name);
		break;
	case 7:
		(void)!symlink(any + strlen(root), name);
		break;
	case 8:
		(void)!mkdir(name, 0755);
		break;
	case 9:
		if (dice_below(dice, 3) == 0)
			(void)!mkfifo(name, 0600);
		break;
	case 10:
		change_type(any, dice);
		break;
	case 11:
	case 12:
	case 13:
		if (file)
			dump_again(file, dice);
		break;
	default:
		remove_path(any);
	}
}

void
tree_edit(const char *root, struct dice *dice, size_t changes)
{
	for (size_t i = 0; i < changes; i++) {
		struct names *names = calloc(1, sizeof(*names));
		const char *file;

		assert_non_null(names);
		collect(names, root);
		file = pick(names, dice, S_IFREG);
		if (names->count == 0)
			tree_fill(root, dice);
		else if (file && dice_below(dice, 2))
			file_edit(file, dice);
		else if (dice_below(dice, 3))
			change_names(root, names, dice);
		else
			change_marks(names, dice);
		free(names);
	}
}

void
tree_fill(const char *root, struct dice *dice)
{
	char path[PATH_MAX_BYTES], other[PATH_MAX_BYTES];

	for (unsigned d = 0; d < 5; d++) {
		(void)snprintf(path, sizeof(path), "%s/d%u", root, d);
		assert_int_equal(mkdir(path, 0755), 0);
		for (unsigned f = 0; f < 6; f++) {
			(void)snprintf(path, sizeof(path), "%s/d%u/f%u", root, d, f);
			tree_write(path, dice, some_size(dice));
		}
	}
	(void)snprintf(path, sizeof(path), "%s/d0/sparse", root);
	tree_write(path, dice, 100);
	assert_int_equal(truncate(path, 90000), 0);
	file_write_at(path, dice, 50000, 5000, 0);
	(void)snprintf(path, sizeof(path), "%s/d1/f1", root);
	(void)snprintf(other, sizeof(other), "%s/d4/link", root);
	assert_int_equal(link(path, other), 0);
	(void)snprintf(other, sizeof(other), "%s/d1/sym", root);
	assert_int_equal(symlink("../d4/link", other), 0);
	(void)snprintf(other, sizeof(other), "%s/fifo", root);
	assert_int_equal(mkfifo(other, 0640), 0);
	(void)!setxattr(path, "user.note", "hello", 5, 0);
}
