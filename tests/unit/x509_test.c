/* The small CA: what it issues can be read, matched, renewed; what is not a certificate is refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/base/clock.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/x509.h"

#define YEAR_NS (INT64_C(1461) * 6 * 3600 * 1000000000)

struct ca {
	struct tk_buf key, cert;
};

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

static void
make_ca(struct ca *ca)
{
	const struct tk_x509_request request = {"ca.lab", tk_clock_wall_ns(), 20};

	tk_buf_init(&ca->key, 0);
	tk_buf_init(&ca->cert, 0);
	assert_int_equal(tk_x509_make_key(&ca->key, NULL), TK_OK);
	assert_int_equal(tk_x509_make_ca(&request, bytes_of(&ca->key), &ca->cert, NULL), TK_OK);
}

static void
release_ca(struct ca *ca)
{
	tk_wipe_buf(&ca->key);
	tk_buf_release(&ca->cert);
}

static void
issue(const struct ca *ca, const char *name, int64_t now_ns, const struct tk_buf *key, struct tk_buf *cert)
{
	const struct tk_x509_request request = {name, now_ns, 2};
	struct tk_buf public_key;

	tk_buf_init(&public_key, 0);
	assert_int_equal(tk_x509_public_key(bytes_of(key), &public_key, NULL), TK_OK);
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca->cert), bytes_of(&ca->key), cert, NULL), TK_OK);
	tk_buf_release(&public_key);
}

static void
an_issued_certificate_says_what_was_asked_for(void **state)
{
	struct tk_buf key, cert;
	struct tk_x509_info info;
	int64_t now = tk_clock_wall_ns();
	struct ca ca;

	(void)state;
	make_ca(&ca);
	tk_buf_init(&key, 0);
	tk_buf_init(&cert, 0);
	assert_int_equal(tk_x509_make_key(&key, NULL), TK_OK);
	issue(&ca, "site-a_1", now, &key, &cert);
	assert_int_equal(tk_x509_read(bytes_of(&cert), &info, NULL), TK_OK);
	assert_string_equal(info.name, "site-a_1");
	assert_false(info.is_ca);
	assert_true(info.not_before_ns < now && info.not_before_ns > now - YEAR_NS / 300);
	assert_true(info.not_after_ns > now + 2 * YEAR_NS - YEAR_NS / 300 && info.not_after_ns < now + 2 * YEAR_NS + YEAR_NS / 300);
	assert_int_equal(tk_x509_match(bytes_of(&cert), bytes_of(&key), NULL), TK_OK);
	assert_int_equal(tk_x509_match(bytes_of(&cert), bytes_of(&ca.key), NULL), TK_EKEY);
	assert_int_equal(tk_x509_read(bytes_of(&ca.cert), &info, NULL), TK_OK);
	assert_string_equal(info.name, "ca.lab");
	assert_true(info.is_ca);
	tk_wipe_buf(&key);
	tk_buf_release(&cert);
	release_ca(&ca);
}

static void
a_renewed_certificate_keeps_its_pin(void **state)
{
	struct tk_buf key, other_key, first, renewed, other;
	struct tk_x509_info a, b, c;
	struct ca ca;

	(void)state;
	make_ca(&ca);
	tk_buf_init(&key, 0);
	tk_buf_init(&other_key, 0);
	tk_buf_init(&first, 0);
	tk_buf_init(&renewed, 0);
	tk_buf_init(&other, 0);
	assert_int_equal(tk_x509_make_key(&key, NULL), TK_OK);
	assert_int_equal(tk_x509_make_key(&other_key, NULL), TK_OK);
	issue(&ca, "node", tk_clock_wall_ns(), &key, &first);
	issue(&ca, "node", tk_clock_wall_ns() + YEAR_NS, &key, &renewed);
	issue(&ca, "node", tk_clock_wall_ns(), &other_key, &other);
	assert_int_equal(tk_x509_read(bytes_of(&first), &a, NULL), TK_OK);
	assert_int_equal(tk_x509_read(bytes_of(&renewed), &b, NULL), TK_OK);
	assert_int_equal(tk_x509_read(bytes_of(&other), &c, NULL), TK_OK);
	assert_memory_equal(a.pin, b.pin, sizeof(a.pin));
	assert_memory_not_equal(a.pin, c.pin, sizeof(a.pin));
	assert_true(b.not_after_ns > a.not_after_ns);
	tk_wipe_buf(&key);
	tk_wipe_buf(&other_key);
	tk_buf_release(&first);
	tk_buf_release(&renewed);
	tk_buf_release(&other);
	release_ca(&ca);
}

/* openssl req -x509 -newkey ed25519 -subj / -addext subjectAltName=DNS:backup.example.org -days 36500 */
static const char foreign_cert[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBNTCB6KADAgECAhQ3W4+eQXJut+v6xtderExHgA+p/TAFBgMrZXAwADAgFw0y\n"
    "NjExMjQwNDA0MDhaGA8yMTI2MTAzMTA0MDQwOFowADAqMAUGAytlcAMhAI77d24Q\n"
    "iC6Dt5xcu6e87bk0rrXf5rmrBkg6Su7Q32Xqo3IwcDAdBgNVHQ4EFgQUd+oqddew\n"
    "aKdW02QS9uvmL+RyY2AwHwYDVR0jBBgwFoAUd+oqddewaKdW02QS9uvmL+RyY2Aw\n"
    "DwYDVR0TAQH/BAUwAwEB/zAdBgNVHREEFjAUghJiYWNrdXAuZXhhbXBsZS5vcmcw\n"
    "BQYDK2VwA0EAZPWh7lMhzGBce2TxvpppvANyFcji46mV5pN6efAMKDQBaYJFc/6v\n"
    "q8nCTz38mIcgVkDZhMgkcJuW4GGjDc15BQ==\n"
    "-----END CERTIFICATE-----\n";

static void
a_certificate_made_elsewhere_is_read_by_its_dns_name(void **state)
{
	const struct tk_bytes cert = {foreign_cert, sizeof(foreign_cert) - 1};
	struct tk_x509_info info;

	(void)state;
	assert_int_equal(tk_x509_read(cert, &info, NULL), TK_OK);
	assert_string_equal(info.name, "backup.example.org");
}

static void
names_that_cannot_be_certified_are_refused(void **state)
{
	static const char *const bad[] = {"", "-a", ".a", "a b", "a,DNS:other", "a\nb", "*", "\xe7\xab\x99",
	    "a234567890123456789012345678901234567890123456789"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tk_x509_check_name(bad[i], NULL), TK_EINVAL);
	assert_int_equal(tk_x509_check_name("a", NULL), TK_OK);
	assert_int_equal(tk_x509_check_name("DC2.site_b-3", NULL), TK_OK);
}

static void
requests_out_of_range_and_a_wrong_ca_key_are_refused(void **state)
{
	struct tk_x509_request request = {"node", tk_clock_wall_ns(), 0};
	struct tk_buf key, public_key, cert;
	struct ca ca;

	(void)state;
	make_ca(&ca);
	tk_buf_init(&key, 0);
	tk_buf_init(&public_key, 0);
	tk_buf_init(&cert, 0);
	assert_int_equal(tk_x509_make_key(&key, NULL), TK_OK);
	assert_int_equal(tk_x509_public_key(bytes_of(&key), &public_key, NULL), TK_OK);
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca.cert), bytes_of(&ca.key), &cert, NULL), TK_EINVAL);
	request.years = 101;
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca.cert), bytes_of(&ca.key), &cert, NULL), TK_EINVAL);
	request.years = 1;
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca.cert), bytes_of(&key), &cert, NULL), TK_EKEY);
	request.name = "a/b";
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca.cert), bytes_of(&ca.key), &cert, NULL), TK_EINVAL);
	assert_int_equal(cert.len_bytes, 0);
	tk_wipe_buf(&key);
	tk_buf_release(&public_key);
	release_ca(&ca);
}

static void
what_is_not_pem_is_corrupt(void **state)
{
	static const char cut[] = "-----BEGIN CERTIFICATE-----\nMIIB\n";
	struct tk_bytes bad[] = {{"", 0}, {"hello", 5}, {cut, sizeof(cut) - 1}};
	struct tk_buf out;
	struct tk_x509_info info;
	struct tk_err err;

	(void)state;
	tk_buf_init(&out, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(tk_x509_read(bad[i], &info, &err), TK_ECORRUPT);
		assert_null(strchr(err.text, '\n'));
		assert_int_equal(tk_x509_public_key(bad[i], &out, &err), TK_ECORRUPT);
	}
}

static void
a_damaged_certificate_after_a_good_one_is_not_overlooked(void **state)
{
	struct ca ca;
	struct tk_x509_info info;
	size_t good_bytes;

	(void)state;
	make_ca(&ca);
	good_bytes = ca.cert.len_bytes;
	assert_int_equal(tk_buf_put(&ca.cert, "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", 58, NULL), TK_OK);
	assert_int_equal(tk_x509_read(bytes_of(&ca.cert), &info, NULL), TK_ECORRUPT);
	assert_int_equal(tk_x509_read((struct tk_bytes){ca.cert.data, good_bytes}, &info, NULL), TK_OK);
	release_ca(&ca);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_issued_certificate_says_what_was_asked_for),
		cmocka_unit_test(a_renewed_certificate_keeps_its_pin),
		cmocka_unit_test(a_certificate_made_elsewhere_is_read_by_its_dns_name),
		cmocka_unit_test(names_that_cannot_be_certified_are_refused),
		cmocka_unit_test(requests_out_of_range_and_a_wrong_ca_key_are_refused),
		cmocka_unit_test(what_is_not_pem_is_corrupt),
		cmocka_unit_test(a_damaged_certificate_after_a_good_one_is_not_overlooked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
