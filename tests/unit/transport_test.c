/* Client and server over loopback against a real vault: what a source may do, what it may not, and what happens when a side falls silent. */
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

#define PASSPHRASE "correct horse battery staple"

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
	struct tk_head at;
	uint64_t size;
	size_t count;
	bool have = true;

	net_serve(net);
	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	assert_true(site.domain_known);
	assert_true(site.head.epoch == 0);
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
a_stranger_is_refused_and_told_so(void **state)
{
	struct net *net = *state;
	struct tk_client_options options;
	struct net_node other_ca = {0}, forged = {0};
	struct tk_store *store = NULL;
	struct tk_err err;

	net_serve(net);
	options = net->client;
	options.tls = net_client_tls(net, &net->stranger);
	assert_int_equal(tk_client_open(&options, &store, &err), TK_EDENIED);
	assert_non_null(strstr(err.text, "not registered"));
	tk_tls_ctx_free(options.tls);

	net_make_ca(&other_ca, "ca");
	net_make_node(&other_ca, &forged, "city");
	options.tls = net_client_tls(net, &forged);
	assert_int_equal(tk_client_open(&options, &store, &err), TK_EDENIED);
	tk_tls_ctx_free(options.tls);
	net_node_release(&other_ca);
	net_node_release(&forged);

	options = net->client;
	options.site_name = "site-b";
	assert_int_equal(tk_client_open(&options, &store, &err), TK_EDENIED);
	options = net->client;
	memset(&options.source, 1, sizeof(options.source));
	assert_int_equal(tk_client_open(&options, &store, &err), TK_EDENIED);
	options = net->client;
	options.role = TK_ROLE_OPERATOR;
	assert_int_equal(tk_client_open(&options, &store, &err), TK_EDENIED);
}

/* A second source of the same site, in the place of the first. */
static void
become_another_source(struct net *net)
{
	net->peer.state = TK_PEER_REVOKED;
	assert_int_equal(tk_registry_put(net->box->path, &net->peer, NULL), TK_OK);
	net->peer.state = TK_PEER_ACTIVE;
	memset(&net->peer.id, 0x5a, sizeof(net->peer.id));
	net->peer.owner = net->peer.id;
	assert_int_equal(tk_registry_put(net->box->path, &net->peer, NULL), TK_OK);
	net->client.source = net->peer.id;
}

static void
a_source_touches_nothing_of_another(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_buf got = {0}, record = {0};
	struct tk_pack_names missing;
	struct tk_store_state site;
	struct tk_store_point *points;
	struct made_pack mine, more;
	const struct made_pack *packs[] = {&mine};
	struct tk_head at;
	uint64_t size;
	size_t count;

	publish_small(net->box, 1, &at, NULL);
	make_small_pack(net->box, &mine);
	store_pack(net->box, &mine);
	make_small_pack(net->box, &more);
	make_point(net->box, 2, &mine, 1, packs, 1, &record, &at);
	become_another_source(net);
	net_serve(net);
	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_EDENIED);
	assert_int_equal(store->ops->put_genesis(store, net->box->genesis.data, net->box->genesis.len_bytes, NULL), TK_EDENIED);
	assert_int_equal(store->ops->list_points(store, &net->box->domain, &points, &count, NULL), TK_EDENIED);
	assert_int_equal(store->ops->get_point(store, &net->box->domain, &at, &got, NULL), TK_EDENIED);
	assert_int_equal(store->ops->get_record(store, &net->box->domain, TK_RECORD_GENESIS, 0, &got, NULL), TK_EDENIED);
	assert_int_equal(store->ops->get_range(store, &mine.ident.name, 0, 10, &got, NULL), TK_EDENIED);
	assert_int_equal(store->ops->pack_size(store, &mine.ident.name, &size, NULL), TK_EDENIED);
	assert_int_equal(store->ops->publish(store, record.data, record.len_bytes, &got, &missing, NULL), TK_EDENIED);
	assert_int_equal(store->ops->vote(store, net->box->grant.data, net->box->grant.len_bytes, &got, NULL), TK_EDENIED);
	assert_int_equal(store->ops->get_slot(store, &net->box->ring.source, 0, &got, NULL), TK_EDENIED);
	assert_int_equal(store->ops->get_config(store, &net->box->ring.source, &got, NULL), TK_EDENIED);
	assert_int_equal(net_put(store, &more, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_EDENIED);
	assert_int_equal(got.len_bytes, 0);
	tk_buf_release(&got);
	made_pack_release(&mine);
	made_pack_release(&more);
	tk_buf_release(&record);
}

static void
an_operator_reads_and_writes_nothing(void **state)
{
	struct net *net = *state;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_store_point *points;
	struct tk_buf got = {0};
	struct tk_x509_info info;
	struct tk_peer peer;
	struct made_pack pack;
	size_t count;

	publish_small(net->box, 1, NULL, NULL);
	make_small_pack(net->box, &pack);
	peer = net->peer;
	peer.role = TK_ROLE_OPERATOR;
	memset(&peer.id, 0x77, sizeof(peer.id));
	assert_int_equal(tk_x509_read((struct tk_bytes){net->stranger.cert.data, net->stranger.cert.len_bytes}, &info, NULL), TK_OK);
	memcpy(peer.pins[0], info.pin, TK_PIN_BYTES);
	assert_int_equal(tk_registry_put(net->box->path, &peer, NULL), TK_OK);
	net_serve(net);
	tk_tls_ctx_free(net->client.tls);
	net->client.tls = net_client_tls(net, &net->stranger);
	net->client.role = TK_ROLE_OPERATOR;
	store = net_open(net);
	assert_int_equal(store->ops->list_points(store, &net->box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	free(points);
	assert_int_equal(store->ops->vote(store, net->box->grant.data, net->box->grant.len_bytes, &got, NULL), TK_EDENIED);
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_EDENIED);
	made_pack_release(&pack);
}

static void
make_slot(struct net *net, uint8_t id, struct tk_buf *slot, uint8_t recovery_key[TK_KEY_BYTES])
{
	struct tk_slot_params params = {.slot_id = {{id}}, .salt = {id, 2, 3}, .log2n = 15};

	assert_int_equal(tk_slot_seal_with(&params, &net->box->ring, TK_SLOT_PASSPHRASE, PASSPHRASE, strlen(PASSPHRASE), "p", slot, recovery_key, NULL),
	    TK_OK);
}

static void
key_slots_are_added_by_a_source_but_taken_away_by_an_operator_only(void **state)
{
	struct net *net = *state;
	struct tk_store *store;
	struct tk_buf slot = {0}, other = {0}, got = {0};
	uint8_t key[TK_KEY_BYTES];
	struct tk_slot_params again = {.slot_id = {{1}}, .salt = {9}, .log2n = 15};
	struct tk_id id = {{1}}, unknown = {{2}};

	net_serve(net);
	make_slot(net, 1, &slot, key);
	store = net_open(net);
	assert_int_equal(store->ops->put_slot(store, slot.data, slot.len_bytes, NULL, NULL), TK_EINVAL);
	assert_int_equal(store->ops->put_slot(store, slot.data, slot.len_bytes, key, NULL), TK_OK);
	assert_int_equal(store->ops->put_slot(store, slot.data, slot.len_bytes, key, NULL), TK_OK);
	assert_int_equal(store->ops->get_slot(store, &net->box->ring.source, 0, &got, NULL), TK_OK);
	assert_memory_equal(got.data, slot.data, slot.len_bytes);
	assert_int_equal(tk_slot_seal_with(&again, &net->box->ring, TK_SLOT_PASSPHRASE, "another", 7, "p", &other, key, NULL), TK_OK);
	assert_int_equal(store->ops->put_slot(store, other.data, other.len_bytes, key, NULL), TK_EDENIED);
	assert_int_equal(store->ops->drop_slot(store, &id, NULL), TK_EDENIED);
	tk_store_cleanup(&store);

	net->client.operator_seed = net->box->ring.writer_seed;
	assert_int_equal(tk_client_open(&net->client, &store, NULL), TK_EDENIED);
	net->client.operator_seed = net->box->ring.operator_seed;
	store = net_open(net);
	assert_int_equal(store->ops->drop_slot(store, &unknown, NULL), TK_ENOENT);
	assert_int_equal(store->ops->put_slot(store, other.data, other.len_bytes, key, NULL), TK_OK);
	assert_int_equal(store->ops->drop_slot(store, &id, NULL), TK_OK);
	assert_int_equal(store->ops->get_slot(store, &net->box->ring.source, 0, &got, NULL), TK_ENOENT);
	tk_store_cleanup(&store);
	tk_buf_release(&slot);
	tk_buf_release(&other);
	tk_buf_release(&got);
}

static void
prepare_recovery(struct net *net, struct tk_buf *slot)
{
	struct tk_config_file file = {.mode = 0600};
	struct tk_buf config = {0};
	uint8_t key[TK_KEY_BYTES];
	char name[] = "twinkeep.conf";

	make_slot(net, 1, slot, key);
	assert_int_equal(tk_vault_put_slot(net->box->vault, slot->data, slot->len_bytes, key, NULL), TK_OK);
	file.name = name;
	assert_int_equal(tk_config_seal(&net->box->ring, &file, 1, &config, NULL), TK_OK);
	assert_int_equal(tk_vault_put_config(net->box->vault, config.data, config.len_bytes, NULL), TK_OK);
	tk_buf_release(&config);
}

static void
an_empty_machine_recovers_with_the_passphrase_alone(void **state)
{
	struct net *net = *state;
	struct tk_recovered got;
	struct tk_buf slot = {0};
	struct tk_keyring ring;
	struct tk_config_file *files;
	struct tk_err err;
	size_t count;

	prepare_recovery(net, &slot);
	net_serve(net);
	if (tk_client_recover(&net->address, PASSPHRASE, strlen(PASSPHRASE), NULL, &got, &err))
		fail_msg("recover: %s", err.text);
	assert_memory_equal(got.source.b, net->box->ring.source.b, TK_ID_BYTES);
	assert_int_equal(got.slot.len_bytes, slot.len_bytes);
	assert_int_equal(tk_slot_open(got.slot.data, got.slot.len_bytes, PASSPHRASE, strlen(PASSPHRASE), &ring, NULL), TK_OK);
	assert_int_equal(tk_config_open(&ring, got.config.data, got.config.len_bytes, &files, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_string_equal(files[0].name, "twinkeep.conf");
	tk_config_files_free(files, count);
	tk_keyring_release(&ring);
	tk_recovered_release(&got);

	assert_int_equal(tk_client_recover(&net->address, "wrong", 5, NULL, &got, &err), TK_EKEY);
	tk_buf_release(&slot);
}

static void
a_vault_directory_recovers_as_a_daemon_does(void **state)
{
	struct net *net = *state;
	struct tk_recovered got;
	struct tk_buf slot = {0};
	struct tk_err err;

	assert_int_equal(tk_vault_dir_recover(net->box->path, "wrong", 5, NULL, &got, &err), TK_ENOENT);
	prepare_recovery(net, &slot);
	assert_int_equal(tk_vault_dir_recover(net->box->path, "wrong", 5, NULL, &got, &err), TK_EKEY);
	if (tk_vault_dir_recover(net->box->path, PASSPHRASE, strlen(PASSPHRASE), &net->box->ring.source, &got, &err))
		fail_msg("recover: %s", err.text);
	assert_int_equal(got.slot_count, 1);
	assert_true(got.config.len_bytes > 0);
	tk_recovered_release(&got);
	tk_buf_release(&slot);
}

static void
recovery_attempts_are_counted(void **state)
{
	struct net *net = *state;
	struct tk_recovered got;
	struct tk_err err;

	net->options.recover_per_minute = 2;
	net_serve(net);
	assert_int_equal(tk_client_recover(&net->address, "wrong", 5, NULL, &got, &err), TK_ENOENT);
	assert_int_equal(tk_client_recover(&net->address, "wrong", 5, NULL, &got, &err), TK_ENOENT);
	assert_int_equal(tk_client_recover(&net->address, "wrong", 5, NULL, &got, &err), TK_EDENIED);
	assert_non_null(strstr(err.text, "too many"));
}

/* Accepts TCP connections and says nothing, ever. */
static int
listen_and_be_silent(struct tk_address *address)
{
	static const struct tk_address loopback = {.host = "127.0.0.1"};
	char text[TK_ADDRESS_TEXT_MAX];
	unsigned count = 0;
	int fd;

	assert_int_equal(tk_address_listen(&loopback, &fd, &count, 1, NULL), TK_OK);
	tk_address_of_socket(fd, false, false, text);
	assert_int_equal(tk_address_parse(text, address, NULL), TK_OK);
	return fd;
}

static void
a_site_that_accepts_and_never_answers_times_out(void **state)
{
	struct net *net = *state;
	struct tk_store *store = NULL;
	int64_t start_ns = tk_clock_mono_ns();
	int fd = listen_and_be_silent(&net->client.address);

	net->client.connect_timeout_ms = 300;
	assert_int_equal(tk_client_open(&net->client, &store, NULL), TK_ETIMEOUT);
	assert_true(ms_since(start_ns) < 2500);
	close(fd);
	assert_int_equal(tk_client_open(&net->client, &store, NULL), TK_EUNREACH);
}

/* A site that does TLS and answers HELLO, then hangs: alive or not even that. */
struct hung_site {
	int listen_fd;
	struct tk_tls_ctx *tls;
	bool pings;
	atomic_bool stop;
};

static void *
hang(void *arg)
{
	struct hung_site *hung = arg;
	struct tk_session *session = NULL;
	struct tk_tls_conn *tls = NULL;
	Tk__Wire__Welcome welcome = TK__WIRE__WELCOME__INIT;
	struct tk_frame frame;
	int fd;

	do {
		fd = accept(hung->listen_fd, NULL, NULL);
	} while (fd < 0);
	if (tk_tls_accept(hung->tls, fd, 2000, &tls, NULL) || tk_session_new(tls, fd, 2000, &session, NULL) ||
	    tk_session_recv(session, 2000, &frame, NULL))
		return arg;
	welcome.version = TK_PROTOCOL_VERSION;
	welcome.role = TK_ROLE_SOURCE;
	if (tk_session_send_message(session, TK_FRAME_WELCOME, false, frame.head.request, &welcome, NULL))
		return arg;
	while (!atomic_load(&hung->stop)) {
		(void)usleep(20000);
		if (hung->pings && !tk_session_ping(session, 10))
			break;
	}
	tk_session_free(session);
	return NULL;
}

static void
hung_site_test(struct net *net, bool pings, int64_t at_most_ms)
{
	struct hung_site hung = {.pings = pings, .tls = net_server_tls(net)};
	struct tk_store *store;
	struct tk_store_state site;
	int64_t start_ns;
	pthread_t thread;
	void *failed;

	hung.listen_fd = listen_and_be_silent(&net->client.address);
	assert_int_equal(pthread_create(&thread, NULL, hang, &hung), 0);
	net->client.io_timeout_ms = 300;
	net->client.work_timeout_ms = 600;
	store = net_open(net);
	start_ns = tk_clock_mono_ns();
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_ETIMEOUT);
	assert_true(ms_since(start_ns) < at_most_ms);
	/* The session is dead from here on. */
	assert_int_equal(store->ops->flush(store, NULL), TK_EUNREACH);
	atomic_store(&hung.stop, true);
	tk_store_cleanup(&store);
	pthread_join(thread, &failed);
	assert_null(failed);
	tk_tls_ctx_free(hung.tls);
	close(hung.listen_fd);
}

static void
a_site_that_hangs_times_out(void **state)
{
	hung_site_test(*state, false, 2000);
}

static void
a_site_that_only_says_that_it_lives_times_out_too(void **state)
{
	hung_site_test(*state, true, 3000);
}

static void
a_full_site_refuses_politely(void **state)
{
	struct net *net = *state;
	struct tk_store *first, *second = NULL;
	struct tk_err err;

	net->options.max_connections = 1;
	net_serve(net);
	first = net_open(net);
	assert_int_equal(tk_client_open(&net->client, &second, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "as many connections"));
	tk_store_cleanup(&first);
	for (int i = 0; i < 100 && tk_server_connections(net->server); i++)
		(void)usleep(20000);
	second = net_open(net);
	tk_store_cleanup(&second);
}

/* A connection of the source that speaks frames by hand. */
static struct tk_session *
open_by_hand(struct net *net)
{
	struct tk_session *session = NULL;
	struct tk_tls_conn *tls = NULL;
	int fd = -1;

	assert_int_equal(tk_address_connect(&net->address, 2000, &fd, NULL), TK_OK);
	assert_int_equal(tk_tls_connect(net->client.tls, fd, "site-a", 2000, &tls, NULL), TK_OK);
	assert_int_equal(tk_session_new(tls, fd, 2000, &session, NULL), TK_OK);
	return session;
}

static void
say_hello(struct net *net, struct tk_session *session)
{
	Tk__Wire__Hello hello = TK__WIRE__HELLO__INIT;
	struct tk_frame frame;

	hello.version = TK_PROTOCOL_VERSION;
	hello.role = TK_ROLE_SOURCE;
	hello.source = tk_message_bytes(net->client.source.b, TK_ID_BYTES);
	assert_int_equal(tk_session_send_message(session, TK_FRAME_HELLO, false, 1, &hello, NULL), TK_OK);
	assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	assert_int_equal(frame.head.type, TK_FRAME_WELCOME);
}

static void
expect_protocol_error(struct tk_session *session)
{
	struct tk_frame frame;
	struct tk_err err;

	do {
		if (tk_session_recv(session, 2000, &frame, &err))
			fail_msg("no last word: %s", err.text);
	} while (frame.head.type == TK_FRAME_PING);
	assert_true(frame.head.type == TK_FRAME_BYE || frame.head.type == TK_FRAME_ERROR);
	assert_int_equal(tk_message_error(frame.body, frame.head.len_bytes, NULL), TK_EPROTO);
	tk_session_free(session);
}

static void
broken_frames_end_the_connection_and_nothing_else(void **state)
{
	static const uint8_t huge[TK_FRAME_HEADER_BYTES] = {0xff, 0xff, 0xff, 0xff, TK_FRAME_PACK_DATA};
	static const uint8_t half[5] = {200, 0, 0, 0, TK_FRAME_HAVE};
	struct net *net = *state;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .len_bytes = 4, .request = 2}, reply = {.type = TK_FRAME_STATE, .request = 3};
	struct tk_store *store;
	struct tk_session *session;
	struct tk_store_state site;

	net_serve(net);
	session = open_by_hand(net);
	assert_int_equal(tk_tls_write(tk_session_tls(session), huge, sizeof(huge), 1000, NULL), TK_OK);
	tk_session_free(session);

	session = open_by_hand(net);
	say_hello(net, session);
	assert_int_equal(tk_tls_write(tk_session_tls(session), huge, sizeof(huge), 1000, NULL), TK_OK);
	expect_protocol_error(session);

	session = open_by_hand(net);
	say_hello(net, session);
	assert_int_equal(tk_session_send(session, &data, "data", NULL), TK_OK);
	expect_protocol_error(session);

	session = open_by_hand(net);
	say_hello(net, session);
	assert_int_equal(tk_session_send(session, &reply, NULL, NULL), TK_OK);
	expect_protocol_error(session);

	session = open_by_hand(net);
	say_hello(net, session);
	assert_int_equal(tk_tls_write(tk_session_tls(session), half, sizeof(half), 1000, NULL), TK_OK);
	tk_session_free(session);

	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	tk_store_cleanup(&store);
}

static void
a_pack_that_breaks_off_leaves_nothing_behind(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .len_bytes = 300, .request = 2};
	struct tk_session *session;
	struct made_pack pack;

	net_serve(net);
	make_small_pack(net->box, &pack);
	session = open_by_hand(net);
	say_hello(net, session);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	assert_int_equal(tk_session_send(session, &data, pack.bytes.data, NULL), TK_OK);
	tk_session_free(session);
	for (int i = 0; i < 100 && tk_server_connections(net->server); i++)
		(void)usleep(20000);
	assert_int_equal(box_count(net->box, "tmp/*"), 0);
	assert_int_equal(box_count(net->box, "packs/*/*"), 0);
	made_pack_release(&pack);
}

static void *
stop_server(void *arg)
{
	tk_server_stop(arg);
	return NULL;
}

static void
a_stopping_site_finishes_the_pack_that_has_begun(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .request = 2}, end = {.type = TK_FRAME_PACK_END, .request = 2};
	struct tk_session *session;
	struct tk_store *resting;
	struct tk_store_state site;
	struct tk_frame frame;
	struct made_pack pack;
	pthread_t stopper;

	net_serve(net);
	resting = net_open(net);
	make_small_pack(net->box, &pack);
	session = open_by_hand(net);
	say_hello(net, session);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	(void)usleep(50000);
	assert_int_equal(pthread_create(&stopper, NULL, stop_server, net->server), 0);
	(void)usleep(400000);
	/* The other session was told to go. */
	assert_int_equal(resting->ops->state(resting, &net->box->domain, NULL, &site, NULL), TK_EUNREACH);
	tk_store_cleanup(&resting);
	data.len_bytes = (uint32_t)pack.bytes.len_bytes;
	assert_int_equal(tk_session_send(session, &data, pack.bytes.data, NULL), TK_OK);
	assert_int_equal(tk_session_send(session, &end, NULL, NULL), TK_OK);
	do {
		assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	} while (frame.head.type == TK_FRAME_PING);
	assert_int_equal(frame.head.type, TK_FRAME_OK);
	do {
		assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	} while (frame.head.type == TK_FRAME_PING);
	assert_int_equal(frame.head.type, TK_FRAME_BYE);
	pthread_join(stopper, NULL);
	assert_int_equal(box_count(net->box, "packs/*/*"), 1);
	tk_session_free(session);
	made_pack_release(&pack);
}

static void
a_drain_does_not_wait_for_ever(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_session *session;
	struct made_pack pack;
	int64_t start_ns;

	net->options.drain_timeout_ms = 300;
	net_serve(net);
	make_small_pack(net->box, &pack);
	session = open_by_hand(net);
	say_hello(net, session);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	(void)usleep(50000);
	start_ns = tk_clock_mono_ns();
	tk_server_stop(net->server);
	assert_true(ms_since(start_ns) < 2000);
	tk_session_free(session);
	made_pack_release(&pack);
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
		OVER_NET(many_packs_are_under_way_at_once_and_large_ranges_come_in_pieces),
		OVER_NET(a_bandwidth_limit_is_kept),
		OVER_NET(a_damaged_pack_is_told_by_the_flush_and_the_session_goes_on),
		OVER_NET(a_site_finds_the_damaged_blobs_of_a_pack),
		OVER_NET(votes_and_grants_go_over_the_wire),
		OVER_NET(a_stranger_is_refused_and_told_so),
		OVER_NET(a_source_touches_nothing_of_another),
		OVER_NET(an_operator_reads_and_writes_nothing),
		OVER_NET(key_slots_are_added_by_a_source_but_taken_away_by_an_operator_only),
		OVER_NET(an_empty_machine_recovers_with_the_passphrase_alone),
		OVER_NET(a_vault_directory_recovers_as_a_daemon_does),
		OVER_NET(recovery_attempts_are_counted),
		OVER_NET(a_site_that_accepts_and_never_answers_times_out),
		OVER_NET(a_site_that_hangs_times_out),
		OVER_NET(a_site_that_only_says_that_it_lives_times_out_too),
		OVER_NET(a_full_site_refuses_politely),
		OVER_NET(broken_frames_end_the_connection_and_nothing_else),
		OVER_NET(a_pack_that_breaks_off_leaves_nothing_behind),
		OVER_NET(a_stopping_site_finishes_the_pack_that_has_begun),
		OVER_NET(a_drain_does_not_wait_for_ever),
		OVER_NET(a_reload_keeps_sessions_and_a_revocation_ends_them),
		OVER_NET(sites_listen_on_ipv6_too),
		cmocka_unit_test(addresses_are_read_in_the_forms_people_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
