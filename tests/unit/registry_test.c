/* The registry: who may speak to a site. What is damaged or revoked gives nobody any right. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/scratch.h"
#include "transport/rate.h"
#include "transport/registry.h"

static struct tk_peer
make_peer(const char *name, uint8_t id, uint8_t pin)
{
	struct tk_peer peer = {.role = TK_ROLE_SOURCE, .state = TK_PEER_ACTIVE, .pin_count = 1, .created_ns = -5};

	(void)snprintf(peer.name, sizeof(peer.name), "%s", name);
	memset(peer.id.b, id, TK_ID_BYTES);
	peer.owner = peer.id;
	memset(peer.pins[0], pin, TK_PIN_BYTES);
	memset(peer.operator_key, 9, TK_KEY_BYTES);
	return peer;
}

static void
a_peer_survives_the_round_trip(void **state)
{
	struct tk_peer peer = make_peer("city-a", 1, 2), back;
	struct tk_buf data;

	(void)state;
	peer.pin_count = 2;
	memset(peer.pins[1], 3, TK_PIN_BYTES);
	tk_buf_init(&data, 4096);
	assert_int_equal(tk_peer_encode(&peer, &data, NULL), TK_OK);
	assert_int_equal(tk_peer_decode(data.data, data.len_bytes, &back, NULL), TK_OK);
	assert_memory_equal(&peer, &back, sizeof(peer));
	tk_buf_release(&data);
}

static void
no_damaged_entry_is_believed(void **state)
{
	struct tk_peer peer = make_peer("city-a", 1, 2), back;
	struct tk_buf data;

	(void)state;
	tk_buf_init(&data, 4096);
	assert_int_equal(tk_peer_encode(&peer, &data, NULL), TK_OK);
	for (size_t at = 0; at < data.len_bytes; at++) {
		data.data[at] ^= 1;
		assert_int_not_equal(tk_peer_decode(data.data, data.len_bytes, &back, NULL), TK_OK);
		data.data[at] ^= 1;
		assert_int_not_equal(tk_peer_decode(data.data, at, &back, NULL), TK_OK);
	}
	peer.pin_count = 0;
	assert_int_equal(tk_peer_encode(&peer, &data, NULL), TK_EINVAL);
	tk_buf_release(&data);
}

static void
a_peer_is_found_by_its_pin_until_it_is_revoked(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_peer a = make_peer("city-a", 1, 2), b = make_peer("city-b", 3, 4);
	struct tk_registry *registry;

	assert_int_equal(tk_registry_put(scratch->path, &a, NULL), TK_OK);
	assert_int_equal(tk_registry_put(scratch->path, &b, NULL), TK_OK);
	assert_int_equal(tk_registry_load(scratch->path, NULL, &registry, NULL), TK_OK);
	assert_string_equal(tk_registry_find(registry, b.pins[0])->name, "city-b");
	tk_registry_free(registry);

	assert_int_equal(tk_registry_revoke(scratch->path, "city-b", NULL), TK_OK);
	assert_int_equal(tk_registry_load(scratch->path, NULL, &registry, NULL), TK_OK);
	assert_null(tk_registry_find(registry, b.pins[0]));
	assert_non_null(tk_registry_find(registry, a.pins[0]));
	assert_non_null(tk_registry_at(registry, 1));
	assert_null(tk_registry_at(registry, 2));
	tk_registry_free(registry);
	assert_int_equal(tk_registry_revoke(scratch->path, "city-c", NULL), TK_ENOENT);
}

static void
two_peers_do_not_share_a_key(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_peer a = make_peer("city-a", 1, 2), b = make_peer("city-b", 3, 2);

	assert_int_equal(tk_registry_put(scratch->path, &a, NULL), TK_OK);
	assert_int_equal(tk_registry_put(scratch->path, &b, NULL), TK_ECONFLICT);
	assert_int_equal(tk_registry_put(scratch->path, &a, NULL), TK_OK);
}

static void
a_damaged_entry_leaves_the_others_in_force(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_peer a = make_peer("city-a", 1, 2), b = make_peer("city-b", 0xbb, 4);
	struct tk_registry *registry;

	assert_int_equal(tk_registry_put(scratch->path, &a, NULL), TK_OK);
	assert_int_equal(tk_registry_put(scratch->path, &b, NULL), TK_OK);
	scratch_file(scratch, "sources/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/peer", "TWKPEER1");
	scratch_dir(scratch, "sources/not-an-id");
	/* The entry of one source in the place of another would give it another's rights. */
	scratch_dir(scratch, "sources/cccccccccccccccccccccccccccccccc");
	assert_int_equal(linkat(scratch->fd, "sources/01010101010101010101010101010101/peer", scratch->fd,
			     "sources/cccccccccccccccccccccccccccccccc/peer", 0),
	    0);
	assert_int_equal(tk_registry_load(scratch->path, NULL, &registry, NULL), TK_OK);
	assert_non_null(tk_registry_find(registry, a.pins[0]));
	assert_null(tk_registry_find(registry, b.pins[0]));
	assert_null(tk_registry_at(registry, 1));
	tk_registry_free(registry);
}

static void
a_vault_without_sources_has_an_empty_registry(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_registry *registry;

	assert_int_equal(tk_registry_load(scratch->path, NULL, &registry, NULL), TK_OK);
	assert_null(tk_registry_at(registry, 0));
	tk_registry_free(registry);
}

static void
who_asks_too_often_waits_for_the_next_minute(void **state)
{
	struct tk_rate *rate;
	char name[16];

	(void)state;
	assert_int_equal(tk_rate_new(2, 5, &rate, NULL), TK_OK);
	assert_true(tk_rate_allow(rate, "a", 0));
	assert_true(tk_rate_allow(rate, "a", 1));
	assert_false(tk_rate_allow(rate, "a", 2));
	assert_true(tk_rate_allow(rate, "b", 3));
	assert_true(tk_rate_allow(rate, "a", INT64_C(60000000000)));
	/* Many callers together are held to the total. */
	for (int i = 0; i < 4; i++) {
		(void)snprintf(name, sizeof(name), "c%d", i);
		assert_true(tk_rate_allow(rate, name, INT64_C(60000000001)));
	}
	assert_false(tk_rate_allow(rate, "d", INT64_C(60000000002)));
	tk_rate_free(rate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_survives_the_round_trip),
		cmocka_unit_test(no_damaged_entry_is_believed),
		cmocka_unit_test_setup_teardown(a_peer_is_found_by_its_pin_until_it_is_revoked, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(two_peers_do_not_share_a_key, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_entry_leaves_the_others_in_force, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_vault_without_sources_has_an_empty_registry, scratch_setup, scratch_teardown),
		cmocka_unit_test(who_asks_too_often_waits_for_the_next_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
