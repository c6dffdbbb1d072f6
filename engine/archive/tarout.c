#include "engine/archive/tarout.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/archive/taracl.h"
#include "engine/archive/tarlocale.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/openat.h"

#define ZEROS_BYTES 65536

struct tk_tarout {
	struct archive *archive;
	struct archive_entry *entry;
	locale_t locale;
	uint64_t left_bytes;    /* of the entry, still to come */
	uint8_t *zeros;
	int fd;                 /* borrowed */
	bool abandoned;         /* nothing more goes out */
};

static enum tk_rc
out_failed(const struct tk_tarout *tar, int status, const char *path, struct tk_err *err)
{
	const char *text = archive_error_string(tar->archive);
	int number = archive_errno(tar->archive);
	enum tk_rc rc = TK_EIO;

	if (number == ENOSPC || number == EDQUOT)
		rc = TK_ENOSPC;
	else if (status == ARCHIVE_FAILED)
		rc = TK_EUNSUPPORTED;
	return tk_err_set(err, rc, "writing the archive: %s: %s", path, text ? text : "failed");
}

static la_ssize_t
out_write(struct archive *archive, void *ctx, const void *bytes, size_t len_bytes)
{
	const struct tk_tarout *tar = ctx;

	if (tar->abandoned) {
		archive_set_error(archive, ECANCELED, "abandoned");
		return -1;
	}
	if (tk_write_full(tar->fd, bytes, len_bytes, "archive", NULL) != TK_OK) {
		archive_set_error(archive, errno, "%s", strerror(errno));
		return -1;
	}
	return (la_ssize_t)len_bytes;
}

enum tk_rc
tk_tarout_new(int fd, struct tk_tarout **out, struct tk_err *err)
{
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *tar = calloc(1, sizeof(*tar));

	*out = NULL;
	if (!tar)
		return tk_err_set(err, TK_ENOMEM, "tar: out of memory");
	tar->fd = fd;
	tar->locale = tk_tarlocale_new("C.UTF-8");
	tar->archive = archive_write_new();
	tar->entry = archive_entry_new();
	tar->zeros = calloc(1, ZEROS_BYTES);
	if (!tar->archive || !tar->entry || !tar->zeros)
		return tk_err_set(err, TK_ENOMEM, "tar: out of memory");
	/* Full pax, not "restricted", which would drop nanoseconds. */
	if (archive_write_set_format_pax(tar->archive) != ARCHIVE_OK || archive_write_open(tar->archive, tar, NULL, out_write, NULL) != ARCHIVE_OK)
		return out_failed(tar, ARCHIVE_FATAL, "start", err);
	*out = tar;
	tar = NULL;
	return TK_OK;
}

void
tk_tarout_cleanup(struct tk_tarout **tar)
{
	if (!*tar)
		return;
	/* Freeing writes the end marker, unless that was done: an abandoned archive must not look whole. */
	(*tar)->abandoned = true;
	if ((*tar)->archive)
		(void)archive_write_free((*tar)->archive);
	archive_entry_free((*tar)->entry);
	tk_tarlocale_free((*tar)->locale);
	free((*tar)->zeros);
	free(*tar);
	*tar = NULL;
}

static unsigned
archive_type(enum tk_ftype type)
{
	switch (type) {
	case TK_FT_REG: return AE_IFREG;
	case TK_FT_DIR: return AE_IFDIR;
	case TK_FT_SYMLINK: return AE_IFLNK;
	case TK_FT_FIFO: return AE_IFIFO;
	case TK_FT_CHAR: return AE_IFCHR;
	case TK_FT_BLOCK: return AE_IFBLK;
	default: return 0;
	}
}

static void
entry_fill(struct archive_entry *entry, const char *path, const struct tk_meta *meta, const char *hardlink_to)
{
	archive_entry_copy_pathname(entry, *path ? path : ".");
	archive_entry_set_filetype(entry, archive_type(meta->type));
	archive_entry_set_perm(entry, (mode_t)meta->mode);
	archive_entry_set_uid(entry, meta->uid);
	archive_entry_set_gid(entry, meta->gid);
	if (meta->uname)
		archive_entry_copy_uname(entry, meta->uname);
	if (meta->gname)
		archive_entry_copy_gname(entry, meta->gname);
	archive_entry_set_mtime(entry, meta->mtime_s, (long)meta->mtime_ns);
	archive_entry_set_size(entry, meta->type == TK_FT_REG && !hardlink_to ? (int64_t)meta->size_bytes : 0);
	if (meta->type == TK_FT_CHAR || meta->type == TK_FT_BLOCK) {
		archive_entry_set_rdevmajor(entry, meta->dev_major);
		archive_entry_set_rdevminor(entry, meta->dev_minor);
	}
	if (hardlink_to)
		archive_entry_copy_hardlink(entry, hardlink_to);
	else if (meta->type == TK_FT_SYMLINK && meta->link_target)
		archive_entry_copy_symlink(entry, meta->link_target);
	archive_entry_set_fflags(entry, tk_inoflags_to_kernel(meta->flags), 0);
}

static void
entry_add_xattrs(struct archive_entry *entry, const struct tk_meta *meta)
{
	for (size_t i = 0; i < meta->xattr_count; i++) {
		const struct tk_xattr *xattr = &meta->xattrs[i];

		if (strcmp(xattr->name, TK_XATTR_ACL_ACCESS) != 0 && strcmp(xattr->name, TK_XATTR_ACL_DEFAULT) != 0)
			archive_entry_xattr_add_entry(entry, xattr->name, xattr->value, xattr->len_bytes);
	}
}

/* libarchive wants the runs of data; none at all would mean "not sparse". */
static void
entry_add_runs(struct archive_entry *entry, const struct tk_run *runs, size_t run_count, uint64_t size_bytes)
{
	bool any_hole = false, any_data = false;

	for (size_t i = 0; i < run_count; i++)
		any_hole |= runs[i].is_hole;
	if (!any_hole)
		return;
	for (size_t i = 0; i < run_count; i++)
		if (!runs[i].is_hole) {
			archive_entry_sparse_add_entry(entry, (int64_t)runs[i].offset_bytes, (int64_t)runs[i].len_bytes);
			any_data = true;
		}
	if (!any_data)
		archive_entry_sparse_add_entry(entry, (int64_t)size_bytes, 0);
}

static enum tk_rc
out_check_complete(const struct tk_tarout *tar, struct tk_err *err)
{
	if (tar->left_bytes > 0)
		return tk_err_set(err, TK_EINVAL, "writing the archive: %llu bytes of the last entry are missing",
			(unsigned long long)tar->left_bytes);
	return TK_OK;
}

enum tk_rc
tk_tarout_add(struct tk_tarout *tar, const char *path, const struct tk_meta *meta, const char *hardlink_to, const struct tk_run *runs,
	size_t run_count, struct tk_err *err)
{
	TK_AUTO(tk_tarlocale_leave) locale_t before = tk_tarlocale_enter(tar->locale);
	bool has_data = meta->type == TK_FT_REG && !hardlink_to;
	enum tk_rc rc;
	int status;

	(void)before;
	if ((rc = out_check_complete(tar, err)) != TK_OK)
		return rc;
	if (archive_type(meta->type) == 0 || meta->size_bytes > INT64_MAX)
		return tk_err_set(err, TK_EUNSUPPORTED, "%s does not fit into a tar archive", path);
	archive_entry_clear(tar->entry);
	entry_fill(tar->entry, path, meta, hardlink_to);
	entry_add_xattrs(tar->entry, meta);
	if (has_data)
		entry_add_runs(tar->entry, runs, run_count, meta->size_bytes);
	if ((rc = tk_taracl_put(tar->entry, meta, err)) != TK_OK)
		return rc;
	/* A warning says that a name is no UTF-8: its bytes are kept. */
	status = archive_write_header(tar->archive, tar->entry);
	if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
		return out_failed(tar, status, path, err);
	tar->left_bytes = has_data ? meta->size_bytes : 0;
	return TK_OK;
}

enum tk_rc
tk_tarout_data(struct tk_tarout *tar, const void *bytes, uint64_t len_bytes, struct tk_err *err)
{
	const uint8_t *at = bytes;

	if (len_bytes > tar->left_bytes)
		return tk_err_set(err, TK_EINVAL, "writing the archive: more bytes than the entry's size");
	while (len_bytes > 0) {
		size_t step = len_bytes < ZEROS_BYTES || at ? (size_t)len_bytes : ZEROS_BYTES;
		la_ssize_t done = archive_write_data(tar->archive, at ? at : tar->zeros, step);

		if (done <= 0)
			return out_failed(tar, ARCHIVE_FATAL, "data", err);
		if (at)
			at += done;
		len_bytes -= (uint64_t)done;
		tar->left_bytes -= (uint64_t)done;
	}
	return TK_OK;
}

enum tk_rc
tk_tarout_end(struct tk_tarout *tar, struct tk_err *err)
{
	TK_AUTO(tk_tarlocale_leave) locale_t before = tk_tarlocale_enter(tar->locale);
	enum tk_rc rc;

	(void)before;
	if ((rc = out_check_complete(tar, err)) != TK_OK)
		return rc;
	if (archive_write_close(tar->archive) != ARCHIVE_OK)
		return out_failed(tar, ARCHIVE_FATAL, "end", err);
	return TK_OK;
}
