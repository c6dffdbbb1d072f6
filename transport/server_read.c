/* What a peer may ask of the vault without changing it. */
#include <stdlib.h>
#include <string.h>

#include "transport/server_core.h"

#define POINTS_A_FRAME 16384u

static enum tk_rc
serve_state(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__StateAsk *ask = message;
	Tk__Wire__State reply = TK__WIRE__STATE__INIT;
	struct tk_buf known = {.data = ask->known.data, .len_bytes = ask->known.len}; /* borrowed */
	struct tk_store_state state;
	struct tk_id domain;
	enum tk_rc rc = tk_message_fixed(&ask->domain, domain.b, TK_ID_BYTES, "a domain", err);

	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	/* A source asks before it gives its genesis. */
	if (!rc || rc == TK_ENOENT)
		rc = tk_vault_state(conn->server->vault, &domain, ask->known.len ? &known : NULL, &state, err);
	if (rc)
		return rc;
	reply.site_id = tk_message_bytes(state.site_id.b, TK_ID_BYTES);
	reply.site_key = tk_message_bytes(state.site_key, TK_KEY_BYTES);
	reply.vault_incarnation = tk_message_bytes(state.vault_incarnation.b, TK_ID_BYTES);
	reply.receipt_counter = state.receipt_counter;
	reply.promised_epoch = state.promised_epoch;
	reply.promised_grant = tk_message_bytes(state.promised_grant.b, TK_DIGEST_BYTES);
	reply.head_epoch = state.head.epoch;
	reply.head_sequence = state.head.sequence;
	reply.head_point = tk_message_bytes(state.head.point.b, TK_DIGEST_BYTES);
	reply.domain_known = state.domain_known;
	reply.read_only = state.read_only;
	reply.free_bytes = state.free_bytes;
	return tk_session_send_message(conn->session, TK_FRAME_STATE, false, request, &reply, err);
}

static enum tk_rc
serve_have(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Names *ask = message;
	Tk__Wire__Bits reply = TK__WIRE__BITS__INIT;
	uint8_t bits[TK_FRAME_NAMES_MAX / 8] = {0};
	struct tk_pack_names names;
	bool *have;
	enum tk_rc rc = tk_message_names(&ask->names, &names, err);

	if (rc)
		return rc;
	have = calloc(names.count + 1, sizeof(*have));
	if (!have)
		rc = tk_err_set(err, TK_ENOMEM, "no memory for %zu packs", names.count);
	if (!rc && names.count)
		rc = tk_vault_have(conn->server->vault, names.names, names.count, have, err);
	for (size_t i = 0; !rc && i < names.count; i++)
		if (have[i])
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	reply.bits = tk_message_bytes(bits, (names.count + 7) / 8);
	if (!rc)
		rc = tk_session_send_message(conn->session, TK_FRAME_BITS, false, request, &reply, err);
	free(have);
	free(names.names);
	return rc;
}

/* A range goes out in pieces: a connection holds no more than one of them. */
static enum tk_rc
send_range(struct tk_conn *conn, uint32_t request, const struct tk_pack_name *name, uint64_t at, uint32_t left, struct tk_buf *piece,
	   struct tk_err *err)
{
	struct tk_frame_head head = {.type = TK_FRAME_DATA, .request = request};
	enum tk_rc rc;

	do {
		head.len_bytes = left < TK_FRAME_DATA_MAX ? left : TK_FRAME_DATA_MAX;
		tk_buf_clear(piece);
		rc = head.len_bytes ? tk_vault_get_range(conn->server->vault, name, at, head.len_bytes, piece, err) : TK_OK;
		if (!rc && piece->len_bytes != head.len_bytes)
			rc = tk_err_set(err, TK_ECORRUPT, "the pack is shorter than asked");
		if (rc)
			return rc;
		at += head.len_bytes;
		left -= head.len_bytes;
		head.more = left > 0;
		rc = tk_session_send(conn->session, &head, piece->data, err);
	} while (!rc && head.more);
	return rc;
}

static enum tk_rc
serve_range(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Range *ask = message;
	struct tk_pack_name name;
	struct tk_buf piece;
	enum tk_rc rc = tk_message_fixed(&ask->name, name.b, TK_DIGEST_BYTES, "a pack's name", err);

	if (!rc)
		rc = tk_conn_check_pack(conn, &name, err);
	if (!rc && (ask->offset_bytes > TK_PACK_BYTES_MAX || ask->len_bytes > TK_PACK_BYTES_MAX))
		rc = tk_err_set(err, TK_ECORRUPT, "a range beyond the end of any pack");
	if (rc)
		return rc;
	tk_buf_init(&piece, TK_FRAME_DATA_MAX);
	rc = send_range(conn, request, &name, ask->offset_bytes, ask->len_bytes, &piece, err);
	tk_buf_release(&piece);
	return rc;
}

static enum tk_rc
serve_pack_size(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Name *ask = message;
	Tk__Wire__Number reply = TK__WIRE__NUMBER__INIT;
	struct tk_pack_name name;
	enum tk_rc rc = tk_message_fixed(&ask->name, name.b, TK_DIGEST_BYTES, "a pack's name", err);

	if (!rc)
		rc = tk_conn_check_pack(conn, &name, err);
	if (!rc)
		rc = tk_vault_pack_size(conn->server->vault, &name, &reply.number, err);
	return rc ? rc : tk_session_send_message(conn->session, TK_FRAME_NUMBER, false, request, &reply, err);
}

static enum tk_rc
read_ends(struct tk_conn *conn, const struct tk_pack_name *name, uint32_t tail_bytes, uint64_t *len_bytes, struct tk_buf *head, struct tk_buf *tail,
	  struct tk_err *err)
{
	struct tk_vault *vault = conn->server->vault;
	enum tk_rc rc = tk_vault_pack_size(vault, name, len_bytes, err);

	if (!rc && *len_bytes < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES)
		rc = tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes", (unsigned long long)*len_bytes);
	if (rc)
		return rc;
	if (*len_bytes < tail_bytes)
		tail_bytes = (uint32_t)*len_bytes;
	rc = tk_vault_get_range(vault, name, 0, TK_PACK_HEADER_BYTES, head, err);
	return rc ? rc : tk_vault_get_range(vault, name, *len_bytes - tail_bytes, tail_bytes, tail, err);
}

static enum tk_rc
serve_ends(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf head = {0}, tail = {0};
	const Tk__Wire__EndsAsk *ask = message;
	Tk__Wire__Ends reply = TK__WIRE__ENDS__INIT;
	struct tk_pack_name name;
	enum tk_rc rc = tk_message_fixed(&ask->name, name.b, TK_DIGEST_BYTES, "a pack's name", err);

	if (!rc)
		rc = tk_conn_check_pack(conn, &name, err);
	if (!rc && (ask->tail_bytes > TK_STORE_TAIL_MAX || ask->tail_bytes < TK_PACK_TRAILER_BYTES))
		rc = tk_err_set(err, TK_EINVAL, "a pack's last %u bytes", ask->tail_bytes);
	if (!rc)
		rc = read_ends(conn, &name, ask->tail_bytes, &reply.len_bytes, &head, &tail, err);
	if (rc)
		return rc;
	reply.head = tk_message_bytes(head.data, head.len_bytes);
	reply.tail = tk_message_bytes(tail.data, tail.len_bytes);
	return tk_session_send_message(conn->session, TK_FRAME_ENDS, false, request, &reply, err);
}

static enum tk_rc
send_points(struct tk_conn *conn, uint32_t request, const struct tk_store_point *list, size_t count, struct tk_err *err)
{
	Tk__Wire__Points reply = TK__WIRE__POINTS__INIT;
	uint8_t *rows = malloc((size_t)POINTS_A_FRAME * TK_POINT_ROW_BYTES);
	size_t at = 0, some;
	enum tk_rc rc;

	if (!rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for a list of points");
	do {
		some = count - at < POINTS_A_FRAME ? count - at : POINTS_A_FRAME;
		for (size_t i = 0; i < some; i++)
			tk_message_point_row(&list[at + i], rows + i * TK_POINT_ROW_BYTES);
		at += some;
		reply.points = tk_message_bytes(rows, some * TK_POINT_ROW_BYTES);
		rc = tk_session_send_message(conn->session, TK_FRAME_POINTS, at < count, request, &reply, err);
	} while (!rc && at < count);
	free(rows);
	return rc;
}

static enum tk_rc
serve_list_points(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Id *ask = message;
	struct tk_store_point *list = NULL;
	struct tk_id domain;
	size_t count = 0;
	enum tk_rc rc = tk_message_fixed(&ask->id, domain.b, TK_ID_BYTES, "a domain", err);

	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	if (!rc)
		rc = tk_vault_list_points(conn->server->vault, &domain, &list, &count, err);
	if (!rc)
		rc = send_points(conn, request, list, count, err);
	free(list);
	return rc;
}

static enum tk_rc
serve_get_point(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__PointAt *ask = message;
	struct tk_head at = {.epoch = ask->epoch, .sequence = ask->sequence};
	struct tk_buf record;
	struct tk_id domain;
	enum tk_rc rc = tk_message_fixed(&ask->domain, domain.b, TK_ID_BYTES, "a domain", err);

	if (!rc)
		rc = tk_message_fixed(&ask->point, at.point.b, TK_DIGEST_BYTES, "a point id", err);
	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	if (rc)
		return rc;
	tk_buf_init(&record, TK_RECORD_MAX);
	rc = tk_vault_get_point(conn->server->vault, &domain, &at, &record, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &record, err);
	tk_buf_release(&record);
	return rc;
}

static enum tk_rc
serve_get_record(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__RecordAsk *ask = message;
	struct tk_buf record;
	struct tk_id domain;
	enum tk_rc rc = tk_message_fixed(&ask->domain, domain.b, TK_ID_BYTES, "a domain", err);

	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	if (!rc && ask->kind != TK_RECORD_GENESIS && ask->kind != TK_RECORD_GRANT && ask->kind != TK_RECORD_MARKS)
		rc = tk_err_set(err, TK_EUNSUPPORTED, "records of kind %u are not known", ask->kind);
	if (rc)
		return rc;
	tk_buf_init(&record, TK_RECORD_MAX);
	rc = tk_vault_get_record(conn->server->vault, &domain, (int)ask->kind, ask->epoch, &record, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &record, err);
	tk_buf_release(&record);
	return rc;
}

static enum tk_rc
serve_check_pack(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Name *ask = message;
	Tk__Wire__Numbers reply = TK__WIRE__NUMBERS__INIT;
	struct tk_pack_name name;
	struct tk_buf rows;
	uint32_t *bad = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_message_fixed(&ask->name, name.b, TK_DIGEST_BYTES, "a pack's name", err);

	if (!rc)
		rc = tk_conn_check_pack(conn, &name, err);
	if (!rc)
		rc = tk_vault_check_pack(conn->server->vault, &name, &bad, &count, err);
	tk_buf_init(&rows, TK_PACK_BLOBS_MAX * sizeof(uint32_t));
	for (size_t i = 0; !rc && i < count; i++)
		rc = tk_buf_put_u32(&rows, bad[i], err);
	reply.numbers = tk_message_bytes(rows.data, rows.len_bytes);
	if (!rc)
		rc = tk_session_send_message(conn->session, TK_FRAME_NUMBERS, false, request, &reply, err);
	tk_buf_release(&rows);
	free(bad);
	return rc;
}

static enum tk_rc
serve_get_slot(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__SlotAsk *ask = message;
	struct tk_buf record;
	struct tk_id source;
	enum tk_rc rc = tk_message_fixed(&ask->source, source.b, TK_ID_BYTES, "a source id", err);

	if (!rc)
		rc = tk_conn_check_source(conn, &source, err);
	if (rc)
		return rc;
	tk_buf_init(&record, TK_RECORD_MAX);
	rc = tk_vault_get_slot(conn->server->vault, &source, ask->index, &record, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &record, err);
	tk_buf_release(&record);
	return rc;
}

static enum tk_rc
serve_get_config(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Id *ask = message;
	struct tk_buf record;
	struct tk_id source;
	enum tk_rc rc = tk_message_fixed(&ask->id, source.b, TK_ID_BYTES, "a source id", err);

	if (!rc)
		rc = tk_conn_check_source(conn, &source, err);
	if (rc)
		return rc;
	tk_buf_init(&record, TK_RECORD_MAX);
	rc = tk_vault_get_config(conn->server->vault, &source, &record, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &record, err);
	tk_buf_release(&record);
	return rc;
}

const struct tk_request_row tk_conn_read_rows[] = {
	{TK_FRAME_STATE_ASK, &tk__wire__state_ask__descriptor, true, serve_state},
	{TK_FRAME_HAVE, &tk__wire__names__descriptor, true, serve_have},
	{TK_FRAME_GET_RANGE, &tk__wire__range__descriptor, true, serve_range},
	{TK_FRAME_PACK_SIZE, &tk__wire__name__descriptor, true, serve_pack_size},
	{TK_FRAME_GET_ENDS, &tk__wire__ends_ask__descriptor, true, serve_ends},
	{TK_FRAME_LIST_POINTS, &tk__wire__id__descriptor, true, serve_list_points},
	{TK_FRAME_GET_POINT, &tk__wire__point_at__descriptor, true, serve_get_point},
	{TK_FRAME_GET_RECORD, &tk__wire__record_ask__descriptor, true, serve_get_record},
	{TK_FRAME_CHECK_PACK, &tk__wire__name__descriptor, true, serve_check_pack},
	{TK_FRAME_GET_SLOT, &tk__wire__slot_ask__descriptor, true, serve_get_slot},
	{TK_FRAME_GET_CONFIG, &tk__wire__id__descriptor, true, serve_get_config},
	{.serve = NULL},
};
