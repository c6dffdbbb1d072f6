/* Client and server over loopback against a real vault: what goes over the wire, and what a site listens on. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "engine/vault/keycore.h"
#include "tests/unit/net_fixture.h"
#include "transport/recover.h"
#include "transport/session.h"

static int64_t
ms_since(int64_t start_ns)
{
	return (tk_clock_mono_ns() - start_ns) / 1000000;
}

static void
a_point_is_sent_published_and_read_back(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_buf record = {0}, receipt = {0}, got = {0};
	struct tk_pack_names missing = {0};
	struct tk_store_state site;
	struct tk_store_point *points;
	struct tk_receipt decoded;
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	const struct tk_head newest = {0};
	struct tk_head at;
	uint64_t size;
	size_t count;
	bool have = true;

	net_serve(net);
	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	assert_true(site.domain_known);
	assert_true(site.head.epoch == 0);
	assert_int_equal(store->ops->get_point(store, &net->box->domain, &newest, &got, NULL), TK_ENOENT);
	assert_int_equal(store->ops->put_genesis(store, net->box->genesis.data, net->box->genesis.len_bytes, NULL), TK_OK);

	make_small_pack(net->box, &pack);
	make_point(net->box, 1, &pack, 1, packs, 1, &record, &at);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, NULL), TK_EMISSING);
	assert_int_equal(missing.count, 1);
	assert_memory_equal(missing.names[0].b, pack.ident.name.b, TK_DIGEST_BYTES);
	tk_pack_names_release(&missing);

	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->have(store, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &receipt, &missing, NULL), TK_OK);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &decoded, NULL), TK_OK);
	assert_memory_equal(decoded.at.point.b, at.point.b, TK_DIGEST_BYTES);
	assert_memory_equal(decoded.site_key, site.site_key, TK_KEY_BYTES);

	assert_int_equal(store->ops->list_points(store, &net->box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_int_equal(store->ops->get_point(store, &net->box->domain, &points[0].at, &got, NULL), TK_OK);
	assert_int_equal(got.len_bytes, record.len_bytes);
	assert_memory_equal(got.data, record.data, got.len_bytes);
	free(points);
	assert_int_equal(store->ops->pack_size(store, &pack.ident.name, &size, NULL), TK_OK);
	assert_true(size == pack.ident.len_bytes);
	tk_buf_clear(&got);
	assert_int_equal(store->ops->get_point(store, &net->box->domain, &newest, &got, NULL), TK_OK);
	assert_int_equal(got.len_bytes, record.len_bytes);
	assert_memory_equal(got.data, record.data, got.len_bytes);
	tk_buf_clear(&got);
	assert_int_equal(store->ops->get_range(store, &pack.ident.name, 100, 3000, &got, NULL), TK_OK);
	assert_int_equal(got.len_bytes, 3000);
	assert_memory_equal(got.data, pack.bytes.data + 100, 3000);
	assert_int_equal(store->ops->get_range(store, &pack.ident.name, size - 10, 11, &got, NULL), TK_ECORRUPT);
	assert_int_equal(got.len_bytes, 3000);
	assert_true(tk_client_sent_bytes(store) > pack.ident.len_bytes);

	made_pack_release(&pack);
	tk_buf_release(&record);
	tk_buf_release(&receipt);
	tk_buf_release(&got);
}

static void
both_ends_of_a_pack_come_with_one_question(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf head = {0}, tail = {0};
	struct tk_pack_name unknown = {{1}};
	struct made_pack pack;
	uint64_t size = 0;

	net_serve(net);
	store = net_open(net);
	make_small_pack(net->box, &pack);
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(tk_store_get_ends(store, &pack.ident.name, 300, &size, &head, &tail, NULL), TK_OK);
	assert_true(size == pack.ident.len_bytes);
	assert_int_equal(head.len_bytes, TK_PACK_HEADER_BYTES);
	assert_memory_equal(head.data, pack.bytes.data, TK_PACK_HEADER_BYTES);
	assert_int_equal(tail.len_bytes, 300);
	assert_memory_equal(tail.data, pack.bytes.data + size - 300, 300);
	tk_buf_clear(&tail);
	assert_int_equal(tk_store_get_ends(store, &pack.ident.name, TK_STORE_TAIL_MAX, &size, &head, &tail, NULL), TK_OK);
	assert_int_equal(tail.len_bytes, pack.ident.len_bytes);
	assert_memory_equal(tail.data, pack.bytes.data, tail.len_bytes);
	assert_int_equal(tk_store_get_ends(store, &pack.ident.name, TK_STORE_TAIL_MAX + 1, &size, &head, &tail, NULL), TK_EINVAL);
	assert_int_equal(tk_store_get_ends(store, &pack.ident.name, TK_PACK_TRAILER_BYTES - 1, &size, &head, &tail, NULL), TK_EINVAL);
	assert_int_equal(tk_store_get_ends(store, &unknown, 300, &size, &head, &tail, NULL), TK_ENOENT);
	made_pack_release(&pack);
}

static void
many_packs_are_under_way_at_once_and_large_ranges_come_in_pieces(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct made_blob blobs[300] = {{.type = TK_BLOB_DATA}};
	struct made_pack packs[40];
	struct tk_buf got = {0};
	bool have[40];
	struct tk_pack_name names[40];

	net->client.window_packs = 4;
	net_serve(net);
	store = net_open(net);
	for (size_t i = 0; i < 300; i++)
		blobs[i].type = TK_BLOB_DATA;
	for (size_t i = 0; i < 40; i++) {
		make_pack(net->box, blobs, i == 0 ? 300 : 1, &packs[i]);
		names[i] = packs[i].ident.name;
		assert_int_equal(net_put(store, &packs[i], NULL), TK_OK);
	}
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->have(store, names, 40, have, NULL), TK_OK);
	for (size_t i = 0; i < 40; i++)
		assert_true(have[i]);
	assert_true(packs[0].bytes.len_bytes > 3 * TK_FRAME_DATA_MAX);
	assert_int_equal(store->ops->get_range(store, &names[0], 0, (uint32_t)packs[0].bytes.len_bytes, &got, NULL), TK_OK);
	assert_memory_equal(got.data, packs[0].bytes.data, got.len_bytes);
	/* Once more: the site says at once that it has it. */
	assert_int_equal(net_put(store, &packs[0], NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	for (size_t i = 0; i < 40; i++)
		made_pack_release(&packs[i]);
	tk_buf_release(&got);
}

static uint64_t
fixed_bandwidth(void *ctx)
{
	return *(const uint64_t *)ctx;
}

static void
a_bandwidth_limit_is_kept(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct made_blob blobs[300] = {{.type = TK_BLOB_DATA}};
	uint64_t rate_bytes = 2u << 20;
	struct made_pack pack;
	int64_t start_ns;

	net->client.bandwidth = fixed_bandwidth;
	net->client.bandwidth_ctx = &rate_bytes;
	net_serve(net);
	store = net_open(net);
	assert_false(tk_client_date_wrong(store));
	for (size_t i = 0; i < 300; i++)
		blobs[i].type = TK_BLOB_DATA;
	make_pack(net->box, blobs, 300, &pack);
	start_ns = tk_clock_mono_ns();
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	/* Some 900 KiB; the last piece is not waited for. */
	assert_true(ms_since(start_ns) >= 300);
	assert_true(ms_since(start_ns) < 3000);
	made_pack_release(&pack);
}

static void
a_damaged_pack_is_told_by_the_flush_and_the_session_goes_on(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct made_pack good, bad;
	struct tk_err err;
	uint64_t size;

	net_serve(net);
	store = net_open(net);
	make_small_pack(net->box, &good);
	make_small_pack(net->box, &bad);
	bad.bytes.data[500] ^= 1;
	assert_int_equal(net_put(store, &bad, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, &err), TK_ECORRUPT);
	assert_int_equal(net_put(store, &good, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->pack_size(store, &good.ident.name, &size, NULL), TK_OK);
	assert_int_equal(store->ops->pack_size(store, &bad.ident.name, &size, NULL), TK_ENOENT);
	made_pack_release(&good);
	made_pack_release(&bad);
}

static void
a_site_finds_the_damaged_blobs_of_a_pack(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct made_pack pack;
	uint32_t *bad = NULL;
	size_t count = 9;

	make_small_pack(net->box, &pack);
	store_pack(net->box, &pack);
	net_serve(net);
	store = net_open(net);
	assert_int_equal(store->ops->check_pack(store, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	box_shell(net->box, "f=$(ls \"$1\"/packs/*/*); flip 200 $f");
	assert_int_equal(store->ops->check_pack(store, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_int_equal(bad[0], 0);
	free(bad);
	made_pack_release(&pack);
}

static void
votes_and_grants_go_over_the_wire(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_buf record = {0}, vote = {0};
	struct tk_grant grant = {0};
	struct tk_vote decoded;

	net_serve(net);
	store = net_open(net);
	assert_int_equal(store->ops->vote(store, net->box->grant.data, net->box->grant.len_bytes, &vote, NULL), TK_OK);
	assert_int_equal(tk_vote_decode(vote.data, vote.len_bytes, &decoded, NULL), TK_OK);
	assert_true(decoded.epoch == 1);
	make_grant(net->box, 1, NULL, &grant, &record);
	tk_buf_clear(&record);
	grant.created_ns = 99;
	make_grant(net->box, 1, NULL, &grant, &record);
	tk_buf_clear(&vote);
	assert_int_equal(store->ops->vote(store, record.data, record.len_bytes, &vote, NULL), TK_EFENCED);
	tk_buf_clear(&record);
	assert_int_equal(store->ops->get_record(store, &net->box->domain, TK_RECORD_GENESIS, 0, &record, NULL), TK_OK);
	assert_int_equal(record.len_bytes, net->box->genesis.len_bytes);
	tk_buf_release(&record);
	tk_buf_release(&vote);
}

static void
a_reload_keeps_sessions_and_a_revocation_ends_them(void **state)
{
	struct net *net = *state;
	struct tk_tls_ctx *tls = net_server_tls(net);
	struct tk_store *store, *refused = NULL;
	struct tk_store_state site;

	net_serve(net);
	store = net_open(net);
	tk_server_reload(net->server, tls, net_registry(net));
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	assert_int_equal(tk_registry_revoke(net->box->path, "city", NULL), TK_OK);
	tk_server_reload(net->server, tls, net_registry(net));
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_EUNREACH);
	assert_int_equal(tk_client_open(&net->client, &refused, NULL), TK_EDENIED);
	tk_store_cleanup(&store);
	tk_tls_ctx_free(tls);
}

static void
sites_listen_on_ipv6_too(void **state)
{
	static const struct tk_address both[] = {{.host = "127.0.0.1"}, {.host = "::1"}};
	struct net *net = *state;
	char text[TK_ADDRESS_TEXT_MAX];
	struct tk_store *store;
	struct tk_store_state site;

	net->options.listen = both;
	net->options.listen_count = access("/proc/net/if_inet6", F_OK) == 0 ? 2 : 1;
	net_serve(net);
	if (net->options.listen_count == 1)
		skip();
	assert_true(tk_server_address(net->server, 1, text));
	assert_int_equal(strncmp(text, "[::1]:", 6), 0);
	assert_int_equal(tk_address_parse(text, &net->client.address, NULL), TK_OK);
	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	tk_store_cleanup(&store);
}

static void
a_port_alone_is_every_address_of_ipv4_and_ipv6(void **state)
{
	const struct tk_address any = {.host = ""};
	int fds[4], families = 0;
	unsigned count = 0;

	(void)state;
	if (access("/proc/net/if_inet6", F_OK) != 0)
		skip();
	assert_int_equal(tk_address_listen(&any, fds, &count, 4, NULL), TK_OK);
	assert_int_equal(count, 2);
	for (unsigned i = 0; i < count; i++) {
		struct sockaddr_storage where;
		socklen_t len = sizeof(where);

		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&where, &len), 0);
		families |= where.ss_family == AF_INET ? 1 : where.ss_family == AF_INET6 ? 2 : 0;
		close(fds[i]);
	}
	assert_int_equal(families, 3);
}

static void
addresses_are_read_in_the_forms_people_write(void **state)
{
	struct tk_address address;
	char text[TK_ADDRESS_TEXT_MAX];

	(void)state;
	assert_int_equal(tk_address_parse("[::1]:7443", &address, NULL), TK_OK);
	assert_string_equal(address.host, "::1");
	tk_address_format(&address, text);
	assert_string_equal(text, "[::1]:7443");
	assert_int_equal(tk_address_parse("site-a.example:1", &address, NULL), TK_OK);
	assert_int_equal(tk_address_parse(":7443", &address, NULL), TK_OK);
	assert_string_equal(address.host, "");
	assert_int_equal(tk_address_parse("::1:7443", &address, NULL), TK_EINVAL);
	assert_int_equal(tk_address_parse("[::1:7443", &address, NULL), TK_EINVAL);
	assert_int_equal(tk_address_parse("host", &address, NULL), TK_EINVAL);
	assert_int_equal(tk_address_parse("host:65536", &address, NULL), TK_EINVAL);
	assert_int_equal(tk_address_parse("host:1x", &address, NULL), TK_EINVAL);
}

#define OVER_NET(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_NET(a_point_is_sent_published_and_read_back),
		OVER_NET(both_ends_of_a_pack_come_with_one_question),
		OVER_NET(many_packs_are_under_way_at_once_and_large_ranges_come_in_pieces),
		OVER_NET(a_bandwidth_limit_is_kept),
		OVER_NET(a_damaged_pack_is_told_by_the_flush_and_the_session_goes_on),
		OVER_NET(a_site_finds_the_damaged_blobs_of_a_pack),
		OVER_NET(votes_and_grants_go_over_the_wire),
		OVER_NET(a_reload_keeps_sessions_and_a_revocation_ends_them),
		OVER_NET(sites_listen_on_ipv6_too),
		cmocka_unit_test(a_port_alone_is_every_address_of_ipv4_and_ipv6),
		cmocka_unit_test(addresses_are_read_in_the_forms_people_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
