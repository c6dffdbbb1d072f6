#include "engine/catalog/bundle.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "TWKBNDL1"
#define MAGIC_BYTES 8
#define VERSION 2
#define NS_PER_S 1000000000u
#define VARINT_BYTES_MAX 10
#define SIDECAR_BYTES_MIN 5
#define SIDECAR_BYTES_MAX (5 * VARINT_BYTES_MAX)

void
tk_bundle_out_init(struct tk_bundle_out *out)
{
	memset(out, 0, sizeof(*out));
	tk_buf_init(&out->head, TK_BUNDLE_BYTES_MAX / 2);
	tk_buf_init(&out->leaves, TK_BUNDLE_BYTES_MAX / 2);
}

void
tk_bundle_out_release(struct tk_bundle_out *out)
{
	tk_buf_release(&out->head);
	tk_buf_release(&out->leaves);
	free(out->packs);
	out->packs = NULL;
}

void
tk_bundle_out_clear(struct tk_bundle_out *out)
{
	tk_buf_clear(&out->head);
	tk_buf_clear(&out->leaves);
	out->pack_count = 0;
	out->leaf_count = out->entries = 0;
}

struct tk_bundle_mark
tk_bundle_out_mark(const struct tk_bundle_out *out)
{
	return (struct tk_bundle_mark){out->leaves.len_bytes, out->pack_count, out->leaf_count, out->entries};
}

void
tk_bundle_out_return(struct tk_bundle_out *out, const struct tk_bundle_mark *mark)
{
	tk_buf_clear(&out->head);
	out->leaves.len_bytes = mark->leaves_bytes;
	out->pack_count = mark->pack_count;
	out->leaf_count = mark->leaf_count;
	out->entries = mark->entries;
}

/* The index of a pack in the bundle's table. Leaves that follow one another mostly lie in one pack: searched from the end. */
static enum tk_rc
pack_index(struct tk_bundle_out *out, uint32_t number, uint64_t *index, struct tk_err *err)
{
	for (size_t i = out->pack_count; i-- > 0;) {
		if (out->packs[i] == number) {
			*index = i;
			return TK_OK;
		}
	}
	if (out->pack_count == out->pack_cap) {
		size_t cap = out->pack_cap ? out->pack_cap * 2 : 16;
		uint32_t *grown = realloc(out->packs, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a bundle");
		out->packs = grown;
		out->pack_cap = cap;
	}
	*index = out->pack_count;
	out->packs[out->pack_count++] = number;
	return TK_OK;
}

/* A scan passes every sidecar through here: into memory that was reserved for the whole page. */
static uint8_t *
store_uv(uint8_t *dst, uint64_t value)
{
	while (value >= 0x80) {
		*dst++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*dst++ = (uint8_t)value;
	return dst;
}

/* The difference of two numbers modulo 2^64, in zigzag form: small for neighbours on both sides. */
static uint8_t *
store_step(uint8_t *dst, uint64_t from, uint64_t to)
{
	uint64_t step = to - from;

	return store_uv(dst, step << 1 ^ (step >> 63 ? UINT64_MAX : 0));
}

static enum tk_rc
put_sidecars(struct tk_buf *buf, const struct tk_sidecar *rows, size_t count, struct tk_err *err)
{
	struct tk_sidecar before = {0};
	uint8_t *dst;
	enum tk_rc rc = tk_buf_reserve(buf, count * SIDECAR_BYTES_MAX, err);

	if (rc || count == 0)
		return rc;
	dst = buf->data + buf->len_bytes;
	for (size_t i = 0; i < count; i++) {
		dst = store_step(dst, before.dev, rows[i].dev);
		dst = store_step(dst, before.ino, rows[i].ino);
		dst = store_step(dst, (uint64_t)before.ctime_s, (uint64_t)rows[i].ctime_s);
		dst = store_uv(dst, (uint64_t)rows[i].ctime_ns << 1 | rows[i].racy);
		dst = store_uv(dst, rows[i].nlink);
		before = rows[i];
	}
	buf->len_bytes = (size_t)(dst - buf->data);
	return TK_OK;
}

enum tk_rc
tk_bundle_out_add(struct tk_bundle_out *out, const struct tk_page_info *info, const void *plain, size_t plain_bytes,
		  const struct tk_sidecar *sidecars, size_t count, struct tk_err *err)
{
	struct tk_buf *buf = &out->leaves;
	uint64_t index = 0;
	enum tk_rc rc;

	if (count != info->entries || plain_bytes > TK_BLOB_META_MAX || info->first_path_bytes > TK_PATH_BYTES_MAX)
		return tk_err_set(err, TK_EINVAL, "a page with %zu sidecars for %llu entries, %zu bytes", count, (unsigned long long)info->entries,
				  plain_bytes);
	for (size_t i = 0; i < count; i++)
		if (sidecars[i].ctime_ns >= NS_PER_S)
			return tk_err_set(err, TK_EINVAL, "a ctime with %u ns", sidecars[i].ctime_ns);
	if ((rc = pack_index(out, info->ref.pack, &index, err)) || (rc = tk_buf_put_bytes(buf, info->first_path, info->first_path_bytes, err)) ||
	    (rc = tk_buf_put_uv(buf, index, err)) || (rc = tk_buf_put_uv(buf, info->ref.blob, err)) ||
	    (rc = tk_buf_put(buf, info->portable.b, sizeof(info->portable.b), err)) || (rc = tk_buf_put_uv(buf, count, err)) ||
	    (rc = tk_buf_put_uv(buf, info->content_bytes, err)) || (rc = tk_buf_put_bytes(buf, plain, plain_bytes, err)) ||
	    (rc = put_sidecars(buf, sidecars, count, err)))
		return rc;
	out->leaf_count++;
	out->entries += count;
	return TK_OK;
}

enum tk_rc
tk_bundle_out_head(struct tk_bundle_out *out, struct tk_packtab *packs, struct tk_err *err)
{
	struct tk_buf *buf = &out->head;
	enum tk_rc rc;

	tk_buf_clear(buf);
	if ((rc = tk_buf_put(buf, MAGIC, MAGIC_BYTES, err)) || (rc = tk_buf_put_u8(buf, VERSION, err)) ||
	    (rc = tk_buf_put_uv(buf, out->pack_count, err)))
		return rc;
	for (size_t i = 0; i < out->pack_count; i++) {
		struct tk_pack_name name = tk_packtab_name(packs, out->packs[i]);

		if ((rc = tk_buf_put(buf, name.b, sizeof(name.b), err)))
			return rc;
	}
	return tk_buf_put_uv(buf, out->leaf_count, err);
}

enum tk_rc
tk_bundle_in_begin(struct tk_bundle_in *in, const void *bytes, size_t len_bytes, struct tk_packtab *packs, struct tk_err *err)
{
	const uint8_t *magic;
	enum tk_rc rc = TK_OK;

	free(in->packs);
	in->packs = NULL;
	in->entries_read = 0;
	tk_cursor_init(&in->cur, bytes, len_bytes);
	magic = tk_cursor_take(&in->cur, MAGIC_BYTES);
	if (!magic || memcmp(magic, MAGIC, MAGIC_BYTES) != 0 || tk_cursor_u8(&in->cur) != VERSION)
		tk_cursor_fail(&in->cur, "not of this version");
	in->pack_count = (size_t)tk_cursor_uv_max(&in->cur, tk_cursor_left(&in->cur) / TK_DIGEST_BYTES);
	in->packs = calloc(in->pack_count + 1, sizeof(*in->packs));
	if (!in->packs)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a bundle");
	for (size_t i = 0; i < in->pack_count && !rc; i++) {
		struct tk_pack_name name;

		tk_cursor_copy(&in->cur, name.b, sizeof(name.b));
		if ((rc = tk_cursor_check(&in->cur, "bundle", err)) || (rc = tk_packtab_intern(packs, &name, &in->packs[i], err)))
			return rc;
	}
	in->leaves_left = tk_cursor_uv(&in->cur);
	return tk_cursor_check(&in->cur, "bundle", err);
}

static enum tk_rc
read_sidecars(struct tk_bundle_in *in, size_t count, struct tk_err *err)
{
	struct tk_cursor *cur = &in->cur;
	struct tk_sidecar row = {0};
	uint64_t ns;

	if (count > tk_cursor_left(cur) / SIDECAR_BYTES_MIN)
		tk_cursor_fail(cur, "more entries than fit");
	if (!tk_cursor_ok(cur))
		return TK_OK;
	if (count > in->row_cap) {
		struct tk_sidecar *grown = realloc(in->rows, count * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
		in->rows = grown;
		in->row_cap = count;
	}
	for (size_t i = 0; i < count; i++) {
		row.dev += (uint64_t)tk_cursor_sv(cur);
		row.ino += (uint64_t)tk_cursor_sv(cur);
		row.ctime_s = (int64_t)((uint64_t)row.ctime_s + (uint64_t)tk_cursor_sv(cur));
		ns = tk_cursor_uv_max(cur, 2ull * NS_PER_S - 1);
		row.ctime_ns = (uint32_t)(ns >> 1);
		row.racy = ns & 1;
		row.nlink = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
		in->rows[i] = row;
	}
	return TK_OK;
}

/* All but the number of the pack: *index is that of the bundle's table. */
static enum tk_rc
read_leaf(struct tk_bundle_in *in, uint64_t *index, struct tk_err *err)
{
	struct tk_page_info *info = &in->leaf.info;
	struct tk_cursor *cur = &in->cur;
	const uint8_t *path = tk_cursor_bytes(cur, TK_PATH_BYTES_MAX, &info->first_path_bytes);
	enum tk_rc rc;

	*index = tk_cursor_uv(cur);
	info->ref.blob = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
	tk_cursor_copy(cur, info->portable.b, sizeof(info->portable.b));
	info->entries = tk_cursor_uv_max(cur, tk_cursor_left(cur));
	info->content_bytes = tk_cursor_uv(cur);
	in->leaf.plain = tk_cursor_bytes(cur, TK_BLOB_META_MAX, &in->leaf.plain_bytes);
	if ((rc = read_sidecars(in, (size_t)info->entries, err)) || (rc = tk_cursor_check(cur, "bundle", err)))
		return rc;
	in->leaf.sidecars = in->rows;
	in->entries_read += info->entries;
	tk_buf_clear(&in->path);
	if ((rc = tk_buf_put(&in->path, path, info->first_path_bytes, err)) || (rc = tk_buf_put_u8(&in->path, 0, err)))
		return rc;
	info->first_path = (char *)in->path.data;
	return TK_OK;
}

enum tk_rc
tk_bundle_in_next(struct tk_bundle_in *in, const struct tk_catalog_leaf **leaf, struct tk_err *err)
{
	uint64_t index;
	enum tk_rc rc;

	*leaf = NULL;
	if (in->leaves_left == 0)
		return tk_cursor_end(&in->cur, "bundle", err);
	in->leaf_at_bytes = in->cur.pos_bytes;
	if ((rc = read_leaf(in, &index, err)))
		return rc;
	if (index >= in->pack_count)
		return tk_err_set(err, TK_ECORRUPT, "a leaf names no pack of its bundle's table");
	in->leaf.info.ref.pack = in->packs[index];
	in->leaves_left--;
	*leaf = &in->leaf;
	return TK_OK;
}

enum tk_rc
tk_bundle_in_record(struct tk_bundle_in *in, const void *bytes, size_t len_bytes, uint32_t pack, const struct tk_catalog_leaf **leaf,
		    struct tk_err *err)
{
	uint64_t index;
	enum tk_rc rc;

	tk_cursor_init(&in->cur, bytes, len_bytes);
	if ((rc = read_leaf(in, &index, err)) || (rc = tk_cursor_end(&in->cur, "bundle", err)))
		return rc;
	in->leaf.info.ref.pack = pack;
	*leaf = &in->leaf;
	return TK_OK;
}

void
tk_bundle_in_release(struct tk_bundle_in *in)
{
	free(in->packs);
	free(in->rows);
	tk_buf_release(&in->path);
	memset(in, 0, sizeof(*in));
}
