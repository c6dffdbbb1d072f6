#include "engine/vault/container_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

void
tk_container_name(uint64_t number, char name[TK_CONTAINER_NAME_MAX])
{
	(void)snprintf(name, TK_CONTAINER_NAME_MAX, "%016llx", (unsigned long long)number);
}

bool
tk_container_number(const char *name, uint64_t *number)
{
	uint8_t bytes[8];

	if (tk_hex_decode(name, bytes, sizeof(bytes), NULL))
		return false;
	*number = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		*number = *number << 8 | bytes[i];
	return *number > 0;
}

static enum tk_rc
read_piece(int fd, uint64_t offset_bytes, size_t len_bytes, struct tk_buf *out, struct tk_err *err)
{
	size_t got;
	enum tk_rc rc;

	tk_buf_clear(out);
	rc = tk_buf_reserve(out, len_bytes, err);
	if (!rc)
		rc = tk_pread_full(fd, out->data, len_bytes, offset_bytes, &got, "container", err);
	if (!rc && got != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "container: it is shorter than its table");
	if (!rc)
		out->len_bytes = len_bytes;
	return rc;
}

/* The table at the beginning, or at the end. */
static enum tk_rc
read_table(int fd, uint64_t file_bytes, bool at_end, struct tk_container_row **rows, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	size_t table_bytes;
	enum tk_rc rc;

	if (file_bytes < 2 * tk_container_table_bytes(1) + TK_CONTAINER_END_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "container: %llu bytes are none", (unsigned long long)file_bytes);
	if (at_end)
		rc = read_piece(fd, file_bytes - TK_CONTAINER_END_BYTES, TK_CONTAINER_END_BYTES, &bytes, err);
	else
		rc = read_piece(fd, 0, TK_CONTAINER_HEAD_BYTES, &bytes, err);
	if (!rc)
		rc = at_end ? tk_container_end(bytes.data, &table_bytes, err) : tk_container_head(bytes.data, &table_bytes, err);
	if (!rc && table_bytes > file_bytes - TK_CONTAINER_END_BYTES)
		rc = tk_err_set(err, TK_ECORRUPT, "container: a table longer than the file");
	if (!rc)
		rc = read_piece(fd, at_end ? file_bytes - TK_CONTAINER_END_BYTES - table_bytes : 0, table_bytes, &bytes, err);
	return rc ? rc : tk_container_decode(bytes.data, table_bytes, file_bytes, rows, count, err);
}

/* A version that is not known is one only if both tables say so: alone it is damage like any other. */
static enum tk_rc
read_either_table(int fd, uint64_t file_bytes, struct tk_container_row **rows, size_t *count, struct tk_err *err)
{
	enum tk_rc first = read_table(fd, file_bytes, false, rows, count, err), rc;

	if (first != TK_ECORRUPT && first != TK_EUNSUPPORTED && first != TK_EIO)
		return first;
	rc = read_table(fd, file_bytes, true, rows, count, err);
	if (rc == TK_EUNSUPPORTED && first != TK_EUNSUPPORTED)
		rc = tk_err_set(err, TK_ECORRUPT, "container: both tables are damaged");
	return rc;
}

enum tk_rc
tk_container_open(int dirfd, uint64_t number, struct tk_container_row **rows, size_t *count, uint64_t *file_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char name[TK_CONTAINER_NAME_MAX];
	struct stat st;
	enum tk_rc rc;

	tk_container_name(number, name);
	fd = tk_open_quiet(dirfd, name, false);
	if (fd < 0 || fstat(fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "container %s", name);
	*file_bytes = (uint64_t)st.st_size;
	rc = read_either_table(fd, *file_bytes, rows, count, err);
	return rc ? tk_err_context(err, rc, "container %s", name) : TK_OK;
}

uint64_t
tk_container_file_bytes(const struct tk_container_row *rows, size_t count)
{
	uint64_t bytes = 2 * tk_container_table_bytes(count) + TK_CONTAINER_END_BYTES;

	for (size_t i = 0; i < count; i++)
		bytes += rows[i].len_bytes;
	return bytes;
}

static enum tk_rc
write_table(int fd, const struct tk_container_row *rows, size_t count, bool at_end, struct tk_buf *bytes, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(bytes);
	rc = tk_container_encode(rows, count, at_end, bytes, err);
	return rc ? rc : tk_write_full(fd, bytes->data, bytes->len_bytes, "container", err);
}

enum tk_rc
tk_container_write(int dirfd, uint64_t number, struct tk_container_row *rows, size_t count,
		   enum tk_rc (*load)(void *ctx, size_t i, struct tk_buf *out, struct tk_err *err), void *ctx, struct tk_err *err)
{
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	char name[TK_CONTAINER_NAME_MAX];
	uint64_t at = tk_container_table_bytes(count);
	enum tk_rc rc = tk_publish_begin(dirfd, 0600, &txn, err);

	for (size_t i = 0; i < count; i++) {
		rows[i].offset_bytes = at;
		at += rows[i].len_bytes;
	}
	if (!rc)
		rc = write_table(tk_publish_fd(txn), rows, count, false, &bytes, err);
	for (size_t i = 0; i < count && !rc; i++) {
		tk_buf_clear(&bytes);
		rc = load(ctx, i, &bytes, err);
		if (!rc && bytes.len_bytes != rows[i].len_bytes)
			rc = tk_err_set(err, TK_EIO, "what goes into a container changed its length");
		if (!rc)
			rc = tk_write_full(tk_publish_fd(txn), bytes.data, bytes.len_bytes, "container", err);
	}
	if (!rc)
		rc = write_table(tk_publish_fd(txn), rows, count, true, &bytes, err);
	tk_container_name(number, name);
	return rc ? rc : tk_publish_commit(txn, name, false, err);
}
