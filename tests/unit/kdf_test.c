/* scrypt against RFC 7914, its bounds, and the judgement of passphrases. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/crypto/kdf.h"
#include "engine/crypto/memory.h"
#include "engine/crypto/passphrase.h"

static void
assert_scrypt(const char *pass, const char *salt, uint32_t log2n, uint32_t r, uint32_t p, const char *expected)
{
	uint8_t out[64];
	char text[129];

	assert_int_equal(tk_scrypt(pass, strlen(pass), (const uint8_t *)salt, strlen(salt), log2n, r, p, out, sizeof(out), NULL), TK_OK);
	tk_hex_encode(out, sizeof(out), text);
	assert_string_equal(text, expected);
}

/* RFC 7914, section 12. */
static void
scrypt_gives_the_keys_of_rfc_7914(void **state)
{
	(void)state;
	assert_scrypt("", "", 4, 1, 1,
	    "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
	assert_scrypt("password", "NaCl", 10, 8, 16,
	    "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
	assert_scrypt("pleaseletmein", "SodiumChloride", 14, 8, 1,
	    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

static void
the_cost_for_new_slots_runs(void **state)
{
	uint8_t salt[TK_SCRYPT_SALT_BYTES] = {1}, out[32];

	(void)state;
	assert_int_equal(tk_scrypt("pass", 4, salt, sizeof(salt), TK_SCRYPT_LOG2N, TK_SCRYPT_R, TK_SCRYPT_P, out, sizeof(out), NULL), TK_OK);
}

static void *
stretch(void *done)
{
	uint8_t salt[TK_SCRYPT_SALT_BYTES] = {1}, out[32];

	assert_int_equal(tk_scrypt("pass", 4, salt, sizeof(salt), TK_SCRYPT_LOG2N, TK_SCRYPT_R, TK_SCRYPT_P, out, sizeof(out), NULL), TK_OK);
	atomic_store((atomic_bool *)done, true);
	return NULL;
}

/* Is there a mapping of 120 MiB or more that was advised to lie in huge pages? */
static bool
sees_huge_advice(void)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long kib = 0;
	bool found = false;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		(void)sscanf(line, "Size: %lu kB", &kib);
		found |= strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") && kib >= 120 * 1024;
	}
	fclose(maps);
	return found;
}

static void
the_memory_of_scrypt_is_asked_for_in_huge_pages(void **state)
{
	atomic_bool done = false;
	bool found = false;
	pthread_t thread;

	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) < 0)
		skip();
	assert_int_equal(pthread_create(&thread, NULL, stretch, &done), 0);
	while (!found && !atomic_load(&done))
		found = sees_huge_advice();
	pthread_join(thread, NULL);
	assert_true(found);
}

static void
parameters_that_would_exhaust_the_machine_are_refused(void **state)
{
	static const uint32_t bad[][3] = {{0, 8, 1}, {21, 1, 1}, {UINT32_MAX, 8, 1}, {20, 9, 1}, {14, 0, 1}, {14, 65, 1}, {14, 8, 0},
	    {14, 8, 65}, {14, 64, 5}, {14, UINT32_MAX, UINT32_MAX}};
	uint8_t salt[32] = {0}, out[TK_SCRYPT_OUT_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tk_scrypt("p", 1, salt, 32, bad[i][0], bad[i][1], bad[i][2], out, 32, NULL), TK_EINVAL);
	assert_int_equal(tk_scrypt("p", 1, salt, 32, 4, 1, 1, out, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_scrypt("p", 1, salt, 32, 4, 1, 1, out, sizeof(out), NULL), TK_EINVAL);
}

static void
weak_passphrases_are_refused_with_advice(void **state)
{
	static const char *const weak[] = {"", "short", "aaaaaaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabcabcabc", "abcdefghijklmnopqrstuvwxyz",
	    "12345678901234567890", "qwertyuiopasdfghjklzxcvbnm", "Password123456", "P@ssw0rd2024P@ssw0rd2024", "admin-backup-2026", "twinkeep twinkeep",
	    "BeijingGovernment2026", "welcome to the office", "woaini5201314", "19491001194910011949"};
	struct tk_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
		assert_int_equal(tk_passphrase_check(weak[i], strlen(weak[i]), &err), TK_EINVAL);
		assert_non_null(strstr(err.text, "random words"));
		assert_true(weak[i][0] == '\0' || strstr(err.text, weak[i]) == NULL || strcmp(weak[i], "short") == 0);
	}
}

static void
strong_passphrases_are_accepted(void **state)
{
	static const char *const strong[] = {"vexing plaza tundra mimic gravel", "kR7#pq2!Vx9zLw", "hvq7tm2zkx9dwb4r", "TNjfXoJkbMwLhsVbC",
	    "otter-lantern-gusty-piano-clamp", "春眠不觉晓处处闻啼鸟"};

	(void)state;
	for (size_t i = 0; i < sizeof(strong) / sizeof(strong[0]); i++)
		assert_int_equal(tk_passphrase_check(strong[i], strlen(strong[i]), NULL), TK_OK);
}

static void
a_passphrase_over_the_maximum_is_refused(void **state)
{
	static char text[TK_PASSPHRASE_MAX + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(tk_passphrase_check(text, sizeof(text), NULL), TK_EINVAL);
	assert_true(tk_passphrase_bits(text, sizeof(text)) < 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scrypt_gives_the_keys_of_rfc_7914),
		cmocka_unit_test(the_cost_for_new_slots_runs),
		cmocka_unit_test(the_memory_of_scrypt_is_asked_for_in_huge_pages),
		cmocka_unit_test(parameters_that_would_exhaust_the_machine_are_refused),
		cmocka_unit_test(weak_passphrases_are_refused_with_advice),
		cmocka_unit_test(strong_passphrases_are_accepted),
		cmocka_unit_test(a_passphrase_over_the_maximum_is_refused),
	};

	if (!tk_crypto_memory_begin())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
