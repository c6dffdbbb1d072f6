#include "engine/archive/tarin.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/archive/taracl.h"
#include "engine/archive/tarlocale.h"
#include "engine/fsio/inoflags.h"

#define READ_BYTES 65536

struct tk_tarin {
	struct archive *archive;
	locale_t locale;
	struct tk_tarin_entry entry;
};

static enum tk_rc
in_failed(const struct tk_tarin *tar, struct tk_err *err)
{
	const char *text = archive_error_string(tar->archive);
	int number = archive_errno(tar->archive);

	if (number == ENOMEM)
		return tk_err_set(err, TK_ENOMEM, "reading the archive: out of memory");
	return tk_err_set(err, number == EIO ? TK_EIO : TK_ECORRUPT, "reading the archive: %s", text ? text : "failed");
}

static void
entry_release(struct tk_tarin_entry *entry)
{
	free(entry->path);
	free(entry->hardlink_to);
	tk_meta_release(&entry->meta);
	*entry = (struct tk_tarin_entry){0};
}

enum tk_rc
tk_tarin_new(int fd, struct tk_tarin **out, struct tk_err *err)
{
	TK_AUTO(tk_tarin_cleanup) struct tk_tarin *tar = calloc(1, sizeof(*tar));

	*out = NULL;
	if (!tar || !(tar->archive = archive_read_new()))
		return tk_err_set(err, TK_ENOMEM, "tar: out of memory");
	tar->locale = tk_tarlocale_new("C");
	/* A filter that this libarchive lacks shows when the stream needs it. */
	(void)archive_read_support_filter_gzip(tar->archive);
	(void)archive_read_support_filter_xz(tar->archive);
	(void)archive_read_support_filter_zstd(tar->archive);
	if (archive_read_support_format_tar(tar->archive) != ARCHIVE_OK || archive_read_open_fd(tar->archive, fd, READ_BYTES) != ARCHIVE_OK)
		return in_failed(tar, err);
	*out = tar;
	tar = NULL;
	return TK_OK;
}

void
tk_tarin_cleanup(struct tk_tarin **tar)
{
	if (!*tar)
		return;
	entry_release(&(*tar)->entry);
	if ((*tar)->archive)
		(void)archive_read_free((*tar)->archive);
	tk_tarlocale_free((*tar)->locale);
	free(*tar);
	*tar = NULL;
}

/* Drops empty and "." components; ".." is refused. *out is the caller's. */
static enum tk_rc
path_normalise(const char *path, char **out, struct tk_err *err)
{
	char *text = malloc(strlen(path) + 1);
	size_t len = 0;

	*out = text;
	if (!text)
		return tk_err_set(err, TK_ENOMEM, "tar: out of memory");
	for (const char *at = path; *at;) {
		size_t part = strcspn(at, "/");

		if (part == 2 && at[0] == '.' && at[1] == '.')
			return tk_err_set(err, TK_ENOTSAFE, "the archive has the path %s", path);
		if (part > 0 && !(part == 1 && at[0] == '.')) {
			if (len)
				text[len++] = '/';
			memcpy(text + len, at, part);
			len += part;
		}
		at += part;
		at += *at == '/';
	}
	text[len] = '\0';
	return TK_OK;
}

static enum tk_ftype
ftype_of(unsigned type, bool is_hardlink)
{
	switch (type) {
	case AE_IFREG: return TK_FT_REG;
	case AE_IFDIR: return TK_FT_DIR;
	case AE_IFLNK: return TK_FT_SYMLINK;
	case AE_IFIFO: return TK_FT_FIFO;
	case AE_IFCHR: return TK_FT_CHAR;
	case AE_IFBLK: return TK_FT_BLOCK;
	case 0: return is_hardlink ? TK_FT_REG : TK_FT_OTHER;
	default: return TK_FT_OTHER;
	}
}

static enum tk_rc
text_copy(const char *text, char **out, struct tk_err *err)
{
	*out = text && *text ? strdup(text) : NULL;
	return text && *text && !*out ? tk_err_set(err, TK_ENOMEM, "tar: out of memory") : TK_OK;
}

static void
meta_numbers(struct archive_entry *from, struct tk_meta *meta)
{
	unsigned long flags_set, flags_clear;
	bool is_device;

	meta->type = ftype_of(archive_entry_filetype(from), archive_entry_hardlink(from) != NULL);
	is_device = meta->type == TK_FT_CHAR || meta->type == TK_FT_BLOCK;
	meta->mode = archive_entry_perm(from) & 07777U;
	meta->uid = (uint32_t)archive_entry_uid(from);
	meta->gid = (uint32_t)archive_entry_gid(from);
	meta->mtime_s = archive_entry_mtime(from);
	meta->mtime_ns = (uint32_t)archive_entry_mtime_nsec(from);
	if (meta->type == TK_FT_REG && archive_entry_size(from) > 0)
		meta->size_bytes = (uint64_t)archive_entry_size(from);
	meta->dev_major = is_device ? (uint32_t)archive_entry_rdevmajor(from) : 0;
	meta->dev_minor = is_device ? (uint32_t)archive_entry_rdevminor(from) : 0;
	archive_entry_fflags(from, &flags_set, &flags_clear);
	meta->flags = tk_inoflags_from_kernel((unsigned)flags_set);
}

static enum tk_rc
meta_fill(struct archive_entry *from, struct tk_meta *meta, struct tk_err *err)
{
	const char *name;
	const void *value;
	size_t len;
	enum tk_rc rc;

	meta_numbers(from, meta);
	if ((rc = text_copy(archive_entry_uname(from), &meta->uname, err)) != TK_OK)
		return rc;
	if ((rc = text_copy(archive_entry_gname(from), &meta->gname, err)) != TK_OK)
		return rc;
	if (meta->type == TK_FT_SYMLINK) {
		if ((rc = text_copy(archive_entry_symlink(from), &meta->link_target, err)) != TK_OK)
			return rc;
		if (!meta->link_target)
			return tk_err_set(err, TK_ECORRUPT, "the archive has a symlink without a target");
	}
	(void)archive_entry_xattr_reset(from);
	while (archive_entry_xattr_next(from, &name, &value, &len) == ARCHIVE_OK)
		if ((rc = tk_meta_put_xattr(meta, name, value, len, err)) != TK_OK)
			return rc;
	return tk_taracl_get(from, meta, err);
}

enum tk_rc
tk_tarin_next(struct tk_tarin *tar, const struct tk_tarin_entry **entry, struct tk_err *err)
{
	TK_AUTO(tk_tarlocale_leave) locale_t before = tk_tarlocale_enter(tar->locale);
	struct archive_entry *from;
	const char *path;
	enum tk_rc rc;
	int status;

	(void)before;
	*entry = NULL;
	entry_release(&tar->entry);
	status = archive_read_next_header(tar->archive, &from);
	if (status == ARCHIVE_EOF)
		return TK_OK;
	if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
		return in_failed(tar, err);
	if (!(path = archive_entry_pathname(from)))
		return tk_err_set(err, TK_ECORRUPT, "the archive has an entry without a path");
	if ((rc = path_normalise(path, &tar->entry.path, err)) != TK_OK)
		return rc;
	path = archive_entry_hardlink(from);
	if (path && (rc = path_normalise(path, &tar->entry.hardlink_to, err)) != TK_OK)
		return rc;
	if ((rc = meta_fill(from, &tar->entry.meta, err)) != TK_OK)
		return tk_err_context(err, rc, "%s", tar->entry.path);
	*entry = &tar->entry;
	return TK_OK;
}

enum tk_rc
tk_tarin_data(struct tk_tarin *tar, const void **bytes, size_t *len_bytes, uint64_t *offset_bytes, struct tk_err *err)
{
	la_int64_t offset = 0;
	int status;

	*bytes = NULL;
	*len_bytes = 0;
	*offset_bytes = 0;
	/* A block without bytes is a hole that ends at its offset: not the end. */
	do
		status = archive_read_data_block(tar->archive, bytes, len_bytes, &offset);
	while ((status == ARCHIVE_OK || status == ARCHIVE_WARN) && *len_bytes == 0);
	if (status == ARCHIVE_EOF) {
		*len_bytes = 0;
		return TK_OK;
	}
	if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
		return in_failed(tar, err);
	*offset_bytes = (uint64_t)offset;
	return TK_OK;
}
