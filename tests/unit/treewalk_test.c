/* Walking, looking up and comparing trees of pages. */
#include "tests/unit/mem_vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"
#include "engine/vault/treewalk.h"

#define PACKS 3

struct row {
	char path[48];
	uint64_t seed;
};

struct model {
	struct row *rows;
	size_t count;
};

struct fixture {
	struct mem_vault vault;
	struct tk_page_loader *loader, *other;
	struct mem_rand rand;
};

static void
fixture_init(struct fixture *fix, uint64_t seed)
{
	mem_vault_init(&fix->vault, 20);
	for (uint8_t i = 0; i < PACKS; i++) {
		struct tk_pack_name name = {{i, 0xdd}};
		uint32_t number;

		assert_int_equal(tk_packtab_intern(fix->vault.packs, &name, &number, NULL), TK_OK);
	}
	assert_int_equal(tk_page_loader_new(TK_SUITE_AES, fix->vault.packs, &fix->vault.source, &fix->loader, NULL), TK_OK);
	assert_int_equal(tk_page_loader_new(TK_SUITE_AES, fix->vault.packs, &fix->vault.source, &fix->other, NULL), TK_OK);
	fix->rand = (struct mem_rand){seed};
}

static void
fixture_release(struct fixture *fix)
{
	tk_page_loader_cleanup(&fix->loader);
	tk_page_loader_cleanup(&fix->other);
	mem_vault_release(&fix->vault);
}

static int
compare_rows(const void *a, const void *b)
{
	const char *x = ((const struct row *)a)->path, *y = ((const struct row *)b)->path;

	return tk_path_compare(x, strlen(x), y, strlen(y));
}

static struct row
random_row(struct mem_rand *rand)
{
	struct row row = {.seed = mem_rand_next(rand)};

	snprintf(row.path, sizeof(row.path), "dir%u/sub%u%s/f%u", (unsigned)mem_rand_below(rand, 12), (unsigned)mem_rand_below(rand, 12),
		 mem_rand_below(rand, 5) ? "" : "-x", (unsigned)mem_rand_below(rand, 1000));
	return row;
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

static void
model_random(struct model *model, struct mem_rand *rand, size_t count)
{
	model->count = count;
	model->rows = calloc(count + 1, sizeof(*model->rows));
	for (size_t i = 0; i < count; i++)
		model->rows[i] = random_row(rand);
	sort_rows(model);
}

static void
build(struct fixture *fix, const struct model *model, struct tk_page_info *root)
{
	struct tk_tree *tree;

	assert_int_equal(tk_tree_begin(TK_SUITE_AES, fix->vault.packs, &fix->vault.sink, &tree, NULL), TK_OK);
	for (size_t i = 0; i < model->count; i++) {
		struct tk_entry entry;

		mem_entry_make(&entry, model->rows[i].path, model->rows[i].seed, PACKS);
		assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_OK);
		tk_entry_release(&entry);
	}
	assert_int_equal(tk_tree_finish(tree, root, NULL), TK_OK);
	tk_tree_cleanup(&tree);
}

static void
assert_walk_gives(struct fixture *fix, const struct tk_page_info *root, const struct model *model, const char *dir)
{
	struct tk_treewalk *walk;
	struct tk_entry entry;
	struct tk_err err;
	size_t row = 0;
	bool done;

	tk_entry_init(&entry);
	assert_int_equal(tk_treewalk_begin(fix->loader, root, dir, strlen(dir), &walk, NULL), TK_OK);
	for (;;) {
		if (tk_treewalk_next(walk, &entry, &done, &err) != TK_OK)
			fail_msg("%s", err.text);
		while (row < model->count && !tk_path_is_below(model->rows[row].path, strlen(model->rows[row].path), dir, strlen(dir)))
			row++;
		if (done)
			break;
		assert_true(row < model->count);
		assert_string_equal(entry.path, model->rows[row++].path);
	}
	assert_int_equal(row, model->count);
	assert_int_equal(tk_treewalk_next(walk, &entry, &done, NULL), TK_OK);
	assert_true(done);
	tk_treewalk_cleanup(&walk);
	tk_entry_release(&entry);
}

static void
a_walk_gives_exactly_what_is_below_a_directory_and_reads_little_else(void **state)
{
	struct fixture fix;
	struct model model;
	struct tk_page_info root;
	size_t all;

	(void)state;
	fixture_init(&fix, 11);
	model_random(&model, &fix.rand, 20000);
	build(&fix, &model, &root);
	fix.vault.reads = 0;
	assert_walk_gives(&fix, &root, &model, "");
	all = fix.vault.reads;
	assert_int_equal(all, fix.vault.count);
	for (int i = 0; i < 12; i++) {
		char dir[32];

		snprintf(dir, sizeof(dir), "dir%d/sub%d", i, (i * 5) % 12);
		fix.vault.reads = 0;
		assert_walk_gives(&fix, &root, &model, dir);
		assert_true(fix.vault.reads < all / 20);
		assert_walk_gives(&fix, &root, &model, "dir3");
	}
	assert_walk_gives(&fix, &root, &model, "dir");
	assert_walk_gives(&fix, &root, &model, "zzz");
	assert_walk_gives(&fix, &root, &model, "a");
	assert_walk_gives(&fix, &root, &model, model.rows[0].path);
	assert_walk_gives(&fix, &root, &model, model.rows[model.count - 1].path);
	tk_page_info_release(&root);
	free(model.rows);
	fixture_release(&fix);
}

static void
one_path_is_found_with_one_page_a_level(void **state)
{
	struct fixture fix;
	struct model model;
	struct tk_page_info root;
	struct tk_entry entry;

	(void)state;
	fixture_init(&fix, 12);
	model_random(&model, &fix.rand, 5000);
	build(&fix, &model, &root);
	tk_entry_init(&entry);
	for (size_t i = 0; i < model.count; i += 37) {
		fix.vault.reads = 0;
		assert_int_equal(tk_tree_lookup(fix.loader, &root, model.rows[i].path, strlen(model.rows[i].path), &entry, NULL), TK_OK);
		assert_string_equal(entry.path, model.rows[i].path);
		assert_true(fix.vault.reads <= root.level + 1);
	}
	assert_int_equal(tk_tree_lookup(fix.loader, &root, "dir1/none", 9, &entry, NULL), TK_ENOENT);
	assert_int_equal(tk_tree_lookup(fix.loader, &root, "dir1/sub1", 9, &entry, NULL), TK_ENOENT);
	tk_entry_release(&entry);
	tk_page_info_release(&root);
	free(model.rows);
	fixture_release(&fix);
}

static void
a_root_tells_the_same_as_its_builder_from_its_place_alone(void **state)
{
	static const size_t counts[] = {0, 1, 20, 3000};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct fixture fix;
		struct model model;
		struct tk_page_info root, found;

		fixture_init(&fix, 13);
		model_random(&model, &fix.rand, counts[i]);
		build(&fix, &model, &root);
		assert_int_equal(tk_page_loader_root(fix.loader, root.ref, &found, NULL), TK_OK);
		assert_int_equal(found.level, root.level);
		assert_int_equal(found.entries, root.entries);
		assert_true(found.content_bytes == root.content_bytes);
		assert_string_equal(found.first_path, root.first_path);
		assert_memory_equal(found.portable.b, root.portable.b, TK_DIGEST_BYTES);
		tk_page_info_release(&root);
		tk_page_info_release(&found);
		free(model.rows);
		fixture_release(&fix);
	}
}

/* What a comparison told, in order. */
struct told {
	char kind[4000];
	struct row rows[4000];
	size_t count;
};

static void
tell(struct told *told, char kind, const struct tk_entry *entry)
{
	assert_true(told->count < 4000);
	told->kind[told->count] = kind;
	snprintf(told->rows[told->count++].path, sizeof(told->rows[0].path), "%s", entry->path);
}

static enum tk_rc
told_added(void *ctx, const struct tk_entry *now, struct tk_err *err)
{
	(void)err;
	tell(ctx, '+', now);
	return TK_OK;
}

static enum tk_rc
told_removed(void *ctx, const struct tk_entry *old, struct tk_err *err)
{
	(void)err;
	tell(ctx, '-', old);
	return TK_OK;
}

static enum tk_rc
told_changed(void *ctx, const struct tk_entry *old, const struct tk_entry *now, struct tk_err *err)
{
	(void)err;
	assert_string_equal(old->path, now->path);
	tell(ctx, '*', now);
	return TK_OK;
}

/* The same by comparing the models. */
static void
expect_changes(const struct model *old, const struct model *now, struct told *want)
{
	size_t a = 0, b = 0;

	while (a < old->count || b < now->count) {
		int order = a == old->count ? 1 : b == now->count ? -1 : compare_rows(&old->rows[a], &now->rows[b]);
		const struct row *row = order < 0 ? &old->rows[a] : &now->rows[b];

		if (order != 0 || old->rows[a].seed != now->rows[b].seed) {
			want->kind[want->count] = order < 0 ? '-' : order > 0 ? '+' : '*';
			want->rows[want->count++] = *row;
		}
		a += order <= 0;
		b += order >= 0;
	}
}

static void
model_edit(struct model *to, const struct model *from, struct mem_rand *rand, size_t edits)
{
	to->rows = calloc(from->count + edits + 1, sizeof(*to->rows));
	memcpy(to->rows, from->rows, from->count * sizeof(*to->rows));
	to->count = from->count;
	for (size_t i = 0; i < edits; i++) {
		uint64_t kind = to->count ? mem_rand_below(rand, 3) : 0;
		size_t at = to->count ? mem_rand_below(rand, to->count) : 0;

		if (kind == 0)
			to->rows[to->count++] = random_row(rand);
		else if (kind == 1)
			to->rows[at] = to->rows[--to->count];
		else
			to->rows[at].seed = mem_rand_next(rand);
	}
	sort_rows(to);
}

static void
a_comparison_tells_just_what_differs_and_does_not_read_what_is_equal(void **state)
{
	static struct told told, want;
	const struct tk_tree_changes changes = {.ctx = &told, .added = told_added, .removed = told_removed, .changed = told_changed};

	(void)state;
	for (uint64_t round = 1; round <= 40; round++) {
		struct fixture fix;
		struct model old, now;
		struct tk_page_info old_root, now_root;
		struct tk_err err;

		fixture_init(&fix, round);
		model_random(&old, &fix.rand, round % 5 ? mem_rand_below(&fix.rand, 3000) : round / 5);
		if (round % 7)
			model_edit(&now, &old, &fix.rand, mem_rand_below(&fix.rand, 20));
		else
			model_random(&now, &fix.rand, mem_rand_below(&fix.rand, 500));
		build(&fix, &old, &old_root);
		build(&fix, &now, &now_root);
		told.count = want.count = fix.vault.reads = 0;
		if (tk_tree_compare(fix.loader, &old_root, fix.other, &now_root, &changes, &err) != TK_OK)
			fail_msg("%s", err.text);
		expect_changes(&old, &now, &want);
		assert_int_equal(told.count, want.count);
		for (size_t i = 0; i < told.count; i++) {
			assert_int_equal(told.kind[i], want.kind[i]);
			assert_string_equal(told.rows[i].path, want.rows[i].path);
		}
		if (want.count == 0)
			assert_int_equal(fix.vault.reads, 0);
		if (want.count < 20)
			assert_true(fix.vault.reads <= 2 * (want.count + 1) * (old_root.level + 2));
		tk_page_info_release(&old_root);
		tk_page_info_release(&now_root);
		free(old.rows);
		free(now.rows);
		fixture_release(&fix);
	}
}

static void
a_node_that_is_not_what_its_parent_says_is_corrupt(void **state)
{
	struct fixture fix;
	struct model model;
	struct tk_page_info root;
	struct tk_treewalk *walk;
	struct tk_entry entry;
	bool done;

	(void)state;
	fixture_init(&fix, 14);
	model_random(&model, &fix.rand, 3000);
	build(&fix, &model, &root);
	root.portable.b[5] ^= 1;
	tk_entry_init(&entry);
	assert_int_equal(tk_treewalk_begin(fix.loader, &root, "", 0, &walk, NULL), TK_OK);
	assert_int_equal(tk_treewalk_next(walk, &entry, &done, NULL), TK_ECORRUPT);
	tk_treewalk_cleanup(&walk);
	tk_entry_release(&entry);
	tk_page_info_release(&root);
	free(model.rows);
	fixture_release(&fix);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_walk_gives_exactly_what_is_below_a_directory_and_reads_little_else),
		cmocka_unit_test(one_path_is_found_with_one_page_a_level),
		cmocka_unit_test(a_root_tells_the_same_as_its_builder_from_its_place_alone),
		cmocka_unit_test(a_comparison_tells_just_what_differs_and_does_not_read_what_is_equal),
		cmocka_unit_test(a_node_that_is_not_what_its_parent_says_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
