/* Keyrings, the slots that wrap them, and the sealed configuration. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/vault/keycore.h"

/* The cheapest scrypt that the format allows; the flips of a passphrase slot are tried on a few bits for the same reason. */
enum { LOG2N_TEST = 15, LOG2N_AT = 52, R_AT = 53, P_AT = 57, SALT_AT = 61, COMMITMENT_AT = 93 };

struct fixture {
	struct tk_keyring ring;
	struct tk_id domains[2];
	struct tk_buf slot;
	uint8_t recovery_public[TK_KEY_BYTES];
};

static const char passphrase[] = "seven rivers meet below the old bridge";
static const uint8_t machine_key[32] = {9, 8, 7, 6};

static int
setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &fx->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&fx->ring, &fx->domains[0], NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&fx->ring, &fx->domains[1], NULL), TK_OK);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fx = *state;

	tk_keyring_release(&fx->ring);
	tk_buf_release(&fx->slot);
	free(fx);
	return 0;
}

static void
seal_passphrase(struct fixture *fx)
{
	struct tk_slot_params params = {.slot_id = {{5}}, .salt = {1, 2, 3}, .log2n = LOG2N_TEST};

	fx->slot.len_bytes = 0;
	assert_int_equal(tk_slot_seal_with(&params, &fx->ring, TK_SLOT_PASSPHRASE, passphrase, strlen(passphrase), "operator", &fx->slot,
	    fx->recovery_public, NULL), TK_OK);
}

static void
seal_machine(struct fixture *fx)
{
	fx->slot.len_bytes = 0;
	assert_int_equal(tk_slot_seal(&fx->ring, TK_SLOT_MACHINE, machine_key, sizeof(machine_key), "host", &fx->slot, NULL, NULL), TK_OK);
}

static enum tk_rc
open_with(const struct tk_buf *slot, const void *secret, size_t secret_bytes, struct tk_keyring *ring)
{
	return tk_slot_open(slot->data, slot->len_bytes, secret, secret_bytes, ring, NULL);
}

static void
expect_same_keys(const struct tk_keyring *a, const struct tk_keyring *b)
{
	assert_memory_equal(&a->source, &b->source, sizeof(a->source));
	assert_memory_equal(a->writer_seed, b->writer_seed, sizeof(a->writer_seed));
	assert_memory_equal(a->home_key, b->home_key, sizeof(a->home_key));
	assert_int_equal(a->domain_count, b->domain_count);
	for (size_t i = 0; i < a->domain_count; i++) {
		const struct tk_domain_keys *mine = &a->domains[i], *theirs = tk_keyring_domain(b, &mine->domain);

		assert_non_null(theirs);
		assert_memory_equal(mine->dedup_key, theirs->dedup_key, sizeof(mine->dedup_key));
		assert_memory_equal(mine->chunk_key, theirs->chunk_key, sizeof(mine->chunk_key));
		assert_memory_equal(tk_domain_data_key(mine, 0), tk_domain_data_key(theirs, 1), sizeof(struct tk_data_key));
	}
}

static void
a_passphrase_brings_every_key_back(void **state)
{
	struct fixture *fx = *state;
	struct tk_keyring back;
	struct tk_slot_info info;

	seal_passphrase(fx);
	assert_int_equal(open_with(&fx->slot, passphrase, strlen(passphrase), &back), TK_OK);
	expect_same_keys(&fx->ring, &back);
	assert_true(back.has_operator_seed);
	assert_memory_equal(back.operator_seed, fx->ring.operator_seed, sizeof(back.operator_seed));
	tk_keyring_release(&back);
	assert_int_equal(tk_slot_read_info(fx->slot.data, fx->slot.len_bytes, &info, NULL), TK_OK);
	assert_int_equal(info.kind, TK_SLOT_PASSPHRASE);
	assert_string_equal(info.label, "operator");
	assert_memory_equal(&info.source, &fx->ring.source, sizeof(info.source));
}

static void
a_machine_slot_works_unattended_and_lacks_the_operators_key(void **state)
{
	struct fixture *fx = *state;
	struct tk_keyring back;
	struct tk_buf other = {0};

	seal_machine(fx);
	assert_int_equal(open_with(&fx->slot, machine_key, sizeof(machine_key), &back), TK_OK);
	expect_same_keys(&fx->ring, &back);
	assert_false(back.has_operator_seed);
	assert_int_equal(tk_slot_seal(&back, TK_SLOT_PASSPHRASE, passphrase, strlen(passphrase), "x", &other, NULL, NULL), TK_EINVAL);
	tk_keyring_release(&back);
	tk_buf_release(&other);
}

static void
another_secret_is_a_wrong_key_not_damage(void **state)
{
	struct fixture *fx = *state;
	struct tk_keyring back;
	uint8_t key[32];

	seal_passphrase(fx);
	assert_int_equal(open_with(&fx->slot, passphrase, strlen(passphrase) - 1, &back), TK_EKEY);
	assert_int_equal(open_with(&fx->slot, passphrase, 0, &back), TK_EKEY);
	assert_null(back.domains);
	seal_machine(fx);
	memcpy(key, machine_key, sizeof(key));
	key[31] ^= 1;
	assert_int_equal(open_with(&fx->slot, key, sizeof(key), &back), TK_EKEY);
	assert_int_equal(open_with(&fx->slot, machine_key, sizeof(machine_key) - 1, &back), TK_EKEY);
}

static void
expect_flip_refused(struct fixture *fx, size_t bit, const void *secret, size_t secret_bytes)
{
	struct tk_keyring back;
	enum tk_rc rc;

	fx->slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	rc = open_with(&fx->slot, secret, secret_bytes, &back);
	if (rc != TK_ECORRUPT && rc != TK_EKEY && !(rc == TK_EUNSUPPORTED && bit / 8 >= 8 && bit / 8 < 20))
		fail_msg("bit %zu gives %s", bit, tk_rc_name(rc));
	fx->slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void
no_bit_and_no_byte_of_a_slot_can_be_changed(void **state)
{
	struct fixture *fx = *state;
	struct tk_keyring back;

	seal_machine(fx);
	for (size_t bit = 0; bit < fx->slot.len_bytes * 8; bit++)
		expect_flip_refused(fx, bit, machine_key, sizeof(machine_key));
	for (size_t len = 0; len < fx->slot.len_bytes; len++)
		assert_int_equal(tk_slot_open(fx->slot.data, len, machine_key, sizeof(machine_key), &back, NULL), TK_ECORRUPT);
	seal_passphrase(fx);
	expect_flip_refused(fx, SALT_AT * 8, passphrase, strlen(passphrase));
	expect_flip_refused(fx, COMMITMENT_AT * 8, passphrase, strlen(passphrase));
	expect_flip_refused(fx, fx->slot.len_bytes * 8 - 1, passphrase, strlen(passphrase));
}

static void
hostile_scrypt_parameters_are_refused_before_they_cost_anything(void **state)
{
	struct fixture *fx = *state;
	static const uint8_t bad[][3] = {{14, 8, 1}, {21, 8, 1}, {255, 8, 1}, {0, 8, 1}, {15, 7, 1}, {15, 9, 1}, {15, 0, 1}, {15, 8, 0}, {15, 8, 5}};
	struct tk_keyring back;
	struct tk_slot_info info;
	uint8_t recovery[TK_KEY_BYTES];

	seal_passphrase(fx);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fx->slot.data[LOG2N_AT] = bad[i][0];
		tk_store_u32(fx->slot.data + R_AT, bad[i][1]);
		tk_store_u32(fx->slot.data + P_AT, bad[i][2]);
		assert_int_equal(open_with(&fx->slot, passphrase, strlen(passphrase), &back), TK_ECORRUPT);
		assert_int_equal(tk_slot_read_info(fx->slot.data, fx->slot.len_bytes, &info, NULL), TK_ECORRUPT);
		assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES, passphrase, strlen(passphrase), recovery, NULL), TK_ECORRUPT);
	}
	tk_store_u32(fx->slot.data + P_AT, 0x80000001u);
	assert_int_equal(open_with(&fx->slot, passphrase, strlen(passphrase), &back), TK_ECORRUPT);
}

static void
the_head_of_a_slot_and_the_passphrase_give_the_recovery_key(void **state)
{
	struct fixture *fx = *state;
	uint8_t recovery[TK_KEY_BYTES], public_key[TK_SIGN_PUBLIC_MAX];

	seal_passphrase(fx);
	assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES, passphrase, strlen(passphrase), recovery, NULL), TK_OK);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, recovery, public_key, NULL), TK_OK);
	assert_memory_equal(public_key, fx->recovery_public, sizeof(fx->recovery_public));
	assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES, "wrong", 5, recovery, NULL), TK_EKEY);
	assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES - 1, passphrase, strlen(passphrase), recovery, NULL), TK_ECORRUPT);
	assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES + 1, passphrase, strlen(passphrase), recovery, NULL), TK_ECORRUPT);
	seal_machine(fx);
	assert_int_equal(tk_slot_recovery_seed(fx->slot.data, TK_SLOT_HEAD_BYTES, machine_key, sizeof(machine_key), recovery, NULL), TK_EKEY);
}

static void
a_slot_made_in_earnest_opens(void **state)
{
	struct fixture *fx = *state;
	struct tk_keyring back;

	assert_int_equal(tk_slot_seal(&fx->ring, TK_SLOT_PASSPHRASE, passphrase, strlen(passphrase), "", &fx->slot, NULL, NULL), TK_OK);
	assert_int_equal(fx->slot.data[LOG2N_AT], 17);
	assert_int_equal(open_with(&fx->slot, passphrase, strlen(passphrase), &back), TK_OK);
	tk_keyring_release(&back);
}

static void
a_keyring_with_disorder_in_it_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct tk_buf plain = {0};
	struct tk_keyring back;
	struct tk_id second = fx->ring.domains[1].domain;

	fx->ring.domains[1].domain = fx->ring.domains[0].domain;
	assert_int_equal(tk_keyring_encode(&fx->ring, true, &plain, NULL), TK_OK);
	assert_int_equal(tk_keyring_decode(plain.data, plain.len_bytes, &back, NULL), TK_ECORRUPT);
	fx->ring.domains[1].domain = second;
	fx->ring.domains[1].data_keys[0].key_epoch = 0;
	plain.len_bytes = 0;
	assert_int_equal(tk_keyring_encode(&fx->ring, true, &plain, NULL), TK_OK);
	assert_int_equal(tk_keyring_decode(plain.data, plain.len_bytes, &back, NULL), TK_ECORRUPT);
	fx->ring.domains[1].data_keys[0].key_epoch = 1;
	plain.len_bytes = 0;
	assert_int_equal(tk_keyring_encode(&fx->ring, true, &plain, NULL), TK_OK);
	for (size_t len = 0; len < plain.len_bytes; len++)
		assert_int_equal(tk_keyring_decode(plain.data, len, &back, NULL), TK_ECORRUPT);
	tk_envelope_buf_wipe(&plain);
}

static char conf_name[] = "twinkeep.conf", key_name[] = "tls/key.pem", bad_name[] = "tls/../../etc/passwd";

static void
the_configuration_comes_back_for_its_source_only(void **state)
{
	struct fixture *fx = *state;
	uint8_t text[] = "site east {}\n";
	struct tk_config_file files[2] = {{conf_name, 0644, {text, sizeof(text) - 1, 0, 0}}, {key_name, 0600, {0}}}, *back = NULL;
	struct tk_buf record = {0};
	size_t count = 0;

	assert_int_equal(tk_config_seal(&fx->ring, files, 2, &record, NULL), TK_OK);
	assert_int_equal(tk_config_open(&fx->ring, record.data, record.len_bytes, &back, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_string_equal(back[0].name, conf_name);
	assert_int_equal(back[0].mode, 0644);
	assert_memory_equal(back[0].content.data, text, sizeof(text) - 1);
	assert_int_equal(back[1].content.len_bytes, 0);
	tk_config_files_free(back, count);
	for (size_t bit = 0; bit < record.len_bytes * 8; bit++) {
		record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(tk_config_open(&fx->ring, record.data, record.len_bytes, &back, &count, NULL), TK_OK);
		record.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	fx->ring.home_key[0] ^= 1;
	assert_int_equal(tk_config_open(&fx->ring, record.data, record.len_bytes, &back, &count, NULL), TK_EKEY);
	files[1].name = bad_name;
	assert_int_equal(tk_config_seal(&fx->ring, files, 2, &record, NULL), TK_EINVAL);
	tk_buf_release(&record);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_passphrase_brings_every_key_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_machine_slot_works_unattended_and_lacks_the_operators_key, setup, teardown),
		cmocka_unit_test_setup_teardown(another_secret_is_a_wrong_key_not_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(no_bit_and_no_byte_of_a_slot_can_be_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_scrypt_parameters_are_refused_before_they_cost_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(the_head_of_a_slot_and_the_passphrase_give_the_recovery_key, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slot_made_in_earnest_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(a_keyring_with_disorder_in_it_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_configuration_comes_back_for_its_source_only, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
