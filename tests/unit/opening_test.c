/* An epoch's opening: a site that had no part in the votes checks each, and that they are enough. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/crypto/sign.h"
#include "engine/vault/opening.h"

#define SITES 4

struct fixture {
	struct tk_grant grant;
	struct tk_buf grant_record;
	struct tk_vote votes[SITES];       /* as they are signed */
	uint8_t seeds[SITES][TK_KEY_BYTES];
	struct tk_site_set set;
	size_t order[SITES];               /* who voted */
	size_t vote_count;
};

/* Four sites, of which the first two count and one must; the first three voted. */
static void
begin(struct fixture *fx)
{
	const uint8_t operator_seed[TK_KEY_BYTES] = {1};

	memset(fx, 0, sizeof(*fx));
	fx->grant = (struct tk_grant){.suite = TK_SUITE_AES, .domain.b = {5}, .epoch = 2, .parent.b = {6}};
	assert_int_equal(tk_grant_seal(&fx->grant, operator_seed, &fx->grant_record, NULL), TK_OK);
	fx->set.count = SITES;
	fx->set.least = 1;
	fx->vote_count = 3;
	for (uint8_t i = 0; i < SITES; i++) {
		struct tk_set_site *site = &fx->set.sites[i];

		fx->seeds[i][0] = (uint8_t)(10 + i);
		site->id.b[0] = (uint8_t)(20 + i);
		site->counts = i < 2;
		assert_int_equal(tk_sign_public(TK_SUITE_AES, fx->seeds[i], site->key, NULL), TK_OK);
		fx->votes[i] = (struct tk_vote){.suite = TK_SUITE_AES, .domain = fx->grant.domain, .epoch = 2, .grant = fx->grant.digest, .site = site->id};
		fx->order[i] = i;
	}
}

/* Encodes the opening, decodes it, checks it. flip: a byte of the last vote's signature. */
static enum tk_rc
check(struct fixture *fx, bool flip, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	struct tk_opening made = {.grant = {fx->grant_record.data, fx->grant_record.len_bytes}, .vote_count = fx->vote_count, .set = fx->set}, back;
	struct tk_buf votes[SITES] = {{0}};
	enum tk_rc rc;

	for (size_t i = 0; i < fx->vote_count; i++) {
		assert_int_equal(tk_vote_seal(&fx->votes[fx->order[i]], fx->seeds[fx->order[i]], &votes[i], NULL), TK_OK);
		made.votes[i] = (struct tk_bytes){votes[i].data, votes[i].len_bytes};
	}
	if (flip)
		votes[fx->vote_count - 1].data[votes[fx->vote_count - 1].len_bytes - 1] ^= 1;
	assert_int_equal(tk_opening_encode(&made, &bytes, NULL), TK_OK);
	for (size_t len = 0; len < bytes.len_bytes; len++)
		assert_int_equal(tk_opening_decode(bytes.data, len, &back, NULL), TK_ECORRUPT);
	assert_int_equal(tk_opening_decode(bytes.data, bytes.len_bytes, &back, NULL), TK_OK);
	assert_int_equal(back.grant.len_bytes, fx->grant_record.len_bytes);
	assert_int_equal(back.set.count, SITES);
	assert_memory_equal(&back.set.sites[SITES - 1].id, &fx->set.sites[SITES - 1].id, sizeof(struct tk_id));
	rc = tk_opening_check(&back, &fx->grant, err);
	for (size_t i = 0; i < SITES; i++)
		tk_buf_release(&votes[i]);
	tk_buf_release(&fx->grant_record);
	return rc;
}

static void
expect(struct fixture *fx, enum tk_rc want, const char *text)
{
	struct tk_err err;

	assert_int_equal(check(fx, false, &err), want);
	assert_non_null(strstr(err.text, text));
}

static void
votes_of_a_majority_and_of_enough_that_count_open_an_epoch(void **state)
{
	struct fixture fx;

	(void)state;
	begin(&fx);
	assert_int_equal(check(&fx, false, NULL), TK_OK);
	begin(&fx);
	fx.order[0] = SITES - 1;
	assert_int_equal(check(&fx, false, NULL), TK_OK);
	/* Half of the sites. */
	begin(&fx);
	fx.vote_count = 2;
	expect(&fx, TK_EDENIED, "2 votes of 4 sites are too few");
	/* Three, but of those that count only one where two must be. */
	begin(&fx);
	fx.set.least = 2;
	fx.order[0] = SITES - 1;
	expect(&fx, TK_EDENIED, "too few");
}

static void
a_forged_vote_is_refused(void **state)
{
	struct fixture fx;
	struct tk_err err;

	(void)state;
	begin(&fx);
	assert_int_equal(check(&fx, true, &err), TK_ECORRUPT);
	assert_non_null(strstr(err.text, "vote 3 of 3 for epoch 2"));
	/* In a site's name, by another key. */
	begin(&fx);
	fx.seeds[2][0] = 99;
	expect(&fx, TK_EDENIED, "no site of the set signed it");
	/* By a key of the set, in another site's name. */
	begin(&fx);
	fx.votes[2].site = fx.votes[3].site;
	expect(&fx, TK_EDENIED, "no site of the set signed it");
	begin(&fx);
	fx.order[2] = 1;
	expect(&fx, TK_EDENIED, "voted already");
}

static void
a_vote_for_something_else_is_refused(void **state)
{
	struct fixture fx;

	(void)state;
	begin(&fx);
	fx.votes[1].epoch = 3;
	expect(&fx, TK_EDENIED, "for another grant");
	begin(&fx);
	fx.votes[1].grant.b[31] ^= 1;
	expect(&fx, TK_EDENIED, "for another grant");
	begin(&fx);
	fx.votes[1].domain.b[0] ^= 1;
	expect(&fx, TK_EDENIED, "for another grant");
}

static void
a_site_that_was_never_met_counts_in_the_set_and_has_no_vote(void **state)
{
	struct fixture fx;

	(void)state;
	begin(&fx);
	memset(fx.set.sites[3].key, 0, sizeof(fx.set.sites[3].key));
	assert_int_equal(check(&fx, false, NULL), TK_OK);
	begin(&fx);
	memset(fx.set.sites[2].key, 0, sizeof(fx.set.sites[2].key));
	expect(&fx, TK_EDENIED, "no site of the set signed it");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(votes_of_a_majority_and_of_enough_that_count_open_an_epoch),
		cmocka_unit_test(a_forged_vote_is_refused),
		cmocka_unit_test(a_vote_for_something_else_is_refused),
		cmocka_unit_test(a_site_that_was_never_met_counts_in_the_set_and_has_no_vote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
