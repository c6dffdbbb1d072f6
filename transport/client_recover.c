/* The client's side of a recovery: a connection without a certificate, a list of slot heads, one proof. */
#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"
#include "engine/vault/keyring.h"
#include "transport/client_core.h"
#include "transport/recover.h"

#define HEADS_MAX 1024u

struct head {
	struct tk_id source, slot;
	uint8_t bytes[TK_SLOT_HEAD_BYTES];
};

static enum tk_rc
take_head(const struct tk_frame *frame, struct head *out, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__RecoverHead *head = NULL;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__recover_head__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	if (rc)
		return rc;
	head = decoded;
	if ((rc = tk_message_fixed(&head->source, out->source.b, TK_ID_BYTES, "a source id", err)) ||
	    (rc = tk_message_fixed(&head->slot, out->slot.b, TK_ID_BYTES, "a slot id", err)))
		return rc;
	return tk_message_fixed(&head->head, out->bytes, sizeof(out->bytes), "the head of a slot", err);
}

static enum tk_rc
list_heads(struct tk_client *client, struct head *heads, size_t *count, struct tk_err *err)
{
	struct tk_frame frame;
	enum tk_rc rc = tk_client_call(client, TK_FRAME_RECOVER_LIST, NULL, TK_FRAME_RECOVER_HEAD, (enum tk_frame_type)0, &frame, err);

	for (*count = 0; !rc && frame.head.more;) {
		if (*count == HEADS_MAX)
			return tk_client_fail(client, tk_err_set(err, TK_EPROTO, "more than %u key slots", HEADS_MAX), err);
		rc = take_head(&frame, &heads[(*count)++], err);
		if (!rc)
			rc = tk_client_reply(client, client->last_request, TK_FRAME_RECOVER_HEAD, (enum tk_frame_type)0, &frame, err);
	}
	return rc;
}

/* The first slot that the passphrase fits. */
static enum tk_rc
find_head(const struct head *heads, size_t count, const void *passphrase, size_t passphrase_bytes, const struct tk_id *source,
	  const struct head **found, uint8_t seed[TK_KEY_BYTES], struct tk_err *err)
{
	bool tried = false;
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++) {
		if (source && memcmp(source->b, heads[i].source.b, TK_ID_BYTES) != 0)
			continue;
		tried = true;
		rc = tk_slot_recovery_seed(heads[i].bytes, sizeof(heads[i].bytes), passphrase, passphrase_bytes, seed, err);
		if (!rc) {
			*found = &heads[i];
			return TK_OK;
		}
		if (rc != TK_EKEY)
			return rc;
	}
	return tried ? tk_err_set(err, TK_EKEY, "no key slot of the site fits the passphrase")
		     : tk_err_set(err, TK_ENOENT, "the site has no passphrase slot%s", source ? " of this source" : "");
}

static enum tk_rc
take_item(const struct tk_frame *frame, const struct head *head, struct tk_recovered *out, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__RecoverItem *item = NULL;
	struct tk_slot_info info;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__recover_item__descriptor, frame->body, frame->head.len_bytes, &decoded, err);

	if (rc)
		return rc;
	item = decoded;
	if (item->kind == TK_RECOVER_CONFIG && !out->config.len_bytes)
		return tk_buf_put(&out->config, item->record.data, item->record.len, err);
	if (item->kind != TK_RECOVER_SLOT || out->slot_count == TK_RECOVER_SLOTS_MAX)
		return tk_err_set(err, TK_EPROTO, "a part of a recovery that was not asked for");
	rc = tk_buf_put(&out->slots[out->slot_count++], item->record.data, item->record.len, err);
	if (!rc && !out->slot.len_bytes && !tk_slot_read_info(item->record.data, item->record.len, &info, NULL) &&
	    memcmp(info.slot_id.b, head->slot.b, TK_ID_BYTES) == 0)
		rc = tk_buf_put(&out->slot, item->record.data, item->record.len, err);
	return rc;
}

static enum tk_rc
fill_proof(struct tk_client *client, const struct head *head, const uint8_t seed[TK_KEY_BYTES], uint8_t key[TK_KEY_BYTES],
	   uint8_t signature[TK_SIGN_SIG_BYTES], struct tk_err *err)
{
	struct tk_buf text;
	enum tk_rc rc;

	tk_buf_init(&text, 256);
	rc = tk_recover_text(tk_session_tls(client->session), &head->source, &head->slot, &text, err);
	if (!rc)
		rc = tk_sign_public(TK_SUITE_AES, seed, key, err);
	if (!rc)
		rc = tk_sign(TK_SUITE_AES, seed, text.data, text.len_bytes, signature, err);
	tk_buf_release(&text);
	return rc;
}

static enum tk_rc
prove(struct tk_client *client, const struct head *head, const uint8_t seed[TK_KEY_BYTES], struct tk_recovered *out, struct tk_err *err)
{
	Tk__Wire__RecoverProof proof = TK__WIRE__RECOVER_PROOF__INIT;
	uint8_t key[TK_KEY_BYTES], signature[TK_SIGN_SIG_BYTES];
	struct tk_frame frame;
	enum tk_rc rc = fill_proof(client, head, seed, key, signature, err);

	if (rc)
		return rc;
	proof.source = tk_message_bytes(head->source.b, TK_ID_BYTES);
	proof.slot = tk_message_bytes(head->slot.b, TK_ID_BYTES);
	proof.recovery_key = tk_message_bytes(key, sizeof(key));
	proof.signature = tk_message_bytes(signature, sizeof(signature));
	rc = tk_client_call(client, TK_FRAME_RECOVER_PROVE, &proof, TK_FRAME_RECOVER_ITEM, (enum tk_frame_type)0, &frame, err);
	while (!rc && frame.head.more) {
		rc = take_item(&frame, head, out, err);
		if (!rc)
			rc = tk_client_reply(client, client->last_request, TK_FRAME_RECOVER_ITEM, (enum tk_frame_type)0, &frame, err);
	}
	if (!rc && (!out->slot.len_bytes || !out->config.len_bytes))
		rc = tk_err_set(err, TK_ENOENT, "site %s has no configuration of this source", client->site);
	out->source = head->source;
	return rc;
}

static enum tk_rc
recover(struct tk_client *client, const void *passphrase, size_t passphrase_bytes, const struct tk_id *source, struct tk_recovered *out,
	struct tk_err *err)
{
	struct head *heads = calloc(HEADS_MAX, sizeof(*heads));
	const struct head *found = NULL;
	uint8_t seed[TK_KEY_BYTES] = {0};
	size_t count = 0;
	enum tk_rc rc;

	if (!heads)
		return tk_err_set(err, TK_ENOMEM, "no memory for a recovery");
	rc = list_heads(client, heads, &count, err);
	if (!rc)
		rc = find_head(heads, count, passphrase, passphrase_bytes, source, &found, seed, err);
	if (!rc)
		rc = prove(client, found, seed, out, err);
	tk_wipe(seed, sizeof(seed));
	free(heads);
	return rc;
}

enum tk_rc
tk_client_recover(const struct tk_address *address, const void *passphrase, size_t passphrase_bytes, const struct tk_id *source,
		  struct tk_recovered *out, struct tk_err *err)
{
	TK_AUTO(tk_client_cleanup) struct tk_client *client = NULL;
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	struct tk_tls_config config = {.role = TK_TLS_CLIENT, .anonymous = true};
	struct tk_client_options options = {.address = *address, .role = TK_ROLE_RECOVERY};
	enum tk_rc rc = tk_tls_ctx_new(&config, &tls, err);

	tk_recovered_init(out);
	options.tls = tls;
	if (!rc)
		rc = tk_client_connect(&options, &client, err);
	if (!rc)
		rc = tk_client_hello(client, &options, err);
	if (!rc)
		rc = recover(client, passphrase, passphrase_bytes, source, out, err);
	if (rc)
		tk_recovered_release(out);
	return rc;
}
