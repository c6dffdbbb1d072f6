#include "engine/vault/vault_expired.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/fault.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define ROW TK_VEXPIRED_ROW_BYTES
#define LIST_BYTES_MAX (1u << 30)
#define EPOCH_BYTES 4
#define SEQUENCE_BYTES 8
#define ID_BYTES (ROW - EPOCH_BYTES - SEQUENCE_BYTES)

static void
put_number(uint8_t *dst, int bytes, uint64_t value)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		dst[i] = (uint8_t)value;
}

static uint64_t
get_number(const uint8_t *src, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | src[i];
	return value;
}

/* Big-endian, so that the order of bytes is that of points. The beginning of the id keeps a damaged row from naming another point. */
static void
encode(const struct tk_head *at, uint8_t row[ROW])
{
	put_number(row, EPOCH_BYTES, at->epoch);
	put_number(row + EPOCH_BYTES, SEQUENCE_BYTES, at->sequence);
	memcpy(row + EPOCH_BYTES + SEQUENCE_BYTES, at->point.b, ID_BYTES);
}

static int
compare_rows(const void *a, const void *b)
{
	return memcmp(a, b, ROW);
}

void
tk_vexpired_release(struct tk_vexpired *list)
{
	tk_buf_release(&list->rows);
}

static void
list_path(char path[TK_VFILE_PATH_MAX], const struct tk_id *domain)
{
	tk_vrecord_path(path, domain, "expired", NULL);
}

static enum tk_rc
make_durable(struct tk_vault *vault, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(vault->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || fsync(fd) < 0 ? tk_err_errno(err, TK_EIO, "fsync of %s", path) : TK_OK;
}

enum tk_rc
tk_vexpired_load(struct tk_vault *vault, const struct tk_id *domain, struct tk_vexpired *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_err why;
	enum tk_rc rc;

	*out = (struct tk_vexpired){{0}};
	list_path(path, domain);
	rc = tk_vfile_get(vault->root_fd, path, LIST_BYTES_MAX, &out->rows, &why);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (!rc && vault->mode == TK_VAULT_SERVE)
		rc = make_durable(vault, path, &why);
	if (rc) {
		if (err)
			*err = why;
		tk_vexpired_release(out);
		return rc;
	}
	/* An incomplete row at the end is of a write that was cut off: nobody was told. */
	out->rows.len_bytes -= out->rows.len_bytes % ROW;
	if (out->rows.len_bytes > 0)
		qsort(out->rows.data, out->rows.len_bytes / ROW, ROW, compare_rows);
	return TK_OK;
}

bool
tk_vexpired_has(const struct tk_vexpired *list, const struct tk_head *at)
{
	uint8_t row[ROW];

	if (list->rows.len_bytes == 0)
		return false;
	encode(at, row);
	return bsearch(row, list->rows.data, list->rows.len_bytes / ROW, ROW, compare_rows) != NULL;
}

struct tk_head
tk_vexpired_last(const struct tk_vexpired *list)
{
	struct tk_head last = {0};
	const uint8_t *row;

	if (list->rows.len_bytes == 0)
		return last;
	row = list->rows.data + list->rows.len_bytes - ROW;
	last.epoch = get_number(row, EPOCH_BYTES);
	last.sequence = get_number(row + EPOCH_BYTES, SEQUENCE_BYTES);
	return last;
}

static enum tk_rc
append(int fd, const struct tk_buf *rows, struct tk_err *err)
{
	struct stat st;
	enum tk_rc rc;

	if (fstat(fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "the list of expired points");
	/* At a multiple of a row: over what a write that was cut off left. */
	rc = tk_fault_point("expired.write", err);
	if (!rc)
		rc = tk_pwrite_full(fd, rows->data, rows->len_bytes, (uint64_t)st.st_size / ROW * ROW, "the list of expired points", err);
	if (!rc)
		rc = tk_fault_point("expired.fsync", err);
	if (!rc && fsync(fd) < 0)
		rc = tk_err_errno(err, TK_EIO, "fsync of the list of expired points");
	return rc;
}

static enum tk_rc
sync_domain(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_fault_point("expired.dirsync", err);

	tk_vault_id_path(path, "domains", domain, NULL);
	if (rc)
		return rc;
	fd = tk_open_quiet(vault->root_fd, path, true);
	return fd < 0 || fsync(fd) < 0 ? tk_err_errno(err, TK_EIO, "fsync of %s", path) : TK_OK;
}

enum tk_rc
tk_vexpired_add(struct tk_vault *vault, const struct tk_id *domain, const struct tk_point_row *rows, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_buf_reserve(&bytes, count * ROW, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		encode(&rows[i].at, bytes.data + i * ROW);
	bytes.len_bytes = count * ROW;
	list_path(path, domain);
	fd = openat(vault->root_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "%s", path);
	rc = append(fd, &bytes, err);
	/* Each time: the one who made it may have died before the name was durable. */
	return rc ? rc : sync_domain(vault, domain, err);
}
