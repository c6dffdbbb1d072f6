/* Node pages (docs/FORMAT.md, section 3). */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

void
tk_page_info_release(struct tk_page_info *info)
{
	free(info->first_path);
	info->first_path = NULL;
	info->first_path_bytes = 0;
}

void
tk_page_infos_free(struct tk_page_info *infos, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tk_page_info_release(&infos[i]);
	free(infos);
}

static enum tk_rc
encode_children(struct tk_pack_locals *locals, const struct tk_page_info *children, size_t count, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(out, count, err);

	for (size_t i = 0; i < count && rc == TK_OK; i++) {
		const struct tk_page_info *child = &children[i];

		rc = tk_buf_put_bytes(out, child->first_path, child->first_path_bytes, err);
		if (rc == TK_OK)
			rc = tk_pack_locals_put_ref(locals, child->ref, out, err);
		if (rc == TK_OK)
			rc = tk_buf_put(out, child->portable.b, sizeof(child->portable.b), err);
		if (rc == TK_OK)
			rc = tk_buf_put_uv(out, child->entries, err);
		if (rc == TK_OK)
			rc = tk_buf_put_uv(out, child->content_bytes, err);
	}
	return rc;
}

enum tk_rc
tk_node_encode(struct tk_pack_locals *locals, struct tk_packtab *packs, unsigned level, const struct tk_page_info *children, size_t count,
	       struct tk_buf *scratch, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(scratch);
	tk_buf_clear(out);
	rc = encode_children(locals, children, count, scratch, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(out, TK_PAGE_VERSION, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(out, (uint8_t)level, err);
	if (rc == TK_OK)
		rc = tk_pack_locals_put_table(locals, packs, out, err);
	return rc != TK_OK ? rc : tk_buf_put(out, scratch->data, scratch->len_bytes, err);
}

static enum tk_rc
read_child(struct tk_cursor *cur, const struct tk_pack_table *table, unsigned level, const struct tk_page_info *before,
	   struct tk_page_info *out, struct tk_err *err)
{
	const char *path = (const char *)tk_cursor_bytes(cur, TK_PATH_BYTES_MAX, &out->first_path_bytes);
	const char *fault;

	if (!path)
		return TK_OK;
	if ((fault = tk_path_fault(path, out->first_path_bytes, 0)) != NULL)
		tk_cursor_fail(cur, fault);
	if (before && tk_path_compare(before->first_path, before->first_path_bytes, path, out->first_path_bytes) >= 0)
		tk_cursor_fail(cur, "the first paths do not ascend");
	if (!(out->first_path = malloc(out->first_path_bytes + 1)))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	memcpy(out->first_path, path, out->first_path_bytes);
	out->first_path[out->first_path_bytes] = '\0';
	out->level = level - 1;
	out->ref = tk_pack_table_ref(table, cur);
	tk_cursor_copy(cur, out->portable.b, sizeof(out->portable.b));
	out->entries = tk_cursor_uv(cur);
	out->content_bytes = tk_cursor_uv(cur);
	return TK_OK;
}

static enum tk_rc
read_children(struct tk_cursor *cur, const struct tk_pack_table *table, unsigned level, struct tk_page_info *rows, size_t count,
	      struct tk_err *err)
{
	uint64_t entries = 0;
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++) {
		if ((rc = read_child(cur, table, level, i ? &rows[i - 1] : NULL, &rows[i], err)) != TK_OK)
			return rc;
		if (__builtin_add_overflow(entries, rows[i].entries, &entries))
			tk_cursor_fail(cur, "the entries below the node are over 64 bits");
		if ((rc = tk_cursor_check(cur, "node page", err)) != TK_OK)
			return rc;
	}
	return tk_cursor_end(cur, "node page", err);
}

enum tk_rc
tk_node_decode(const void *plain, size_t plain_bytes, uint32_t own_pack, struct tk_packtab *packs, struct tk_page_info **children,
	       size_t *count, unsigned *level, struct tk_err *err)
{
	TK_AUTO(tk_pack_table_release) struct tk_pack_table table = {0};
	struct tk_page_info *rows;
	struct tk_cursor cur;
	size_t row_count;
	enum tk_rc rc;

	tk_cursor_init(&cur, plain, plain_bytes);
	if (tk_cursor_u8(&cur) != TK_PAGE_VERSION)
		return tk_err_set(err, plain_bytes ? TK_EUNSUPPORTED : TK_ECORRUPT, "node page: unknown version");
	*level = tk_cursor_u8(&cur);
	if (*level < 1 || *level > TK_NODE_LEVEL_MAX)
		tk_cursor_fail(&cur, "the level is out of range");
	if ((rc = tk_pack_table_read(&cur, own_pack, packs, &table, err)) != TK_OK)
		return rc;
	row_count = (size_t)tk_cursor_uv_max(&cur, TK_NODE_CHILDREN_MAX);
	if (row_count == 0)
		tk_cursor_fail(&cur, "a node without children");
	if ((rc = tk_cursor_check(&cur, "node page", err)) != TK_OK)
		return rc;
	if (!(rows = calloc(row_count, sizeof(*rows))))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	if ((rc = read_children(&cur, &table, *level, rows, row_count, err)) != TK_OK) {
		tk_page_infos_free(rows, row_count);
		return rc;
	}
	*children = rows;
	*count = row_count;
	return TK_OK;
}
