/* What a source may add to the vault. Nothing here deletes or alters a pack or a promise. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/vault/keyring.h"
#include "engine/vault/records.h"
#include "transport/server_core.h"

/* Where the records have their domain or source: behind the magic, the version and what else is fixed. */
#define POINT_DOMAIN_AT 27u
#define GRANT_DOMAIN_AT 19u
#define CONFIG_SOURCE_AT 19u

/* The id at a fixed place of a record; the vault checks everything else. */
static enum tk_rc
id_at(const ProtobufCBinaryData *record, size_t at, struct tk_id *out, struct tk_err *err)
{
	struct tk_cursor cur;

	tk_cursor_init(&cur, record->data, record->len);
	(void)tk_cursor_take(&cur, at);
	tk_cursor_copy(&cur, out->b, TK_ID_BYTES);
	return tk_cursor_check(&cur, "record", err);
}

static enum tk_rc
serve_genesis(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Record *ask = message;
	struct tk_genesis genesis;
	enum tk_rc rc = tk_genesis_decode(ask->record.data, ask->record.len, &genesis, err);

	if (!rc)
		rc = tk_conn_check_source(conn, &genesis.source, err);
	/* Who has stolen a certificate still cannot open a domain. */
	if (!rc && memcmp(genesis.operator_key, conn->peer.operator_key, TK_KEY_BYTES) != 0)
		rc = tk_err_set(err, TK_EDENIED, "the genesis is not signed by the operator who is registered for %s", conn->peer.name);
	if (!rc)
		rc = tk_vault_put_genesis(conn->server->vault, ask->record.data, ask->record.len, err);
	return rc ? rc : tk_conn_ok(conn, request, err);
}

static enum tk_rc
serve_flush(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	enum tk_rc rc = tk_vault_flush(conn->server->vault, err);

	(void)message;
	conn->flush_failed = rc != TK_OK;
	return rc ? rc : tk_conn_ok(conn, request, err);
}

static enum tk_rc
send_missing(struct tk_conn *conn, uint32_t request, const struct tk_pack_names *missing, struct tk_err *err)
{
	Tk__Wire__Names reply = TK__WIRE__NAMES__INIT;
	size_t count = missing->count < TK_FRAME_NAMES_MAX ? missing->count : TK_FRAME_NAMES_MAX;

	reply.names = tk_message_bytes(missing->names, count * sizeof(*missing->names));
	return tk_session_send_message(conn->session, TK_FRAME_NAMES, false, request, &reply, err);
}

static enum tk_rc
serve_publish(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Record *ask = message;
	struct tk_pack_names missing = {0};
	struct tk_buf receipt;
	struct tk_id domain;
	enum tk_rc rc = id_at(&ask->record, POINT_DOMAIN_AT, &domain, err);

	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	/* A flush that is tried again may find nothing left to do. */
	if (!rc && conn->flush_failed)
		rc = tk_err_set(err, TK_EIO, "the flush before it failed");
	if (rc)
		return rc;
	tk_buf_init(&receipt, TK_RECORD_MAX);
	rc = tk_vault_publish(conn->server->vault, ask->record.data, ask->record.len, &receipt, &missing, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &receipt, err);
	else if (rc == TK_EMISSING && missing.count)
		rc = send_missing(conn, request, &missing, err);
	tk_pack_names_release(&missing);
	tk_buf_release(&receipt);
	return rc;
}

static enum tk_rc
serve_vote(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Record *ask = message;
	struct tk_buf vote;
	struct tk_id domain;
	enum tk_rc rc = id_at(&ask->record, GRANT_DOMAIN_AT, &domain, err);

	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	if (rc)
		return rc;
	tk_buf_init(&vote, TK_RECORD_MAX);
	rc = tk_vault_vote(conn->server->vault, ask->record.data, ask->record.len, &vote, err);
	if (!rc)
		rc = tk_conn_send_record(conn, request, &vote, err);
	tk_buf_release(&vote);
	return rc;
}

/* Looks for a slot among the peer's own. *same: its bytes are those of `record` (may be NULL). *count: how many there are. */
static enum tk_rc
find_slot(struct tk_conn *conn, const struct tk_id *slot_id, const ProtobufCBinaryData *record, bool *there, bool *same, unsigned *count,
	  struct tk_err *err)
{
	struct tk_slot_info info;
	struct tk_buf held;
	enum tk_rc rc;

	*there = *same = false;
	tk_buf_init(&held, TK_RECORD_MAX);
	for (*count = 0;; (*count)++) {
		tk_buf_clear(&held);
		rc = tk_vault_get_slot(conn->server->vault, &conn->peer.owner, *count, &held, err);
		if (rc)
			break;
		if (tk_slot_read_info(held.data, held.len_bytes, &info, NULL) || memcmp(info.slot_id.b, slot_id->b, TK_ID_BYTES) != 0)
			continue;
		*there = true;
		*same = record && record->len == held.len_bytes && memcmp(record->data, held.data, held.len_bytes) == 0;
	}
	tk_buf_release(&held);
	return rc == TK_ENOENT ? TK_OK : rc;
}

static enum tk_rc
check_slot(struct tk_conn *conn, const Tk__Wire__Slot *ask, struct tk_err *err)
{
	struct tk_slot_info info;
	unsigned count;
	bool there, same;
	enum tk_rc rc = tk_slot_read_info(ask->record.data, ask->record.len, &info, err);

	if (!rc)
		rc = tk_conn_check_source(conn, &info.source, err);
	if (!rc && ask->recovery_key.len != (info.kind == TK_SLOT_PASSPHRASE ? TK_KEY_BYTES : 0))
		rc = tk_err_set(err, TK_EINVAL, "a passphrase slot, and no other, comes with a recovery key");
	if (!rc)
		rc = find_slot(conn, &info.slot_id, &ask->record, &there, &same, &count, err);
	if (rc)
		return rc;
	/* Writing over a slot would take it away as surely as dropping it. */
	if (there && !same && !conn->operator_proved)
		return tk_err_set(err, TK_EDENIED, "a slot is replaced by an operator only");
	if (!there && count >= TK_CONN_SLOTS_MAX)
		return tk_err_set(err, TK_ENOSPC, "the source has %u key slots here already", count);
	return TK_OK;
}

static enum tk_rc
serve_put_slot(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Slot *ask = message;
	enum tk_rc rc = check_slot(conn, ask, err);

	if (!rc)
		rc = tk_vault_put_slot(conn->server->vault, ask->record.data, ask->record.len, ask->recovery_key.len ? ask->recovery_key.data : NULL,
				       err);
	return rc ? rc : tk_conn_ok(conn, request, err);
}

static enum tk_rc
serve_drop_slot(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Id *ask = message;
	struct tk_id slot_id;
	unsigned count;
	bool there, same;
	enum tk_rc rc = tk_message_fixed(&ask->id, slot_id.b, TK_ID_BYTES, "a slot id", err);

	/* What is gone is told to backups too: they ask for every slot that was ever removed. */
	if (!rc)
		rc = find_slot(conn, &slot_id, NULL, &there, &same, &count, err);
	if (!rc && !there)
		rc = tk_err_set(err, TK_ENOENT, "the source has no such key slot here");
	if (!rc && !conn->operator_proved)
		rc = tk_err_set(err, TK_EDENIED, "key slots are dropped by an operator only; run twinkeep key remove again, with the passphrase");
	if (!rc)
		rc = tk_vault_drop_slot(conn->server->vault, &slot_id, err);
	if (rc)
		return rc;
	tk_log_event(conn->server->log, TK_LOG_WARN, "slot-dropped", "peer=%s address=%s", conn->peer.name, conn->address);
	return tk_conn_ok(conn, request, err);
}

static enum tk_rc
serve_put_config(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err)
{
	const Tk__Wire__Record *ask = message;
	struct tk_id source;
	enum tk_rc rc = id_at(&ask->record, CONFIG_SOURCE_AT, &source, err);

	if (!rc)
		rc = tk_conn_check_source(conn, &source, err);
	if (!rc)
		rc = tk_vault_put_config(conn->server->vault, ask->record.data, ask->record.len, err);
	return rc ? rc : tk_conn_ok(conn, request, err);
}

const struct tk_request_row tk_conn_write_rows[] = {
	{TK_FRAME_GENESIS, &tk__wire__record__descriptor, false, serve_genesis},
	{TK_FRAME_FLUSH, NULL, false, serve_flush},
	{TK_FRAME_PUBLISH, &tk__wire__record__descriptor, false, serve_publish},
	{TK_FRAME_VOTE, &tk__wire__record__descriptor, false, serve_vote},
	{TK_FRAME_PUT_SLOT, &tk__wire__slot__descriptor, false, serve_put_slot},
	{TK_FRAME_DROP_SLOT, &tk__wire__id__descriptor, true, serve_drop_slot},
	{TK_FRAME_PUT_CONFIG, &tk__wire__record__descriptor, false, serve_put_config},
	{.serve = NULL},
};
