#include "engine/catalog/current.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"

#define MAGIC "TWKCURR1"
#define MAGIC_BYTES 8
#define VERSION 1
#define LEVEL_MAX 64
#define BUNDLE_ROW_BYTES_MIN 33
#define NODE_ROW_BYTES_MIN 34

/* Pack numbers of the job <-> places in the file's table. */
struct table {
	uint32_t *places;             /* writing: by number, place + 1 or 0; reading: by place, the number */
	size_t count;                 /* of places in use */
	size_t cap;
};

static void
table_release(struct table *table)
{
	free(table->places);
	table->places = NULL;
}

void
tk_current_release(struct tk_current *current)
{
	free(current->bundles);
	free(current->nodes);
	memset(current, 0, sizeof(*current));
}

/* Room for one more row; returns the array, moved perhaps, or NULL. */
static void *
grow(void *rows, size_t count, size_t *cap, size_t row_bytes, struct tk_err *err)
{
	size_t bigger = *cap ? *cap * 2 : 32;
	void *grown;

	if (count < *cap)
		return rows;
	grown = reallocarray(rows, bigger, row_bytes);
	if (!grown)
		(void)tk_err_set(err, TK_ENOMEM, "no memory for the catalog's pointer");
	else
		*cap = bigger;
	return grown;
}

enum tk_rc
tk_current_add_bundle(struct tk_current *current, const struct tk_current_bundle *bundle, struct tk_err *err)
{
	struct tk_current_bundle *rows = grow(current->bundles, current->bundle_count, &current->bundle_cap, sizeof(*rows), err);

	if (!rows)
		return TK_ENOMEM;
	current->bundles = rows;
	rows[current->bundle_count++] = *bundle;
	return TK_OK;
}

enum tk_rc
tk_current_add_node(struct tk_current *current, const struct tk_current_node *node, struct tk_err *err)
{
	struct tk_current_node *rows = grow(current->nodes, current->node_count, &current->node_cap, sizeof(*rows), err);

	if (!rows)
		return TK_ENOMEM;
	current->nodes = rows;
	rows[current->node_count++] = *node;
	return TK_OK;
}

static int
by_key(const void *left, const void *right)
{
	const struct tk_current_node *a = left;
	const struct tk_current_node *b = right;

	return memcmp(&a->key, &b->key, sizeof(a->key));
}

void
tk_current_sort_nodes(struct tk_current *current)
{
	size_t kept = 0;

	if (current->node_count == 0)
		return;
	qsort(current->nodes, current->node_count, sizeof(*current->nodes), by_key);
	for (size_t i = 1; i < current->node_count; i++)
		if (by_key(&current->nodes[kept], &current->nodes[i]) != 0)
			current->nodes[++kept] = current->nodes[i];
	current->node_count = kept + 1;
}

const struct tk_current_node *
tk_current_find_node(const struct tk_current *current, const struct tk_digest *key)
{
	struct tk_current_node wanted = {.key = *key};

	if (current->node_count == 0)
		return NULL;
	return bsearch(&wanted, current->nodes, current->node_count, sizeof(wanted), by_key);
}

/* ---- writing ---- */

/* Gives the pack a place and its name to the buffer, on first sight. */
static enum tk_rc
place_pack(struct table *table, uint32_t number, struct tk_packtab *packs, struct tk_buf *names, struct tk_err *err)
{
	struct tk_pack_name name;

	if (number == TK_PACK_NONE)
		return TK_OK;
	if (number >= table->cap)
		return tk_err_set(err, TK_EINVAL, "a pack without a name");
	if (table->places[number])
		return TK_OK;
	table->places[number] = (uint32_t)++table->count;
	name = tk_packtab_name(packs, number);
	return tk_buf_put(names, name.b, sizeof(name.b), err);
}

static enum tk_rc
put_table(const struct tk_current *current, struct tk_packtab *packs, struct table *table, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf names;
	enum tk_rc rc;

	tk_buf_init(&names, 0);
	table->cap = tk_packtab_count(packs);
	table->places = calloc(table->cap + 1, sizeof(*table->places));
	if (!table->places)
		return tk_err_set(err, TK_ENOMEM, "no memory for a table of packs");
	rc = place_pack(table, current->at.root.pack, packs, &names, err);
	for (size_t i = 0; i < current->node_count && !rc; i++)
		rc = place_pack(table, current->nodes[i].ref.pack, packs, &names, err);
	if (rc || (rc = tk_buf_put_uv(out, table->count, err)))
		return rc;
	return names.len_bytes ? tk_buf_put(out, names.data, names.len_bytes, err) : TK_OK;
}

static enum tk_rc
put_ref(const struct table *table, struct tk_blob_ref ref, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(out, ref.pack == TK_PACK_NONE ? 0 : table->places[ref.pack], err);

	return rc ? rc : tk_buf_put_uv(out, ref.blob, err);
}

static enum tk_rc
put_rows(const struct tk_current *current, const struct table *table, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(out, current->bundle_count, err);

	for (size_t i = 0; i < current->bundle_count && !rc; i++) {
		const struct tk_current_bundle *bundle = &current->bundles[i];

		if (!(rc = tk_buf_put(out, bundle->digest.b, sizeof(bundle->digest.b), err)))
			rc = tk_buf_put_uv(out, bundle->entries, err);
	}
	if (rc || (rc = tk_buf_put_uv(out, current->node_count, err)))
		return rc;
	for (size_t i = 0; i < current->node_count && !rc; i++) {
		const struct tk_current_node *node = &current->nodes[i];

		if (!(rc = tk_buf_put(out, node->key.b, sizeof(node->key.b), err)))
			rc = put_ref(table, node->ref, out, err);
	}
	return rc;
}

enum tk_rc
tk_current_encode(const struct tk_current *current, enum tk_suite suite, const struct tk_id *domain, struct tk_packtab *packs,
		  struct tk_buf *out, struct tk_err *err)
{
	const struct tk_catalog_current *at = &current->at;
	TK_AUTO(table_release) struct table table = {0};
	enum tk_rc rc;

	if ((rc = tk_buf_put(out, MAGIC, MAGIC_BYTES, err)) || (rc = tk_buf_put_u8(out, VERSION, err)) ||
	    (rc = tk_buf_put_u8(out, (uint8_t)suite, err)) || (rc = tk_buf_put(out, domain->b, sizeof(domain->b), err)) ||
	    (rc = tk_buf_put_u64(out, at->at.epoch, err)) || (rc = tk_buf_put_u64(out, at->at.sequence, err)) ||
	    (rc = tk_buf_put(out, at->at.point.b, sizeof(at->at.point.b), err)) || (rc = tk_buf_put(out, at->tree.b, sizeof(at->tree.b), err)) ||
	    (rc = tk_buf_put_sv(out, at->scan_start_ns, err)) || (rc = tk_buf_put_uv(out, at->entries, err)) ||
	    (rc = tk_buf_put_uv(out, at->files, err)) || (rc = tk_buf_put_uv(out, at->total_bytes, err)) ||
	    (rc = put_table(current, packs, &table, out, err)) || (rc = put_ref(&table, at->root, out, err)) ||
	    (rc = tk_buf_put_uv(out, at->root_level, err)))
		return rc;
	return put_rows(current, &table, out, err);
}

/* ---- reading ---- */

static enum tk_rc
read_table(struct tk_cursor *cur, struct tk_packtab *packs, struct table *table, struct tk_err *err)
{
	struct tk_pack_name name;
	enum tk_rc rc;

	table->count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / TK_DIGEST_BYTES);
	table->places = calloc(table->count + 1, sizeof(*table->places));
	if (!table->places)
		return tk_err_set(err, TK_ENOMEM, "no memory for a table of packs");
	for (size_t i = 0; i < table->count; i++) {
		tk_cursor_copy(cur, name.b, sizeof(name.b));
		if ((rc = tk_cursor_check(cur, "the catalog's pointer", err)) || (rc = tk_packtab_intern(packs, &name, &table->places[i], err)))
			return rc;
	}
	return TK_OK;
}

static struct tk_blob_ref
read_ref(struct tk_cursor *cur, const struct table *table)
{
	uint64_t place = tk_cursor_uv_max(cur, table->count);
	uint32_t blob = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);

	return (struct tk_blob_ref){place ? table->places[place - 1] : TK_PACK_NONE, blob};
}

static void
read_point(struct tk_cursor *cur, enum tk_suite suite, const struct tk_id *domain, struct tk_catalog_current *at)
{
	const uint8_t *magic = tk_cursor_take(cur, MAGIC_BYTES);
	struct tk_id whose;

	if (!magic || memcmp(magic, MAGIC, MAGIC_BYTES) != 0 || tk_cursor_u8(cur) != VERSION)
		tk_cursor_fail(cur, "not of this version");
	if (tk_cursor_u8(cur) != (uint8_t)suite)
		tk_cursor_fail(cur, "of another suite");
	tk_cursor_copy(cur, whose.b, sizeof(whose.b));
	if (memcmp(&whose, domain, sizeof(whose)) != 0)
		tk_cursor_fail(cur, "of another domain");
	at->at.epoch = tk_cursor_u64(cur);
	at->at.sequence = tk_cursor_u64(cur);
	tk_cursor_copy(cur, at->at.point.b, sizeof(at->at.point.b));
	tk_cursor_copy(cur, at->tree.b, sizeof(at->tree.b));
	at->scan_start_ns = tk_cursor_sv(cur);
	at->entries = tk_cursor_uv(cur);
	at->files = tk_cursor_uv(cur);
	at->total_bytes = tk_cursor_uv(cur);
}

static enum tk_rc
read_rows(struct tk_cursor *cur, const struct table *table, struct tk_current *out, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / BUNDLE_ROW_BYTES_MIN);
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && tk_cursor_ok(cur) && !rc; i++) {
		struct tk_current_bundle bundle;

		tk_cursor_copy(cur, bundle.digest.b, sizeof(bundle.digest.b));
		bundle.entries = tk_cursor_uv(cur);
		rc = tk_current_add_bundle(out, &bundle, err);
	}
	count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / NODE_ROW_BYTES_MIN);
	for (size_t i = 0; i < count && tk_cursor_ok(cur) && !rc; i++) {
		struct tk_current_node node;

		tk_cursor_copy(cur, node.key.b, sizeof(node.key.b));
		node.ref = read_ref(cur, table);
		if (i > 0 && by_key(&out->nodes[i - 1], &node) >= 0)
			tk_cursor_fail(cur, "the nodes do not ascend");
		rc = tk_current_add_node(out, &node, err);
	}
	return rc;
}

enum tk_rc
tk_current_decode(const void *bytes, size_t len_bytes, enum tk_suite suite, const struct tk_id *domain, struct tk_packtab *packs,
		  struct tk_current *out, struct tk_err *err)
{
	TK_AUTO(table_release) struct table table = {0};
	struct tk_cursor cur;
	enum tk_rc rc;

	tk_cursor_init(&cur, bytes, len_bytes);
	read_point(&cur, suite, domain, &out->at);
	rc = read_table(&cur, packs, &table, err);
	if (!rc) {
		out->at.root = read_ref(&cur, &table);
		out->at.root_level = (unsigned)tk_cursor_uv_max(&cur, LEVEL_MAX);
		rc = read_rows(&cur, &table, out, err);
	}
	if (!rc)
		rc = tk_cursor_end(&cur, "the catalog's pointer", err);
	if (rc)
		tk_current_release(out);
	return rc;
}
