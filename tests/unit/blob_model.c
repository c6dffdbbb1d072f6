#include "tests/unit/blob_model.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/bitmap.h"
#include "engine/vault/counts.h"
#include "engine/vault/vault_core.h"
#include "tests/unit/unit.h"

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

void
model_expect_marks(struct model *model, bool garbage_known)
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
	size_t want = 1 + dice_below(&model->dice, MODEL_REFS_MAX);
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
	struct made_blob made[MODEL_BLOBS_MAX];

	assert_true(number < MODEL_PACKS_MAX);
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

void
model_publish_root(struct model *model, struct place root, bool adds)
{
	struct model_point *point = &model->points[model->point_count++];
	const struct made_pack *packs[] = {&model->packs[root.pack].made};
	struct tk_buf record = {0};

	assert_true(model->point_count <= MODEL_POINTS_MAX);
	*point = (struct model_point){.root = root};
	make_point(model->box, model->point_count, packs[0], (uint32_t)root.blob, packs, adds, &record, &point->at);
	assert_int_equal(publish(model->box, &record, NULL, NULL), TK_OK);
	/* Again: nothing is counted twice. */
	assert_int_equal(publish(model->box, &record, NULL, NULL), TK_OK);
	tk_buf_release(&record);
	look(model);
}

void
model_publish_any(struct model *model)
{
	struct place root;

	if (model->pack_count > 3 && dice_below(&model->dice, 4) == 0 && choose_ref(model, model->pack_count - 1, 1, false, &root)) {
		model_publish_root(model, root, false);
		return;
	}
	add_pack(model);
	root = (struct place){model->pack_count - 1, model->packs[model->pack_count - 1].blob_count - 1};
	if (blob_at(model, root)->type == TK_BLOB_CONTENTS)
		root.blob--;
	model_publish_root(model, root, true);
}

struct model *
model_new(struct vault_box *box, uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	assert_non_null(model);
	model->box = box;
	model->dice.state = seed;
	return model;
}

void
model_free(struct model *model)
{
	for (size_t p = 0; p < model->pack_count; p++)
		made_pack_release(&model->packs[p].made);
	free(model);
}

struct tk_vault_expiry
model_expire(struct model *model, const size_t *which, size_t count)
{
	struct tk_head heads[MODEL_POINTS_MAX];
	struct tk_vault_expiry expiry;
	struct tk_err err;

	for (size_t i = 0; i < count; i++) {
		heads[i] = model->points[which[i]].at;
		model->points[which[i]].expired = true;
	}
	if (tk_vault_expire(model->box->vault, &model->box->domain, heads, count, &expiry, &err))
		fail_msg("expire: %s", err.text);
	look(model);
	return expiry;
}

size_t
model_choose_point(struct model *model)
{
	return dice_below(&model->dice, model->point_count - 1);
}

size_t
model_choose_unexpired(struct model *model)
{
	size_t i = model_choose_point(model);

	while (model->points[i].expired)
		i = (i + 1) % (model->point_count - 1);
	return i;
}

void
model_drop_some(struct model *model, size_t one_in)
{
	struct tk_pack_name at = {{0}};
	struct tk_vault_blob *blobs;
	size_t count, kept, dropped;

	for (;;) {
		assert_int_equal(tk_vault_next_condemned(model->box->vault, &at, &blobs, &count, NULL), TK_OK);
		if (count == 0)
			break;
		kept = 0;
		for (size_t i = 0; i < count; i++)
			if (dice_below(&model->dice, one_in) == 0)
				blobs[kept++] = blobs[i];
		assert_int_equal(tk_vault_drop(model->box->vault, blobs, kept, &dropped, NULL), TK_OK);
		assert_int_equal(dropped, kept);
		for (size_t p = 0; p < model->pack_count; p++)
			for (size_t i = 0; i < kept && memcmp(&model->packs[p].made.ident.name, &at, sizeof(at)) == 0; i++) {
				struct model_blob *blob = &model->packs[p].blobs[blobs[i].blob];

				assert_false(blob->live || blob->dropped);
				blob->dropped = true;
				blob->used = false;
			}
		free(blobs);
	}
	free(blobs);
}

void
model_expect_served(struct model *model)
{
	struct tk_buf out = {0};

	look(model);
	for (size_t p = 0; p < model->pack_count; p++)
		for (size_t b = 0; b < model->packs[p].blob_count; b++) {
			enum tk_rc rc;

			tk_buf_clear(&out);
			/* 3000 bytes and a tag each, behind the header. */
			rc = tk_vault_get_range(model->box->vault, &model->packs[p].made.ident.name, TK_PACK_HEADER_BYTES + b * 3016, 3016, &out, NULL);
			if (model->packs[p].blobs[b].dropped)
				assert_int_equal(rc, TK_EMISSING);
			else
				assert_int_equal(rc, TK_OK);
			if (model->packs[p].blobs[b].live)
				assert_int_equal(rc, TK_OK);
		}
	tk_buf_release(&out);
}

/* Is nothing below it dropped? */
static bool
is_served(struct model *model, struct place place)
{
	struct model_blob *blob = blob_at(model, place);
	bool served = !blob->dropped;

	for (size_t i = 0; i < blob->ref_count && served; i++)
		served = is_served(model, blob->refs[i]);
	return served;
}

void
model_publish_condemned(struct model *model)
{
	for (int tries = 0; tries < 50; tries++) {
		struct place root = {dice_below(&model->dice, model->pack_count), 0};
		struct model_blob *blob;

		root.blob = dice_below(&model->dice, model->packs[root.pack].blob_count);
		blob = blob_at(model, root);
		if (!blob->used || blob->live || (blob->type != TK_BLOB_LEAF && blob->type != TK_BLOB_NODE) || !is_served(model, root))
			continue;
		model_publish_root(model, root, false);
		return;
	}
}

/* What a new pack refers to must be served, down to the data. */
void
model_publish_new_or_condemned(struct model *model)
{
	if (dice_below(&model->dice, 2) == 0)
		model_publish_condemned(model);
	else
		model_publish_any(model);
}
