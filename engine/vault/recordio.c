#include "engine/vault/recordio.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/sign.h"

enum { RECORD_VERSION = 1 };

void
tk_writer_begin_plain(struct tk_writer *w, struct tk_buf *out, struct tk_err *err)
{
	w->out = out;
	w->start_bytes = out->len_bytes;
	w->rc = TK_OK;
	w->err = err;
}

void
tk_writer_begin(struct tk_writer *w, struct tk_buf *out, const char *magic, enum tk_suite suite, struct tk_err *err)
{
	enum tk_suite known;

	tk_writer_begin_plain(w, out, err);
	w->rc = tk_envelope_suite((uint64_t)suite, &known, err);
	tk_writer_raw(w, magic, 8);
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_u16(out, RECORD_VERSION, err);
	tk_writer_u8(w, (uint8_t)suite);
	tk_writer_u64(w, 0);
}

void
tk_writer_u8(struct tk_writer *w, uint8_t value)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_u8(w->out, value, w->err);
}

void
tk_writer_u32(struct tk_writer *w, uint32_t value)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_u32(w->out, value, w->err);
}

void
tk_writer_u64(struct tk_writer *w, uint64_t value)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_u64(w->out, value, w->err);
}

void
tk_writer_uv(struct tk_writer *w, uint64_t value)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_uv(w->out, value, w->err);
}

void
tk_writer_sv(struct tk_writer *w, int64_t value)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_sv(w->out, value, w->err);
}

void
tk_writer_raw(struct tk_writer *w, const void *src, size_t len_bytes)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put(w->out, src, len_bytes, w->err);
}

void
tk_writer_bytes(struct tk_writer *w, const void *src, size_t len_bytes)
{
	if (w->rc == TK_OK)
		w->rc = tk_buf_put_bytes(w->out, src, len_bytes, w->err);
}

void
tk_writer_id(struct tk_writer *w, const struct tk_id *id)
{
	tk_writer_raw(w, id->b, sizeof(id->b));
}

void
tk_writer_digest(struct tk_writer *w, const struct tk_digest *digest)
{
	tk_writer_raw(w, digest->b, sizeof(digest->b));
}

void
tk_writer_head(struct tk_writer *w, const struct tk_head *head)
{
	tk_writer_u64(w, head->epoch);
	tk_writer_u64(w, head->sequence);
	tk_writer_digest(w, &head->point);
}

void
tk_writer_seal(struct tk_writer *w, enum tk_suite suite, const struct tk_envelope *env, const uint8_t *salt, const struct tk_buf *plain)
{
	uint8_t head[TK_SALT_BYTES + TK_COMMITMENT_BYTES];
	struct tk_bytes clear = {head, 0};

	if (w->rc)
		return;
	if (salt) {
		memcpy(head, salt, TK_SALT_BYTES);
		memcpy(head + TK_SALT_BYTES, env->commitment, TK_COMMITMENT_BYTES);
		clear.len_bytes = sizeof(head);
	}
	w->rc = tk_envelope_put(suite, env, w->start_bytes, clear, plain, w->out, w->err);
}

static enum tk_rc
text_and_record(const char *text, const void *record, size_t len_bytes, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(out, text, strlen(text), err);

	return rc ? rc : tk_buf_put(out, record, len_bytes, err);
}

void
tk_writer_sign(struct tk_writer *w, const char *text, enum tk_suite suite, const uint8_t seed[TK_KEY_BYTES], uint8_t *key)
{
	TK_AUTO(tk_buf_release) struct tk_buf message = {0};
	uint8_t public_key[TK_SIGN_PUBLIC_MAX], sig[TK_SIGN_SIG_BYTES];

	if (w->rc == TK_OK)
		w->rc = tk_sign_public(suite, seed, public_key, w->err);
	if (w->rc)
		return;
	tk_writer_bytes(w, public_key, TK_KEY_BYTES);
	if (w->rc == TK_OK)
		w->rc = text_and_record(text, w->out->data + w->start_bytes, w->out->len_bytes - w->start_bytes, &message, w->err);
	if (w->rc == TK_OK)
		w->rc = tk_sign(suite, seed, message.data, message.len_bytes, sig, w->err);
	if (w->rc)
		return;
	tk_writer_bytes(w, sig, sizeof(sig));
	if (key)
		memcpy(key, public_key, TK_KEY_BYTES);
}

enum tk_rc
tk_writer_end(struct tk_writer *w)
{
	if (w->rc == TK_OK && w->out->len_bytes - w->start_bytes > TK_RECORD_MAX)
		w->rc = tk_err_set(w->err, TK_EINVAL, "a record of %zu bytes is over the limit of %u", w->out->len_bytes - w->start_bytes,
		    TK_RECORD_MAX);
	if (w->rc)
		w->out->len_bytes = w->start_bytes;
	return w->rc;
}

enum tk_rc
tk_record_open(struct tk_cursor *cur, const void *record, size_t len_bytes, const char *magic, const char *what, enum tk_suite *suite,
    struct tk_err *err)
{
	const uint8_t *begin;
	unsigned version, suite_id;
	uint64_t critical;
	enum tk_rc rc;

	if (len_bytes > TK_RECORD_MAX)
		return tk_err_set(err, TK_ECORRUPT, "%s: %zu bytes are over the limit of a record", what, len_bytes);
	tk_cursor_init(cur, record, len_bytes);
	begin = tk_cursor_take(cur, 8);
	version = tk_cursor_u16(cur);
	suite_id = tk_cursor_u8(cur);
	critical = tk_cursor_u64(cur);
	if (begin && memcmp(begin, magic, 8) != 0)
		tk_cursor_fail(cur, "no such record begins here");
	rc = tk_cursor_check(cur, what, err);
	if (rc)
		return rc;
	if (version != RECORD_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "%s: version %u is not known", what, version);
	if (critical)
		return tk_err_set(err, TK_EUNSUPPORTED, "%s: a critical feature is not known", what);
	rc = tk_envelope_suite(suite_id, suite, err);
	return rc ? tk_err_context(err, rc, "%s", what) : TK_OK;
}

void
tk_record_id(struct tk_cursor *cur, struct tk_id *id)
{
	tk_cursor_copy(cur, id->b, sizeof(id->b));
}

void
tk_record_digest(struct tk_cursor *cur, struct tk_digest *digest)
{
	tk_cursor_copy(cur, digest->b, sizeof(digest->b));
}

void
tk_record_head(struct tk_cursor *cur, struct tk_head *head)
{
	head->epoch = tk_cursor_u64(cur);
	head->sequence = tk_cursor_u64(cur);
	tk_record_digest(cur, &head->point);
	if (head->epoch == 0 || head->sequence == 0)
		tk_cursor_fail(cur, "epoch or sequence 0");
}

void
tk_record_key(struct tk_cursor *cur, uint8_t key[TK_KEY_BYTES])
{
	size_t len;
	const uint8_t *at = tk_cursor_bytes(cur, TK_SIGN_PUBLIC_MAX, &len);

	memset(key, 0, TK_KEY_BYTES);
	if (!at)
		return;
	if (len != TK_KEY_BYTES) {
		tk_cursor_fail(cur, "a public key of another length");
		return;
	}
	memcpy(key, at, TK_KEY_BYTES);
}

char *
tk_record_text(struct tk_cursor *cur, size_t max_bytes, enum tk_rc *rc)
{
	size_t len;
	const uint8_t *at = tk_cursor_bytes(cur, max_bytes, &len);
	char *text;

	if (at && memchr(at, 0, len))
		tk_cursor_fail(cur, "a text with a NUL in it");
	if (!tk_cursor_ok(cur))
		return NULL;
	text = malloc(len + 1);
	if (!text) {
		*rc = TK_ENOMEM;
		return NULL;
	}
	memcpy(text, at, len);
	text[len] = '\0';
	return text;
}

enum tk_rc
tk_record_verify(struct tk_cursor *cur, const char *text, const char *what, enum tk_suite suite, uint8_t key[TK_KEY_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf message = {0};
	const uint8_t *sig;
	size_t signed_bytes, sig_bytes;
	enum tk_rc rc;

	tk_record_key(cur, key);
	signed_bytes = cur->pos_bytes;
	sig = tk_cursor_bytes(cur, TK_SIGN_SIG_BYTES, &sig_bytes);
	rc = tk_cursor_end(cur, what, err);
	if (rc == TK_OK)
		rc = text_and_record(text, cur->data, signed_bytes, &message, err);
	if (rc)
		return rc;
	rc = tk_sign_verify(suite, key, TK_KEY_BYTES, message.data, message.len_bytes, sig, sig_bytes, err);
	return rc ? tk_err_context(err, rc, "%s", what) : TK_OK;
}
