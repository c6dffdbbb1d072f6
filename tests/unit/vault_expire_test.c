/* What points need is counted; what none needs any more is found by the counts alone, and is what a look at everything would find. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vault/bitmap.h"
#include "engine/vault/counts.h"
#include "engine/vault/vault_core.h"
#include "tests/unit/dice.h"
#include "tests/unit/vault_fixture.h"

enum { PACKS_MAX = 400, BLOBS_MAX = 12, POINTS_MAX = 400, REFS_MAX = 4 };

/* What the test knows of the vault: every blob, and where each refers to. */
struct place {
	size_t pack, blob;
};
struct model_blob {
	enum tk_blob_type type;
	struct place refs[REFS_MAX];
	size_t ref_count;
	bool used;                         /* by a point, since it was stored last */
	bool dropped;
	bool live;                         /* by look() */
	uint32_t count;                    /* likewise */
};
struct model_pack {
	struct made_pack made;
	struct model_blob blobs[BLOBS_MAX];
	size_t blob_count;
	bool used;
	bool live;                         /* by look(): a blob of it is */
};
struct model_point {
	struct tk_head at;
	struct place root;
	bool expired;
};
struct model {
	struct vault_box *box;
	struct dice dice;
	struct model_pack packs[PACKS_MAX];
	size_t pack_count;
	struct model_point points[POINTS_MAX];
	size_t point_count;
};

static struct model_blob *
blob_at(struct model *model, struct place place)
{
	return &model->packs[place.pack].blobs[place.blob];
}

static void
reach(struct model *model, struct place place)
{
	struct model_blob *blob = blob_at(model, place);

	blob->count++;
	if (blob->live)
		return;
	blob->live = blob->used = true;
	model->packs[place.pack].live = model->packs[place.pack].used = true;
	for (size_t i = 0; i < blob->ref_count; i++)
		reach(model, blob->refs[i]);
}

/* Everything from the live points' roots downwards, as no vault could afford it. */
static void
look(struct model *model)
{
	for (size_t p = 0; p < model->pack_count; p++) {
		model->packs[p].live = false;
		for (size_t b = 0; b < model->packs[p].blob_count; b++) {
			model->packs[p].blobs[b].live = false;
			model->packs[p].blobs[b].count = 0;
		}
	}
	for (size_t i = 0; i < model->point_count; i++)
		if (!model->points[i].expired)
			reach(model, model->points[i].root);
}

/* A blob that no point ever used goes with the last one of its pack that one did: the list of its contents, above all. */
static bool
is_garbage(const struct model_pack *pack, const struct model_blob *blob)
{
	return !blob->dropped && !blob->live && (blob->used || (pack->used && !pack->live));
}

static void
expect_marks(struct model *model, bool garbage_known)
{
	look(model);
	for (size_t p = 0; p < model->pack_count; p++) {
		struct model_pack *pack = &model->packs[p];
		struct tk_pack_marks marks = {0};
		struct tk_pack_row row;

		assert_int_equal(tk_vindex_pack(model->box->vault->index, &pack->made.ident.name, &row, &marks, NULL), TK_OK);
		for (uint32_t b = 0; b < pack->blob_count; b++) {
			struct model_blob *blob = &pack->blobs[b];

			assert_int_equal(tk_count_get(&marks.counts, b), blob->count);
			if (garbage_known)
				assert_int_equal(tk_bit_get(&marks.condemned, b), is_garbage(pack, blob));
			assert_int_equal(tk_bit_get(&marks.traced, b) && !tk_bit_get(&marks.condemned, b), blob->live);
		}
		tk_pack_marks_release(&marks);
	}
}

/* Any blob of a type that the new one may refer to, in its own pack or an older one. */
static bool
choose_ref(struct model *model, size_t pack, size_t below, bool data, struct place *out)
{
	for (int tries = 0; tries < 20; tries++) {
		size_t p = dice_below(&model->dice, 2) == 0 ? pack : pack - dice_below(&model->dice, pack < 6 ? pack + 1 : 6);
		size_t count = p == pack ? below : model->packs[p].blob_count;
		enum tk_blob_type type;

		if (count == 0)
			continue;
		*out = (struct place){p, dice_below(&model->dice, count)};
		type = blob_at(model, *out)->type;
		if (!blob_at(model, *out)->dropped && type != TK_BLOB_CONTENTS && (type == TK_BLOB_DATA) == data)
			return true;
	}
	return false;
}

static void
choose_refs(struct model *model, size_t pack, size_t at)
{
	struct model_blob *blob = &model->packs[pack].blobs[at];
	size_t want = 1 + dice_below(&model->dice, REFS_MAX);
	struct place ref;

	while (want-- > 0) {
		bool twice = false;

		if (!choose_ref(model, pack, at, blob->type == TK_BLOB_LEAF, &ref))
			continue;
		for (size_t i = 0; i < blob->ref_count; i++)
			twice |= blob->refs[i].pack == ref.pack && blob->refs[i].blob == ref.blob;
		if (!twice)
			blob->refs[blob->ref_count++] = ref;
	}
}

/* Some data, some leaves, some nodes, the last of which is a root; often the pack's list of contents, to which nothing refers. */
static void
add_pack(struct model *model)
{
	static const struct model_pack empty;
	size_t number = model->pack_count, data = 1 + dice_below(&model->dice, 4), leaves = 1 + dice_below(&model->dice, 3);
	size_t pages = data + leaves + 1 + dice_below(&model->dice, 3);
	struct model_pack *pack = &model->packs[number];
	struct made_blob made[BLOBS_MAX];

	assert_true(number < PACKS_MAX);
	*pack = empty;
	memset(made, 0, sizeof(made));
	model->pack_count++;
	pack->blob_count = pages + dice_below(&model->dice, 2);
	for (size_t b = 0; b < pack->blob_count; b++) {
		struct model_blob *blob = &pack->blobs[b];

		blob->type = b < data ? TK_BLOB_DATA : b < data + leaves ? TK_BLOB_LEAF : b < pages ? TK_BLOB_NODE : TK_BLOB_CONTENTS;
		if (b >= data && b < pages)
			choose_refs(model, number, b);
		made[b].type = blob->type;
		made[b].ref_count = blob->ref_count;
		for (size_t i = 0; i < blob->ref_count; i++)
			made[b].refs[i] = (struct tk_blob_ref){blob->refs[i].pack == number ? OWN_PACK : model->packs[blob->refs[i].pack].made.number,
				(uint32_t)blob->refs[i].blob};
	}
	make_pack(model->box, made, pack->blob_count, &pack->made);
	store_pack(model->box, &pack->made);
}

static void
publish_root(struct model *model, struct place root, bool adds)
{
	struct model_point *point = &model->points[model->point_count++];
	const struct made_pack *packs[] = {&model->packs[root.pack].made};
	struct tk_buf record = {0};

	assert_true(model->point_count <= POINTS_MAX);
	*point = (struct model_point){.root = root};
	make_point(model->box, model->point_count, packs[0], (uint32_t)root.blob, packs, adds, &record, &point->at);
	assert_int_equal(publish(model->box, &record, NULL, NULL), TK_OK);
	/* Again: nothing is counted twice. */
	assert_int_equal(publish(model->box, &record, NULL, NULL), TK_OK);
	tk_buf_release(&record);
}

/* A point over a new pack, or over a page that is there. */
static void
publish_any(struct model *model)
{
	struct place root;

	if (model->pack_count > 3 && dice_below(&model->dice, 4) == 0 && choose_ref(model, model->pack_count - 1, 1, false, &root)) {
		publish_root(model, root, false);
		return;
	}
	add_pack(model);
	root = (struct place){model->pack_count - 1, model->packs[model->pack_count - 1].blob_count - 1};
	if (blob_at(model, root)->type == TK_BLOB_CONTENTS)
		root.blob--;
	publish_root(model, root, true);
}

static struct model *
model_new(struct vault_box *box, uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	assert_non_null(model);
	model->box = box;
	model->dice.state = seed;
	return model;
}

static void
model_free(struct model *model)
{
	for (size_t p = 0; p < model->pack_count; p++)
		made_pack_release(&model->packs[p].made);
	free(model);
}

static void
lose_index(struct vault_box *box)
{
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*");
	box_open(box);
}

static void
references_are_counted_and_counted_again_alike(void **state)
{
	struct model *model = model_new(*state, 11);

	for (int i = 0; i < 60; i++) {
		publish_any(model);
		expect_marks(model, true);
	}
	lose_index(model->box);
	expect_marks(model, true);
	model_free(model);
}

/* An index of the version before has marks, but no counts. */
static void
an_index_without_counts_is_counted_when_it_is_opened(void **state)
{
	static const char older[] = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1] + \"/index.db\"); "
				    "db.executescript(\"ALTER TABLE pack DROP COLUMN counts; ALTER TABLE point DROP COLUMN root_pack; "
				    "ALTER TABLE point DROP COLUMN root_blob; PRAGMA user_version = 1\")";
	struct model *model = model_new(*state, 12);
	struct tk_point_row before, after;
	char command[1024];

	for (int i = 0; i < 20; i++)
		publish_any(model);
	assert_int_equal(tk_vindex_point(model->box->vault->index, &model->box->domain, 1, 7, &before, NULL), TK_OK);
	box_close(model->box);
	(void)snprintf(command, sizeof(command), "python3 -c '%s' \"$1\"", older);
	box_shell(model->box, command);
	box_open(model->box);
	expect_marks(model, true);
	assert_int_equal(tk_vindex_point(model->box->vault->index, &model->box->domain, 1, 7, &after, NULL), TK_OK);
	assert_int_equal(after.state, TK_POINT_WHOLE);
	assert_int_equal(after.counter, before.counter);
	assert_memory_equal(&after.root_pack, &before.root_pack, sizeof(after.root_pack));
	assert_int_equal(after.root_blob, before.root_blob);
	model_free(model);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup_fast, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(references_are_counted_and_counted_again_alike),
		IN_BOX(an_index_without_counts_is_counted_when_it_is_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
