/* Publishing points: what is refused, what is named as missing, and that a receipt once given is given again. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"
#include "tests/unit/vault_fixture.h"

static void
release3(struct tk_buf *a, struct tk_buf *b, struct tk_buf *c)
{
	tk_buf_release(a);
	tk_buf_release(b);
	tk_buf_release(c);
}

static void
a_point_is_published_with_a_receipt_that_says_so(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_state now;
	struct tk_receipt receipt;
	struct tk_head at;

	publish_small(box, 1, &at, &receipt);
	assert_memory_equal(&receipt.at, &at, sizeof(at));
	assert_memory_equal(&receipt.site, &tk_vault_site(box->vault)->site_id, sizeof(receipt.site));
	assert_memory_equal(receipt.site_key, tk_vault_site(box->vault)->site_key, TK_KEY_BYTES);
	assert_string_equal(receipt.site_name, "site-a");
	assert_int_equal(receipt.counter, 1);
	assert_int_equal(receipt.promised_epoch, 1);
	publish_small(box, 2, &at, &receipt);
	assert_int_equal(receipt.counter, 2);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.domain_known && !now.read_only);
	assert_int_equal(now.receipt_counter, 2);
	assert_int_equal(now.promised_epoch, 1);
	assert_memory_equal(&now.promised_grant, &box->grant_digest, sizeof(now.promised_grant));
	assert_memory_equal(&now.head, &at, sizeof(at));
}

static void
the_same_point_again_gives_the_same_receipt(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0}, first = {0}, again = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, &first, NULL), TK_OK);
	assert_int_equal(publish(box, &record, &again, NULL), TK_OK);
	assert_int_equal(first.len_bytes, again.len_bytes);
	assert_memory_equal(first.data, again.data, first.len_bytes);
	/* One that was damaged since is given anew, with a number of its own. */
	box_shell(box, "flip 60 \"$(echo \"$1\"/domains/*/receipts/*)\"");
	tk_buf_clear(&again);
	assert_int_equal(publish(box, &record, &again, NULL), TK_OK);
	assert_true(first.len_bytes != again.len_bytes || memcmp(first.data, again.data, first.len_bytes) != 0);
	made_pack_release(&pack);
	release3(&record, &first, &again);
}

static void
another_point_of_a_known_sequence_is_a_conflict(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf first = {0}, second = {0}, none = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &first, &at);
	make_point(box, 1, &pack, 1, packs, 1, &second, &at);
	assert_int_equal(publish(box, &first, NULL, NULL), TK_OK);
	assert_int_equal(publish(box, &second, NULL, NULL), TK_ECONFLICT);
	assert_int_equal(publish(box, &first, NULL, NULL), TK_OK);
	made_pack_release(&pack);
	release3(&first, &second, &none);
}

static void
a_reference_that_cannot_be_served_is_refused_and_its_pack_named(void **state)
{
	static const struct made_blob data[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_DATA}};
	struct vault_box *box = *state;
	struct made_pack here, lost, pages;
	struct made_blob tree[] = {{.type = TK_BLOB_LEAF, .ref_count = 2}, {.type = TK_BLOB_NODE, .refs = {{OWN_PACK, 0}}, .ref_count = 1}};
	const struct made_pack *packs[] = {&pages, &here};
	struct tk_pack_names missing = {0};
	struct tk_buf record = {0}, none = {0};
	struct tk_store_state now;
	struct tk_head at;

	make_pack(box, data, 2, &here);
	make_pack(box, data, 2, &lost);
	tree[0].refs[0] = (struct tk_blob_ref){here.number, 1};
	tree[0].refs[1] = (struct tk_blob_ref){lost.number, 0};
	make_pack(box, tree, 2, &pages);
	make_point(box, 1, &pages, 1, packs, 2, &record, &at);
	/* Of nothing that is there, all that the point itself names is asked for. */
	assert_int_equal(publish(box, &record, NULL, &missing), TK_EMISSING);
	assert_int_equal(missing.count, 2);
	tk_pack_names_release(&missing);
	store_pack(box, &here);
	store_pack(box, &pages);
	assert_int_equal(publish(box, &record, NULL, &missing), TK_EMISSING);
	assert_int_equal(missing.count, 1);
	assert_memory_equal(&missing.names[0], &lost.ident.name, sizeof(lost.ident.name));
	tk_pack_names_release(&missing);
	assert_int_equal(box_count(box, "domains/*/points/*") + box_count(box, "domains/*/receipts/*"), 0);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_int_equal(now.head.epoch, 0);
	store_pack(box, &lost);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	made_pack_release(&here);
	made_pack_release(&lost);
	made_pack_release(&pages);
	release3(&record, &none, &none);
}

static void
a_reference_past_the_last_blob_is_no_point(void **state)
{
	static const struct made_blob data[] = {{.type = TK_BLOB_DATA}};
	struct made_blob page[] = {{.type = TK_BLOB_LEAF, .ref_count = 1}};
	struct vault_box *box = *state;
	struct made_pack content, pages;
	const struct made_pack *packs[] = {&pages, &content};
	struct tk_buf record = {0}, as_root = {0}, none = {0};
	struct tk_head at;

	make_pack(box, data, 1, &content);
	page[0].refs[0] = (struct tk_blob_ref){content.number, 1};
	make_pack(box, page, 1, &pages);
	store_pack(box, &content);
	store_pack(box, &pages);
	make_point(box, 1, &pages, 0, packs, 2, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_ECORRUPT);
	make_point(box, 1, &content, 0, packs, 2, &as_root, &at);
	assert_int_equal(publish(box, &as_root, NULL, NULL), TK_ECORRUPT);
	made_pack_release(&content);
	made_pack_release(&pages);
	release3(&record, &as_root, &none);
}

static void
an_added_pack_must_be_the_very_pack(void **state)
{
	struct vault_box *box = *state;
	struct tk_pack_ident ident;
	struct tk_buf record = {0};
	struct made_pack pack;
	struct tk_point point = {.at.sequence = 1, .packs = &ident, .pack_count = 1, .root_blob = 1};

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	ident = pack.ident;
	ident.footer.b[3] ^= 1;
	point.root_pack = pack.ident.name;
	make_any_point(box, &point, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_ECONFLICT);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
only_the_writer_of_the_epoch_may_publish(void **state)
{
	struct vault_box *box = *state;
	uint8_t thief[TK_KEY_BYTES] = {42};
	struct tk_buf record = {0};
	struct made_pack pack;
	struct tk_point point = {.at.sequence = 1, .root_blob = 1};

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	point.packs = &pack.ident;
	point.pack_count = 1;
	point.root_pack = pack.ident.name;
	make_any_point(box, &point, thief, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_EDENIED);
	tk_buf_clear(&record);
	point.at.epoch = 2;
	memset(&point.grant, 5, sizeof(point.grant));
	make_any_point(box, &point, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_EDENIED);
	record.data[40] ^= 1;
	assert_int_equal(publish(box, &record, NULL, NULL), TK_ECORRUPT);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
an_unknown_domain_is_told(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_state now;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_buf record = {0};
	struct tk_id first = box->domain;
	struct tk_head at;

	assert_int_equal(tk_keyring_add_domain(&box->ring, &box->domain, NULL), TK_OK);
	make_small_pack(box, &pack);
	store_pack(box, &pack);
	make_point(box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_ENOENT);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_false(now.domain_known);
	/* Nor may a point of the known domain stand on the other's pack. */
	box->domain = first;
	tk_buf_clear(&record);
	make_point(box, 1, &pack, 1, NULL, 0, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_EDENIED);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
a_genesis_record_is_stored_once(void **state)
{
	struct vault_box *box = *state;
	struct tk_genesis other = {.suite = TK_SUITE_AES, .domain = box->domain, .source_name = "other"};
	struct tk_buf record = {0};

	assert_int_equal(tk_vault_put_genesis(box->vault, box->genesis.data, box->genesis.len_bytes, NULL), TK_OK);
	assert_int_equal(tk_genesis_seal(&other, box->ring.operator_seed, &record, NULL), TK_OK);
	assert_int_equal(tk_vault_put_genesis(box->vault, record.data, record.len_bytes, NULL), TK_ECONFLICT);
	tk_buf_clear(&record);
	assert_int_equal(tk_vault_get_record(box->vault, &box->domain, TK_RECORD_GENESIS, 0, &record, NULL), TK_OK);
	assert_memory_equal(record.data, box->genesis.data, record.len_bytes);
	tk_buf_release(&record);
}

static void
a_parent_that_is_known_must_lie_before(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0};
	struct made_pack pack;
	struct tk_head at;
	struct tk_point point = {.at.sequence = 3, .root_blob = 1};

	publish_small(box, 5, &at, NULL);
	make_small_pack(box, &pack);
	store_pack(box, &pack);
	point.packs = &pack.ident;
	point.pack_count = 1;
	point.root_pack = pack.ident.name;
	point.parent = at.point;
	make_any_point(box, &point, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_EINVAL);
	/* An unknown one may be anywhere, and a point that comes late is stored without becoming the head. */
	memset(&point.parent, 3, sizeof(point.parent));
	tk_buf_clear(&record);
	make_any_point(box, &point, NULL, &record);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
carried_over_blobs_are_not_followed_again(void **state)
{
	struct vault_box *box = *state;
	struct made_pack first, second;
	struct made_blob node[] = {{.type = TK_BLOB_NODE, .ref_count = 1}};
	const struct made_pack *packs[] = {&first};
	const struct made_pack *more[] = {&second};
	struct tk_buf record = {0}, next = {0}, none = {0};
	struct tk_head at;

	make_small_pack(box, &first);
	store_pack(box, &first);
	make_point(box, 1, &first, 1, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	node[0].refs[0] = (struct tk_blob_ref){first.number, 1};
	make_pack(box, node, 1, &second);
	store_pack(box, &second);
	/* The old pack's footer is unreadable by now: only the index can say that the blob is whole. */
	box_shell(box, "for f in \"$1\"/packs/*/*; do test $(wc -c <$f) -lt 5000 || truncate -s 4000 $f; done");
	make_point(box, 2, &second, 0, more, 1, &next, &at);
	assert_int_equal(publish(box, &next, NULL, NULL), TK_OK);
	made_pack_release(&first);
	made_pack_release(&second);
	release3(&record, &next, &none);
}

struct worker {
	struct vault_box *box;
	struct tk_buf record;
	struct made_pack pack;
	uint64_t counter;
	bool ok;
};

static void *
publish_as_worker(void *arg)
{
	struct worker *self = arg;
	struct tk_pack_names missing = {0};
	struct tk_buf receipt = {0};
	struct tk_receipt decoded;

	self->ok = send_pack(self->box, &self->pack, NULL) == TK_OK &&
		tk_vault_publish(self->box->vault, self->record.data, self->record.len_bytes, &receipt, &missing, NULL) == TK_OK &&
		tk_receipt_decode(receipt.data, receipt.len_bytes, &decoded, NULL) == TK_OK;
	self->counter = self->ok ? decoded.counter : 0;
	tk_buf_release(&receipt);
	tk_pack_names_release(&missing);
	return NULL;
}

static void
many_threads_publish_side_by_side(void **state)
{
	enum { WORKERS = 12 };
	struct vault_box *box = *state;
	struct worker workers[WORKERS];
	pthread_t threads[WORKERS];
	uint64_t seen = 0;
	struct tk_head at;

	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct made_pack *packs[] = {&workers[i].pack};

		workers[i].box = box;
		make_small_pack(box, &workers[i].pack);
		make_point(box, i + 1, &workers[i].pack, 1, packs, 1, &workers[i].record, &at);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publish_as_worker, &workers[i]), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(workers[i].ok);
		assert_true(workers[i].counter >= 1 && workers[i].counter <= WORKERS);
		seen |= 1ull << workers[i].counter;
		made_pack_release(&workers[i].pack);
		tk_buf_release(&workers[i].record);
	}
	assert_int_equal(__builtin_popcountll(seen), WORKERS);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_point_is_published_with_a_receipt_that_says_so),
		IN_BOX(the_same_point_again_gives_the_same_receipt),
		IN_BOX(another_point_of_a_known_sequence_is_a_conflict),
		IN_BOX(a_reference_that_cannot_be_served_is_refused_and_its_pack_named),
		IN_BOX(a_reference_past_the_last_blob_is_no_point),
		IN_BOX(an_added_pack_must_be_the_very_pack),
		IN_BOX(only_the_writer_of_the_epoch_may_publish),
		IN_BOX(an_unknown_domain_is_told),
		IN_BOX(a_genesis_record_is_stored_once),
		IN_BOX(a_parent_that_is_known_must_lie_before),
		IN_BOX(carried_over_blobs_are_not_followed_again),
		IN_BOX(many_threads_publish_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
