/* Requests that are sent before their calls come: what is answered, and when an answer is void. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/net_fixture.h"

static void
calls_that_were_named_ahead_send_nothing_more(void **state)
{
	struct net *net = *state;
	const struct tk_store_ask asks[] = {{.kind = TK_ASK_STATE, .id = &net->box->domain},
					    {.kind = TK_ASK_RECORD, .id = &net->box->domain, .record = TK_RECORD_GENESIS},
					    {.kind = TK_ASK_SLOT, .id = &net->box->ring.source, .number = 0},
					    {.kind = TK_ASK_POINTS, .id = &net->box->domain}};
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf got = {0};
	struct tk_store_state site;
	struct tk_store_point *points;
	uint64_t sent_bytes;
	size_t count;

	net_serve(net);
	net->client.greet_ahead = true;
	store = net_open(net);
	tk_store_ahead(store, asks, sizeof(asks) / sizeof(asks[0]));
	sent_bytes = tk_client_sent_bytes(store);
	/* In another order than they were asked, one of them an error. */
	assert_int_equal(store->ops->list_points(store, &net->box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	free(points);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	assert_true(site.domain_known);
	assert_int_equal(store->ops->get_slot(store, &net->box->ring.source, 0, &got, NULL), TK_ENOENT);
	assert_int_equal(store->ops->get_record(store, &net->box->domain, TK_RECORD_GENESIS, 0, &got, NULL), TK_OK);
	assert_int_equal(got.len_bytes, net->box->genesis.len_bytes);
	assert_memory_equal(got.data, net->box->genesis.data, got.len_bytes);
	assert_true(tk_client_sent_bytes(store) == sent_bytes);
	/* Each answer is given once. */
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	assert_true(tk_client_sent_bytes(store) > sent_bytes);
}

static void
an_answer_from_before_a_change_is_void(void **state)
{
	struct net *net = *state;
	const struct tk_store_ask ask = {.kind = TK_ASK_POINTS, .id = &net->box->domain}, flush = {.kind = TK_ASK_FLUSH};
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf record = {0}, receipt = {0};
	struct tk_pack_names missing = {0};
	struct tk_store_point *points;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;
	uint64_t sent_bytes;
	size_t count;

	net_serve(net);
	store = net_open(net);
	make_small_pack(net->box, &pack);
	make_point(net->box, 1, &pack, 1, packs, 1, &record, &at);
	tk_store_ahead(store, &ask, 1);
	tk_store_ahead(store, &flush, 1);
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	sent_bytes = tk_client_sent_bytes(store);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_true(tk_client_sent_bytes(store) > sent_bytes);
	tk_store_ahead(store, &ask, 1);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, NULL), TK_OK);
	assert_int_equal(store->ops->list_points(store, &net->box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	free(points);
	made_pack_release(&pack);
}

static void
a_pack_a_flush_and_a_point_go_out_in_one_breath(void **state)
{
	struct net *net = *state;
	struct tk_store_ask asks[] = {{.kind = TK_ASK_FLUSH}, {.kind = TK_ASK_PUBLISH}};
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf record = {0}, receipt = {0};
	struct tk_pack_names missing = {0};
	struct tk_receipt decoded;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;
	uint64_t sent_bytes;

	net_serve(net);
	store = net_open(net);
	make_small_pack(net->box, &pack);
	make_point(net->box, 1, &pack, 1, packs, 1, &record, &at);
	asks[1].data = record.data;
	asks[1].len_bytes = record.len_bytes;
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	tk_store_ahead(store, asks, 2);
	sent_bytes = tk_client_sent_bytes(store);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, NULL), TK_OK);
	assert_true(tk_client_sent_bytes(store) == sent_bytes);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &decoded, NULL), TK_OK);
	assert_memory_equal(decoded.at.point.b, at.point.b, TK_DIGEST_BYTES);
	made_pack_release(&pack);
}

static void
a_point_behind_a_flush_that_failed_gets_no_receipt(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf record = {0}, receipt = {0};
	struct tk_pack_names missing = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;
	struct tk_err err;
	bool have;

	net_serve(net);
	store = net_open(net);
	make_small_pack(net->box, &pack);
	make_point(net->box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->have(store, &pack.ident.name, 1, &have, NULL), TK_OK);
	box_shell(net->box, "mv \"$1/packs/small\" \"$1/packs/away\"");
	assert_int_not_equal(store->ops->flush(store, NULL), TK_OK);
	box_shell(net->box, "mv \"$1/packs/away\" \"$1/packs/small\"");
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, &err), TK_EIO);
	assert_non_null(strstr(err.text, "flush"));
	assert_int_equal(receipt.len_bytes, 0);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, NULL), TK_OK);
	made_pack_release(&pack);
}

static void
a_stranger_who_does_not_wait_is_refused_at_the_first_call(void **state)
{
	struct net *net = *state;
	struct tk_client_options options;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_store_state site;
	struct tk_err err;

	net_serve(net);
	options = net->client;
	options.greet_ahead = true;
	options.tls = net_client_tls(net, &net->stranger);
	assert_int_equal(tk_client_open(&options, &store, &err), TK_OK);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, &err), TK_EDENIED);
	assert_non_null(strstr(err.text, "not registered"));
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, &err), TK_EUNREACH);
	tk_tls_ctx_free(options.tls);
}

#define OVER_NET(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_NET(calls_that_were_named_ahead_send_nothing_more),
		OVER_NET(an_answer_from_before_a_change_is_void),
		OVER_NET(a_pack_a_flush_and_a_point_go_out_in_one_breath),
		OVER_NET(a_point_behind_a_flush_that_failed_gets_no_receipt),
		OVER_NET(a_stranger_who_does_not_wait_is_refused_at_the_first_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
