/* Enrolment: an invitation travels as text, a site's home is made from it, and a further source joins with its own. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/hash.h"
#include "tests/unit/net_fixture.h"
#include "transport/armour.h"
#include "transport/enrol.h"

struct party {
	struct net_node ca, node;
	struct tk_invite_request request;
};

struct enrolment {
	struct scratch *scratch;
	struct party a, b;              /* two sources, each with a CA of its own */
	char home[96], vault[112];
};

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

static void
make_party(struct party *party, const char *name, uint8_t id)
{
	net_make_ca(&party->ca, name);
	net_make_node(&party->ca, &party->node, name);
	party->request = (struct tk_invite_request){.site_name = "site-a", .source_name = name, .source_cert_pem = bytes_of(&party->node.cert),
		.ca_cert_pem = bytes_of(&party->ca.cert), .ca_key_pem = bytes_of(&party->ca.key), .now_ns = tk_clock_wall_ns(), .years = 2};
	memset(party->request.source.b, id, TK_ID_BYTES);
	memset(party->request.operator_key, id + 1, TK_KEY_BYTES);
}

static int
setup(void **state)
{
	struct enrolment *e = calloc(1, sizeof(*e));
	void *scratch = NULL;

	assert_non_null(e);
	if (scratch_setup(&scratch))
		return -1;
	e->scratch = scratch;
	make_party(&e->a, "city-a", 0xa0);
	make_party(&e->b, "city-b", 0xb0);
	(void)scratch_path(e->scratch, "home", e->home, sizeof(e->home));
	(void)snprintf(e->vault, sizeof(e->vault), "%s/vault", e->home);
	*state = e;
	return 0;
}

static int
teardown(void **state)
{
	struct enrolment *e = *state;
	void *scratch = e->scratch;

	net_node_release(&e->a.ca);
	net_node_release(&e->a.node);
	net_node_release(&e->b.ca);
	net_node_release(&e->b.node);
	free(e);
	return scratch_teardown(&scratch);
}

static void
invite(const struct party *party, struct tk_invite *out)
{
	struct tk_buf text = {0};
	struct tk_err err;

	if (tk_invite_make(&party->request, &text, &err) || tk_invite_parse(text.data, text.len_bytes, out, &err))
		fail_msg("invite: %s", err.text);
	tk_buf_release(&text);
}

static void
armour_keeps_every_length(void **state)
{
	uint8_t bytes[200];
	struct tk_buf text = {0}, back = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		tk_buf_clear(&text);
		tk_buf_clear(&back);
		assert_int_equal(tk_armour_encode("THING", bytes, len, &text, NULL), TK_OK);
		assert_int_equal(tk_armour_decode("THING", text.data, text.len_bytes, &back, NULL), TK_OK);
		assert_int_equal(back.len_bytes, len);
		if (len)
			assert_memory_equal(back.data, bytes, len);
	}
	assert_int_equal(tk_armour_decode("OTHER", text.data, text.len_bytes, &back, NULL), TK_ECORRUPT);
	assert_int_equal(tk_armour_decode("THING", text.data, text.len_bytes - 10, &back, NULL), TK_ECORRUPT);
	text.data[40] = '!';
	assert_int_equal(tk_armour_decode("THING", text.data, text.len_bytes, &back, NULL), TK_ECORRUPT);
	tk_buf_release(&text);
	tk_buf_release(&back);
}

static void
an_invitation_says_what_the_source_said(void **state)
{
	struct enrolment *e = *state;
	struct tk_x509_info info;
	struct tk_invite got;

	invite(&e->a, &got);
	assert_string_equal(got.site_name, "site-a");
	assert_string_equal(got.source_name, "city-a");
	assert_memory_equal(got.source.b, e->a.request.source.b, TK_ID_BYTES);
	assert_memory_equal(got.operator_key, e->a.request.operator_key, TK_KEY_BYTES);
	assert_int_equal(tk_x509_read(bytes_of(&e->a.node.cert), &info, NULL), TK_OK);
	assert_memory_equal(got.pins[0], info.pin, TK_PIN_BYTES);
	assert_int_equal(tk_x509_match(bytes_of(&got.cert_pem), bytes_of(&got.key_pem), NULL), TK_OK);
	assert_int_equal(tk_x509_read(bytes_of(&got.cert_pem), &info, NULL), TK_OK);
	assert_string_equal(info.name, "site-a");
	tk_invite_release(&got);
}

static void
an_invitation_without_the_cas_key_has_no_certificate(void **state)
{
	struct enrolment *e = *state;
	struct tk_invite got;

	e->a.request.ca_key_pem = (struct tk_bytes){NULL, 0};
	invite(&e->a, &got);
	assert_int_equal(got.cert_pem.len_bytes, 0);
	assert_int_equal(got.key_pem.len_bytes, 0);
	tk_invite_release(&got);
	e->a.request.site_name = "../site";
	assert_int_equal(tk_invite_make(&e->a.request, &got.ca_pem, NULL), TK_EINVAL);
}

static void
an_invitation_file_is_for_its_owner_only_and_not_written_over(void **state)
{
	struct enrolment *e = *state;
	struct tk_invite got;
	struct stat st;
	char path[128];

	(void)scratch_path(e->scratch, "invitation", path, sizeof(path));
	assert_int_equal(tk_invite_read(path, &got, NULL), TK_ENOENT);
	assert_int_equal(tk_invite_make_file(&e->a.request, path, NULL), TK_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tk_invite_make_file(&e->a.request, path, NULL), TK_EEXIST);
	assert_int_equal(tk_invite_read(path, &got, NULL), TK_OK);
	tk_invite_release(&got);
}

static void
a_damaged_invitation_is_refused(void **state)
{
	struct enrolment *e = *state;
	struct tk_buf text = {0};
	struct tk_invite got;

	assert_int_equal(tk_invite_make(&e->a.request, &text, NULL), TK_OK);
	for (size_t at = 0; at < text.len_bytes; at += 7) {
		uint8_t kept = text.data[at];

		if (kept == '\n')
			continue;
		text.data[at] = kept == 'Q' ? 'R' : 'Q';
		assert_int_not_equal(tk_invite_parse(text.data, text.len_bytes, &got, NULL), TK_OK);
		text.data[at] = kept;
	}
	tk_wipe_buf(&text);
}

static void
a_home_is_made_once_and_whole(void **state)
{
	static const char *const listen[] = {"127.0.0.1:0", "[::1]:0"};
	struct enrolment *e = *state;
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = NULL;
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	struct tk_invite got;
	struct stat st;
	char text[1024];

	invite(&e->a, &got);
	assert_int_equal(tk_site_home_create("relative", &got, listen, 2, NULL, NULL), TK_EINVAL);
	assert_int_equal(tk_site_home_create(e->home, &got, listen, 2, NULL, NULL), TK_OK);
	assert_int_equal(tk_site_home_create(e->home, &got, listen, 2, NULL, NULL), TK_EEXIST);
	assert_int_equal(fstatat(e->scratch->fd, "home/keys/tls.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)scratch_read(e->scratch, "home/twinkeepd.conf", text, sizeof(text));
	assert_non_null(strstr(text, "listen = {\"127.0.0.1:0\", \"[::1]:0\"}"));
	assert_non_null(strstr(text, e->vault));
	assert_int_equal(tk_registry_load(e->vault, NULL, &registry, NULL), TK_OK);
	assert_string_equal(tk_registry_find(registry, got.pins[0])->name, "city-a");
	assert_int_equal(tk_site_home_tls(e->home, &tls, NULL), TK_OK);
	tk_invite_release(&got);
}

static void
a_home_whose_making_was_cut_off_is_made_again(void **state)
{
	static const char *const listen[] = {"127.0.0.1:0"};
	struct enrolment *e = *state;
	struct tk_invite got;

	invite(&e->a, &got);
	assert_int_equal(tk_site_home_create(e->home, &got, listen, 1, NULL, NULL), TK_OK);
	assert_int_equal(unlinkat(e->scratch->fd, "home/twinkeepd.conf", 0), 0);
	assert_int_equal(tk_site_home_create(e->home, &got, listen, 1, NULL, NULL), TK_OK);
	tk_invite_release(&got);
}

static enum tk_rc
open_as(const struct party *party, const struct tk_address *address, struct tk_err *err)
{
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	struct tk_client_options options = {.address = *address, .site_name = "site-a", .role = TK_ROLE_SOURCE, .source = party->request.source,
		.io_timeout_ms = 3000, .connect_timeout_ms = 3000};
	enum tk_rc rc = tk_source_tls(&party->request.source, bytes_of(&party->ca.cert), bytes_of(&party->node.cert), bytes_of(&party->node.key), &tls, err);

	options.tls = tls;
	return rc ? rc : tk_client_open(&options, &store, err);
}

static void
two_sources_with_cas_of_their_own_share_a_site(void **state)
{
	static const char *const listen[] = {"127.0.0.1:0"};
	static const struct tk_address loopback = {.host = "127.0.0.1"};
	struct enrolment *e = *state;
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	TK_AUTO(tk_server_cleanup) struct tk_server *server = NULL;
	struct tk_server_options options = {.listen = &loopback, .listen_count = 1};
	struct tk_registry *registry;
	struct tk_tls_ctx *tls;
	struct tk_invite a, b, again;
	struct tk_address address;
	char text[TK_ADDRESS_TEXT_MAX];
	struct tk_err err;

	invite(&e->a, &a);
	invite(&e->b, &b);
	assert_int_equal(tk_site_home_create(e->home, &a, listen, 1, NULL, NULL), TK_OK);
	assert_int_equal(tk_site_home_add_source(e->home, e->vault, &b, NULL), TK_OK);
	assert_int_equal(tk_site_home_add_source(e->home, e->vault, &b, NULL), TK_OK);
	e->b.request.site_name = "site-b";
	invite(&e->b, &again);
	assert_int_equal(tk_site_home_add_source(e->home, e->vault, &again, NULL), TK_EINVAL);
	tk_invite_release(&again);
	tk_invite_release(&a);
	tk_invite_release(&b);

	assert_int_equal(tk_vault_open(e->vault, TK_VAULT_SERVE, NULL, &vault, NULL), TK_OK);
	options.vault = vault;
	assert_int_equal(tk_site_home_tls(e->home, &tls, NULL), TK_OK);
	assert_int_equal(tk_registry_load(e->vault, NULL, &registry, NULL), TK_OK);
	assert_int_equal(tk_server_start(&options, tls, registry, &server, NULL), TK_OK);
	tk_tls_ctx_free(tls);
	assert_true(tk_server_address(server, 0, text));
	assert_int_equal(tk_address_parse(text, &address, NULL), TK_OK);
	if (open_as(&e->a, &address, &err) || open_as(&e->b, &address, &err))
		fail_msg("open: %s", err.text);
	tk_server_stop(server);
}

#define ENROLLED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(armour_keeps_every_length),
		ENROLLED(an_invitation_says_what_the_source_said),
		ENROLLED(an_invitation_without_the_cas_key_has_no_certificate),
		ENROLLED(an_invitation_file_is_for_its_owner_only_and_not_written_over),
		ENROLLED(a_damaged_invitation_is_refused),
		ENROLLED(a_home_is_made_once_and_whole),
		ENROLLED(a_home_whose_making_was_cut_off_is_made_again),
		ENROLLED(two_sources_with_cas_of_their_own_share_a_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
