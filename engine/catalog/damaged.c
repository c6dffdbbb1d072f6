#include "engine/catalog/damaged.h"

#include <stdlib.h>
#include <string.h>

#include "engine/catalog/domaindir.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define FILE_NAME "damaged"
#define MAGIC "TWKDMGD1"
#define MAGIC_BYTES 8u
#define ROW_BYTES (1u + sizeof(struct tk_pack_name))
#define ROWS_MAX 16384u
#define FILE_BYTES_MAX (MAGIC_BYTES + ROWS_MAX * ROW_BYTES + TK_HASH_BYTES)

void
tk_damaged_release(struct tk_damaged *damaged)
{
	free(damaged->rows);
	memset(damaged, 0, sizeof(*damaged));
}

static struct tk_damaged_pack *
find(const struct tk_damaged *damaged, const struct tk_pack_name *name)
{
	for (size_t i = 0; i < damaged->count; i++)
		if (memcmp(&damaged->rows[i].name, name, sizeof(*name)) == 0)
			return &damaged->rows[i];
	return NULL;
}

bool
tk_damaged_has(const struct tk_damaged *damaged, const struct tk_pack_name *name)
{
	return find(damaged, name) != NULL;
}

bool
tk_damaged_any_new(const struct tk_damaged *damaged)
{
	for (size_t i = 0; i < damaged->count; i++)
		if (!damaged->rows[i].settled)
			return true;
	return false;
}

/* Of another length, or with another digest, it counts as absent. */
static enum tk_rc
decode(const struct tk_buf *bytes, struct tk_damaged *out, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	size_t body;
	enum tk_rc rc;

	if (bytes->len_bytes < MAGIC_BYTES + TK_HASH_BYTES || (bytes->len_bytes - MAGIC_BYTES - TK_HASH_BYTES) % ROW_BYTES != 0 ||
	    memcmp(bytes->data, MAGIC, MAGIC_BYTES) != 0)
		return TK_OK;
	body = bytes->len_bytes - TK_HASH_BYTES;
	if ((rc = tk_hash(TK_SUITE_AES, bytes->data, body, digest, err)))
		return rc;
	if (memcmp(digest, bytes->data + body, sizeof(digest)) != 0 || body == MAGIC_BYTES)
		return TK_OK;
	out->rows = calloc((body - MAGIC_BYTES) / ROW_BYTES, sizeof(*out->rows));
	if (!out->rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of damaged packs");
	for (size_t at = MAGIC_BYTES; at < body; at += ROW_BYTES) {
		struct tk_damaged_pack *row = &out->rows[out->count++];

		row->settled = bytes->data[at] != 0;
		memcpy(row->name.b, bytes->data + at + 1, sizeof(row->name.b));
	}
	return TK_OK;
}

static enum tk_rc
read_list(int dirfd, struct tk_damaged *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	struct tk_err why;
	enum tk_rc rc = tk_read_file_at(dirfd, FILE_NAME, FILE_BYTES_MAX, &bytes, &why);

	memset(out, 0, sizeof(*out));
	if (rc == TK_ENOENT || rc == TK_EINVAL)
		return TK_OK;
	if (rc && err)
		*err = why;
	return rc ? rc : decode(&bytes, out, err);
}

static enum tk_rc
write_list(int dirfd, const struct tk_damaged *damaged, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = tk_buf_put(&bytes, MAGIC, MAGIC_BYTES, err);

	for (size_t i = 0; i < damaged->count && !rc; i++) {
		const uint8_t settled = damaged->rows[i].settled;

		rc = tk_buf_put(&bytes, &settled, sizeof(settled), err);
		if (!rc)
			rc = tk_buf_put(&bytes, damaged->rows[i].name.b, sizeof(damaged->rows[i].name.b), err);
	}
	if (!rc)
		rc = tk_hash(TK_SUITE_AES, bytes.data, bytes.len_bytes, digest, err);
	if (!rc)
		rc = tk_buf_put(&bytes, digest, sizeof(digest), err);
	return rc ? rc : tk_publish_file(dirfd, FILE_NAME, bytes.data, bytes.len_bytes, 0600, err);
}

enum tk_rc
tk_damaged_read(const char *state_dir, const struct tk_id *domain, struct tk_damaged *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	enum tk_rc rc = tk_domain_dir_open(state_dir, domain, "", &dirfd, err);

	return rc ? rc : read_list(dirfd, out, err);
}

enum tk_rc
tk_damaged_add(const char *state_dir, const struct tk_id *domain, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_damaged_release) struct tk_damaged list = {0};
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	struct tk_damaged_pack *grown;
	enum tk_rc rc;

	if ((rc = tk_domain_dir_open(state_dir, domain, "", &dirfd, err)) || (rc = read_list(dirfd, &list, err)))
		return rc;
	if (tk_damaged_has(&list, name) || list.count == ROWS_MAX)
		return TK_OK;
	grown = realloc(list.rows, (list.count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of damaged packs");
	list.rows = grown;
	list.rows[list.count++] = (struct tk_damaged_pack){*name, false};
	return write_list(dirfd, &list, err);
}

enum tk_rc
tk_damaged_settle(const char *state_dir, const struct tk_id *domain, const struct tk_damaged *read, struct tk_err *err)
{
	TK_AUTO(tk_damaged_release) struct tk_damaged list = {0};
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	enum tk_rc rc;

	if ((rc = tk_domain_dir_open(state_dir, domain, "", &dirfd, err)) || (rc = read_list(dirfd, &list, err)))
		return rc;
	for (size_t i = 0; i < list.count; i++)
		list.rows[i].settled = list.rows[i].settled || tk_damaged_has(read, &list.rows[i].name);
	return write_list(dirfd, &list, err);
}
