/* What points need is counted; what none needs any more is found by the counts alone, and is what a look at everything would find. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vault/bitmap.h"
#include "engine/vault/counts.h"
#include "engine/vault/vault_core.h"
#include "tests/unit/blob_model.h"

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
		model_publish_any(model);
		model_expect_marks(model, true);
	}
	lose_index(model->box);
	model_expect_marks(model, true);
	model_free(model);
}

/* An index of the version before has marks, but no counts. */
static void
an_index_without_counts_is_counted_when_it_is_opened(void **state)
{
	static const char older[] = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1] + \"/index.db\"); "
				    "db.executescript(\"DROP INDEX pack_condemned; DROP INDEX point_state; ALTER TABLE pack DROP COLUMN counts; ALTER TABLE point DROP COLUMN root_pack; "
				    "ALTER TABLE point DROP COLUMN root_blob; PRAGMA user_version = 1\")";
	struct model *model = model_new(*state, 12);
	struct tk_point_row before, after;
	char command[1024];

	for (int i = 0; i < 20; i++)
		model_publish_any(model);
	assert_int_equal(tk_vindex_point(model->box->vault->index, &model->box->domain, 1, 7, &before, NULL), TK_OK);
	box_close(model->box);
	(void)snprintf(command, sizeof(command), "python3 -c '%s' \"$1\"", older);
	box_shell(model->box, command);
	box_open(model->box);
	model_expect_marks(model, true);
	assert_int_equal(tk_vindex_point(model->box->vault->index, &model->box->domain, 1, 7, &after, NULL), TK_OK);
	assert_int_equal(after.state, TK_POINT_WHOLE);
	assert_int_equal(after.counter, before.counter);
	assert_memory_equal(&after.root_pack, &before.root_pack, sizeof(after.root_pack));
	assert_int_equal(after.root_blob, before.root_blob);
	model_free(model);
}

static void
what_is_condemned_is_what_no_point_reaches(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct model *model;
		size_t which[3];

		if (seed > 1) {
			assert_int_equal(box_teardown(state), 0);
			assert_int_equal(box_setup_fast(state), 0);
		}
		model = model_new(*state, seed);
		for (int i = 0; i < 20; i++)
			model_publish_any(model);
		for (int i = 0; i < 60; i++) {
			for (size_t k = 0; k < 3; k++)
				which[k] = model_choose_point(model);
			(void)model_expire(model, which, 1 + dice_below(&model->dice, 3));
			model_expect_marks(model, true);
			model_publish_new_or_condemned(model);
			model_expect_marks(model, true);
		}
		model_free(model);
	}
}

static void
what_points_need_is_served_after_every_drop(void **state)
{
	struct model *model = model_new(*state, 5);
	size_t which;

	for (int i = 0; i < 15; i++)
		model_publish_any(model);
	for (int i = 0; i < 30; i++) {
		which = model_choose_point(model);
		(void)model_expire(model, &which, 1);
		model_drop_some(model, 2);
		model_expect_marks(model, true);
		model_expect_served(model);
		model_publish_condemned(model);
		model_expect_marks(model, true);
	}
	/* In the end only the newest point, and only what it needs. */
	for (which = 0; which + 1 < model->point_count; which++)
		(void)model_expire(model, &which, 1);
	model_drop_some(model, 1);
	model_expect_marks(model, true);
	model_expect_served(model);
	for (size_t p = 0; p < model->pack_count; p++)
		for (size_t b = 0; b < model->packs[p].blob_count; b++)
			if (!model->packs[p].live)
				assert_true(model->packs[p].blobs[b].dropped);
	model_free(model);
}

static void
a_pack_that_is_sent_again_is_counted_again(void **state)
{
	struct model *model = model_new(*state, 6);
	struct made_pack *again;
	size_t first = 0;

	model_publish_any(model);
	model_publish_any(model);
	again = &model->packs[0].made;
	(void)model_expire(model, &first, 1);
	model_drop_some(model, 1);
	model_expect_marks(model, true);
	store_pack(model->box, again);
	for (size_t b = 0; b < model->packs[0].blob_count; b++)
		model->packs[0].blobs[b].dropped = false;
	model_publish_root(model, model->points[0].root, true);
	model_expect_marks(model, true);
	model_expect_served(model);
	model_free(model);
}

static void
a_lost_index_is_counted_anew_as_it_was(void **state)
{
	struct model *model = model_new(*state, 7);
	size_t which;

	for (int i = 0; i < 40; i++)
		model_publish_any(model);
	for (int i = 0; i < 20; i++) {
		which = model_choose_unexpired(model);
		(void)model_expire(model, &which, 1);
		if (i % 5 == 4) {
			lose_index(model->box);
			model_expect_marks(model, true);
			model_publish_any(model);
		}
	}
	/* What is dropped takes with it where it referred to, once its pack is gone: what was condemned below it may then stay. What is needed is known all the same. */
	model_drop_some(model, 2);
	model_expect_marks(model, true);
	lose_index(model->box);
	model_expect_marks(model, false);
	model_expect_served(model);
	model_free(model);
}

/* The list was written, and nothing else: the files of today, the index of yesterday. */
static void
an_expiry_that_was_cut_short_is_finished_when_the_vault_is_opened(void **state)
{
	struct model *model = model_new(*state, 8);
	struct tk_store_point *points = NULL;
	size_t which[3], count, expired = 0;

	for (int i = 0; i < 30; i++)
		model_publish_any(model);
	for (int round = 0; round < 4; round++) {
		box_close(model->box);
		box_shell(model->box, "cp \"$1/index.db\" \"$1.index\"");
		box_open(model->box);
		for (size_t i = 0; i < 3; i++) {
			which[i] = model_choose_unexpired(model);
			(void)model_expire(model, &which[i], 1);
		}
		box_close(model->box);
		/* Half a row, too, of which nobody was told; the next one is written over it. */
		box_shell(model->box, "rm \"$1\"/index.db*; cp \"$1.index\" \"$1/index.db\"; for f in \"$1\"/domains/*/expired; do printf 0123456789 >>\"$f\"; done");
		box_open(model->box);
		model_expect_marks(model, true);
	}
	assert_int_equal(tk_vault_list_points(model->box->vault, &model->box->domain, &points, &count, NULL), TK_OK);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(points[i].expired, model->points[i].expired);
		expired += points[i].expired;
	}
	assert_int_equal(expired, 12);
	free(points);
	model_free(model);
}

static enum tk_rc
expire_one(struct vault_box *box, uint64_t sequence, struct tk_vault_expiry *out)
{
	struct tk_head at = {.epoch = 1, .sequence = sequence};

	return tk_vault_expire(box->vault, &box->domain, &at, 1, out, NULL);
}

static void
the_newest_point_and_unknown_ones_are_refused(void **state)
{
	struct vault_box *box = *state;
	struct tk_head both[2] = {{.epoch = 1, .sequence = 1}, {.epoch = 1, .sequence = 9}};
	struct tk_vault_expiry expiry;

	publish_small(box, 1, NULL, NULL);
	assert_int_equal(expire_one(box, 1, &expiry), TK_EINVAL);
	publish_small(box, 2, NULL, NULL);
	assert_int_equal(expire_one(box, 2, &expiry), TK_EINVAL);
	assert_int_equal(expire_one(box, 3, &expiry), TK_ENOENT);
	/* All or none. */
	assert_int_equal(tk_vault_expire(box->vault, &box->domain, both, 2, &expiry, NULL), TK_ENOENT);
	assert_int_equal(box_count(box, "domains/*/expired"), 0);
	both[1].sequence = 1;
	assert_int_equal(tk_vault_expire(box->vault, &box->domain, both, 2, &expiry, NULL), TK_OK);
	assert_int_equal(expiry.points, 1);
	assert_int_equal(expiry.blobs, 2);
	assert_int_equal(expiry.sealed_bytes, 2 * 3016);
	/* Twice is harmless. */
	assert_int_equal(expire_one(box, 1, &expiry), TK_OK);
	assert_int_equal(expiry.points, 0);
	box_shell(box, "test $(stat -c %s \"$1\"/domains/*/expired) = 32");
}

/* An index that is wrong is found before anything is written. */
static void
a_count_does_not_fall_below_zero(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault_expiry expiry;
	struct tk_pack_marks marks = {0};
	struct tk_pack_row row;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_buf record = {0};
	struct tk_head at;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	publish_small(box, 2, NULL, NULL);
	assert_int_equal(tk_vindex_pack(box->vault->index, &pack.ident.name, &row, &marks, NULL), TK_OK);
	/* Of the data; the page keeps its own. */
	memset(marks.counts.data, 0, TK_COUNT_BYTES);
	assert_int_equal(tk_vindex_put_marks(box->vault->index, &pack.ident.name, &marks, NULL), TK_OK);
	assert_int_equal(expire_one(box, 1, &expiry), TK_ECORRUPT);
	assert_int_equal(box_count(box, "domains/*/expired"), 0);
	assert_int_equal(tk_vindex_pack(box->vault->index, &pack.ident.name, &row, &marks, NULL), TK_OK);
	assert_int_equal(tk_count_get(&marks.counts, 1), 1);
	assert_int_equal(tk_bit_count(&marks.condemned), 0);
	/* As the error says. */
	lose_index(box);
	assert_int_equal(expire_one(box, 1, &expiry), TK_OK);
	assert_int_equal(expiry.blobs, 2);
	tk_pack_marks_release(&marks);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static enum tk_rc
refuse_findings(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err)
{
	size_t *looked_at = ctx;

	(*looked_at)++;
	return finding->rc ? tk_err_set(err, finding->rc, "%s", finding->text) : TK_OK;
}

/* Its record and its receipt stay; it does not come back, and what it lacks is no damage. */
static void
an_expired_point_is_told_as_such(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0}, first = {0}, again = {0};
	struct tk_store_point *points = NULL;
	struct tk_vault *reader = NULL;
	struct tk_vault_expiry expiry;
	struct tk_vault_blob *blobs;
	struct tk_pack_name at = {{0}};
	struct tk_store_state now;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head head;
	size_t count, dropped, looked_at = 0;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &record, &head);
	assert_int_equal(publish(box, &record, &first, NULL), TK_OK);
	publish_small(box, 2, NULL, NULL);
	assert_int_equal(expire_one(box, 1, &expiry), TK_OK);
	assert_int_equal(tk_vault_next_condemned(box->vault, &at, &blobs, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_int_equal(tk_vault_drop(box->vault, blobs, count, &dropped, NULL), TK_OK);
	free(blobs);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(tk_vault_list_points(box->vault, &box->domain, &points, &count, NULL), TK_OK);
		assert_int_equal(count, 2);
		assert_true(points[0].expired && !points[1].expired);
		free(points);
		assert_int_equal(tk_vault_get_point(box->vault, &box->domain, &head, &again, NULL), TK_OK);
		assert_int_equal(again.len_bytes, record.len_bytes);
		tk_buf_clear(&again);
		assert_int_equal(publish(box, &record, &again, NULL), TK_OK);
		assert_int_equal(again.len_bytes, first.len_bytes);
		assert_memory_equal(again.data, first.data, first.len_bytes);
		tk_buf_clear(&again);
		assert_int_equal(tk_vault_verify_all(box->vault, refuse_findings, &looked_at, NULL), TK_OK);
		assert_true(looked_at > 0);
		lose_index(box);
	}
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &reader, NULL), TK_OK);
	assert_int_equal(tk_vault_list_points(reader, &box->domain, &points, &count, NULL), TK_OK);
	assert_true(count == 2 && points[0].expired && !points[1].expired);
	assert_int_equal(tk_vault_state(reader, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.head.sequence, 2);
	free(points);
	tk_vault_close(reader);
	/* A receipt is not given anew for what is not here. */
	box_close(box);
	box_shell(box, "flip 70 $(ls \"$1\"/domains/*/receipts/*0001-* | head -n 1)");
	box_open(box);
	assert_int_equal(publish(box, &record, &again, NULL), TK_ECONFLICT);
	made_pack_release(&pack);
	tk_buf_release(&record);
	tk_buf_release(&first);
	tk_buf_release(&again);
}

/* The list outlives receipt and index: who brings the point again is told so. */
static void
an_expired_point_whose_receipt_is_lost_does_not_come_back(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault_expiry expiry;
	struct tk_buf record = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	publish_small(box, 1, NULL, NULL);
	make_point(box, 2, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	publish_small(box, 3, NULL, NULL);
	assert_int_equal(expire_one(box, 2, &expiry), TK_OK);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db* \"$1\"/domains/*/receipts/*0002-*");
	box_open(box);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_ECONFLICT);
	/* As good as any other that comes late, if it is not that one. */
	tk_buf_clear(&record);
	make_point(box, 2, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

/* A vault that lost receipts is let in again without those points, and without their counts. */
static void
a_lost_point_takes_its_counts_with_it(void **state)
{
	struct model *model = model_new(*state, 9);
	struct tk_vault_lacks lacks;
	char command[128];

	for (int i = 0; i < 12; i++)
		model_publish_any(model);
	box_close(model->box);
	for (size_t i = 2; i < 8; i += 2) {
		(void)snprintf(command, sizeof(command), "rm \"$1\"/domains/*/receipts/*-%016zx-*", i + 1);
		box_shell(model->box, command);
		model->points[i].expired = true;
	}
	box_open(model->box);
	assert_int_equal(tk_vault_readmit(model->box->vault, true, &lacks, NULL), TK_OK);
	tk_vault_lacks_release(&lacks);
	model_expect_marks(model, true);
	model_free(model);
}

/* Nothing of a point that is not whole is counted, so that another's expiry could take what it still has. */
static void
a_point_that_is_not_whole_holds_up_the_others(void **state)
{
	struct vault_box *box = *state;
	static const struct made_blob own[] = {{.type = TK_BLOB_DATA}};
	struct made_blob over[] = {{.type = TK_BLOB_LEAF, .ref_count = 2}};
	struct made_pack kept, lost, page;
	const struct made_pack *first[] = {&kept}, *second[] = {&lost, &page};
	struct made_blob kept_blobs[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_LEAF, .refs = {{OWN_PACK, 0}}, .ref_count = 1}};
	struct tk_head at[2] = {{.epoch = 1, .sequence = 1}, {.epoch = 1, .sequence = 2}};
	struct tk_vault_expiry expiry;
	struct tk_buf record = {0};
	struct tk_err err;
	char hex[65], command[256];

	make_pack(box, kept_blobs, 2, &kept);
	store_pack(box, &kept);
	make_point(box, 1, &kept, 1, first, 1, &record, &at[0]);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	/* The second needs the first one's data, and a pack that is lost with the index. */
	make_pack(box, own, 1, &lost);
	store_pack(box, &lost);
	over[0].refs[0] = (struct tk_blob_ref){kept.number, 0};
	over[0].refs[1] = (struct tk_blob_ref){lost.number, 0};
	make_pack(box, over, 1, &page);
	store_pack(box, &page);
	tk_buf_clear(&record);
	make_point(box, 2, &page, 0, second, 2, &record, &at[1]);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	publish_small(box, 3, NULL, NULL);
	box_close(box);
	for (size_t i = 0; i < sizeof(lost.ident.name.b); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", lost.ident.name.b[i]);
	(void)snprintf(command, sizeof(command), "rm \"$1\"/index.db* \"$1\"/packs/small/%s", hex);
	box_shell(box, command);
	box_open(box);
	assert_int_equal(tk_vault_expire(box->vault, &box->domain, &at[0], 1, &expiry, &err), TK_ECONFLICT);
	assert_non_null(strstr(err.text, "point 2 of epoch 1 is not whole"));
	/* Healed, it counts; */
	store_pack(box, &lost);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	assert_int_equal(expire_one(box, 1, &expiry), TK_OK);
	assert_int_equal(expiry.blobs, 1);
	/* or it goes itself, with what it has. */
	box_close(box);
	box_shell(box, command);
	box_open(box);
	assert_int_equal(expire_one(box, 2, &expiry), TK_OK);
	assert_int_equal(expiry.points, 1);
	assert_true(expiry.blobs >= 2);
	made_pack_release(&kept);
	made_pack_release(&lost);
	made_pack_release(&page);
	tk_buf_release(&record);
}

/* Points that change alike: a page of its own and data of its own each, and what all have in common. */
static struct tk_vault_expiry
cost_of_one_among(void **state, size_t points)
{
	struct vault_box *box = *state;
	struct made_blob blobs[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_LEAF, .refs = {{OWN_PACK, 0}}, .ref_count = 1},
		{.type = TK_BLOB_NODE, .refs = {{OWN_PACK, 1}}, .ref_count = 2}};
	struct tk_vault_expiry expiry;
	struct made_pack common, pack;
	const struct made_pack *adds[] = {&pack};
	struct tk_buf record = {0};
	struct tk_head at;

	make_small_pack(box, &common);
	store_pack(box, &common);
	blobs[2].refs[1] = (struct tk_blob_ref){common.number, 1};
	for (size_t i = 1; i <= points; i++) {
		make_pack(box, blobs, 3, &pack);
		assert_int_equal(send_pack(box, &pack, NULL), TK_OK);
		tk_buf_clear(&record);
		make_point(box, i, &pack, 2, adds, 1, &record, &at);
		assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
		made_pack_release(&pack);
	}
	assert_int_equal(expire_one(box, points / 2, &expiry), TK_OK);
	made_pack_release(&common);
	tk_buf_release(&record);
	return expiry;
}

static void
the_cost_is_that_of_what_goes(void **state)
{
	struct tk_vault_expiry few = cost_of_one_among(state, 10), many;

	assert_int_equal(box_teardown(state), 0);
	assert_int_equal(box_setup_fast(state), 0);
	many = cost_of_one_among(state, 1000);
	assert_int_equal(few.blobs, 3);
	assert_int_equal(many.blobs, few.blobs);
	assert_int_equal(few.packs_read, 1);
	assert_int_equal(many.packs_read, few.packs_read);
	assert_int_equal(few.refs_followed, 3);
	assert_int_equal(many.refs_followed, few.refs_followed);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup_fast, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(references_are_counted_and_counted_again_alike),
		IN_BOX(an_index_without_counts_is_counted_when_it_is_opened),
		IN_BOX(what_is_condemned_is_what_no_point_reaches),
		IN_BOX(what_points_need_is_served_after_every_drop),
		IN_BOX(a_pack_that_is_sent_again_is_counted_again),
		IN_BOX(a_lost_index_is_counted_anew_as_it_was),
		IN_BOX(an_expiry_that_was_cut_short_is_finished_when_the_vault_is_opened),
		IN_BOX(the_newest_point_and_unknown_ones_are_refused),
		IN_BOX(a_count_does_not_fall_below_zero),
		IN_BOX(an_expired_point_is_told_as_such),
		IN_BOX(an_expired_point_whose_receipt_is_lost_does_not_come_back),
		IN_BOX(a_lost_point_takes_its_counts_with_it),
		IN_BOX(a_point_that_is_not_whole_holds_up_the_others),
		IN_BOX(the_cost_is_that_of_what_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
