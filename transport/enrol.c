/* The invitation: made by a source, read by a site. */
#include "transport/enrol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cursor.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/x509.h"
#include "transport/armour.h"
#include "transport/home_file.h"

#define INVITE_TITLE "TWINKEEP INVITATION"
#define INVITE_VERSION 1u
#define INVITE_MAX (1u << 20)
#define PEM_MAX (256u << 10)

static const char invite_magic[8] = {'T', 'W', 'K', 'I', 'N', 'V', 'I', 'T'};

/* A key and a certificate for the site, made here because the CA's key is here. */
static enum tk_rc
issue_for_site(const struct tk_invite_request *request, struct tk_buf *cert, struct tk_buf *key, struct tk_err *err)
{
	struct tk_x509_request wanted = {.name = request->site_name, .now_ns = request->now_ns, .years = request->years};
	struct tk_buf public_pem;
	enum tk_rc rc;

	if (!request->ca_key_pem.len_bytes)
		return TK_OK;
	tk_buf_init(&public_pem, PEM_MAX);
	rc = tk_x509_make_key(key, err);
	if (!rc)
		rc = tk_x509_public_key((struct tk_bytes){key->data, key->len_bytes}, &public_pem, err);
	if (!rc)
		rc = tk_x509_issue(&wanted, (struct tk_bytes){public_pem.data, public_pem.len_bytes}, request->ca_cert_pem,
				   request->ca_key_pem, cert, err);
	tk_buf_release(&public_pem);
	return rc;
}

static enum tk_rc
encode_fields(const struct tk_invite_request *request, const struct tk_x509_info *source, const struct tk_buf *cert,
	      const struct tk_buf *key, struct tk_buf *out, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	if ((rc = tk_buf_put(out, invite_magic, sizeof(invite_magic), err)) ||
	    (rc = tk_buf_put_u16(out, INVITE_VERSION, err)) ||
	    (rc = tk_buf_put_bytes(out, request->site_name, strlen(request->site_name), err)) ||
	    (rc = tk_buf_put_bytes(out, request->source_name, strlen(request->source_name), err)) ||
	    (rc = tk_buf_put(out, request->source.b, TK_ID_BYTES, err)) ||
	    (rc = tk_buf_put(out, request->operator_key, TK_KEY_BYTES, err)) ||
	    (rc = tk_buf_put_uv(out, 1, err)) ||
	    (rc = tk_buf_put(out, source->pin, TK_PIN_BYTES, err)) ||
	    (rc = tk_buf_put_bytes(out, request->ca_cert_pem.data, request->ca_cert_pem.len_bytes, err)) ||
	    (rc = tk_buf_put_bytes(out, cert->data, cert->len_bytes, err)) ||
	    (rc = tk_buf_put_bytes(out, key->data, key->len_bytes, err)) ||
	    (rc = tk_hash(TK_SUITE_AES, out->data, out->len_bytes, digest, err)))
		return rc;
	return tk_buf_put(out, digest, sizeof(digest), err);
}

enum tk_rc
tk_invite_make(const struct tk_invite_request *request, struct tk_buf *text, struct tk_err *err)
{
	struct tk_buf cert, key, data;
	struct tk_x509_info source;
	enum tk_rc rc;

	tk_buf_init(&cert, PEM_MAX);
	tk_buf_init(&key, PEM_MAX);
	tk_buf_init(&data, INVITE_MAX);
	rc = tk_x509_check_name(request->site_name, err);
	if (!rc)
		rc = tk_x509_check_name(request->source_name, err);
	if (!rc)
		rc = tk_x509_read(request->source_cert_pem, &source, err);
	if (!rc)
		rc = issue_for_site(request, &cert, &key, err);
	if (!rc)
		rc = encode_fields(request, &source, &cert, &key, &data, err);
	if (!rc)
		rc = tk_armour_encode(INVITE_TITLE, data.data, data.len_bytes, text, err);
	tk_buf_release(&cert);
	tk_wipe_buf(&key);
	tk_wipe_buf(&data);
	return rc;
}

enum tk_rc
tk_invite_make_file(const struct tk_invite_request *request, const char *path, struct tk_err *err)
{
	struct tk_buf text;
	enum tk_rc rc;

	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return tk_err_set(err, TK_EEXIST, "%s exists already; delete it, or name another file with --output", path);
	tk_buf_init(&text, 2 * INVITE_MAX);
	rc = tk_invite_make(request, &text, err);
	if (!rc)
		rc = tk_home_file_put(AT_FDCWD, path, text.data, text.len_bytes, 0600, err);
	tk_wipe_buf(&text);
	return rc;
}

static void
take_name(struct tk_cursor *cur, char dst[TK_PEER_NAME_MAX])
{
	size_t len;
	const uint8_t *name = tk_cursor_bytes(cur, TK_PEER_NAME_MAX - 1, &len);

	if (len)
		memcpy(dst, name, len);
	dst[len] = '\0';
	if (tk_x509_check_name(dst, NULL))
		tk_cursor_fail(cur, "a bad name");
}

static enum tk_rc
take_pem(struct tk_cursor *cur, struct tk_buf *out, struct tk_err *err)
{
	size_t len;
	const uint8_t *pem = tk_cursor_bytes(cur, PEM_MAX, &len);

	return tk_buf_put(out, pem, len, err);
}

static enum tk_rc
decode_fields(struct tk_cursor *cur, struct tk_invite *out, struct tk_err *err)
{
	unsigned version;
	enum tk_rc rc;

	(void)tk_cursor_take(cur, sizeof(invite_magic));
	version = tk_cursor_u16(cur);
	if (version != INVITE_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "an invitation of version %u", version);
	take_name(cur, out->site_name);
	take_name(cur, out->source_name);
	tk_cursor_copy(cur, out->source.b, TK_ID_BYTES);
	tk_cursor_copy(cur, out->operator_key, TK_KEY_BYTES);
	out->pin_count = (unsigned)tk_cursor_uv_max(cur, TK_PEER_PINS_MAX);
	tk_cursor_copy(cur, out->pins, (size_t)out->pin_count * TK_PIN_BYTES);
	if (!out->pin_count)
		tk_cursor_fail(cur, "no pin");
	if ((rc = take_pem(cur, &out->ca_pem, err)) || (rc = take_pem(cur, &out->cert_pem, err)) || (rc = take_pem(cur, &out->key_pem, err)))
		return rc;
	return tk_cursor_end(cur, "invitation", err);
}

/* Whatever a site puts into its trust must at least be what it says. */
static enum tk_rc
check_pems(const struct tk_invite *invite, struct tk_err *err)
{
	struct tk_bytes cert = {invite->cert_pem.data, invite->cert_pem.len_bytes}, key = {invite->key_pem.data, invite->key_pem.len_bytes};
	struct tk_x509_info info;
	enum tk_rc rc = tk_x509_read((struct tk_bytes){invite->ca_pem.data, invite->ca_pem.len_bytes}, &info, err);

	if (rc)
		return tk_err_context(err, rc, "CA certificate");
	if (!cert.len_bytes && !key.len_bytes)
		return TK_OK;
	return tk_x509_match(cert, key, err);
}

static enum tk_rc
decode_invite(const struct tk_buf *data, struct tk_invite *out, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	struct tk_cursor cur;
	size_t body;
	enum tk_rc rc;

	if (data->len_bytes < sizeof(invite_magic) + TK_HASH_BYTES || memcmp(data->data, invite_magic, sizeof(invite_magic)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "not an invitation");
	body = data->len_bytes - TK_HASH_BYTES;
	rc = tk_hash(TK_SUITE_AES, data->data, body, digest, err);
	if (!rc && memcmp(digest, data->data + body, TK_HASH_BYTES) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "the invitation is damaged");
	if (rc)
		return rc;
	tk_cursor_init(&cur, data->data, body);
	rc = decode_fields(&cur, out, err);
	return rc ? rc : check_pems(out, err);
}

enum tk_rc
tk_invite_parse(const void *text, size_t len_bytes, struct tk_invite *out, struct tk_err *err)
{
	struct tk_buf data;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	tk_buf_init(&out->ca_pem, PEM_MAX);
	tk_buf_init(&out->cert_pem, PEM_MAX);
	tk_buf_init(&out->key_pem, PEM_MAX);
	tk_buf_init(&data, INVITE_MAX);
	rc = tk_armour_decode(INVITE_TITLE, text, len_bytes, &data, err);
	if (!rc)
		rc = decode_invite(&data, out, err);
	tk_wipe_buf(&data);
	if (rc)
		tk_invite_release(out);
	return rc;
}

enum tk_rc
tk_invite_read(const char *path, struct tk_invite *out, struct tk_err *err)
{
	struct tk_buf text;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	tk_buf_init(&text, 2 * INVITE_MAX + 1);
	rc = tk_home_file_get(AT_FDCWD, path, 2 * INVITE_MAX, &text, err);
	if (!rc)
		rc = tk_invite_parse(text.data, text.len_bytes, out, err);
	tk_wipe_buf(&text);
	/* Nothing stored is damaged: another file was named, or the copy is bad. */
	if (rc == TK_ECORRUPT)
		return tk_err_set(err, TK_EUSAGE, "%s is no whole invitation; copy it again, or make another with `twinkeep site invite` at the source", path);
	return rc ? tk_err_context(err, rc, "invitation %s", path) : TK_OK;
}

void
tk_invite_release(struct tk_invite *invite)
{
	tk_buf_release(&invite->ca_pem);
	tk_buf_release(&invite->cert_pem);
	tk_wipe_buf(&invite->key_pem);
}
