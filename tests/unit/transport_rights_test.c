/* Who may do what at a site: strangers, sources, operators, and an empty machine with a passphrase. */
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

#define OVER_NET(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_NET(a_stranger_is_refused_and_told_so),
		OVER_NET(a_source_touches_nothing_of_another),
		OVER_NET(an_operator_reads_and_writes_nothing),
		OVER_NET(key_slots_are_added_by_a_source_but_taken_away_by_an_operator_only),
		OVER_NET(an_empty_machine_recovers_with_the_passphrase_alone),
		OVER_NET(a_vault_directory_recovers_as_a_daemon_does),
		OVER_NET(recovery_attempts_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
