#include "tests/unit/unit.h"

#include "tests/unit/tree_kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"

#define PATH_MAX_BYTES 512
#define FILES_MAX 400

uint64_t
dice_roll(struct dice *dice)
{
	uint64_t x = dice->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

size_t
dice_below(struct dice *dice, size_t below)
{
	return below ? (size_t)(dice_roll(dice) % below) : 0;
}

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

/* ---- content ---- */

static void
fill_bytes(struct dice *dice, uint8_t *data, size_t len_bytes)
{
	size_t kind = dice_below(dice, 8);

	for (size_t i = 0; i < len_bytes; i++) {
		if (kind == 0)
			data[i] = 0;
		else if (kind < 3)
			data[i] = (uint8_t)("the quick brown fox "[i % 20] + (i / 20 % 7 == 0 ? (int)dice_below(dice, 3) : 0));
		else
			data[i] = (uint8_t)dice_roll(dice);
	}
}

static void
write_at(const char *path, struct dice *dice, off_t offset, size_t len_bytes, int flags)
{
	uint8_t *data = malloc(len_bytes + 1);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	assert_non_null(data);
	fill_bytes(dice, data, len_bytes);
	assert_int_equal(pwrite(fd, data, len_bytes, offset), len_bytes);
	close(fd);
	free(data);
}

void
tree_write(const char *path, struct dice *dice, size_t len_bytes)
{
	write_at(path, dice, 0, len_bytes, O_TRUNC);
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

/* ---- edits ---- */

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
move_bytes(const char *path, struct dice *dice, bool insert)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	uint8_t *data, more[700];
	size_t at, len, count = 1 + dice_below(dice, sizeof(more));

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	len = (size_t)st.st_size;
	data = malloc(len + 1);
	assert_non_null(data);
	assert_int_equal(pread(fd, data, len, 0), len);
	at = dice_below(dice, len + 1);
	fill_bytes(dice, more, count);
	if (insert) {
		assert_int_equal(pwrite(fd, more, count, (off_t)at), count);
		assert_int_equal(pwrite(fd, data + at, len - at, (off_t)(at + count)), len - at);
	} else {
		count = count < len - at ? count : len - at;
		assert_int_equal(pwrite(fd, data + at + count, len - at - count, (off_t)at), len - at - count);
		assert_int_equal(ftruncate(fd, (off_t)(len - count)), 0);
	}
	close(fd);
	free(data);
}

static void
copy_file(const char *from, const char *to)
{
	char command[2 * PATH_MAX_BYTES + 32];

	(void)snprintf(command, sizeof(command), "cp -- '%s' '%s' 2>/dev/null", from, to);
	(void)!system(command);
}

static void
remove_path(const char *path)
{
	char command[PATH_MAX_BYTES + 32];

	(void)snprintf(command, sizeof(command), "rm -rf -- '%s'", path);
	assert_int_equal(system(command), 0);
}

static void
punch(const char *path, struct dice *dice)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)dice_below(dice, 60000), (off_t)(1 + dice_below(dice, 20000)));
	close(fd);
}

static void
grow_hole(const char *path, struct dice *dice)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	if (st.st_size < 200000)
		assert_int_equal(truncate(path, st.st_size + (off_t)dice_below(dice, 50000)), 0);
}

static void
set_times(const char *path, struct dice *dice)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {(time_t)dice_below(dice, 2000000000), (long)dice_below(dice, 1000000000)}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Overwrites bytes and puts the time back: only the ctime tells. */
static void
change_quietly(const char *path, struct dice *dice)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	if (st.st_size == 0)
		return;
	write_at(path, dice, (off_t)dice_below(dice, (size_t)st.st_size), 1, 0);
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void
swap_names(const char *a, const char *b)
{
	char middle[PATH_MAX_BYTES + 8];

	(void)snprintf(middle, sizeof(middle), "%s.swap", a);
	if (strcmp(a, b) != 0 && rename(a, middle) == 0) {
		(void)!rename(b, a);
		(void)!rename(middle, b);
	}
}

static void
change_file(const struct names *names, const char *file, struct dice *dice)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	switch (dice_below(dice, 9)) {
	case 0:
		write_at(file, dice, (off_t)dice_below(dice, (size_t)st.st_size + 1), 1 + dice_below(dice, 300), 0);
		break;
	case 1:
		move_bytes(file, dice, true);
		break;
	case 2:
		move_bytes(file, dice, false);
		break;
	case 3:
		assert_int_equal(truncate(file, (off_t)dice_below(dice, (size_t)st.st_size + 1)), 0);
		break;
	case 4:
		punch(file, dice);
		break;
	case 5:
		write_at(file, dice, st.st_size, 1 + dice_below(dice, 9000), 0);
		break;
	case 6:
		grow_hole(file, dice);
		break;
	case 7:
		change_quietly(file, dice);
		break;
	default:
		swap_names(file, pick(names, dice, S_IFREG));
	}
}

static void
change_names(const char *root, const struct names *names, struct dice *dice)
{
	const char *file = pick(names, dice, S_IFREG), *any = pick(names, dice, 0), *dir = pick(names, dice, S_IFDIR);
	char name[PATH_MAX_BYTES];

	new_name(root, names, dice, name);
	switch (dice_below(dice, 14)) {
	case 0:
	case 1:
		if (access(name, F_OK) != 0)
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
	case 5:
		if (file)
			(void)!link(file, name);
		break;
	case 6:
		(void)!symlink(any + strlen(root), name);
		break;
	case 7:
		(void)!mkdir(name, 0755);
		break;
	case 8:
		if (dice_below(dice, 3) == 0)
			(void)!mkfifo(name, 0600);
		break;
	case 9:
		if (dir)
			(void)!chmod(dir, (mode_t)(0700 | dice_below(dice, 0100)));
		break;
	case 10:
		if (file)
			(void)!chmod(file, (mode_t)(0600 | dice_below(dice, 0200)));
		break;
	case 11:
		set_times(any, dice);
		break;
	case 12:
		/* Becomes something of another type. */
		remove_path(any);
		if (dice_below(dice, 2))
			(void)!mkdir(any, 0755);
		else if (dice_below(dice, 2))
			(void)!symlink("elsewhere", any);
		else
			tree_write(any, dice, some_size(dice));
		break;
	default:
		remove_path(any);
		break;
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
		if (file && dice_below(dice, 2))
			change_file(names, file, dice);
		else if (names->count)
			change_names(root, names, dice);
		else
			tree_fill(root, dice);
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
	write_at(path, dice, 50000, 5000, 0);
	(void)snprintf(path, sizeof(path), "%s/d1/f1", root);
	(void)snprintf(other, sizeof(other), "%s/d4/link", root);
	assert_int_equal(link(path, other), 0);
	(void)snprintf(other, sizeof(other), "%s/d1/sym", root);
	assert_int_equal(symlink("../d4/link", other), 0);
	(void)snprintf(other, sizeof(other), "%s/fifo", root);
	assert_int_equal(mkfifo(other, 0640), 0);
	(void)!setxattr(path, "user.note", "hello", 5, 0);
}
