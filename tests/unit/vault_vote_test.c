/* Votes and epochs: one vote a number, and a promise fences what is older. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"
#include "tests/unit/vault_fixture.h"

static enum tk_rc
vote(struct vault_box *box, const struct tk_buf *grant, struct tk_vote *out)
{
	struct tk_buf record = {0};
	struct tk_vote own;
	enum tk_rc rc = tk_vault_vote(box->vault, grant->data, grant->len_bytes, &record, NULL);

	if (!rc)
		assert_int_equal(tk_vote_decode(record.data, record.len_bytes, out ? out : &own, NULL), TK_OK);
	tk_buf_release(&record);
	return rc;
}

/* A point of any epoch over a new small pack that is stored already. */
static void
point_with_opening(struct vault_box *box, uint64_t epoch, uint64_t sequence, const struct tk_digest *grant, const struct tk_buf *opening,
		   const struct tk_digest *parent, const uint8_t *seed, struct tk_buf *record)
{
	struct tk_point point = {.at.epoch = epoch, .at.sequence = sequence, .grant = *grant, .root_blob = 1};
	struct made_pack pack;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	point.packs = &pack.ident;
	point.pack_count = 1;
	point.root_pack = pack.ident.name;
	if (parent)
		point.parent = *parent;
	if (opening)
		point.opening = *opening;
	make_any_point(box, &point, seed, record);
	made_pack_release(&pack);
}

/* opens: the record of the grant whose epoch the point opens, or NULL. */
static void
point_of_epoch(struct vault_box *box, uint64_t epoch, uint64_t sequence, const struct tk_digest *grant, const struct tk_buf *opens,
	       const struct tk_digest *parent, const uint8_t *seed, struct tk_buf *record)
{
	struct tk_buf opening = {0};
	struct tk_grant brought;

	if (opens) {
		assert_int_equal(tk_grant_decode(opens->data, opens->len_bytes, &brought, NULL), TK_OK);
		make_opening(box, &brought, opens, &opening);
	}
	point_with_opening(box, epoch, sequence, grant, opens ? &opening : NULL, parent, seed, record);
	tk_buf_release(&opening);
}

static void
a_vote_names_the_head_that_the_site_holds(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant grant = {0};
	struct tk_buf record = {0};
	struct tk_vote first, again;
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	make_grant(box, 2, NULL, &grant, &record);
	assert_int_equal(vote(box, &record, &first), TK_OK);
	assert_int_equal(first.epoch, 2);
	assert_memory_equal(&first.grant, &grant.digest, sizeof(grant.digest));
	assert_memory_equal(&first.head, &at, sizeof(at));
	assert_int_equal(vote(box, &record, &again), TK_OK);
	assert_memory_equal(&first, &again, sizeof(first));
	tk_buf_release(&record);
}

static void
a_number_is_voted_for_once_even_over_a_restart(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant grant = {0}, rival = {.created_ns = 5}, older = {0};
	struct tk_buf first = {0}, second = {0}, third = {0};
	struct tk_store_state now;

	make_grant(box, 3, NULL, &grant, &first);
	make_grant(box, 3, NULL, &rival, &second);
	make_grant(box, 2, NULL, &older, &third);
	assert_int_equal(vote(box, &first, NULL), TK_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vote(box, &second, NULL), TK_EFENCED);
		assert_int_equal(vote(box, &third, NULL), TK_EFENCED);
		assert_int_equal(vote(box, &first, NULL), TK_OK);
		box_close(box);
		box_open(box);
	}
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.promised_epoch, 3);
	assert_memory_equal(&now.promised_grant, &grant.digest, sizeof(grant.digest));
	tk_buf_release(&first);
	tk_buf_release(&second);
	tk_buf_release(&third);
}

static void
a_vote_fences_the_epoch_before(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, record = {0}, old = {0}, receipt = {0};
	struct tk_grant grant = {0};

	point_of_epoch(box, 1, 1, &box->grant_digest, NULL, NULL, NULL, &old);
	assert_int_equal(publish(box, &old, &receipt, NULL), TK_OK);
	make_grant(box, 2, NULL, &grant, &grant_record);
	assert_int_equal(vote(box, &grant_record, NULL), TK_OK);
	point_of_epoch(box, 1, 2, &box->grant_digest, NULL, NULL, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_EFENCED);
	assert_int_equal(vote(box, &box->grant, NULL), TK_EFENCED);
	/* What was published before the vote keeps the receipt it got then. */
	assert_int_equal(publish(box, &old, &receipt, NULL), TK_OK);
	assert_memory_equal(receipt.data, receipt.data + receipt.len_bytes / 2, receipt.len_bytes / 2);
	tk_buf_release(&grant_record);
	tk_buf_release(&record);
	tk_buf_release(&old);
	tk_buf_release(&receipt);
}

static void
the_first_point_of_an_epoch_brings_its_grant(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, bare = {0}, full = {0}, next = {0}, stored = {0};
	struct tk_grant grant = {0};
	struct tk_store_state now;
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	make_grant(box, 2, NULL, &grant, &grant_record);
	point_of_epoch(box, 2, 2, &grant.digest, NULL, &at.point, NULL, &bare);
	assert_int_equal(publish(box, &bare, NULL, NULL), TK_EDENIED);
	point_of_epoch(box, 2, 2, &grant.digest, &grant_record, &at.point, NULL, &full);
	assert_int_equal(publish(box, &full, NULL, NULL), TK_OK);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.promised_epoch, 2);
	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_GRANT, 2, &stored, NULL), TK_OK);
	assert_memory_equal(stored.data, grant_record.data, stored.len_bytes);
	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_GRANT, 3, &stored, NULL), TK_ENOENT);
	/* From then on the grant is known. */
	point_of_epoch(box, 2, 3, &grant.digest, NULL, &now.head.point, NULL, &next);
	assert_int_equal(publish(box, &next, NULL, NULL), TK_OK);
	/* The number is promised: the same grant may still be voted for, no other. */
	assert_int_equal(vote(box, &grant_record, NULL), TK_OK);
	tk_buf_release(&grant_record);
	tk_buf_release(&bare);
	tk_buf_release(&full);
	tk_buf_release(&next);
	tk_buf_release(&stored);
}

static void
an_epoch_is_not_opened_by_votes_that_do_not_hold(void **state)
{
	/* The site set is the end of an opening, behind the two bytes of `least` and its count. */
	const size_t set_bytes = 3 * (TK_ID_BYTES + TK_KEY_BYTES + 1);
	const struct {
		size_t from_end;
		uint8_t flip;
		enum tk_rc rc;
	} rows[] = {
		{set_bytes - TK_ID_BYTES, 1, TK_EDENIED},  /* the key of a site that voted */
		{set_bytes + 2, 1, TK_EDENIED},            /* one site must count, and none does */
		{set_bytes + 3, 1, TK_ECORRUPT},           /* the signature of the last vote */
	};
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, opening = {0}, record = {0};
	struct tk_grant grant = {0};
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	make_grant(box, 2, NULL, &grant, &grant_record);
	make_opening(box, &grant, &grant_record, &opening);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *byte = &opening.data[opening.len_bytes - rows[i].from_end];

		*byte ^= rows[i].flip;
		tk_buf_clear(&record);
		point_with_opening(box, 2, 2, &grant.digest, &opening, &at.point, NULL, &record);
		assert_int_equal(publish(box, &record, NULL, NULL), rows[i].rc);
		assert_int_equal(box_count(box, "domains/*/grants/*"), 0);
		*byte ^= rows[i].flip;
	}
	tk_buf_clear(&record);
	point_with_opening(box, 2, 2, &grant.digest, &opening, &at.point, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	tk_buf_release(&grant_record);
	tk_buf_release(&opening);
	tk_buf_release(&record);
}

static void
a_voted_grant_still_wants_the_opening_in_its_first_point(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, bare = {0}, full = {0};
	struct tk_grant grant = {0};
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	make_grant(box, 2, NULL, &grant, &grant_record);
	assert_int_equal(vote(box, &grant_record, NULL), TK_OK);
	point_of_epoch(box, 2, 2, &grant.digest, NULL, &at.point, NULL, &bare);
	assert_int_equal(publish(box, &bare, NULL, NULL), TK_EINVAL);
	point_of_epoch(box, 2, 2, &grant.digest, &grant_record, &at.point, NULL, &full);
	assert_int_equal(publish(box, &full, NULL, NULL), TK_OK);
	tk_buf_release(&grant_record);
	tk_buf_release(&bare);
	tk_buf_release(&full);
}

static void
a_writer_renews_its_own_epoch_and_nobody_else_does(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant stolen = {0}, given = {0}, later = {0}, renewal = {0};
	uint8_t thief[TK_KEY_BYTES] = {42}, other[TK_KEY_BYTES];
	struct tk_buf record = {0};
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	make_grant(box, 2, thief, &stolen, &record);
	assert_int_equal(vote(box, &record, NULL), TK_EDENIED);
	tk_buf_clear(&record);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, thief, other, NULL), TK_OK);
	memcpy(given.writer_key, other, sizeof(other));
	make_grant(box, 2, box->ring.writer_seed, &given, &record);
	assert_int_equal(vote(box, &record, NULL), TK_EDENIED);
	assert_int_equal(box_count(box, "domains/*/votes/*") + box_count(box, "domains/*/grants/*"), 0);
	tk_buf_clear(&record);
	make_grant(box, 2, box->ring.writer_seed, &renewal, &record);
	assert_int_equal(vote(box, &record, NULL), TK_OK);
	assert_int_equal(vote(box, &record, NULL), TK_OK);
	/* This site may have missed epochs: the parent of a later renewal need not be what it promised. */
	tk_buf_clear(&record);
	memset(&later.parent, 8, sizeof(later.parent));
	make_grant(box, 5, box->ring.writer_seed, &later, &record);
	assert_int_equal(vote(box, &record, NULL), TK_OK);
	tk_buf_release(&record);
}

/* A first run that too few sites answered leaves one with epoch 1 promised and one with nothing: both must take the next. */
static void
a_site_that_promised_nothing_knows_the_writer_from_the_genesis(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant stolen = {0}, renewal = {0};
	uint8_t thief[TK_KEY_BYTES] = {42};
	struct tk_buf record = {0};

	make_grant(box, 2, thief, &stolen, &record);
	assert_int_equal(vote(box, &record, NULL), TK_EDENIED);
	tk_buf_clear(&record);
	make_grant(box, 2, box->ring.writer_seed, &renewal, &record);
	assert_int_equal(vote(box, &record, NULL), TK_OK);
	tk_buf_release(&record);
}

static void
a_new_writer_takes_over_with_its_own_key(void **state)
{
	struct vault_box *box = *state;
	uint8_t seed[TK_KEY_BYTES] = {77};
	struct tk_buf grant_record = {0}, by_old = {0}, by_new = {0};
	struct tk_grant grant = {0};
	struct tk_head at;

	publish_small(box, 1, &at, NULL);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, seed, grant.writer_key, NULL), TK_OK);
	make_grant(box, 2, NULL, &grant, &grant_record);
	assert_int_equal(vote(box, &grant_record, NULL), TK_OK);
	point_of_epoch(box, 2, 2, &grant.digest, &grant_record, &at.point, NULL, &by_old);
	assert_int_equal(publish(box, &by_old, NULL, NULL), TK_EDENIED);
	point_of_epoch(box, 2, 2, &grant.digest, &grant_record, &at.point, seed, &by_new);
	assert_int_equal(publish(box, &by_new, NULL, NULL), TK_OK);
	tk_buf_release(&grant_record);
	tk_buf_release(&by_old);
	tk_buf_release(&by_new);
}

static void
a_damaged_vote_fences_everyone(void **state)
{
	struct vault_box *box = *state;
	struct tk_grant grant = {0};
	struct tk_buf record = {0};
	struct tk_store_state now;

	make_grant(box, 2, NULL, &grant, &record);
	assert_int_equal(vote(box, &record, NULL), TK_OK);
	box_close(box);
	box_shell(box, "flip 60 \"$(echo \"$1\"/domains/*/votes/*)\"");
	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.promised_epoch, 2);
	assert_int_equal(vote(box, &record, NULL), TK_ECORRUPT);
	assert_int_equal(vote(box, &box->grant, NULL), TK_EFENCED);
	tk_buf_release(&record);
}

static struct tk_digest
id_of(const struct tk_buf *record)
{
	struct tk_point point = {0};
	struct tk_digest id;

	assert_int_equal(tk_point_decode(record->data, record->len_bytes, &point, NULL), TK_OK);
	id = point.at.point;
	tk_point_release(&point);
	return id;
}

/* Publishes a point of epoch 1 under the promise of epoch 2, which stays what it was. */
static enum tk_rc
publish_ended(struct vault_box *box, const struct tk_buf *record, const struct tk_digest *head)
{
	struct tk_store_state now;
	struct tk_buf bytes = {0};
	struct tk_receipt receipt;
	enum tk_rc rc = publish(box, record, &bytes, NULL);

	if (!rc) {
		assert_int_equal(tk_receipt_decode(bytes.data, bytes.len_bytes, &receipt, NULL), TK_OK);
		assert_int_equal(receipt.at.epoch, 1);
		assert_int_equal(receipt.promised_epoch, 2);
	}
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.promised_epoch, 2);
	assert_memory_equal(&now.head.point, head, sizeof(*head));
	tk_buf_release(&bytes);
	return rc;
}

/* A vault that was made anew begins with the epoch that it promised, and takes what lies before from there downwards. */
static void
ancestors_of_what_is_held_come_in_after_their_epoch_and_count_for_nothing(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf grant_record = {0}, first = {0}, second = {0}, rival = {0}, opens = {0};
	struct tk_digest first_id, second_id, head;
	struct tk_grant grant = {0};

	make_grant(box, 2, NULL, &grant, &grant_record);
	point_of_epoch(box, 1, 1, &box->grant_digest, NULL, NULL, NULL, &first);
	first_id = id_of(&first);
	point_of_epoch(box, 1, 2, &box->grant_digest, NULL, &first_id, NULL, &second);
	point_of_epoch(box, 1, 2, &box->grant_digest, NULL, &first_id, NULL, &rival);
	second_id = id_of(&second);
	point_of_epoch(box, 2, 3, &grant.digest, &grant_record, &second_id, NULL, &opens);
	head = id_of(&opens);
	assert_int_equal(publish(box, &opens, NULL, NULL), TK_OK);

	assert_int_equal(publish_ended(box, &first, &head), TK_EFENCED);
	assert_int_equal(publish_ended(box, &rival, &head), TK_EFENCED);
	assert_int_equal(publish_ended(box, &second, &head), TK_OK);
	assert_int_equal(publish_ended(box, &rival, &head), TK_ECONFLICT);
	assert_int_equal(publish_ended(box, &first, &head), TK_OK);
	/* The same from its files alone. */
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*");
	box_open(box);
	assert_int_equal(publish_ended(box, &first, &head), TK_OK);
	tk_buf_release(&grant_record);
	tk_buf_release(&first);
	tk_buf_release(&second);
	tk_buf_release(&rival);
	tk_buf_release(&opens);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_vote_names_the_head_that_the_site_holds),
		IN_BOX(a_number_is_voted_for_once_even_over_a_restart),
		IN_BOX(a_vote_fences_the_epoch_before),
		IN_BOX(the_first_point_of_an_epoch_brings_its_grant),
		IN_BOX(an_epoch_is_not_opened_by_votes_that_do_not_hold),
		IN_BOX(a_voted_grant_still_wants_the_opening_in_its_first_point),
		IN_BOX(a_writer_renews_its_own_epoch_and_nobody_else_does),
		IN_BOX(a_site_that_promised_nothing_knows_the_writer_from_the_genesis),
		IN_BOX(a_new_writer_takes_over_with_its_own_key),
		IN_BOX(a_damaged_vote_fences_everyone),
		IN_BOX(ancestors_of_what_is_held_come_in_after_their_epoch_and_count_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
