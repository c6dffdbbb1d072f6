/* Pack tables: the short names that a page or map gives the packs it refers to. */
#include <stdlib.h>

#include "engine/vault/pagecore.h"

/* Pack numbers are dense, so a row per number, stamped with the blob it was set for, makes both look-up and reset one step. */
struct row {
	uint32_t stamp;
	uint32_t index;
};

struct tk_pack_locals {
	uint32_t own_pack;
	uint32_t stamp;
	struct row *rows;
	size_t row_cap;
	uint32_t *numbers;                     /* numbers[i] has index i + 1 */
	size_t count;
	size_t cap;
};

enum tk_rc
tk_pack_locals_new(uint32_t own_pack, struct tk_pack_locals **out, struct tk_err *err)
{
	struct tk_pack_locals *locals = calloc(1, sizeof(*locals));

	if (!locals)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	locals->own_pack = own_pack;
	locals->stamp = 1;
	*out = locals;
	return TK_OK;
}

void
tk_pack_locals_cleanup(struct tk_pack_locals **locals)
{
	if (!*locals)
		return;
	free((*locals)->rows);
	free((*locals)->numbers);
	free(*locals);
	*locals = NULL;
}

void
tk_pack_locals_reset(struct tk_pack_locals *locals, uint32_t own_pack)
{
	locals->own_pack = own_pack;
	locals->count = 0;
	if (++locals->stamp != 0)
		return;
	for (size_t i = 0; i < locals->row_cap; i++)
		locals->rows[i].stamp = 0;
	locals->stamp = 1;
}

uint32_t
tk_pack_locals_own(const struct tk_pack_locals *locals)
{
	return locals->own_pack;
}

static enum tk_rc
grow_rows(struct tk_pack_locals *locals, uint32_t pack, struct tk_err *err)
{
	size_t cap = (size_t)pack + (size_t)pack / 2 + 64;
	struct row *rows = reallocarray(locals->rows, cap, sizeof(*rows));

	if (!rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	for (size_t i = locals->row_cap; i < cap; i++)
		rows[i].stamp = 0;
	locals->rows = rows;
	locals->row_cap = cap;
	return TK_OK;
}

static enum tk_rc
grow_numbers(struct tk_pack_locals *locals, struct tk_err *err)
{
	size_t cap = locals->cap ? locals->cap * 2 : 16;
	uint32_t *numbers = reallocarray(locals->numbers, cap, sizeof(*numbers));

	if (!numbers)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	locals->numbers = numbers;
	locals->cap = cap;
	return TK_OK;
}

enum tk_rc
tk_pack_locals_index(struct tk_pack_locals *locals, uint32_t pack, uint32_t *index, struct tk_err *err)
{
	enum tk_rc rc;

	*index = 0;
	if (pack == locals->own_pack)
		return TK_OK;
	if (pack >= locals->row_cap && (rc = grow_rows(locals, pack, err)) != TK_OK)
		return rc;
	if (locals->rows[pack].stamp != locals->stamp) {
		if (locals->count == locals->cap && (rc = grow_numbers(locals, err)) != TK_OK)
			return rc;
		locals->numbers[locals->count++] = pack;
		locals->rows[pack] = (struct row){.stamp = locals->stamp, .index = (uint32_t)locals->count};
	}
	*index = locals->rows[pack].index;
	return TK_OK;
}

enum tk_rc
tk_pack_locals_put_table(const struct tk_pack_locals *locals, struct tk_packtab *packs, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(out, locals->count, err);

	for (size_t i = 0; i < locals->count && rc == TK_OK; i++) {
		struct tk_pack_name name = tk_packtab_name(packs, locals->numbers[i]);

		rc = tk_buf_put(out, name.b, sizeof(name.b), err);
	}
	return rc;
}

enum tk_rc
tk_pack_locals_put_ref(struct tk_pack_locals *locals, struct tk_blob_ref ref, struct tk_buf *out, struct tk_err *err)
{
	uint32_t index;
	enum tk_rc rc = tk_pack_locals_index(locals, ref.pack, &index, err);

	if (rc == TK_OK)
		rc = tk_buf_put_uv(out, index, err);
	return rc != TK_OK ? rc : tk_buf_put_uv(out, ref.blob, err);
}

enum tk_rc
tk_pack_table_read(struct tk_cursor *cur, uint32_t own_pack, struct tk_packtab *packs, struct tk_pack_table *out, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / TK_DIGEST_BYTES);
	enum tk_rc rc = TK_OK;

	*out = (struct tk_pack_table){0};
	if (!(out->numbers = calloc(count + 1, sizeof(*out->numbers))))
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	out->numbers[0] = own_pack;
	out->count = count + 1;
	for (size_t i = 0; i < count && rc == TK_OK && tk_cursor_ok(cur); i++) {
		struct tk_pack_name name;

		tk_cursor_copy(cur, name.b, sizeof(name.b));
		if (tk_cursor_ok(cur))
			rc = tk_packtab_intern(packs, &name, &out->numbers[i + 1], err);
	}
	if (rc != TK_OK)
		tk_pack_table_release(out);
	return rc;
}

void
tk_pack_table_release(struct tk_pack_table *table)
{
	free(table->numbers);
	*table = (struct tk_pack_table){0};
}

struct tk_blob_ref
tk_pack_table_ref(const struct tk_pack_table *table, struct tk_cursor *cur)
{
	uint64_t index = tk_cursor_uv_max(cur, table->count - 1);
	uint64_t blob = tk_cursor_uv_max(cur, TK_BLOB_NUMBER_MAX);

	return (struct tk_blob_ref){.pack = table->numbers[index], .blob = (uint32_t)blob};
}

enum tk_rc
tk_ref_list_add(struct tk_ref_list *list, struct tk_blob_ref ref, struct tk_err *err)
{
	if (list->count > 0 && list->refs[list->count - 1].pack == ref.pack && list->refs[list->count - 1].blob == ref.blob)
		return TK_OK;
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct tk_blob_ref *refs = reallocarray(list->refs, cap, sizeof(*refs));

		if (!refs)
			return tk_err_set(err, TK_ENOMEM, "no memory for references");
		list->refs = refs;
		list->cap = cap;
	}
	list->refs[list->count++] = ref;
	return TK_OK;
}

enum tk_rc
tk_ref_list_add_extents(struct tk_ref_list *list, const struct tk_extent *extents, size_t count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && rc == TK_OK; i++)
		if (extents[i].ref.pack != TK_PACK_NONE)
			rc = tk_ref_list_add(list, extents[i].ref, err);
	return rc;
}

void
tk_ref_list_release(struct tk_ref_list *list)
{
	free(list->refs);
	*list = (struct tk_ref_list){0};
}
