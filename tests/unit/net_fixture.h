/* net_fixture.h -- a site that serves the vault of vault_fixture.h on loopback, and a source that knows it. */
#ifndef TK_TESTS_NET_FIXTURE_H
#define TK_TESTS_NET_FIXTURE_H

#include "tests/unit/vault_fixture.h"

#include "engine/crypto/x509.h"
#include "transport/client.h"
#include "transport/server.h"

struct net_node {
	struct tk_buf key, cert;
};

struct net {
	struct vault_box *box;
	struct net_node ca, site, source, stranger; /* stranger: of the same CA, not registered */
	struct tk_peer peer;                    /* the source's entry */
	struct tk_server_options options;       /* what net_serve uses: change before */
	struct tk_server *server;
	struct tk_address address;
	struct tk_client_options client;        /* a source's; tls belongs to the fixture */
};

/* Setup and teardown of cmocka; *state is the struct net. The server is not started yet. */
int net_setup(void **state);
int net_teardown(void **state);
void net_serve(struct net *net);
/* A session of the source; must succeed. */
struct tk_store *net_open(struct net *net);
struct tk_tls_ctx *net_client_tls(const struct net *net, const struct net_node *node);
struct tk_tls_ctx *net_server_tls(const struct net *net);
struct tk_registry *net_registry(const struct net *net);

void net_make_ca(struct net_node *ca, const char *name);
void net_make_node(const struct net_node *ca, struct net_node *node, const char *name);
void net_node_release(struct net_node *node);

/* Sends a made pack through a session. */
enum tk_rc net_put(struct tk_store *store, const struct made_pack *pack, struct tk_err *err);

#endif
