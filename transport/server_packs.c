/* Packs on their way into the vault. Nothing but the vault's pending file holds their bytes. */
#include <string.h>

#include "transport/server_core.h"

#define PACK_DOMAIN_AT 48u

/* The pack's one answer; what still comes of it is thrown away. */
static enum tk_rc
answer(struct tk_conn *conn, enum tk_rc rc, const struct tk_err *fault, struct tk_err *err)
{
	tk_vault_pack_cleanup(&conn->pack);
	conn->pack_answered = true;
	return rc ? tk_conn_refuse(conn, conn->pack_request, rc, fault, err) : tk_conn_ok(conn, conn->pack_request, err);
}

static enum tk_rc
open_pending(struct tk_conn *conn, const Tk__Wire__PackBegin *begin, bool *have, struct tk_err *fault)
{
	struct tk_pack_name name;
	enum tk_rc rc = tk_message_fixed(&begin->name, name.b, TK_DIGEST_BYTES, "a pack's name", fault);

	if (rc)
		return rc;
	if (conn->role != TK_ROLE_SOURCE)
		return tk_err_set(fault, TK_EDENIED, "%s may not store packs", conn->peer.name);
	if (begin->len_bytes > TK_PACK_BYTES_MAX || begin->len_bytes < TK_PACK_HEADER_BYTES)
		return tk_err_set(fault, TK_EINVAL, "a pack of %llu bytes", (unsigned long long)begin->len_bytes);
	rc = tk_vault_have(conn->server->vault, &name, 1, have, fault);
	if (rc || *have)
		return rc;
	conn->pack_left_bytes = begin->len_bytes;
	return tk_vault_pack_begin(conn->server->vault, &name, begin->len_bytes, &conn->pack, fault);
}

/* The client need not wait for it: it comes while the pack does. */
static enum tk_rc
tell_part(struct tk_conn *conn, struct tk_err *err)
{
	Tk__Wire__Number part = TK__WIRE__NUMBER__INIT;

	part.number = tk_vault_pack_held(conn->pack);
	return part.number ? tk_session_send_message(conn->session, TK_FRAME_PACK_PART, false, conn->pack_request, &part, err) : TK_OK;
}

static enum tk_rc
pack_begin(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__PackBegin *begin = NULL;
	struct tk_err fault;
	void *decoded = NULL;
	bool have = false;
	enum tk_rc rc;

	if (conn->in_pack)
		return tk_err_set(err, TK_EPROTO, "a pack within a pack");
	rc = tk_message_decode(&tk__wire__pack_begin__descriptor, frame->body, frame->head.len_bytes, &decoded, err);
	if (rc)
		return rc;
	begin = decoded;
	conn->in_pack = true;
	conn->pack_answered = false;
	conn->pack_request = frame->head.request;
	conn->pack_head_bytes = 0;
	conn->pack_left_bytes = 0;
	rc = open_pending(conn, begin, &have, &fault);
	return rc || have ? answer(conn, rc, &fault, err) : tell_part(conn, err);
}

/* A pack says in its header whose it is. */
static enum tk_rc
check_head(struct tk_conn *conn, struct tk_err *fault)
{
	struct tk_id domain;
	enum tk_rc rc;

	memcpy(domain.b, conn->pack_head + PACK_DOMAIN_AT, TK_ID_BYTES);
	rc = tk_conn_check_domain(conn, &domain, fault);
	return rc == TK_ENOENT ? tk_err_set(fault, TK_EDENIED, "a pack of a domain that has no genesis here") : rc;
}

static enum tk_rc
take_data(struct tk_conn *conn, const uint8_t *data, uint32_t len_bytes, struct tk_err *fault)
{
	uint32_t head = TK_PACK_HEADER_BYTES - conn->pack_head_bytes;
	enum tk_rc rc = TK_OK;

	if (len_bytes > conn->pack_left_bytes)
		return tk_err_set(fault, TK_EINVAL, "more bytes than the pack was said to have");
	if (head > len_bytes)
		head = len_bytes;
	if (head) {
		memcpy(conn->pack_head + conn->pack_head_bytes, data, head);
		conn->pack_head_bytes += head;
		if (conn->pack_head_bytes == TK_PACK_HEADER_BYTES)
			rc = check_head(conn, fault);
	}
	conn->pack_left_bytes -= len_bytes;
	return rc ? rc : tk_vault_pack_write(conn->pack, data, len_bytes, fault);
}

static enum tk_rc
pack_data(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	struct tk_err fault;
	enum tk_rc rc;

	if (conn->pack_answered)
		return TK_OK;
	rc = take_data(conn, frame->body, frame->head.len_bytes, &fault);
	return rc ? answer(conn, rc, &fault, err) : TK_OK;
}

/* Only once its header said whose the pack is. */
static enum tk_rc
skip_to(struct tk_conn *conn, uint64_t to_bytes, struct tk_err *fault)
{
	uint64_t left_bytes;
	enum tk_rc rc;

	if (conn->pack_head_bytes < TK_PACK_HEADER_BYTES)
		return tk_err_set(fault, TK_EINVAL, "the pack's header is left out");
	if ((rc = tk_vault_pack_skip(conn->pack, to_bytes, &left_bytes, fault)))
		return rc;
	conn->pack_left_bytes = left_bytes;
	return TK_OK;
}

static enum tk_rc
pack_skip(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Number *to = NULL;
	struct tk_err fault;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__number__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	if (rc)
		return rc;
	to = decoded;
	if (conn->pack_answered)
		return TK_OK;
	rc = skip_to(conn, to->number, &fault);
	return rc ? answer(conn, rc, &fault, err) : TK_OK;
}

static enum tk_rc
pack_end(struct tk_conn *conn, struct tk_err *err)
{
	struct tk_err fault;
	enum tk_rc rc;

	conn->in_pack = false;
	if (conn->pack_answered)
		return TK_OK;
	if (conn->pack_left_bytes)
		rc = tk_err_set(&fault, TK_EINVAL, "the pack ended %llu bytes early", (unsigned long long)conn->pack_left_bytes);
	else
		rc = tk_vault_pack_commit(conn->pack, &fault);
	return answer(conn, rc, &fault, err);
}

enum tk_rc
tk_conn_pack_frame(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	if (frame->head.type == TK_FRAME_PACK_BEGIN)
		return pack_begin(conn, frame, err);
	if (!conn->in_pack || frame->head.request != conn->pack_request)
		return tk_err_set(err, TK_EPROTO, "a %s frame outside of its pack", tk_frame_name(frame->head.type));
	if (frame->head.type == TK_FRAME_PACK_SKIP)
		return pack_skip(conn, frame, err);
	return frame->head.type == TK_FRAME_PACK_DATA ? pack_data(conn, frame, err) : pack_end(conn, err);
}
