/* What a session can be asked: one request, one reply each (packs: client_packs.c). */
#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/vault/pack.h"
#include "transport/client_core.h"

#define NO_OTHER ((enum tk_frame_type)0)

/* Decodes the body of a reply; what makes no sense kills the session. */
static enum tk_rc
decode_reply(struct tk_client *client, const struct tk_frame *frame, const ProtobufCMessageDescriptor *type, void **out, struct tk_err *err)
{
	enum tk_rc rc = tk_message_decode(type, frame->body, frame->head.len_bytes, out, err);

	return rc ? tk_client_fail(client, rc, err) : TK_OK;
}

static enum tk_rc
copy_record(struct tk_client *client, const struct tk_frame *frame, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Record *record = NULL;
	void *decoded = NULL;
	enum tk_rc rc = decode_reply(client, frame, &tk__wire__record__descriptor, &decoded, err);

	record = decoded;
	return rc ? rc : tk_buf_put(out, record->record.data, record->record.len, err);
}

static enum tk_rc
ask_record(struct tk_client *client, enum tk_frame_type type, const void *message, struct tk_buf *out, struct tk_err *err)
{
	struct tk_frame frame;
	enum tk_rc rc = tk_client_call(client, type, message, TK_FRAME_RECORD, NO_OTHER, &frame, err);

	return rc ? rc : copy_record(client, &frame, out, err);
}

static enum tk_rc
ask_ok(struct tk_client *client, enum tk_frame_type type, const void *message, struct tk_err *err)
{
	struct tk_frame frame;

	return tk_client_call(client, type, message, TK_FRAME_OK, NO_OTHER, &frame, err);
}

static enum tk_rc
fill_state(const Tk__Wire__State *state, struct tk_store_state *out, struct tk_err *err)
{
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	if ((rc = tk_message_fixed(&state->site_id, out->site_id.b, TK_ID_BYTES, "a site id", err)) ||
	    (rc = tk_message_fixed(&state->site_key, out->site_key, TK_KEY_BYTES, "a site key", err)) ||
	    (rc = tk_message_fixed(&state->vault_incarnation, out->vault_incarnation.b, TK_ID_BYTES, "an incarnation", err)) ||
	    (rc = tk_message_fixed(&state->promised_grant, out->promised_grant.b, TK_DIGEST_BYTES, "a grant digest", err)) ||
	    (rc = tk_message_fixed(&state->head_point, out->head.point.b, TK_DIGEST_BYTES, "a point id", err)))
		return rc;
	out->receipt_counter = state->receipt_counter;
	out->promised_epoch = state->promised_epoch;
	out->head.epoch = state->head_epoch;
	out->head.sequence = state->head_sequence;
	out->domain_known = state->domain_known;
	out->read_only = state->read_only;
	out->free_bytes = state->free_bytes;
	return TK_OK;
}

static Tk__Wire__StateAsk
state_ask(const struct tk_id *domain, const void *known, size_t len_bytes)
{
	Tk__Wire__StateAsk ask = TK__WIRE__STATE_ASK__INIT;

	ask.domain = tk_message_bytes(domain->b, TK_ID_BYTES);
	ask.known = tk_message_bytes(known, len_bytes);
	return ask;
}

static Tk__Wire__Record
record_message(const void *record, size_t len_bytes)
{
	Tk__Wire__Record message = TK__WIRE__RECORD__INIT;

	message.record = tk_message_bytes(record, len_bytes);
	return message;
}

static Tk__Wire__Id
id_message(const struct tk_id *id)
{
	Tk__Wire__Id message = TK__WIRE__ID__INIT;

	message.id = tk_message_bytes(id->b, TK_ID_BYTES);
	return message;
}

static enum tk_rc
client_state(struct tk_store *store, const struct tk_id *domain, const struct tk_buf *known, struct tk_store_state *out,
	     struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__State *state = NULL;
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__StateAsk ask = state_ask(domain, known ? known->data : NULL, known ? known->len_bytes : 0);
	struct tk_frame frame;
	void *decoded = NULL;
	enum tk_rc rc;

	rc = tk_client_call(client, TK_FRAME_STATE_ASK, &ask, TK_FRAME_STATE, NO_OTHER, &frame, err);
	if (rc)
		return rc;
	rc = decode_reply(client, &frame, &tk__wire__state__descriptor, &decoded, err);
	if (rc)
		return rc;
	state = decoded;
	rc = fill_state(state, out, err);
	return rc ? tk_client_fail(client, rc, err) : TK_OK;
}

static enum tk_rc
client_put_genesis(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	Tk__Wire__Record message = record_message(record, len_bytes);

	return ask_ok(tk_client_of(store), TK_FRAME_GENESIS, &message, err);
}

static enum tk_rc
have_some(struct tk_client *client, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Bits *bits = NULL;
	Tk__Wire__Names message = TK__WIRE__NAMES__INIT;
	struct tk_frame frame;
	void *decoded = NULL;
	enum tk_rc rc;

	message.names = tk_message_bytes(names, count * sizeof(*names));
	rc = tk_client_call(client, TK_FRAME_HAVE, &message, TK_FRAME_BITS, NO_OTHER, &frame, err);
	if (rc)
		return rc;
	rc = decode_reply(client, &frame, &tk__wire__bits__descriptor, &decoded, err);
	if (rc)
		return rc;
	bits = decoded;
	if (bits->bits.len != (count + 7) / 8)
		return tk_client_fail(client, tk_err_set(err, TK_EPROTO, "an answer of %zu bytes for %zu packs", bits->bits.len, count), err);
	for (size_t i = 0; i < count; i++)
		have[i] = bits->bits.data[i / 8] >> (i % 8) & 1;
	return TK_OK;
}

static enum tk_rc
client_have(struct tk_store *store, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t at = 0; !rc && at < count; at += TK_FRAME_NAMES_MAX) {
		size_t some = count - at < TK_FRAME_NAMES_MAX ? count - at : TK_FRAME_NAMES_MAX;

		rc = have_some(tk_client_of(store), names + at, some, have + at, err);
	}
	return rc;
}

static enum tk_rc
take_missing(struct tk_client *client, const struct tk_frame *frame, struct tk_pack_names *missing, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Names *names = NULL;
	void *decoded = NULL;
	enum tk_rc rc = decode_reply(client, frame, &tk__wire__names__descriptor, &decoded, err);

	if (rc)
		return rc;
	names = decoded;
	rc = tk_message_names(&names->names, missing, err);
	if (rc)
		return tk_client_fail(client, rc, err);
	return tk_err_set(err, TK_EMISSING, "site %s lacks %zu packs of the point", client->site, missing->count);
}

static enum tk_rc
client_publish(struct tk_store *store, const void *record, size_t len_bytes, struct tk_buf *receipt, struct tk_pack_names *missing,
	       struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__Record message = record_message(record, len_bytes);
	struct tk_frame frame;
	enum tk_rc rc;

	memset(missing, 0, sizeof(*missing));
	rc = tk_client_call(client, TK_FRAME_PUBLISH, &message, TK_FRAME_RECORD, TK_FRAME_NAMES, &frame, err);
	if (rc)
		return rc;
	if (frame.head.type == TK_FRAME_NAMES)
		return take_missing(client, &frame, missing, err);
	return copy_record(client, &frame, receipt, err);
}

static enum tk_rc
client_vote(struct tk_store *store, const void *grant, size_t len_bytes, struct tk_buf *vote, struct tk_err *err)
{
	Tk__Wire__Record message = record_message(grant, len_bytes);

	return ask_record(tk_client_of(store), TK_FRAME_VOTE, &message, vote, err);
}

static enum tk_rc
client_get_range(struct tk_store *store, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes, struct tk_buf *out,
		 struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__Range message = TK__WIRE__RANGE__INIT;
	size_t before = out->len_bytes, got = 0;
	struct tk_frame frame;
	enum tk_rc rc;

	message.name = tk_message_bytes(name->b, TK_DIGEST_BYTES);
	message.offset_bytes = offset_bytes;
	message.len_bytes = len_bytes;
	rc = tk_buf_reserve(out, len_bytes, err);
	if (!rc)
		rc = tk_client_call(client, TK_FRAME_GET_RANGE, &message, TK_FRAME_DATA, NO_OTHER, &frame, err);
	while (!rc) {
		got += frame.head.len_bytes;
		if (got > len_bytes || (frame.head.more && !frame.head.len_bytes) || (!frame.head.more && got != len_bytes))
			rc = tk_client_fail(client, tk_err_set(err, TK_EPROTO, "%zu bytes of a pack for the %u asked", got, len_bytes), err);
		else
			rc = tk_buf_put(out, frame.body, frame.head.len_bytes, err);
		if (rc || !frame.head.more)
			break;
		rc = tk_client_reply(client, frame.head.request, TK_FRAME_DATA, NO_OTHER, &frame, err);
	}
	if (rc)
		out->len_bytes = before;
	return rc;
}

static enum tk_rc
client_pack_size(struct tk_store *store, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Number *number = NULL;
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__Name message = TK__WIRE__NAME__INIT;
	struct tk_frame frame;
	void *decoded = NULL;
	enum tk_rc rc;

	message.name = tk_message_bytes(name->b, TK_DIGEST_BYTES);
	rc = tk_client_call(client, TK_FRAME_PACK_SIZE, &message, TK_FRAME_NUMBER, NO_OTHER, &frame, err);
	if (!rc)
		rc = decode_reply(client, &frame, &tk__wire__number__descriptor, &decoded, err);
	if (rc)
		return rc;
	number = decoded;
	*len_bytes = number->number;
	return TK_OK;
}

static enum tk_rc
take_ends(struct tk_client *client, const struct tk_frame *frame, uint32_t tail_bytes, uint64_t *len_bytes, struct tk_buf *head, struct tk_buf *tail,
	  struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Ends *ends = NULL;
	void *decoded = NULL;
	enum tk_rc rc = decode_reply(client, frame, &tk__wire__ends__descriptor, &decoded, err);

	if (rc)
		return rc;
	ends = decoded;
	*len_bytes = ends->len_bytes;
	if (ends->len_bytes < tail_bytes)
		tail_bytes = (uint32_t)ends->len_bytes;
	if (ends->head.len != TK_PACK_HEADER_BYTES || ends->tail.len != tail_bytes || tail_bytes < TK_PACK_TRAILER_BYTES)
		return tk_client_fail(client, tk_err_set(err, TK_EPROTO, "%zu and %zu bytes as the ends of a pack of %llu", ends->head.len, ends->tail.len,
							 (unsigned long long)ends->len_bytes), err);
	rc = tk_buf_put(head, ends->head.data, ends->head.len, err);
	return rc ? rc : tk_buf_put(tail, ends->tail.data, ends->tail.len, err);
}

static enum tk_rc
client_get_ends(struct tk_store *store, const struct tk_pack_name *name, uint32_t tail_bytes, uint64_t *len_bytes, struct tk_buf *head, struct tk_buf *tail,
		struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__EndsAsk message = TK__WIRE__ENDS_ASK__INIT;
	struct tk_frame frame;
	enum tk_rc rc;

	message.name = tk_message_bytes(name->b, TK_DIGEST_BYTES);
	message.tail_bytes = tail_bytes;
	rc = tk_client_call(client, TK_FRAME_GET_ENDS, &message, TK_FRAME_ENDS, NO_OTHER, &frame, err);
	return rc ? rc : take_ends(client, &frame, tail_bytes, len_bytes, head, tail, err);
}

static enum tk_rc
add_points(struct tk_client *client, const struct tk_frame *frame, struct tk_store_point **list, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Points *points = NULL;
	void *decoded = NULL;
	enum tk_rc rc = decode_reply(client, frame, &tk__wire__points__descriptor, &decoded, err);

	if (rc)
		return rc;
	points = decoded;
	rc = tk_message_points(&points->points, list, count, err);
	if (!rc && frame->head.more && !points->points.len)
		rc = tk_err_set(err, TK_EPROTO, "a list of points that does not end");
	return rc ? tk_client_fail(client, rc, err) : TK_OK;
}

static enum tk_rc
client_list_points(struct tk_store *store, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__Id message = id_message(domain);
	struct tk_frame frame;
	enum tk_rc rc;

	*out = NULL;
	*count = 0;
	rc = tk_client_call(client, TK_FRAME_LIST_POINTS, &message, TK_FRAME_POINTS, NO_OTHER, &frame, err);
	while (!rc) {
		rc = add_points(client, &frame, out, count, err);
		if (rc || !frame.head.more)
			break;
		rc = tk_client_reply(client, frame.head.request, TK_FRAME_POINTS, NO_OTHER, &frame, err);
	}
	if (rc) {
		free(*out);
		*out = NULL;
		*count = 0;
	}
	return rc;
}

static Tk__Wire__PointAt
point_at(const struct tk_id *domain, const struct tk_head *at)
{
	Tk__Wire__PointAt message = TK__WIRE__POINT_AT__INIT;

	message.domain = tk_message_bytes(domain->b, TK_ID_BYTES);
	message.epoch = at->epoch;
	message.sequence = at->sequence;
	message.point = tk_message_bytes(at->point.b, TK_DIGEST_BYTES);
	return message;
}

static enum tk_rc
client_get_point(struct tk_store *store, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *out, struct tk_err *err)
{
	Tk__Wire__PointAt message = point_at(domain, at);

	return ask_record(tk_client_of(store), TK_FRAME_GET_POINT, &message, out, err);
}

static Tk__Wire__RecordAsk
record_ask(const struct tk_id *domain, int kind, uint64_t epoch)
{
	Tk__Wire__RecordAsk message = TK__WIRE__RECORD_ASK__INIT;

	message.domain = tk_message_bytes(domain->b, TK_ID_BYTES);
	message.kind = (uint32_t)kind;
	message.epoch = epoch;
	return message;
}

static enum tk_rc
client_get_record(struct tk_store *store, const struct tk_id *domain, int kind, uint64_t epoch, struct tk_buf *out, struct tk_err *err)
{
	Tk__Wire__RecordAsk message = record_ask(domain, kind, epoch);

	return ask_record(tk_client_of(store), TK_FRAME_GET_RECORD, &message, out, err);
}

static Tk__Wire__Slot
slot_message(const void *slot, size_t len_bytes, const uint8_t *recovery_key)
{
	Tk__Wire__Slot message = TK__WIRE__SLOT__INIT;

	message.record = tk_message_bytes(slot, len_bytes);
	if (recovery_key)
		message.recovery_key = tk_message_bytes(recovery_key, TK_KEY_BYTES);
	return message;
}

static enum tk_rc
client_put_slot(struct tk_store *store, const void *slot, size_t len_bytes, const uint8_t *recovery_key, struct tk_err *err)
{
	Tk__Wire__Slot message = slot_message(slot, len_bytes, recovery_key);

	return ask_ok(tk_client_of(store), TK_FRAME_PUT_SLOT, &message, err);
}

static enum tk_rc
client_drop_slot(struct tk_store *store, const struct tk_id *slot_id, struct tk_err *err)
{
	Tk__Wire__Id message = id_message(slot_id);

	return ask_ok(tk_client_of(store), TK_FRAME_DROP_SLOT, &message, err);
}

static Tk__Wire__SlotAsk
slot_ask(const struct tk_id *source, unsigned index)
{
	Tk__Wire__SlotAsk message = TK__WIRE__SLOT_ASK__INIT;

	message.source = tk_message_bytes(source->b, TK_ID_BYTES);
	message.index = index;
	return message;
}

static enum tk_rc
client_get_slot(struct tk_store *store, const struct tk_id *source, unsigned index, struct tk_buf *out, struct tk_err *err)
{
	Tk__Wire__SlotAsk message = slot_ask(source, index);

	return ask_record(tk_client_of(store), TK_FRAME_GET_SLOT, &message, out, err);
}

static enum tk_rc
client_put_config(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	Tk__Wire__Record message = record_message(record, len_bytes);

	return ask_ok(tk_client_of(store), TK_FRAME_PUT_CONFIG, &message, err);
}

static enum tk_rc
client_get_config(struct tk_store *store, const struct tk_id *source, struct tk_buf *out, struct tk_err *err)
{
	Tk__Wire__Id message = id_message(source);

	return ask_record(tk_client_of(store), TK_FRAME_GET_CONFIG, &message, out, err);
}

static enum tk_rc
take_numbers(struct tk_client *client, const struct tk_frame *frame, uint32_t **list, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Numbers *numbers = NULL;
	void *decoded = NULL;
	struct tk_cursor cur;
	size_t len;
	enum tk_rc rc = decode_reply(client, frame, &tk__wire__numbers__descriptor, &decoded, err);

	if (rc)
		return rc;
	numbers = decoded;
	len = numbers->numbers.len / sizeof(uint32_t);
	if (numbers->numbers.len % sizeof(uint32_t))
		return tk_client_fail(client, tk_err_set(err, TK_EPROTO, "a broken list of numbers"), err);
	if (!len)
		return TK_OK;
	*list = calloc(len, sizeof(uint32_t));
	if (!*list)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu blob numbers", len);
	tk_cursor_init(&cur, numbers->numbers.data, numbers->numbers.len);
	for (size_t i = 0; i < len; i++)
		(*list)[i] = tk_cursor_u32(&cur);
	*count = len;
	return TK_OK;
}

static enum tk_rc
client_check_pack(struct tk_store *store, const struct tk_pack_name *name, uint32_t **bad_blobs, size_t *bad_count, struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	Tk__Wire__Name message = TK__WIRE__NAME__INIT;
	struct tk_frame frame;
	enum tk_rc rc;

	*bad_blobs = NULL;
	*bad_count = 0;
	message.name = tk_message_bytes(name->b, TK_DIGEST_BYTES);
	rc = tk_client_call(client, TK_FRAME_CHECK_PACK, &message, TK_FRAME_NUMBERS, NO_OTHER, &frame, err);
	return rc ? rc : take_numbers(client, &frame, bad_blobs, bad_count, err);
}

static void
ask_record_ahead(struct tk_client *client, enum tk_frame_type type, const struct tk_store_ask *ask)
{
	Tk__Wire__Record message = record_message(ask->data, ask->len_bytes);

	tk_client_ask(client, type, &message);
}

static void
ask_id_ahead(struct tk_client *client, enum tk_frame_type type, const struct tk_store_ask *ask)
{
	Tk__Wire__Id message = id_message(ask->id);

	tk_client_ask(client, type, &message);
}

/* The question as the call itself asks it: by its bytes the call finds the answer. */
static void
ask_ahead(struct tk_client *client, const struct tk_store_ask *ask)
{
	Tk__Wire__StateAsk state;
	Tk__Wire__PointAt point;
	Tk__Wire__RecordAsk record;
	Tk__Wire__Slot slot;
	Tk__Wire__SlotAsk held;

	switch (ask->kind) {
	case TK_ASK_STATE:
		state = state_ask(ask->id, ask->data, ask->len_bytes);
		tk_client_ask(client, TK_FRAME_STATE_ASK, &state);
		break;
	case TK_ASK_GENESIS:
		ask_record_ahead(client, TK_FRAME_GENESIS, ask);
		break;
	case TK_ASK_FLUSH:
		tk_client_ask(client, TK_FRAME_FLUSH, NULL);
		break;
	case TK_ASK_PUBLISH:
		ask_record_ahead(client, TK_FRAME_PUBLISH, ask);
		break;
	case TK_ASK_POINTS:
		ask_id_ahead(client, TK_FRAME_LIST_POINTS, ask);
		break;
	case TK_ASK_POINT:
		point = point_at(ask->id, ask->at);
		tk_client_ask(client, TK_FRAME_GET_POINT, &point);
		break;
	case TK_ASK_RECORD:
		record = record_ask(ask->id, ask->record, ask->number);
		tk_client_ask(client, TK_FRAME_GET_RECORD, &record);
		break;
	case TK_ASK_PUT_SLOT:
		slot = slot_message(ask->data, ask->len_bytes, ask->recovery_key);
		tk_client_ask(client, TK_FRAME_PUT_SLOT, &slot);
		break;
	case TK_ASK_SLOT:
		held = slot_ask(ask->id, (unsigned)ask->number);
		tk_client_ask(client, TK_FRAME_GET_SLOT, &held);
		break;
	case TK_ASK_PUT_CONFIG:
		ask_record_ahead(client, TK_FRAME_PUT_CONFIG, ask);
		break;
	case TK_ASK_CONFIG:
		ask_id_ahead(client, TK_FRAME_GET_CONFIG, ask);
		break;
	}
}

static void
client_ahead(struct tk_store *store, const struct tk_store_ask *asks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ask_ahead(tk_client_of(store), &asks[i]);
}

static void
client_abort(struct tk_store *store)
{
	struct tk_client *client = tk_client_of(store);

	atomic_store(&client->aborted, true);
	tk_session_abort(client->session);
}

static void
client_close(struct tk_store *store)
{
	tk_client_free(tk_client_of(store));
}

const struct tk_store_ops tk_client_ops = {
	.ahead = client_ahead,
	.state = client_state,
	.put_genesis = client_put_genesis,
	.have = client_have,
	.put_pack = tk_client_put_pack,
	.flush = tk_client_flush,
	.publish = client_publish,
	.vote = client_vote,
	.get_range = client_get_range,
	.pack_size = client_pack_size,
	.get_ends = client_get_ends,
	.list_points = client_list_points,
	.get_point = client_get_point,
	.get_record = client_get_record,
	.put_slot = client_put_slot,
	.drop_slot = client_drop_slot,
	.get_slot = client_get_slot,
	.put_config = client_put_config,
	.get_config = client_get_config,
	.check_pack = client_check_pack,
	.abort = client_abort,
	.close = client_close,
};
