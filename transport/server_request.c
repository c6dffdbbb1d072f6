#include <string.h>

#include "transport/server_core.h"

enum tk_rc
tk_conn_refuse(struct tk_conn *conn, uint32_t request, enum tk_rc rc, const struct tk_err *fault, struct tk_err *err)
{
	enum tk_rc sent;

	tk_log_event(conn->server->log, rc == TK_EDENIED ? TK_LOG_WARN : TK_LOG_INFO, rc == TK_EDENIED ? "denied" : "request-failed",
		     "peer=%s address=%s error=%s text=\"%s\"", conn->peer.name[0] ? conn->peer.name : "-", conn->address, tk_rc_name(rc),
		     fault->text);
	sent = tk_session_send_error(conn->session, TK_FRAME_ERROR, request, rc, fault->text, err);
	if (!sent && rc == TK_EPROTO)
		return tk_err_set(err, rc, "%s", fault->text);
	return sent;
}

enum tk_rc
tk_conn_ok(struct tk_conn *conn, uint32_t request, struct tk_err *err)
{
	struct tk_frame_head head = {.type = TK_FRAME_OK, .request = request};

	return tk_session_send(conn->session, &head, NULL, err);
}

enum tk_rc
tk_conn_send_record(struct tk_conn *conn, uint32_t request, const struct tk_buf *record, struct tk_err *err)
{
	Tk__Wire__Record message = TK__WIRE__RECORD__INIT;

	message.record = tk_message_bytes(record->data, record->len_bytes);
	return tk_session_send_message(conn->session, TK_FRAME_RECORD, false, request, &message, err);
}

static const struct tk_request_row *
row_find(const struct tk_request_row *rows, enum tk_frame_type type)
{
	for (; rows->serve; rows++)
		if (rows->type == type)
			return rows;
	return NULL;
}

static enum tk_rc
serve(struct tk_conn *conn, const struct tk_request_row *row, const struct tk_frame *frame, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) void *message = NULL;
	enum tk_rc rc;

	if (conn->role != TK_ROLE_SOURCE && !row->for_operator)
		return tk_err_set(err, TK_EDENIED, "%s may not do this", conn->peer.name);
	if (row->message) {
		rc = tk_message_decode(row->message, frame->body, frame->head.len_bytes, &message, err);
		if (rc)
			return rc;
	}
	return row->serve(conn, frame->head.request, message, err);
}

enum tk_rc
tk_conn_request(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	const struct tk_request_row *row;
	struct tk_err fault;
	enum tk_rc rc;

	switch (frame->head.type) {
	case TK_FRAME_PING:
		return TK_OK;
	case TK_FRAME_PACK_BEGIN:
	case TK_FRAME_PACK_DATA:
	case TK_FRAME_PACK_SKIP:
	case TK_FRAME_PACK_END:
		return tk_conn_pack_frame(conn, frame, err);
	default:
		break;
	}
	row = row_find(tk_conn_read_rows, frame->head.type);
	if (!row)
		row = row_find(tk_conn_write_rows, frame->head.type);
	if (!row || conn->in_pack || !frame->head.request)
		return tk_err_set(err, TK_EPROTO, "a %s frame out of order", tk_frame_name(frame->head.type));
	tk_err_clear(&fault);
	rc = serve(conn, row, frame, &fault);
	return rc ? tk_conn_refuse(conn, frame->head.request, rc, &fault, err) : TK_OK;
}
