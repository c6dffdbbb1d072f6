/* Segment maps: whatever the edits, base and overlays resolve to what was stored, and small edits stay cheap. */
#include "tests/unit/mem_vault.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"
#include "engine/vault/segmap.h"

#define MODEL_MAX 3000

/* A segment, byte by byte. */
struct model {
	struct tk_extent bytes[MODEL_MAX];     /* each of length 1 */
	uint64_t len;
};

struct list {
	struct tk_extent *rows;
	size_t count, cap;
};

static void
list_of(const struct model *model, struct list *list)
{
	*list = (struct list){0};
	for (uint64_t i = 0; i < model->len; i++)
		assert_int_equal(tk_extents_append(&list->rows, &list->count, &list->cap, model->bytes[i], NULL), TK_OK);
}

static void
assert_resolves(struct mem_vault *vault, const struct tk_segment *segment, const struct list *want)
{
	struct tk_extent *rows;
	struct tk_err err;
	size_t count;

	if (tk_segment_extents(&vault->source, vault->packs, segment, &rows, &count, &err) != TK_OK)
		fail_msg("%s", err.text);
	assert_int_equal(count, want->count);
	assert_memory_equal(rows, want->rows, count * sizeof(*rows));
	free(rows);
}

/* Writes a run of new bytes, of a hole, or of bytes copied from elsewhere in the segment. */
static void
model_edit(struct model *model, struct mem_rand *rand, uint32_t packs)
{
	uint64_t start = mem_rand_below(rand, model->len);
	uint64_t len = 1 + mem_rand_below(rand, mem_rand_below(rand, 20) ? 30 : 800);
	struct tk_blob_ref ref = {(uint32_t)mem_rand_below(rand, packs), (uint32_t)mem_rand_below(rand, 1000)};
	uint64_t from = mem_rand_below(rand, model->len);
	uint64_t kind = mem_rand_below(rand, 6);

	for (uint64_t i = 0; i < len && start + i < model->len; i++) {
		struct tk_extent *byte = &model->bytes[start + i];

		if (kind == 0)
			*byte = (struct tk_extent){{TK_PACK_NONE, 0}, 0, 1};
		else if (kind == 1)
			*byte = model->bytes[(from + i) % model->len];
		else
			*byte = (struct tk_extent){ref, (uint32_t)(500 + i), 1};
	}
}

static void
model_resize(struct model *model, struct mem_rand *rand)
{
	uint64_t len = 1 + mem_rand_below(rand, MODEL_MAX);
	uint32_t blob = 2000 + (uint32_t)mem_rand_below(rand, 1000);

	for (uint64_t i = model->len; i < len; i++)
		model->bytes[i] = (struct tk_extent){{1, blob}, (uint32_t)i, 1};
	model->len = len;
}

static void
vault_with_packs(struct mem_vault *vault, uint32_t packs)
{
	mem_vault_init(vault, 40);
	for (uint32_t i = 0; i < packs; i++) {
		struct tk_pack_name name = {{(uint8_t)i, 0xdd}};
		uint32_t number;

		assert_int_equal(tk_packtab_intern(vault->packs, &name, &number, NULL), TK_OK);
	}
}

static void
store(struct mem_vault *vault, const struct tk_segment *old, const struct list *old_list, const struct list *list, struct tk_segment *out)
{
	struct tk_digest digest = {{(uint8_t)list->count, (uint8_t)(list->count >> 8)}};
	struct tk_err err;

	if (tk_segment_store(&vault->sink, &vault->source, vault->packs, old, old_list ? old_list->rows : NULL, old_list ? old_list->count : 0,
			     list->rows, list->count, &digest, tk_extents_total_bytes(list->rows, list->count), out, &err) != TK_OK)
		fail_msg("%s", err.text);
	assert_true(out->overlay_count <= TK_OVERLAYS_MAX);
	assert_memory_equal(out->digest.b, digest.b, sizeof(digest.b));
}

static void
after_thousands_of_edits_base_and_overlays_still_say_what_was_stored(void **state)
{
	static struct model model;
	struct mem_rand rand = {2024};
	struct mem_vault vault;
	struct tk_segment segment, next;
	struct list list, fresh;
	unsigned seen[TK_OVERLAYS_MAX + 1] = {0};

	(void)state;
	vault_with_packs(&vault, 4);
	model.len = 0;
	model_resize(&model, &rand);
	list_of(&model, &list);
	store(&vault, NULL, NULL, &list, &segment);
	assert_resolves(&vault, &segment, &list);
	for (int i = 0; i < 4000; i++) {
		for (uint64_t k = mem_rand_below(&rand, 3); k > 0; k--)
			model_edit(&model, &rand, 4);
		if (mem_rand_below(&rand, 15) == 0)
			model_resize(&model, &rand);
		list_of(&model, &fresh);
		store(&vault, &segment, &list, &fresh, &next);
		assert_resolves(&vault, &next, &fresh);
		segment = next;
		seen[segment.overlay_count]++;
		free(list.rows);
		list = fresh;
	}
	for (unsigned i = 0; i <= TK_OVERLAYS_MAX; i++)
		assert_true(seen[i] > 0);
	free(list.rows);
	mem_vault_release(&vault);
}

/* A database segment: 2,000 scattered pages, then one small edit a run. */
static void
a_small_edit_of_a_fragmented_segment_costs_little_whatever_came_before(void **state)
{
	enum { PIECES = 2000, PIECE = 8192, EDITS = 3000 };
	struct mem_rand rand = {77};
	struct mem_vault vault;
	struct tk_segment segment, next;
	struct list list = {0}, fresh;
	uint64_t base_bytes, put_before;

	(void)state;
	vault_with_packs(&vault, 2);
	for (uint32_t i = 0; i < PIECES; i++) {
		struct tk_extent extent = {{1, (i * 7919) % 60000}, (i % 100) * PIECE, PIECE};

		assert_int_equal(tk_extents_append(&list.rows, &list.count, &list.cap, extent, NULL), TK_OK);
	}
	store(&vault, NULL, NULL, &list, &segment);
	base_bytes = put_before = vault.put_bytes;
	for (uint32_t i = 0; i < EDITS; i++) {
		size_t at = mem_rand_below(&rand, PIECES);

		fresh = (struct list){.rows = malloc(PIECES * sizeof(*list.rows)), .count = list.count, .cap = PIECES};
		memcpy(fresh.rows, list.rows, list.count * sizeof(*list.rows));
		fresh.rows[at].ref = (struct tk_blob_ref){0, i};
		fresh.rows[at].offset_bytes = 0;
		store(&vault, &segment, &list, &fresh, &next);
		segment = next;
		free(list.rows);
		list = fresh;
	}
	assert_resolves(&vault, &segment, &list);
	assert_true(base_bytes > 15000);
	/* a new base each time would be 15 kB and more */
	if ((vault.put_bytes - put_before) / EDITS > 500)
		fail_msg("%u bytes an edit", (unsigned)((vault.put_bytes - put_before) / EDITS));
	free(list.rows);
	mem_vault_release(&vault);
}

static void
an_unchanged_segment_stores_nothing_and_a_shorter_one_keeps_its_maps(void **state)
{
	static struct model model;
	struct mem_rand rand = {1};
	struct mem_vault vault;
	struct tk_segment segment, next;
	struct list list, shorter;
	size_t blobs;

	(void)state;
	vault_with_packs(&vault, 2);
	model.len = 0;
	model_resize(&model, &rand);
	list_of(&model, &list);
	store(&vault, NULL, NULL, &list, &segment);
	blobs = vault.count;
	store(&vault, &segment, &list, &list, &next);
	assert_int_equal(vault.count, blobs);
	assert_memory_equal(&next.base, &segment.base, sizeof(next.base));
	model.len /= 2;
	list_of(&model, &shorter);
	store(&vault, &segment, &list, &shorter, &next);
	assert_int_equal(vault.count, blobs);
	assert_resolves(&vault, &next, &shorter);
	free(list.rows);
	free(shorter.rows);
	mem_vault_release(&vault);
}

static void
a_slice_of_a_list_is_the_same_bytes_and_touching_parts_become_one(void **state)
{
	static struct model model;
	struct mem_rand rand = {31};
	struct list list, part = {0}, want = {0};

	(void)state;
	model.len = 0;
	model_resize(&model, &rand);
	for (int i = 0; i < 40; i++)
		model_edit(&model, &rand, 3);
	list_of(&model, &list);
	for (int round = 0; round < 500; round++) {
		uint64_t from = mem_rand_below(&rand, model.len);
		uint64_t len = mem_rand_below(&rand, model.len - from + 1);

		part.count = want.count = 0;
		for (uint64_t i = from; i < from + len; i++)
			assert_int_equal(tk_extents_append(&want.rows, &want.count, &want.cap, model.bytes[i], NULL), TK_OK);
		assert_int_equal(tk_extents_slice(list.rows, list.count, from, len / 2, &part.rows, &part.count, &part.cap, NULL), TK_OK);
		assert_int_equal(tk_extents_slice(list.rows, list.count, from + len / 2, len - len / 2, &part.rows, &part.count, &part.cap,
						  NULL), TK_OK);
		assert_int_equal(part.count, want.count);
		if (want.count)
			assert_memory_equal(part.rows, want.rows, want.count * sizeof(*want.rows));
	}
	assert_int_equal(tk_extents_slice(list.rows, list.count, 0, model.len + 1, &part.rows, &part.count, &part.cap, NULL), TK_EINVAL);
	free(list.rows);
	free(part.rows);
	free(want.rows);
}

enum { SEGMENT = 1000 };

static void
make_segments(struct tk_segment *segments, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		segments[i] = (struct tk_segment){.length_bytes = SEGMENT, .base = {1, (uint32_t)(i % 60000)}, .overlay_count = i % 4};
		tk_store_u64(segments[i].digest.b, i);
		for (unsigned k = 0; k < segments[i].overlay_count; k++)
			segments[i].overlays[k] = (struct tk_blob_ref){0, k};
	}
	segments[count - 1].length_bytes = SEGMENT / 2;
}

static void
assert_segments(struct mem_vault *vault, struct tk_blob_ref root, const struct tk_segment *want, size_t count)
{
	struct tk_segment *rows;
	struct tk_err err;
	size_t got;

	if (tk_segments_read(&vault->source, vault->packs, root, (uint64_t)count * SEGMENT - SEGMENT / 2, SEGMENT, &rows, &got, &err) != TK_OK)
		fail_msg("%s", err.text);
	assert_int_equal(got, count);
	for (size_t i = 0; i < count; i++) {
		assert_memory_equal(rows[i].digest.b, want[i].digest.b, TK_DIGEST_BYTES);
		assert_int_equal(rows[i].length_bytes, want[i].length_bytes);
		assert_int_equal(rows[i].base.blob, want[i].base.blob);
		assert_int_equal(rows[i].overlay_count, want[i].overlay_count);
	}
	free(rows);
}

static void
a_tree_of_any_number_of_segments_reads_back_and_keeps_its_unchanged_nodes(void **state)
{
	static const size_t counts[] = {1, 2, 255, 256, 257, 1000, 66000};
	const struct tk_blob_ref none = {TK_PACK_NONE, 0};

	(void)state;
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		struct tk_segment *segments = calloc(counts[c] + 300, sizeof(*segments));
		struct mem_vault vault;
		struct tk_blob_ref root, again, changed;
		size_t blobs;

		vault_with_packs(&vault, 2);
		make_segments(segments, counts[c]);
		assert_int_equal(tk_segments_store(&vault.sink, &vault.source, vault.packs, segments, counts[c], none, &root, NULL), TK_OK);
		assert_segments(&vault, root, segments, counts[c]);
		blobs = vault.count;
		assert_int_equal(tk_segments_store(&vault.sink, &vault.source, vault.packs, segments, counts[c], root, &again, NULL), TK_OK);
		assert_int_equal(vault.count, blobs);
		assert_true(again.pack == root.pack && again.blob == root.blob);

		segments[counts[c] / 2].base.blob++;
		assert_int_equal(tk_segments_store(&vault.sink, &vault.source, vault.packs, segments, counts[c], root, &changed, NULL), TK_OK);
		assert_true(vault.count - blobs <= 3);
		assert_segments(&vault, changed, segments, counts[c]);

		make_segments(segments, counts[c] + 300);
		assert_int_equal(tk_segments_store(&vault.sink, &vault.source, vault.packs, segments, counts[c] + 300, changed, &again, NULL), TK_OK);
		assert_segments(&vault, again, segments, counts[c] + 300);
		free(segments);
		mem_vault_release(&vault);
	}
}

static void
a_tree_that_does_not_fit_the_file_is_corrupt(void **state)
{
	const struct tk_blob_ref none = {TK_PACK_NONE, 0};
	struct tk_segment segments[300], *rows;
	struct tk_blob_ref root;
	struct mem_vault vault;
	size_t count;

	(void)state;
	vault_with_packs(&vault, 2);
	make_segments(segments, 300);
	assert_int_equal(tk_segments_store(&vault.sink, &vault.source, vault.packs, segments, 300, none, &root, NULL), TK_OK);
	assert_int_equal(tk_segments_read(&vault.source, vault.packs, root, 299 * SEGMENT, SEGMENT, &rows, &count, NULL), TK_ECORRUPT);
	assert_int_equal(tk_segments_read(&vault.source, vault.packs, root, 301 * SEGMENT, SEGMENT, &rows, &count, NULL), TK_ECORRUPT);
	assert_int_equal(tk_segments_read(&vault.source, vault.packs, root, 300 * SEGMENT, SEGMENT, &rows, &count, NULL), TK_ECORRUPT);
	assert_int_equal(tk_segments_read(&vault.source, vault.packs, root, 0, SEGMENT, &rows, &count, NULL), TK_ECORRUPT);
	mem_vault_release(&vault);
}

static void
a_map_with_a_gap_is_corrupt(void **state)
{
	struct tk_extent row = {{1, 5}, 0, 100};
	struct mem_vault vault;
	struct tk_segment segment;
	struct list list = {&row, 1, 1};
	struct tk_extent *rows;
	size_t count;

	(void)state;
	vault_with_packs(&vault, 2);
	store(&vault, NULL, NULL, &list, &segment);
	segment.length_bytes = 101;
	assert_int_equal(tk_segment_extents(&vault.source, vault.packs, &segment, &rows, &count, NULL), TK_ECORRUPT);
	segment.length_bytes = 0;
	assert_int_equal(tk_segment_extents(&vault.source, vault.packs, &segment, &rows, &count, NULL), TK_ECORRUPT);
	mem_vault_release(&vault);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_thousands_of_edits_base_and_overlays_still_say_what_was_stored),
		cmocka_unit_test(a_small_edit_of_a_fragmented_segment_costs_little_whatever_came_before),
		cmocka_unit_test(an_unchanged_segment_stores_nothing_and_a_shorter_one_keeps_its_maps),
		cmocka_unit_test(a_slice_of_a_list_is_the_same_bytes_and_touching_parts_become_one),
		cmocka_unit_test(a_tree_of_any_number_of_segments_reads_back_and_keeps_its_unchanged_nodes),
		cmocka_unit_test(a_tree_that_does_not_fit_the_file_is_corrupt),
		cmocka_unit_test(a_map_with_a_gap_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
