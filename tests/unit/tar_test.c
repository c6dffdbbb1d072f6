/* Tar out and in: what goes in comes back, and other tars can read it. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/archive/tarin.h"
#include "engine/archive/tarout.h"
#include "engine/base/buf.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/openat.h"
#include "tests/unit/scratch.h"

/* u::rw-, u:1234:r--, u:4000000000:rwx, g::r--, g:77:---, m::rw-, o::--- */
static const uint8_t raw_acl[] = {
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	2, 0, 4, 0, 0xd2, 0x04, 0, 0,
	2, 0, 7, 0, 0x00, 0x28, 0x6b, 0x6e,
	4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	8, 0, 0, 0, 77, 0, 0, 0,
	0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
};

static int
archive_fd(const struct scratch *scratch)
{
	int fd = openat(scratch->fd, "a.tar", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void
add(struct tk_tarout *tar, const char *path, const struct tk_meta *meta, const char *hardlink_to)
{
	struct tk_err err;

	tk_err_clear(&err);
	if (tk_tarout_add(tar, path, meta, hardlink_to, NULL, 0, &err) != TK_OK)
		print_error("%s\n", err.text);
	assert_int_equal(err.rc, TK_OK);
}

/* The content of the current entry; holes as zeros. */
static void
content(struct tk_tarin *tar, uint8_t *dst, size_t size)
{
	const void *bytes;
	size_t len;
	uint64_t offset;

	memset(dst, 0, size);
	for (;;) {
		assert_int_equal(tk_tarin_data(tar, &bytes, &len, &offset, NULL), TK_OK);
		if (len == 0)
			return;
		assert_true(offset <= size && len <= size - offset);
		memcpy(dst + offset, bytes, len);
	}
}

static const struct tk_tarin_entry *
next(struct tk_tarin *tar)
{
	const struct tk_tarin_entry *entry;
	struct tk_err err;

	tk_err_clear(&err);
	if (tk_tarin_next(tar, &entry, &err) != TK_OK)
		print_error("%s\n", err.text);
	assert_int_equal(err.rc, TK_OK);
	return entry;
}

static void
assert_meta(const struct tk_meta *a, const struct tk_meta *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_true(a->mtime_s == b->mtime_s);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(a->flags, b->flags);
	assert_true(a->size_bytes == b->size_bytes);
	assert_int_equal(a->dev_major, b->dev_major);
	assert_int_equal(a->dev_minor, b->dev_minor);
	assert_int_equal(a->uname != NULL, b->uname != NULL);
	if (a->uname)
		assert_string_equal(a->uname, b->uname);
	assert_int_equal(a->link_target != NULL, b->link_target != NULL);
	if (a->link_target)
		assert_string_equal(a->link_target, b->link_target);
	assert_int_equal(a->xattr_count, b->xattr_count);
	for (size_t i = 0; i < a->xattr_count; i++) {
		assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
		assert_int_equal(a->xattrs[i].len_bytes, b->xattrs[i].len_bytes);
		if (a->xattrs[i].len_bytes)
			assert_memory_equal(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].len_bytes);
	}
}

static void
rich_file(struct tk_meta *meta)
{
	tk_meta_init(meta);
	meta->type = TK_FT_REG;
	meta->mode = 06660;
	meta->uid = 4000000001U;
	meta->gid = 70000;
	meta->uname = strdup("j\xc3\xb6rg");
	meta->mtime_s = -86400;
	meta->mtime_ns = 123456789;
	meta->size_bytes = 5;
	meta->flags = TK_INO_IMMUTABLE | TK_INO_NODUMP | TK_INO_NOATIME;
	assert_int_equal(tk_meta_put_xattr(meta, "user.bin", "\0\xff=%\n", 5, NULL), TK_OK);
	assert_int_equal(tk_meta_put_xattr(meta, "user.empty", NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_meta_put_xattr(meta, "security.capability", "\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, NULL), TK_OK);
	assert_int_equal(tk_meta_put_xattr(meta, TK_XATTR_ACL_ACCESS, raw_acl, sizeof(raw_acl), NULL), TK_OK);
}

static void
every_entry_comes_back_as_it_went_out(void **state)
{
	struct scratch *scratch = *state;
	/* Composed, decomposed, and not UTF-8 at all. */
	static const char *const names[] = {"plain", "n\xc3\xa9", "ne\xcc\x81", "\xff\xfe-raw", "spa ce\n"};
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *out = NULL;
	TK_AUTO(tk_tarin_cleanup) struct tk_tarin *in = NULL;
	const struct tk_tarin_entry *entry;
	struct tk_meta file, dir = {.type = TK_FT_DIR, .mode = 01777}, link = {.type = TK_FT_SYMLINK, .mode = 0777};
	struct tk_meta dev = {.type = TK_FT_BLOCK, .mode = 0660, .dev_major = 259, .dev_minor = 70000}, fifo = {.type = TK_FT_FIFO, .mode = 0600};
	char raw_target[] = "../\xfd-target", bytes[8];
	char *deep = malloc(9000);
	int fd = archive_fd(scratch);

	rich_file(&file);
	link.link_target = raw_target;
	assert_int_equal(tk_meta_put_xattr(&dir, TK_XATTR_ACL_DEFAULT, raw_acl, sizeof(raw_acl), NULL), TK_OK);
	for (size_t i = 0; i < 9000; i++)
		deep[i] = i % 100 == 99 ? '/' : 'd';
	deep[8998] = '\0';
	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "", &dir, NULL);
	for (size_t i = 0; i < 5; i++) {
		add(out, names[i], &file, NULL);
		assert_int_equal(tk_tarout_data(out, "hello", 5, NULL), TK_OK);
	}
	add(out, "zlink", &link, NULL);
	add(out, "zdev", &dev, NULL);
	add(out, "zfifo", &fifo, NULL);
	add(out, "zhard", &file, names[3]);
	add(out, deep, &dir, NULL);
	assert_int_equal(tk_tarout_end(out, NULL), TK_OK);

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tk_tarin_new(fd, &in, NULL), TK_OK);
	entry = next(in);
	assert_string_equal(entry->path, "");
	assert_meta(&entry->meta, &dir);
	for (size_t i = 0; i < 5; i++) {
		entry = next(in);
		assert_string_equal(entry->path, names[i]);
		assert_meta(&entry->meta, &file);
		content(in, (uint8_t *)bytes, sizeof(bytes));
		assert_string_equal(bytes, "hello");
	}
	entry = next(in);
	assert_meta(&entry->meta, &link);
	assert_meta(&next(in)->meta, &dev);
	assert_meta(&next(in)->meta, &fifo);
	entry = next(in);
	assert_string_equal(entry->path, "zhard");
	assert_string_equal(entry->hardlink_to, names[3]);
	assert_int_equal(entry->meta.type, TK_FT_REG);
	entry = next(in);
	assert_string_equal(entry->path, deep);
	assert_null(next(in));
	tk_meta_release(&file);
	tk_meta_release(&dir);
	free(deep);
	close(fd);
}

static void
holes_take_no_space_in_the_archive(void **state)
{
	struct scratch *scratch = *state;
	const struct tk_run runs[] = {{0, 4 << 20, true}, {4 << 20, 4096, false}, {(4 << 20) + 4096, (4 << 20) - 4096, true}};
	const struct tk_run all_hole = {0, 1 << 20, true};
	struct tk_meta meta = {.type = TK_FT_REG, .mode = 0600, .size_bytes = 8 << 20};
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *out = NULL;
	TK_AUTO(tk_tarin_cleanup) struct tk_tarin *in = NULL;
	uint8_t *whole = malloc(8 << 20);
	int fd = archive_fd(scratch);
	struct stat st;

	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	assert_int_equal(tk_tarout_add(out, "s", &meta, NULL, runs, 3, NULL), TK_OK);
	assert_int_equal(tk_tarout_data(out, NULL, 4 << 20, NULL), TK_OK);
	assert_int_equal(tk_tarout_data(out, "x", 1, NULL), TK_OK);
	assert_int_equal(tk_tarout_data(out, NULL, (4 << 20) - 1, NULL), TK_OK);
	meta.size_bytes = 1 << 20;
	assert_int_equal(tk_tarout_add(out, "t", &meta, NULL, &all_hole, 1, NULL), TK_OK);
	assert_int_equal(tk_tarout_data(out, NULL, 1 << 20, NULL), TK_OK);
	assert_int_equal(tk_tarout_end(out, NULL), TK_OK);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size < 100000);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tk_tarin_new(fd, &in, NULL), TK_OK);
	assert_true(next(in)->meta.size_bytes == 8 << 20);
	content(in, whole, 8 << 20);
	assert_int_equal(whole[4 << 20], 'x');
	whole[4 << 20] = 0;
	for (size_t i = 0; i < 8 << 20; i++)
		assert_true(whole[i] == 0);
	assert_true(next(in)->meta.size_bytes == 1 << 20);
	content(in, whole, 1 << 20);
	assert_null(next(in));
	free(whole);
	close(fd);
}

static void
an_entry_must_get_exactly_its_bytes(void **state)
{
	struct scratch *scratch = *state;
	struct tk_meta meta = {.type = TK_FT_REG, .mode = 0600, .size_bytes = 3}, socket = {.type = TK_FT_OTHER};
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *out = NULL;
	int fd = archive_fd(scratch);

	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "f", &meta, NULL);
	assert_int_equal(tk_tarout_data(out, "1234", 4, NULL), TK_EINVAL);
	assert_int_equal(tk_tarout_data(out, "12", 2, NULL), TK_OK);
	assert_int_equal(tk_tarout_add(out, "g", &meta, NULL, NULL, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_tarout_end(out, NULL), TK_EINVAL);
	assert_int_equal(tk_tarout_data(out, "3", 1, NULL), TK_OK);
	assert_int_equal(tk_tarout_add(out, "s", &socket, NULL, NULL, 0, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_tarout_end(out, NULL), TK_OK);
	close(fd);
}

static void
a_hostile_or_cut_archive_is_an_error(void **state)
{
	struct scratch *scratch = *state;
	struct tk_meta meta = {.type = TK_FT_REG, .mode = 0600, .size_bytes = 100000};
	struct tk_tarout *out;
	struct tk_tarin *in;
	const struct tk_tarin_entry *entry;
	uint8_t *bytes = calloc(1, 100000);
	const void *block;
	size_t len;
	uint64_t offset;
	enum tk_rc rc;
	int fd = archive_fd(scratch);

	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "/x/./y", &meta, NULL);
	assert_int_equal(tk_tarout_data(out, bytes, 100000, NULL), TK_OK);
	add(out, "a/../../x", &meta, NULL);
	assert_int_equal(tk_tarout_data(out, bytes, 100000, NULL), TK_OK);
	assert_int_equal(tk_tarout_end(out, NULL), TK_OK);
	tk_tarout_cleanup(&out);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tk_tarin_new(fd, &in, NULL), TK_OK);
	assert_string_equal(next(in)->path, "x/y");
	assert_int_equal(tk_tarin_next(in, &entry, NULL), TK_ENOTSAFE);
	assert_null(entry);
	tk_tarin_cleanup(&in);

	assert_int_equal(ftruncate(fd, 50000), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(tk_tarin_new(fd, &in, NULL), TK_OK);
	(void)next(in);
	while ((rc = tk_tarin_data(in, &block, &len, &offset, NULL)) == TK_OK && len > 0)
		;
	assert_int_equal(rc, TK_ECORRUPT);
	tk_tarin_cleanup(&in);

	memset(bytes, 'j', 100000);
	assert_int_equal(tk_pwrite_full(fd, bytes, 100000, 0, "junk", NULL), TK_OK);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	rc = tk_tarin_new(fd, &in, NULL);
	if (rc == TK_OK)
		rc = tk_tarin_next(in, &entry, NULL);
	assert_int_equal(rc, TK_ECORRUPT);
	tk_tarin_cleanup(&in);
	free(bytes);
	close(fd);
}

static void
an_abandoned_archive_does_not_look_whole(void **state)
{
	struct scratch *scratch = *state;
	struct tk_meta meta = {.type = TK_FT_REG, .mode = 0600, .size_bytes = 100000};
	struct tk_tarout *out;
	struct stat st;
	int fd = archive_fd(scratch);

	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "f", &meta, NULL);
	assert_int_equal(tk_tarout_data(out, NULL, 50000, NULL), TK_OK);
	tk_tarout_cleanup(&out);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size < 52000);
	close(fd);

	/* Nor is a full disk anything but an error. */
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "f", &meta, NULL);
	assert_int_equal(tk_tarout_data(out, NULL, 100000, NULL), TK_ENOSPC);
	tk_tarout_cleanup(&out);
	close(fd);
}

/* What the system's own tar says of it, line by line. */
static void
gnu_tar_reads_it(void **state)
{
	struct scratch *scratch = *state;
	struct tk_meta file = {.type = TK_FT_REG, .mode = 0640, .size_bytes = 2, .mtime_s = 1000000000}, link = {.type = TK_FT_SYMLINK, .mode = 0777};
	char target[] = "f", command[256], text[256];
	struct tk_tarout *out;
	int fd = archive_fd(scratch);

	link.link_target = target;
	assert_int_equal(tk_tarout_new(fd, &out, NULL), TK_OK);
	add(out, "n\xc3\xa9", &file, NULL);
	assert_int_equal(tk_tarout_data(out, "ab", 2, NULL), TK_OK);
	add(out, "hard", &file, "n\xc3\xa9");
	add(out, "link", &link, NULL);
	assert_int_equal(tk_tarout_end(out, NULL), TK_OK);
	tk_tarout_cleanup(&out);
	close(fd);
	(void)snprintf(command, sizeof(command), "cd %s && mkdir x && tar -C x -xf a.tar 2>err && cat x/hard x/link 2>>err; ls -1 x >>err", scratch->path);
	(void)!system(command);
	assert_string_equal(scratch_read(scratch, "err", text, sizeof(text)),
		"cat: x/link: No such file or directory\nhard\nlink\nn\xc3\xa9\n");
	assert_string_equal(scratch_read(scratch, "x/hard", text, sizeof(text)), "ab");
}

#define TAR_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TAR_TEST(every_entry_comes_back_as_it_went_out),
		TAR_TEST(holes_take_no_space_in_the_archive),
		TAR_TEST(an_entry_must_get_exactly_its_bytes),
		TAR_TEST(a_hostile_or_cut_archive_is_an_error),
		TAR_TEST(an_abandoned_archive_does_not_look_whole),
		TAR_TEST(gnu_tar_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
