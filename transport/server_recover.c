/* An empty machine has a passphrase and nothing else. It may read what a passphrase protects, and prove that it has it, a few times a minute. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "engine/vault/keyring.h"
#include "transport/recover.h"
#include "transport/server_core.h"

#define HEADS_MAX 1024u

/* Calls each for the passphrase slots of every source, up to HEADS_MAX of them. */
static enum tk_rc
for_each_slot(struct tk_conn *conn, enum tk_rc (*each)(struct tk_conn *conn, void *ctx, const struct tk_slot_info *info, const struct tk_buf *slot, struct tk_err *err),
	      void *ctx, struct tk_err *err)
{
	struct tk_vault *vault = conn->server->vault;
	struct tk_id *sources = NULL;
	struct tk_slot_info info;
	struct tk_buf slot;
	size_t count = 0;
	unsigned told = 0;
	enum tk_rc rc = tk_vault_list_sources(vault, &sources, &count, err);

	tk_buf_init(&slot, TK_RECORD_MAX);
	for (size_t i = 0; !rc && i < count; i++) {
		for (unsigned at = 0; told < HEADS_MAX; at++) {
			tk_buf_clear(&slot);
			rc = tk_vault_get_slot(vault, &sources[i], at, &slot, err);
			if (rc)
				break;
			if (tk_slot_read_info(slot.data, slot.len_bytes, &info, NULL) || info.kind != TK_SLOT_PASSPHRASE ||
			    slot.len_bytes < TK_SLOT_HEAD_BYTES)
				continue;
			told++;
			rc = each(conn, ctx, &info, &slot, err);
			if (rc)
				break;
		}
		if (rc == TK_ENOENT)
			rc = TK_OK;
	}
	tk_buf_release(&slot);
	free(sources);
	return rc;
}

static enum tk_rc
send_head(struct tk_conn *conn, void *ctx, const struct tk_slot_info *info, const struct tk_buf *slot, struct tk_err *err)
{
	const uint32_t *request = ctx;
	Tk__Wire__RecoverHead head = TK__WIRE__RECOVER_HEAD__INIT;

	head.source = tk_message_bytes(info->source.b, TK_ID_BYTES);
	head.slot = tk_message_bytes(info->slot_id.b, TK_ID_BYTES);
	head.head = tk_message_bytes(slot->data, TK_SLOT_HEAD_BYTES);
	return tk_session_send_message(conn->session, TK_FRAME_RECOVER_HEAD, true, *request, &head, err);
}

static enum tk_rc
serve_list(struct tk_conn *conn, uint32_t request, struct tk_err *err)
{
	struct tk_frame_head last = {.type = TK_FRAME_RECOVER_HEAD, .request = request};
	enum tk_rc rc = for_each_slot(conn, send_head, &request, err);

	return rc ? rc : tk_session_send(conn->session, &last, NULL, err);
}

/* The proof is a signature over this very connection by a key that was registered with the slot. */
static enum tk_rc
check_proof(struct tk_conn *conn, const Tk__Wire__RecoverProof *proof, struct tk_id *source, struct tk_err *err)
{
	uint8_t key[TK_KEY_BYTES];
	struct tk_id slot_id, held_source, held_slot;
	struct tk_buf text;
	enum tk_rc rc;

	if ((rc = tk_message_fixed(&proof->source, source->b, TK_ID_BYTES, "a source id", err)) ||
	    (rc = tk_message_fixed(&proof->slot, slot_id.b, TK_ID_BYTES, "a slot id", err)) ||
	    (rc = tk_message_fixed(&proof->recovery_key, key, TK_KEY_BYTES, "a recovery key", err)))
		return rc;
	tk_buf_init(&text, 256);
	rc = tk_recover_text(tk_session_tls(conn->session), source, &slot_id, &text, err);
	if (!rc)
		rc = tk_sign_verify(TK_SUITE_AES, key, sizeof(key), text.data, text.len_bytes, proof->signature.data, proof->signature.len, err);
	tk_buf_release(&text);
	if (!rc)
		rc = tk_vault_find_recovery_key(conn->server->vault, key, &held_source, &held_slot, err);
	if (!rc && (memcmp(held_source.b, source->b, TK_ID_BYTES) != 0 || memcmp(held_slot.b, slot_id.b, TK_ID_BYTES) != 0))
		rc = TK_EDENIED;
	/* One answer for every kind of wrong: whoever guesses learns nothing. */
	if (rc == TK_ECORRUPT || rc == TK_ENOENT || rc == TK_EDENIED)
		rc = tk_err_set(err, TK_EDENIED, "the recovery key is not the one of this slot");
	return rc;
}

static enum tk_rc
send_item(struct tk_conn *conn, uint32_t request, uint32_t kind, const struct tk_buf *record, struct tk_err *err)
{
	Tk__Wire__RecoverItem item = TK__WIRE__RECOVER_ITEM__INIT;

	item.kind = kind;
	item.record = tk_message_bytes(record->data, record->len_bytes);
	return tk_session_send_message(conn->session, TK_FRAME_RECOVER_ITEM, true, request, &item, err);
}

static enum tk_rc
send_items(struct tk_conn *conn, uint32_t request, const struct tk_id *source, struct tk_err *err)
{
	struct tk_frame_head last = {.type = TK_FRAME_RECOVER_ITEM, .request = request};
	struct tk_vault *vault = conn->server->vault;
	struct tk_buf record;
	enum tk_rc rc = TK_OK;

	tk_buf_init(&record, TK_RECORD_MAX);
	for (unsigned i = 0; !rc && i < TK_RECOVER_SLOTS_MAX; i++) {
		tk_buf_clear(&record);
		rc = tk_vault_get_slot(vault, source, i, &record, err);
		if (!rc)
			rc = send_item(conn, request, TK_RECOVER_SLOT, &record, err);
	}
	tk_buf_clear(&record);
	if (!rc || rc == TK_ENOENT)
		rc = tk_vault_get_config(vault, source, &record, err);
	if (!rc)
		rc = send_item(conn, request, TK_RECOVER_CONFIG, &record, err);
	tk_buf_release(&record);
	return rc ? rc : tk_session_send(conn->session, &last, NULL, err);
}

static enum tk_rc
serve_prove(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__RecoverProof *proof = NULL;
	struct tk_id source;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__recover_proof__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	if (rc)
		return rc;
	proof = decoded;
	rc = check_proof(conn, proof, &source, err);
	if (rc)
		return rc;
	tk_log_event(conn->server->log, TK_LOG_WARN, "recovered", "address=%s text=\"slots and sealed configuration were read with a recovery key\"",
		     conn->address);
	return send_items(conn, frame->head.request, &source, err);
}

enum tk_rc
tk_conn_recover(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err)
{
	struct tk_err fault;
	enum tk_rc rc;

	if (frame->head.type == TK_FRAME_PING)
		return TK_OK;
	if (frame->head.type != TK_FRAME_RECOVER_LIST && frame->head.type != TK_FRAME_RECOVER_PROVE)
		rc = tk_err_set(&fault, TK_EDENIED, "who has no certificate can do nothing but recover");
	else if (!tk_rate_allow(conn->server->recover_rate, conn->host, tk_clock_mono_ns()))
		rc = tk_err_set(&fault, TK_EDENIED, "too many recovery requests: wait a minute");
	else if (frame->head.type == TK_FRAME_RECOVER_LIST)
		rc = serve_list(conn, frame->head.request, &fault);
	else
		rc = serve_prove(conn, frame, &fault);
	return rc ? tk_conn_refuse(conn, frame->head.request, rc, &fault, err) : TK_OK;
}
