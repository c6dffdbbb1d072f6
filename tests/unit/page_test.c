/* Pages: what goes into a tree comes out of it, and the same entries give the same tree however it was made. */
#include "tests/unit/mem_vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define PACKS 5

/* A model of a dataset: paths in order, each with the seed of its entry. */
struct row {
	char path[64];
	uint64_t seed;
};

struct model {
	struct row *rows;
	size_t count;
};

static int
compare_rows(const void *a, const void *b)
{
	const char *x = ((const struct row *)a)->path, *y = ((const struct row *)b)->path;

	return tk_path_compare(x, strlen(x), y, strlen(y));
}

static void
sort_rows(struct model *model)
{
	size_t kept = 0;

	qsort(model->rows, model->count, sizeof(*model->rows), compare_rows);
	for (size_t i = 0; i < model->count; i++)
		if (kept == 0 || strcmp(model->rows[kept - 1].path, model->rows[i].path) != 0)
			model->rows[kept++] = model->rows[i];
	model->count = kept;
}

static struct row
random_row(struct mem_rand *rand)
{
	struct row row = {.seed = mem_rand_next(rand)};

	snprintf(row.path, sizeof(row.path), "d%u/e%u/f%u", (unsigned)mem_rand_below(rand, 9), (unsigned)mem_rand_below(rand, 30),
		 (unsigned)mem_rand_below(rand, 4000));
	return row;
}

static void
model_random(struct model *model, struct mem_rand *rand, size_t count)
{
	model->count = count;
	model->rows = calloc(count + 1, sizeof(*model->rows));
	for (size_t i = 0; i < count; i++)
		model->rows[i] = random_row(rand);
	sort_rows(model);
}

/* Another model: some rows changed, some removed, some new. */
static void
model_edit(struct model *to, const struct model *from, struct mem_rand *rand, size_t edits)
{
	to->rows = calloc(from->count + edits + 1, sizeof(*to->rows));
	memcpy(to->rows, from->rows, from->count * sizeof(*to->rows));
	to->count = from->count;
	for (size_t i = 0; i < edits; i++) {
		size_t at = to->count ? mem_rand_below(rand, to->count) : 0;

		switch (mem_rand_below(rand, 3)) {
		case 0:
			to->rows[to->count++] = random_row(rand);
			break;
		case 1:
			if (to->count)
				to->rows[at] = to->rows[--to->count];
			break;
		default:
			if (to->count)
				to->rows[at].seed = mem_rand_next(rand);
		}
	}
	sort_rows(to);
}

/* The leaves of a tree, and its root. */
struct built {
	struct tk_page_info root;
	struct tk_page_info *leaves;
	size_t count;
};

static void
collect_leaves(struct mem_vault *vault, const struct tk_page_info *page, struct built *out)
{
	const struct mem_blob *blob = mem_vault_find(vault, page->ref);
	struct tk_page_info *children;
	struct tk_digest digest;
	size_t count;
	unsigned level;

	assert_non_null(blob);
	if (page->level == 0) {
		struct tk_page_info *leaf;

		out->leaves = reallocarray(out->leaves, out->count + 1, sizeof(*out->leaves));
		leaf = &out->leaves[out->count++];
		*leaf = *page;
		leaf->first_path = strdup(page->first_path);
		return;
	}
	assert_int_equal(tk_node_decode(blob->data, blob->len_bytes, blob->ref.pack, vault->packs, &children, &count, &level, NULL), TK_OK);
	assert_int_equal(level, page->level);
	assert_int_equal(tk_node_portable(TK_SUITE_AES, level, children, count, &digest, NULL), TK_OK);
	assert_memory_equal(digest.b, page->portable.b, sizeof(digest.b));
	assert_string_equal(children[0].first_path, page->first_path);
	for (size_t i = 0; i < count; i++)
		collect_leaves(vault, &children[i], out);
	tk_page_infos_free(children, count);
}

static void
built_release(struct built *built)
{
	tk_page_info_release(&built->root);
	tk_page_infos_free(built->leaves, built->count);
	*built = (struct built){0};
}

static void
add_row(struct tk_tree *tree, const struct row *row)
{
	struct tk_entry entry;
	struct tk_err err;

	mem_entry_make(&entry, row->path, row->seed, PACKS);
	if (tk_tree_add(tree, &entry, &err) != TK_OK)
		fail_msg("%s: %s", row->path, err.text);
	tk_entry_release(&entry);
}

static void
finish(struct mem_vault *vault, struct tk_tree **tree, struct built *out)
{
	struct tk_err err;

	if (tk_tree_finish(*tree, &out->root, &err) != TK_OK)
		fail_msg("%s", err.text);
	tk_tree_cleanup(tree);
	collect_leaves(vault, &out->root, out);
}

static void
build(struct mem_vault *vault, const struct model *model, struct built *out)
{
	struct tk_tree *tree;

	*out = (struct built){0};
	assert_int_equal(tk_tree_begin(TK_SUITE_AES, vault->packs, &vault->sink, &tree, NULL), TK_OK);
	for (size_t i = 0; i < model->count; i++)
		add_row(tree, &model->rows[i]);
	finish(vault, &tree, out);
}

/* Where the rows of an old leaf are in the new model, when they stand there unchanged and alone; else false. */
static bool
stands_unchanged(const struct model *old, size_t old_from, size_t old_to, const struct model *now, size_t now_from)
{
	if (now_from + (old_to - old_from) > now->count)
		return false;
	for (size_t i = 0; i < old_to - old_from; i++)
		if (strcmp(old->rows[old_from + i].path, now->rows[now_from + i].path) != 0 ||
		    old->rows[old_from + i].seed != now->rows[now_from + i].seed)
			return false;
	return true;
}

/* Builds the new model, carrying over old leaves wherever that is allowed. */
static size_t
build_with_carry_over(struct mem_vault *vault, const struct model *old, const struct built *old_built, const struct model *now,
		      struct built *out)
{
	struct tk_tree *tree;
	size_t leaf = 0, leaf_row = 0, carried = 0;

	*out = (struct built){0};
	assert_int_equal(tk_tree_begin(TK_SUITE_AES, vault->packs, &vault->sink, &tree, NULL), TK_OK);
	for (size_t i = 0; i < now->count;) {
		const char *path = now->rows[i].path;
		const struct tk_page_info *page;
		size_t end;

		while (leaf < old_built->count &&
		       tk_path_compare(old_built->leaves[leaf].first_path, old_built->leaves[leaf].first_path_bytes, path, strlen(path)) < 0)
			leaf_row += old_built->leaves[leaf++].entries;
		page = leaf < old_built->count ? &old_built->leaves[leaf] : NULL;
		end = page ? i + page->entries : 0;
		if (page && strcmp(page->first_path, path) == 0 && tk_tree_at_border(tree, path, strlen(path)) &&
		    stands_unchanged(old, leaf_row, leaf_row + page->entries, now, i) &&
		    (end == now->count || tk_tree_is_border(tree, now->rows[end].path, strlen(now->rows[end].path)))) {
			assert_int_equal(tk_tree_add_page(tree, page, NULL), TK_OK);
			carried++;
			i = end;
		} else {
			add_row(tree, &now->rows[i++]);
		}
	}
	finish(vault, &tree, out);
	return carried;
}

static void
assert_same_tree(const struct built *a, const struct built *b)
{
	assert_memory_equal(a->root.portable.b, b->root.portable.b, TK_DIGEST_BYTES);
	assert_int_equal(a->root.level, b->root.level);
	assert_int_equal(a->root.entries, b->root.entries);
	assert_true(a->root.content_bytes == b->root.content_bytes);
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_string_equal(a->leaves[i].first_path, b->leaves[i].first_path);
		assert_memory_equal(a->leaves[i].portable.b, b->leaves[i].portable.b, TK_DIGEST_BYTES);
	}
}

/* The vault's pages may refer to PACKS data packs. */
static void
vault_with_packs(struct mem_vault *vault, uint32_t pack_blobs_max)
{
	mem_vault_init(vault, pack_blobs_max);
	for (uint8_t i = 0; i < PACKS; i++) {
		struct tk_pack_name name = {{i, 0xdd}};
		uint32_t number;

		assert_int_equal(tk_packtab_intern(vault->packs, &name, &number, NULL), TK_OK);
		assert_int_equal(number, i);
	}
}

static void
assert_same_entry(const struct tk_entry *a, const struct tk_entry *b)
{
	struct tk_form_marks marks;
	struct tk_buf x, y;

	tk_buf_init(&x, 0);
	tk_buf_init(&y, 0);
	assert_int_equal(tk_form_put(&x, a, &marks, NULL), TK_OK);
	assert_int_equal(tk_form_put(&y, b, &marks, NULL), TK_OK);
	assert_int_equal(x.len_bytes, y.len_bytes);
	assert_memory_equal(x.data, y.data, x.len_bytes);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->extent_count, b->extent_count);
	for (size_t i = 0; i < a->extent_count; i++) {
		assert_int_equal(a->extents[i].ref.pack, b->extents[i].ref.pack);
		assert_int_equal(a->extents[i].length_bytes, b->extents[i].length_bytes);
		if (a->extents[i].ref.pack == TK_PACK_NONE)
			continue;
		assert_int_equal(a->extents[i].ref.blob, b->extents[i].ref.blob);
		assert_int_equal(a->extents[i].offset_bytes, b->extents[i].offset_bytes);
	}
	if (a->kind == TK_CONTENT_SEGMENTS)
		assert_true(a->segments.pack == b->segments.pack && a->segments.blob == b->segments.blob);
	tk_buf_release(&x);
	tk_buf_release(&y);
}

static bool
has_ref(const struct mem_blob *blob, struct tk_blob_ref ref)
{
	for (size_t i = 0; i < blob->ref_count; i++)
		if (blob->refs[i].pack == ref.pack && blob->refs[i].blob == ref.blob)
			return true;
	return false;
}

static void
assert_refs_are_in_the_clear(const struct mem_blob *blob, const struct tk_entry *entry)
{
	for (size_t i = 0; i < entry->extent_count; i++)
		if (entry->extents[i].ref.pack != TK_PACK_NONE)
			assert_true(has_ref(blob, entry->extents[i].ref));
	if (entry->kind == TK_CONTENT_SEGMENTS)
		assert_true(has_ref(blob, entry->segments));
}

static void
every_entry_comes_back_from_its_page_with_its_portable_digest(void **state)
{
	struct mem_rand rand = {42};
	struct mem_vault vault;
	struct model model;
	struct built built;
	struct tk_portable *portable;
	struct tk_entry entry, want;
	size_t row = 0;

	(void)state;
	vault_with_packs(&vault, 3);
	model_random(&model, &rand, 3000);
	build(&vault, &model, &built);
	assert_true(built.count > 20 && built.root.level >= 1);
	assert_int_equal(vault.leaves_made, built.count);
	assert_int_equal(tk_portable_begin(TK_SUITE_AES, &portable, NULL), TK_OK);
	tk_entry_init(&entry);
	for (size_t i = 0; i < built.count; i++) {
		const struct mem_blob *blob = mem_vault_find(&vault, built.leaves[i].ref);
		struct tk_leaf_reader *reader;
		struct tk_digest digest;
		bool done;

		assert_int_equal(tk_leaf_open(blob->data, blob->len_bytes, blob->ref.pack, vault.packs, &reader, NULL), TK_OK);
		for (;;) {
			assert_int_equal(tk_leaf_next(reader, &entry, &done, NULL), TK_OK);
			if (done)
				break;
			mem_entry_make(&want, model.rows[row].path, model.rows[row].seed, PACKS);
			row++;
			assert_same_entry(&want, &entry);
			assert_refs_are_in_the_clear(blob, &entry);
			assert_int_equal(tk_portable_add(portable, &entry, NULL), TK_OK);
			tk_entry_release(&want);
		}
		assert_int_equal(tk_portable_end(portable, &digest, NULL), TK_OK);
		assert_memory_equal(digest.b, built.leaves[i].portable.b, sizeof(digest.b));
		tk_leaf_cleanup(&reader);
	}
	assert_int_equal(row, model.count);
	tk_entry_release(&entry);
	tk_portable_cleanup(&portable);
	built_release(&built);
	free(model.rows);
	mem_vault_release(&vault);
}

static void
a_tree_made_with_carried_over_pages_equals_one_made_from_scratch(void **state)
{
	struct mem_rand rand = {7};
	size_t carried_in_all = 0;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct mem_vault vault;
		struct model old, now;
		struct built old_built, scratch, carried;

		vault_with_packs(&vault, 1 + (uint32_t)mem_rand_below(&rand, 50));
		model_random(&old, &rand, mem_rand_below(&rand, 4) ? 1 + mem_rand_below(&rand, 2000) : mem_rand_below(&rand, 3));
		model_edit(&now, &old, &rand, mem_rand_below(&rand, 30));
		build(&vault, &old, &old_built);
		build(&vault, &now, &scratch);
		carried_in_all += build_with_carry_over(&vault, &old, &old_built, &now, &carried);
		assert_same_tree(&scratch, &carried);
		built_release(&old_built);
		built_release(&scratch);
		built_release(&carried);
		free(old.rows);
		free(now.rows);
		mem_vault_release(&vault);
	}
	assert_true(carried_in_all > 200);
}

static void
a_tree_without_entries_is_one_empty_leaf(void **state)
{
	struct mem_vault vault;
	struct model none = {0};
	struct built built;
	struct tk_leaf_reader *reader;
	struct tk_entry entry;
	const struct mem_blob *blob;
	bool done;

	(void)state;
	mem_vault_init(&vault, 10);
	build(&vault, &none, &built);
	assert_int_equal(built.count, 1);
	assert_int_equal(built.root.entries, 0);
	blob = mem_vault_find(&vault, built.root.ref);
	tk_entry_init(&entry);
	assert_int_equal(tk_leaf_open(blob->data, blob->len_bytes, blob->ref.pack, vault.packs, &reader, NULL), TK_OK);
	assert_int_equal(tk_leaf_next(reader, &entry, &done, NULL), TK_OK);
	assert_true(done);
	tk_leaf_cleanup(&reader);
	built_release(&built);
	mem_vault_release(&vault);
}

/* Entries with large extended attributes fill a page long before a border comes. */
static void
a_page_of_large_entries_ends_by_its_size_and_the_rest_is_still_the_same_tree(void **state)
{
	static uint8_t value[60000];
	struct mem_vault vault;
	struct tk_tree *tree;
	struct built built = {0};
	struct tk_entry entry;

	(void)state;
	mem_vault_init(&vault, 10);
	assert_int_equal(tk_tree_begin(TK_SUITE_AES, vault.packs, &vault.sink, &tree, NULL), TK_OK);
	for (int i = 0; i < 500; i++) {
		char path[32];

		snprintf(path, sizeof(path), "%05d", i);
		tk_entry_init(&entry);
		entry.path = strdup(path);
		entry.path_bytes = 5;
		entry.meta.type = TK_FT_DIR;
		assert_int_equal(tk_meta_put_xattr(&entry.meta, "user.big", value, sizeof(value), NULL), TK_OK);
		assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_OK);
		tk_entry_release(&entry);
	}
	finish(&vault, &tree, &built);
	assert_true(built.count >= 500 / 18);
	for (size_t i = 0; i < built.count; i++) {
		assert_true(built.leaves[i].entries <= 17);
		assert_true(mem_vault_find(&vault, built.leaves[i].ref)->len_bytes < (1 << 20) + 4096);
	}
	built_release(&built);
	mem_vault_release(&vault);
}

static void
a_wrong_use_of_the_builder_is_an_error_and_never_another_tree(void **state)
{
	struct mem_rand rand = {99};
	struct mem_vault vault;
	struct model model;
	struct built built, again;
	struct tk_tree *tree;
	struct tk_entry entry;
	size_t second;

	(void)state;
	vault_with_packs(&vault, 100);
	model_random(&model, &rand, 1000);
	build(&vault, &model, &built);
	second = built.leaves[0].entries;
	assert_int_equal(tk_tree_begin(TK_SUITE_AES, vault.packs, &vault.sink, &tree, NULL), TK_OK);
	assert_int_equal(tk_tree_add_page(tree, &built.leaves[0], NULL), TK_OK);
	/* a path in the middle of the page that was carried over */
	mem_entry_make(&entry, model.rows[second - 1].path, 1, PACKS);
	assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_EINVAL);
	tk_entry_release(&entry);
	/* a path with a dot component */
	mem_entry_make(&entry, "x/../y", 1, PACKS);
	assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_EINVAL);
	tk_entry_release(&entry);
	for (size_t i = second; i < model.count; i++)
		add_row(tree, &model.rows[i]);
	/* a path that is behind */
	mem_entry_make(&entry, model.rows[0].path, 1, PACKS);
	assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_EINVAL);
	assert_int_equal(tk_tree_add_page(tree, &built.leaves[0], NULL), TK_EINVAL);
	tk_entry_release(&entry);
	again = (struct built){0};
	finish(&vault, &tree, &again);
	assert_same_tree(&built, &again);
	built_release(&built);
	built_release(&again);
	free(model.rows);
	mem_vault_release(&vault);
}

/* Every truncation and many single-byte changes: an error or another well-formed page, never a crash. */
static void
a_damaged_page_is_an_error_or_reads_well(void **state)
{
	struct mem_rand rand = {5};
	struct mem_vault vault;
	struct model model;
	struct built built;
	struct tk_entry entry;

	(void)state;
	vault_with_packs(&vault, 100);
	model_random(&model, &rand, 300);
	build(&vault, &model, &built);
	tk_entry_init(&entry);
	for (int round = 0; round < 3000; round++) {
		const struct mem_blob *blob = &vault.blobs[mem_rand_below(&rand, vault.count)];
		size_t len = mem_rand_below(&rand, 2) ? blob->len_bytes : mem_rand_below(&rand, blob->len_bytes);
		uint8_t *bytes = malloc(len + 1);
		struct tk_leaf_reader *reader = NULL;
		struct tk_page_info *children;
		size_t count;
		unsigned level;
		bool done = false;

		memcpy(bytes, blob->data, len);
		if (len)
			bytes[mem_rand_below(&rand, len)] ^= (uint8_t)(1u << mem_rand_below(&rand, 8));
		if (tk_node_decode(bytes, len, 0, vault.packs, &children, &count, &level, NULL) == TK_OK)
			tk_page_infos_free(children, count);
		if (tk_leaf_open(bytes, len, 0, vault.packs, &reader, NULL) == TK_OK)
			while (!done && tk_leaf_next(reader, &entry, &done, NULL) == TK_OK)
				;
		tk_leaf_cleanup(&reader);
		free(bytes);
	}
	tk_entry_release(&entry);
	built_release(&built);
	free(model.rows);
	mem_vault_release(&vault);
}

/* Remembers nodes like the catalog does. */
struct node_memory {
	struct mem_vault vault;
	struct tk_digest keys[256];
	struct tk_blob_ref refs[256];
	size_t count, found;
};

static enum tk_rc
memory_find(void *ctx, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found, struct tk_err *err)
{
	struct node_memory *memory = ctx;

	(void)err;
	*found = false;
	for (size_t i = 0; i < memory->count && !*found; i++)
		if (memcmp(key->b, memory->keys[i].b, sizeof(key->b)) == 0) {
			*ref = memory->refs[i];
			*found = true;
			memory->found++;
		}
	return TK_OK;
}

static enum tk_rc
memory_made(void *ctx, const struct tk_digest *key, struct tk_blob_ref ref, struct tk_err *err)
{
	struct node_memory *memory = ctx;

	(void)err;
	assert_true(memory->count < 256);
	memory->keys[memory->count] = *key;
	memory->refs[memory->count++] = ref;
	return TK_OK;
}

static void
an_unchanged_tree_stores_nothing_anew(void **state)
{
	struct node_memory memory = {0};
	struct mem_rand rand = {3};
	struct model model;
	struct built built, again;
	size_t blobs;

	(void)state;
	vault_with_packs(&memory.vault, 100);
	memory.vault.sink.node_find = memory_find;
	memory.vault.sink.node_made = memory_made;
	model_random(&model, &rand, 5000);
	build(&memory.vault, &model, &built);
	blobs = memory.vault.count;
	assert_int_equal(build_with_carry_over(&memory.vault, &model, &built, &model, &again), built.count);
	assert_int_equal(memory.vault.count, blobs);
	assert_true(memory.found > 0);
	assert_true(again.root.ref.pack == built.root.ref.pack && again.root.ref.blob == built.root.ref.blob);
	built_release(&built);
	built_release(&again);
	free(model.rows);
	mem_vault_release(&memory.vault);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_comes_back_from_its_page_with_its_portable_digest),
		cmocka_unit_test(a_tree_made_with_carried_over_pages_equals_one_made_from_scratch),
		cmocka_unit_test(a_tree_without_entries_is_one_empty_leaf),
		cmocka_unit_test(a_page_of_large_entries_ends_by_its_size_and_the_rest_is_still_the_same_tree),
		cmocka_unit_test(a_wrong_use_of_the_builder_is_an_error_and_never_another_tree),
		cmocka_unit_test(a_damaged_page_is_an_error_or_reads_well),
		cmocka_unit_test(an_unchanged_tree_stores_nothing_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
