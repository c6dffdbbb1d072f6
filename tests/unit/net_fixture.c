#include "tests/unit/unit.h"

#include "tests/unit/net_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "transport/enrol.h"

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

void
net_make_ca(struct net_node *ca, const char *name)
{
	const struct tk_x509_request request = {name, tk_clock_wall_ns(), 10};

	assert_int_equal(tk_x509_make_key(&ca->key, NULL), TK_OK);
	assert_int_equal(tk_x509_make_ca(&request, bytes_of(&ca->key), &ca->cert, NULL), TK_OK);
}

void
net_make_node(const struct net_node *ca, struct net_node *node, const char *name)
{
	const struct tk_x509_request request = {name, tk_clock_wall_ns(), 1};
	struct tk_buf public_key = {0};

	assert_int_equal(tk_x509_make_key(&node->key, NULL), TK_OK);
	assert_int_equal(tk_x509_public_key(bytes_of(&node->key), &public_key, NULL), TK_OK);
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca->cert), bytes_of(&ca->key), &node->cert, NULL), TK_OK);
	tk_buf_release(&public_key);
}

void
net_node_release(struct net_node *node)
{
	tk_buf_release(&node->key);
	tk_buf_release(&node->cert);
}

static void
register_source(struct net *net)
{
	struct tk_x509_info info;

	net->peer = (struct tk_peer){.role = TK_ROLE_SOURCE, .state = TK_PEER_ACTIVE, .id = net->box->ring.source, .owner = net->box->ring.source,
		.name = "city", .pin_count = 1};
	assert_int_equal(tk_x509_read(bytes_of(&net->source.cert), &info, NULL), TK_OK);
	memcpy(net->peer.pins[0], info.pin, TK_PIN_BYTES);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, net->box->ring.operator_seed, net->peer.operator_key, NULL), TK_OK);
	assert_int_equal(tk_registry_put(net->box->path, &net->peer, NULL), TK_OK);
}

struct tk_tls_ctx *
net_client_tls(const struct net *net, const struct net_node *node)
{
	struct tk_tls_ctx *ctx = NULL;

	assert_int_equal(tk_source_tls(&net->box->ring.source, bytes_of(&net->ca.cert), bytes_of(&node->cert), bytes_of(&node->key), &ctx, NULL), TK_OK);
	return ctx;
}

struct tk_tls_ctx *
net_server_tls(const struct net *net)
{
	struct tk_tls_config config = {.role = TK_TLS_SERVER, .ca_pem = bytes_of(&net->ca.cert), .cert_pem = bytes_of(&net->site.cert),
		.key_pem = bytes_of(&net->site.key), .peer_cert_optional = true};
	struct tk_tls_ctx *ctx = NULL;

	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_OK);
	return ctx;
}

struct tk_registry *
net_registry(const struct net *net)
{
	struct tk_registry *registry = NULL;

	assert_int_equal(tk_registry_load(net->box->path, NULL, &registry, NULL), TK_OK);
	return registry;
}

int
net_setup(void **state)
{
	struct net *net = calloc(1, sizeof(*net));
	void *box = NULL;

	assert_non_null(net);
	if (box_setup(&box))
		return -1;
	net->box = box;
	net_make_ca(&net->ca, "ca");
	net_make_node(&net->ca, &net->site, "site-a");
	net_make_node(&net->ca, &net->source, "city");
	net_make_node(&net->ca, &net->stranger, "stranger");
	register_source(net);
	net->options = (struct tk_server_options){.vault = net->box->vault, .io_timeout_ms = 3000, .hello_timeout_ms = 2000, .ping_ms = 100,
		.drain_timeout_ms = 3000, .recover_per_minute = 100};
	net->client = (struct tk_client_options){.tls = net_client_tls(net, &net->source), .site_name = "site-a", .role = TK_ROLE_SOURCE,
		.source = net->box->ring.source, .node_name = "test", .io_timeout_ms = 3000, .connect_timeout_ms = 3000};
	*state = net;
	return 0;
}

int
net_teardown(void **state)
{
	struct net *net = *state;
	void *box = net->box;

	tk_server_free(net->server);
	tk_tls_ctx_free(net->client.tls);
	net_node_release(&net->ca);
	net_node_release(&net->site);
	net_node_release(&net->source);
	net_node_release(&net->stranger);
	free(net);
	return box_teardown(&box);
}

void
net_serve(struct net *net)
{
	static const struct tk_address loopback = {.host = "127.0.0.1"};
	struct tk_tls_ctx *tls = net_server_tls(net);
	char text[TK_ADDRESS_TEXT_MAX];
	struct tk_err err;

	if (!net->options.listen_count) {
		net->options.listen = &loopback;
		net->options.listen_count = 1;
	}
	if (tk_server_start(&net->options, tls, net_registry(net), &net->server, &err))
		fail_msg("serve: %s", err.text);
	tk_tls_ctx_free(tls);
	assert_true(tk_server_address(net->server, 0, text));
	assert_int_equal(tk_address_parse(text, &net->address, NULL), TK_OK);
	net->client.address = net->address;
}

struct tk_store *
net_open(struct net *net)
{
	struct tk_store *store = NULL;
	struct tk_err err;

	if (tk_client_open(&net->client, &store, &err))
		fail_msg("open: %s", err.text);
	return store;
}

enum tk_rc
net_put(struct tk_store *store, const struct made_pack *pack, struct tk_err *err)
{
	int fd = memfd_create("pack", MFD_CLOEXEC);
	enum tk_rc rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, pack->bytes.data, pack->bytes.len_bytes), (int)pack->bytes.len_bytes);
	rc = store->ops->put_pack(store, &pack->ident.name, fd, pack->bytes.len_bytes, err);
	close(fd);
	return rc;
}
