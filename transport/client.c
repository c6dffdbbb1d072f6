#include "transport/client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "engine/fsio/openat.h"
#include "transport/client_core.h"

struct tk_client *
tk_client_of(struct tk_store *store)
{
	return (struct tk_client *)store;
}

enum tk_rc
tk_client_alive(struct tk_client *client, struct tk_err *err)
{
	if (client->dead)
		return tk_err_set(err, TK_EUNREACH, "site %s: the session has ended", client->site);
	return TK_OK;
}

enum tk_rc
tk_client_fail(struct tk_client *client, enum tk_rc rc, struct tk_err *err)
{
	client->dead = true;
	return tk_err_context(err, rc, "site %s", client->site);
}

/* No answer yet: the site has some of the pack. */
static enum tk_rc
take_part(struct tk_client_pack *pack, const struct tk_frame *frame, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Number *part = NULL;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__number__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	if (rc)
		return rc;
	part = decoded;
	if (part->number >= pack->len_bytes)
		return tk_err_set(err, TK_EPROTO, "%llu bytes are no part of a pack of %llu", (unsigned long long)part->number,
				  (unsigned long long)pack->len_bytes);
	pack->held_bytes = part->number;
	return TK_OK;
}

/* The answer to a pack: takes it out of the window; the first fault is kept for the next put_pack or flush. */
static enum tk_rc
take_pack_answer(struct tk_client *client, unsigned slot, const struct tk_frame *frame, struct tk_err *err)
{
	struct tk_err fault;

	if (frame->head.type == TK_FRAME_PACK_PART)
		return take_part(&client->window[slot], frame, err);
	if (frame->head.type == TK_FRAME_ERROR) {
		if (tk_message_error(frame->body, frame->head.len_bytes, &fault) && !client->pack_fault.rc)
			client->pack_fault = fault;
	} else if (frame->head.type != TK_FRAME_OK) {
		return tk_err_set(err, TK_EPROTO, "a %s frame as answer to a pack", tk_frame_name(frame->head.type));
	}
	client->in_flight_bytes -= client->window[slot].len_bytes;
	client->in_flight--;
	memmove(&client->window[slot], &client->window[slot + 1], (client->in_flight - slot) * sizeof(client->window[0]));
	return TK_OK;
}

static enum tk_rc
check_welcome(const struct tk_frame *frame, enum tk_role role, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Welcome *welcome = NULL;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__welcome__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	welcome = decoded;
	if (rc)
		return rc;
	if (welcome->version != TK_PROTOCOL_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "it speaks version %u of the protocol", welcome->version);
	if (welcome->features & TK_FEATURES_CRITICAL & ~(uint64_t)TK_FEATURES)
		return tk_err_set(err, TK_EUNSUPPORTED, "it wants a feature that is not known here");
	if (welcome->role != (uint32_t)role)
		return tk_err_set(err, TK_EDENIED, "it gives another role than the one asked for");
	return TK_OK;
}

static enum tk_rc
take_greeting(struct tk_client *client, const struct tk_frame *frame, struct tk_err *err)
{
	client->greeting = 0;
	if (frame->head.type == TK_FRAME_ERROR)
		return tk_message_error(frame->body, frame->head.len_bytes, err);
	if (frame->head.type != TK_FRAME_WELCOME)
		return tk_err_set(err, TK_EPROTO, "a %s frame as answer to HELLO", tk_frame_name(frame->head.type));
	return check_welcome(frame, client->role, err);
}

/* *mine: the frame is for a caller that waits for it. */
static enum tk_rc
sort_frame(struct tk_client *client, const struct tk_frame *frame, bool *mine, struct tk_err *err)
{
	bool kept = false;
	enum tk_rc rc;

	*mine = false;
	if (frame->head.type == TK_FRAME_PING)
		return TK_OK;
	if (frame->head.type == TK_FRAME_BYE || (frame->head.type == TK_FRAME_ERROR && !frame->head.request)) {
		rc = tk_message_error(frame->body, frame->head.len_bytes, err);

		/* Whatever the reason: for this session the site is gone. Only a refusal keeps its own code. */
		return rc == TK_EDENIED || rc == TK_EUNSUPPORTED || rc == TK_EPROTO ? rc : tk_err_context(err, TK_EUNREACH, "it said");
	}
	if (client->greeting && frame->head.request == client->greeting)
		return take_greeting(client, frame, err);
	for (unsigned i = 0; i < client->in_flight; i++)
		if (client->window[i].request == frame->head.request)
			return take_pack_answer(client, i, frame, err);
	rc = tk_client_keep(client, frame, &kept, err);
	*mine = !rc && !kept;
	return rc;
}

enum tk_rc
tk_client_next(struct tk_client *client, bool wait, bool *got, struct tk_frame *frame, struct tk_err *err)
{
	int64_t give_up_ns = tk_clock_mono_ns() + (int64_t)client->work_timeout_ms * 1000000;
	unsigned before = client->in_flight;
	uint32_t greeting = client->greeting;
	enum tk_rc rc;

	for (*got = false; !*got;) {
		rc = tk_session_recv(client->session, wait ? client->io_timeout_ms : 0, frame, err);
		if (rc == TK_ETIMEOUT && !wait && tk_session_is_quiet(client->session))
			return TK_OK;
		if (!rc)
			rc = sort_frame(client, frame, got, err);
		if (!rc && !*got && tk_clock_mono_ns() > give_up_ns)
			rc = tk_err_set(err, TK_ETIMEOUT, "it lives, but did not answer within %d ms", client->work_timeout_ms);
		if (rc)
			return tk_client_fail(client, rc, err);
		/* Whoever waits for room in the window looks again. */
		if (wait && (client->in_flight != before || client->greeting != greeting))
			return TK_OK;
	}
	return TK_OK;
}

enum tk_rc
tk_client_reply(struct tk_client *client, uint32_t request, enum tk_frame_type want, enum tk_frame_type other, struct tk_frame *frame,
		struct tk_err *err)
{
	bool got = tk_client_kept(client, frame);
	enum tk_rc rc = TK_OK;

	while (!got && !rc)
		rc = tk_client_next(client, true, &got, frame, err);
	if (rc)
		return rc;
	if (frame->head.request == request && frame->head.type == TK_FRAME_ERROR) {
		rc = tk_message_error(frame->body, frame->head.len_bytes, err);
		/* The two codes that would tell the caller that this session is dead are true of the channel only. */
		if (rc == TK_EPROTO || rc == TK_EUNREACH || rc == TK_ETIMEOUT)
			return tk_client_fail(client, rc, err);
		return tk_err_context(err, rc, "site %s", client->site);
	}
	if (frame->head.request == request && (frame->head.type == want || (other && frame->head.type == other)))
		return TK_OK;
	rc = tk_err_set(err, TK_EPROTO, "a %s frame out of order", tk_frame_name(frame->head.type));
	return tk_client_fail(client, rc, err);
}

enum tk_rc
tk_client_call(struct tk_client *client, enum tk_frame_type type, const void *message, enum tk_frame_type want, enum tk_frame_type other,
	       struct tk_frame *frame, struct tk_err *err)
{
	struct tk_frame_head head = {.type = type};
	enum tk_rc rc = tk_client_alive(client, err);

	if (!rc)
		rc = tk_client_asked(client, type, message, &head.request, err);
	if (rc)
		return rc;
	if (head.request)
		return tk_client_reply(client, head.request, want, other, frame, err);
	head.request = ++client->last_request;
	if (message)
		rc = tk_session_send_message(client->session, type, false, head.request, message, err);
	else
		rc = tk_session_send(client->session, &head, NULL, err);
	if (rc == TK_EINVAL)
		return tk_err_context(err, rc, "site %s", client->site);
	if (rc)
		return tk_client_fail(client, rc, err);
	return tk_client_reply(client, head.request, want, other, frame, err);
}

enum tk_rc
tk_client_wait_pack(struct tk_client *client, struct tk_err *err)
{
	struct tk_frame frame;
	bool got;
	enum tk_rc rc = tk_client_next(client, true, &got, &frame, err);

	if (!rc && got) {
		rc = tk_err_set(err, TK_EPROTO, "a %s frame that nobody asked for", tk_frame_name(frame.head.type));
		return tk_client_fail(client, rc, err);
	}
	return rc;
}

void
tk_client_free(struct tk_client *client)
{
	if (!client)
		return;
	tk_session_free(client->session);
	tk_client_release_asked(client);
	free(client);
}

void
tk_client_cleanup(struct tk_client **client)
{
	tk_client_free(*client);
	*client = NULL;
}

static int
or_default(int value, int fallback)
{
	return value > 0 ? value : fallback;
}

static void
set_limits(struct tk_client *client, const struct tk_client_options *options)
{
	client->store.ops = &tk_client_ops;
	client->io_timeout_ms = or_default(options->io_timeout_ms, TK_CLIENT_IO_TIMEOUT_MS);
	client->work_timeout_ms = or_default(options->work_timeout_ms, TK_CLIENT_WORK_TIMEOUT_MS);
	client->window_packs = options->window_packs ? options->window_packs : TK_CLIENT_WINDOW_PACKS;
	if (client->window_packs > TK_CLIENT_WINDOW_MAX)
		client->window_packs = TK_CLIENT_WINDOW_MAX;
	client->window_bytes = options->window_bytes ? options->window_bytes : TK_CLIENT_WINDOW_BYTES;
	client->bandwidth = options->bandwidth;
	client->bandwidth_ctx = options->bandwidth_ctx;
	tk_address_format(&options->address, client->site);
}

enum tk_rc
tk_client_connect(const struct tk_client_options *options, struct tk_client **out, struct tk_err *err)
{
	TK_AUTO(tk_client_cleanup) struct tk_client *client = calloc(1, sizeof(*client));
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	TK_AUTO(tk_tls_cleanup) struct tk_tls_conn *tls = NULL;
	int connect_ms = or_default(options->connect_timeout_ms, TK_CLIENT_CONNECT_TIMEOUT_MS), socket_fd;
	enum tk_rc rc;

	if (!client)
		return tk_err_set(err, TK_ENOMEM, "no memory for a session");
	set_limits(client, options);
	rc = tk_address_connect(&options->address, connect_ms, &fd, err);
	if (rc)
		return rc;
	rc = tk_tls_connect(options->tls, fd, options->site_name, connect_ms, &tls, err);
	if (rc)
		return tk_err_context(err, rc, "site %s", client->site);
	socket_fd = fd;
	fd = -1;
	rc = tk_session_new(tls, socket_fd, client->io_timeout_ms, &client->session, err);
	if (rc)
		return rc;
	tls = NULL;
	*out = client;
	client = NULL;
	return TK_OK;
}

/* The operator's proof: bound to this very connection, so that nobody can use it elsewhere. */
static enum tk_rc
prove_operator(struct tk_client *client, const struct tk_client_options *options, uint8_t signature[TK_SIGN_SIG_BYTES],
	       struct tk_err *err)
{
	uint8_t channel[TK_HASH_BYTES];
	struct tk_buf text;
	enum tk_rc rc = tk_tls_exporter(tk_session_tls(client->session), TK_OPERATOR_LABEL, channel, err);

	tk_buf_init(&text, 256);
	if (rc || (rc = tk_buf_put(&text, TK_OPERATOR_PREFIX, strlen(TK_OPERATOR_PREFIX), err)) ||
	    (rc = tk_buf_put(&text, channel, sizeof(channel), err)) ||
	    (rc = tk_buf_put(&text, options->source.b, TK_ID_BYTES, err)) ||
	    (rc = tk_sign(TK_SUITE_AES, options->operator_seed, text.data, text.len_bytes, signature, err)))
		tk_buf_clear(&text);
	tk_buf_release(&text);
	return rc;
}

static enum tk_rc
await_greeting(struct tk_client *client, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	while (!rc && client->greeting)
		rc = tk_client_wait_pack(client, err);
	return rc;
}

enum tk_rc
tk_client_hello(struct tk_client *client, const struct tk_client_options *options, struct tk_err *err)
{
	Tk__Wire__Hello hello = TK__WIRE__HELLO__INIT;
	uint8_t signature[TK_SIGN_SIG_BYTES];
	enum tk_rc rc = TK_OK;

	hello.version = TK_PROTOCOL_VERSION;
	hello.features = TK_FEATURES;
	hello.role = (uint32_t)options->role;
	if (options->role != TK_ROLE_RECOVERY) {
		hello.source = tk_message_bytes(options->source.b, TK_ID_BYTES);
		if (options->node_name)
			hello.node_name = tk_message_bytes(options->node_name, strlen(options->node_name));
	}
	if (options->operator_seed) {
		rc = prove_operator(client, options, signature, err);
		if (rc)
			return rc;
		hello.operator_proof = tk_message_bytes(signature, sizeof(signature));
	}
	client->role = options->role;
	client->greeting = ++client->last_request;
	rc = tk_session_send_message(client->session, TK_FRAME_HELLO, false, client->greeting, &hello, err);
	if (rc)
		return tk_client_fail(client, rc, err);
	return options->greet_ahead ? TK_OK : await_greeting(client, err);
}

enum tk_rc
tk_client_open(const struct tk_client_options *options, struct tk_store **out, struct tk_err *err)
{
	TK_AUTO(tk_client_cleanup) struct tk_client *client = NULL;
	enum tk_rc rc = tk_client_connect(options, &client, err);

	if (!rc)
		rc = tk_client_hello(client, options, err);
	if (rc)
		return rc;
	*out = &client->store;
	client = NULL;
	return TK_OK;
}

uint64_t
tk_client_sent_bytes(const struct tk_store *store)
{
	return tk_session_sent_bytes(((const struct tk_client *)store)->session);
}

uint64_t
tk_client_received_bytes(const struct tk_store *store)
{
	return tk_session_received_bytes(((const struct tk_client *)store)->session);
}

bool
tk_client_date_wrong(const struct tk_store *store)
{
	return tk_tls_peer(tk_session_tls(((const struct tk_client *)store)->session))->date_wrong;
}
