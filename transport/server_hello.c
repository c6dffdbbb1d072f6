/* Who is it? The certificate's pin finds the peer in the registry; the registry alone gives rights. */
#include <stdio.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/sign.h"
#include "transport/server_core.h"

#define NODE_NAME_MAX 256

/* Takes the peer out of the registry in one step with the mark that a reload looks for. */
static enum tk_rc
find_peer(struct tk_conn *conn, struct tk_err *err)
{
	struct tk_server *server = conn->server;
	const struct tk_tls_peer *tls_peer = tk_tls_peer(tk_session_tls(conn->session));
	const struct tk_peer *peer;
	enum tk_rc rc = TK_OK;

	if (!tls_peer->has_cert || !tls_peer->verified)
		return tk_err_set(err, TK_EDENIED, "who has no certificate can do nothing but recover");
	memcpy(conn->pin, tls_peer->cert.pin, TK_PIN_BYTES);
	pthread_mutex_lock(&server->lock);
	peer = tk_registry_find(server->registry, conn->pin);
	if (!peer)
		rc = tk_err_set(err, TK_EDENIED, "the certificate of \"%s\" is not registered at this site", tls_peer->cert.name);
	else if (!(rc = tk_door_pass(conn, TK_CONN_KNOWN, err)))
		conn->peer = *peer;
	pthread_mutex_unlock(&server->lock);
	if (rc)
		return rc;
	if (tls_peer->date_wrong)
		tk_log_event(server->log, TK_LOG_WARN, "certificate-date", "peer=%s text=\"its certificate has expired or is not valid yet\"",
			     conn->peer.name);
	return TK_OK;
}

static enum tk_rc
check_proof(struct tk_conn *conn, const ProtobufCBinaryData *proof, struct tk_err *err)
{
	uint8_t channel[TK_HASH_BYTES];
	struct tk_buf text;
	enum tk_rc rc = tk_tls_exporter(tk_session_tls(conn->session), TK_OPERATOR_LABEL, channel, err);

	tk_buf_init(&text, 256);
	if (!rc && !(rc = tk_buf_put(&text, TK_OPERATOR_PREFIX, strlen(TK_OPERATOR_PREFIX), err)) &&
	    !(rc = tk_buf_put(&text, channel, sizeof(channel), err)) && !(rc = tk_buf_put(&text, conn->peer.owner.b, TK_ID_BYTES, err)))
		rc = tk_sign_verify(TK_SUITE_AES, conn->peer.operator_key, TK_KEY_BYTES, text.data, text.len_bytes, proof->data, proof->len, err);
	tk_buf_release(&text);
	if (rc == TK_ECORRUPT)
		return tk_err_set(err, TK_EDENIED, "the operator's proof is wrong");
	conn->operator_proved = !rc;
	return rc;
}

static enum tk_rc
judge_known(struct tk_conn *conn, const Tk__Wire__Hello *hello, struct tk_err *err)
{
	struct tk_id source;
	enum tk_rc rc = find_peer(conn, err);

	if (!rc && hello->role != (uint32_t)conn->peer.role)
		rc = tk_err_set(err, TK_EDENIED, "%s is registered in another role", conn->peer.name);
	if (!rc && conn->peer.role != TK_ROLE_SOURCE && conn->peer.role != TK_ROLE_OPERATOR)
		rc = tk_err_set(err, TK_EUNSUPPORTED, "this role is reserved");
	if (!rc)
		rc = tk_message_fixed(&hello->source, source.b, TK_ID_BYTES, "a source id", err);
	if (!rc)
		rc = tk_conn_check_source(conn, &source, err);
	if (!rc && hello->operator_proof.len)
		rc = check_proof(conn, &hello->operator_proof, err);
	if (!rc)
		conn->role = conn->peer.role;
	return rc;
}

static enum tk_rc
judge(struct tk_conn *conn, const Tk__Wire__Hello *hello, struct tk_err *err)
{
	struct tk_server *server = conn->server;
	enum tk_rc rc;

	if (atomic_load(&server->stopping))
		return tk_err_set(err, TK_EUNREACH, "the site is stopping");
	if (hello->version != TK_PROTOCOL_VERSION || (hello->features & TK_FEATURES_CRITICAL & ~(uint64_t)TK_FEATURES))
		return tk_err_set(err, TK_EUNSUPPORTED, "version %u of the protocol, or one of its features, is not known here", hello->version);
	if (hello->role != TK_ROLE_RECOVERY)
		return judge_known(conn, hello, err);
	conn->role = TK_ROLE_RECOVERY;
	(void)snprintf(conn->peer.name, sizeof(conn->peer.name), "recovery");
	pthread_mutex_lock(&server->lock);
	rc = tk_door_pass(conn, TK_CONN_RECOVERING, err);
	pthread_mutex_unlock(&server->lock);
	return rc;
}

static enum tk_rc
welcome(struct tk_conn *conn, uint32_t request, const Tk__Wire__Hello *hello, struct tk_err *err)
{
	Tk__Wire__Welcome reply = TK__WIRE__WELCOME__INIT;
	const struct tk_vault_site *site = tk_vault_site(conn->server->vault);
	char node[NODE_NAME_MAX];

	if (tk_message_text(&hello->node_name, node, sizeof(node), "a node's name", err))
		node[0] = '\0';
	tk_log_event(conn->server->log, TK_LOG_INFO, "connected", "peer=%s node=\"%s\" role=%d operator=%d address=%s", conn->peer.name, node,
		     (int)conn->role, conn->operator_proved, conn->address);
	reply.version = TK_PROTOCOL_VERSION;
	reply.features = TK_FEATURES & hello->features;
	reply.role = (uint32_t)conn->role;
	reply.site_name = tk_message_bytes(site->name, strlen(site->name));
	return tk_session_send_message(conn->session, TK_FRAME_WELCOME, false, request, &reply, err);
}

enum tk_rc
tk_conn_hello(struct tk_conn *conn, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Hello *hello = NULL;
	struct tk_frame frame;
	void *decoded = NULL;
	enum tk_rc rc = tk_session_recv(conn->session, conn->server->options.hello_timeout_ms, &frame, err);

	if (!rc && frame.head.type != TK_FRAME_HELLO)
		rc = tk_err_set(err, TK_EPROTO, "a %s frame instead of HELLO", tk_frame_name(frame.head.type));
	if (!rc)
		rc = tk_message_decode(&tk__wire__hello__descriptor, frame.body, frame.head.len_bytes, &decoded, err);
	if (rc)
		return rc;
	hello = decoded;
	rc = judge(conn, hello, err);
	if (!rc)
		return welcome(conn, frame.head.request, hello, err);
	/* The peer is told why; if that fails too, it finds out by itself. */
	if (tk_session_send_error(conn->session, TK_FRAME_ERROR, frame.head.request, rc, err->text, NULL))
		return rc;
	return rc;
}
