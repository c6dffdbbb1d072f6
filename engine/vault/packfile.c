#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/crypto/hash.h"
#include "engine/vault/packcore.h"

struct tk_pack_file {
	int fd;                        /* borrowed */
	enum tk_suite suite;
	struct tk_packtab *packs;      /* borrowed */
	uint32_t own_number;
	struct tk_pack_name name;
	struct tk_digest header_digest;
	uint64_t pos_bytes;            /* where the next blob goes */
	uint32_t blob_count;
	bool has_contents;
	struct tk_buf rows;            /* the footer's rows so far */
	struct tk_buf names;           /* the footer's pack table so far */
	uint32_t name_count;
	uint32_t *index_of;            /* by number of `packs`: index in this pack's table + 1, or 0 */
	size_t index_cap;
	struct tk_footer_ref *refs;    /* of the blob being appended */
	size_t ref_cap;
};

static enum tk_rc
write_at(int fd, uint64_t offset, const void *data, size_t len_bytes, struct tk_err *err)
{
	const uint8_t *at = data;

	while (len_bytes) {
		ssize_t n = pwrite(fd, at, len_bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return tk_err_errno(err, TK_EIO, "writing a pack");
		at += n;
		offset += (uint64_t)n;
		len_bytes -= (size_t)n;
	}
	return TK_OK;
}

enum tk_rc
tk_pack_file_begin(int fd, const struct tk_pack_head *head, struct tk_packtab *packs, struct tk_pack_file **out, struct tk_err *err)
{
	TK_AUTO(tk_pack_file_cleanup) struct tk_pack_file *file = calloc(1, sizeof(*file));
	enum tk_rc rc;

	if (!file)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack");
	file->fd = fd;
	file->suite = head->suite;
	file->packs = packs;
	file->name = head->name;
	rc = tk_packtab_intern(packs, &head->name, &file->own_number, err);
	if (rc == TK_OK)
		rc = tk_hash(head->suite, head->header, sizeof(head->header), file->header_digest.b, err);
	if (rc == TK_OK)
		rc = write_at(fd, 0, head->header, sizeof(head->header), err);
	if (rc)
		return rc;
	file->pos_bytes = TK_PACK_HEADER_BYTES;
	*out = file;
	file = NULL;
	return TK_OK;
}

/* The index of a pack in this pack's table, given on first sight. */
static enum tk_rc
local_index(struct tk_pack_file *file, uint32_t number, uint32_t *index, struct tk_err *err)
{
	struct tk_pack_name name;
	enum tk_rc rc;

	if (number == file->own_number) {
		*index = 0;
		return TK_OK;
	}
	if (number >= file->index_cap) {
		size_t cap = tk_packtab_count(file->packs);
		uint32_t *grown;

		if (number >= cap)
			return tk_err_set(err, TK_EINVAL, "a reference to pack number %u, which has no name", (unsigned)number);
		grown = realloc(file->index_of, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the table of a pack");
		memset(grown + file->index_cap, 0, (cap - file->index_cap) * sizeof(*grown));
		file->index_of = grown;
		file->index_cap = cap;
	}
	if (file->index_of[number] == 0) {
		name = tk_packtab_name(file->packs, number);
		rc = tk_buf_put(&file->names, name.b, sizeof(name.b), err);
		if (rc)
			return rc;
		file->index_of[number] = ++file->name_count;
	}
	*index = file->index_of[number];
	return TK_OK;
}

static int
compare_refs(const void *a, const void *b)
{
	const struct tk_footer_ref *x = a, *y = b;

	if (x->pack_index != y->pack_index)
		return x->pack_index < y->pack_index ? -1 : 1;
	return x->blob < y->blob ? -1 : x->blob > y->blob;
}

/* Leaves the references sorted and unique in file->refs. */
static enum tk_rc
gather_refs(struct tk_pack_file *file, uint32_t blob, const struct tk_blob_ref *refs, size_t *count, struct tk_err *err)
{
	size_t kept = 0;
	enum tk_rc rc;

	if (*count > file->ref_cap) {
		struct tk_footer_ref *grown = realloc(file->refs, *count * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu references", *count);
		file->refs = grown;
		file->ref_cap = *count;
	}
	for (size_t i = 0; i < *count; i++) {
		rc = local_index(file, refs[i].pack, &file->refs[i].pack_index, err);
		if (rc)
			return rc;
		file->refs[i].blob = refs[i].blob;
		if (refs[i].blob >= (file->refs[i].pack_index ? TK_PACK_BLOBS_MAX : blob))
			return tk_err_set(err, TK_EINVAL, "blob %u refers to blob %u, which cannot be before it", (unsigned)blob,
			    (unsigned)refs[i].blob);
	}
	if (*count > 1)
		qsort(file->refs, *count, sizeof(*file->refs), compare_refs);
	for (size_t i = 0; i < *count; i++)
		if (kept == 0 || compare_refs(&file->refs[kept - 1], &file->refs[i]) != 0)
			file->refs[kept++] = file->refs[i];
	*count = kept;
	return TK_OK;
}

static enum tk_rc
put_row(struct tk_pack_file *file, const struct tk_blob_info *info, size_t ref_count, struct tk_err *err)
{
	struct tk_buf *rows = &file->rows;
	enum tk_rc rc;

	rc = tk_buf_put_u8(rows, (uint8_t)info->type, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(rows, (uint8_t)info->codec, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u32(rows, info->plain_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u32(rows, info->sealed_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put(rows, info->digest.b, sizeof(info->digest.b), err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(rows, ref_count, err);
	for (size_t i = 0; rc == TK_OK && i < ref_count; i++) {
		rc = tk_buf_put_uv(rows, file->refs[i].pack_index, err);
		if (rc == TK_OK)
			rc = tk_buf_put_uv(rows, file->refs[i].blob, err);
	}
	return rc;
}

static uint64_t
footer_bytes(const struct tk_pack_file *file)
{
	return 4 + 4 + file->names.len_bytes + file->rows.len_bytes + TK_DIGEST_BYTES;
}

static enum tk_rc
check_append(const struct tk_pack_file *file, uint32_t blob, const struct tk_blob_info *info, size_t ref_count, struct tk_err *err)
{
	if (blob != file->blob_count)
		return tk_err_set(err, TK_EINVAL, "blob %u comes when %u is the next one", (unsigned)blob, (unsigned)file->blob_count);
	if (blob >= TK_PACK_BLOBS_MAX)
		return tk_err_set(err, TK_EINVAL, "more than %u blobs in a pack", TK_PACK_BLOBS_MAX);
	if (file->has_contents)
		return tk_err_set(err, TK_EINVAL, "a blob after the contents blob of a pack");
	if (ref_count && !tk_blob_has_refs((unsigned)info->type))
		return tk_err_set(err, TK_EINVAL, "a blob of type %d has no references", (int)info->type);
	return TK_OK;
}

enum tk_rc
tk_pack_file_append(struct tk_pack_file *file, uint32_t blob, const struct tk_blob_info *info, const void *sealed,
    const struct tk_blob_ref *refs, size_t ref_count, struct tk_err *err)
{
	size_t rows_before = file->rows.len_bytes;
	enum tk_rc rc;

	rc = check_append(file, blob, info, ref_count, err);
	if (rc == TK_OK)
		rc = gather_refs(file, blob, refs, &ref_count, err);
	if (rc == TK_OK)
		rc = put_row(file, info, ref_count, err);
	if (rc == TK_OK && file->pos_bytes + info->sealed_bytes + footer_bytes(file) + TK_PACK_TRAILER_BYTES > TK_PACK_BYTES_MAX)
		rc = tk_err_set(err, TK_EINVAL, "a pack would grow over %llu bytes", TK_PACK_BYTES_MAX);
	if (rc == TK_OK)
		rc = write_at(file->fd, file->pos_bytes, sealed, info->sealed_bytes, err);
	if (rc) {
		file->rows.len_bytes = rows_before;
		return rc;
	}
	file->has_contents = info->type == TK_BLOB_CONTENTS;
	file->pos_bytes += info->sealed_bytes;
	file->blob_count++;
	return TK_OK;
}

uint64_t
tk_pack_file_bytes(const struct tk_pack_file *file)
{
	return file->pos_bytes;
}

static enum tk_rc
encode_footer(const struct tk_pack_file *file, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	rc = tk_buf_put_u32(out, file->blob_count, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u32(out, file->name_count, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, file->names.data, file->names.len_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, file->rows.data, file->rows.len_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, file->header_digest.b, sizeof(file->header_digest.b), err);
	return rc;
}

static enum tk_rc
encode_trailer(const struct tk_pack_file *file, uint32_t footer_len, const struct tk_digest *digest, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	rc = tk_buf_put_u64(out, file->pos_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u32(out, footer_len, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u32(out, 0, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, digest->b, sizeof(digest->b), err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, "TWKPEND1", 8, err);
	return rc;
}

enum tk_rc
tk_pack_file_finish(struct tk_pack_file *file, struct tk_pack_ident *ident, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf end = {0};
	struct tk_digest digest;
	enum tk_rc rc;

	rc = encode_footer(file, &end, err);
	if (rc == TK_OK)
		rc = tk_hash(file->suite, end.data, end.len_bytes, digest.b, err);
	if (rc == TK_OK)
		rc = encode_trailer(file, (uint32_t)end.len_bytes, &digest, &end, err);
	if (rc == TK_OK)
		rc = write_at(file->fd, file->pos_bytes, end.data, end.len_bytes, err);
	if (rc)
		return rc;
	ident->name = file->name;
	ident->footer = digest;
	ident->len_bytes = file->pos_bytes + end.len_bytes;
	return TK_OK;
}

void
tk_pack_file_cleanup(struct tk_pack_file **file)
{
	if (!*file)
		return;
	tk_buf_release(&(*file)->rows);
	tk_buf_release(&(*file)->names);
	free((*file)->index_of);
	free((*file)->refs);
	free(*file);
	*file = NULL;
}
