#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/vault/keycore.h"
#include "engine/vault/recordio.h"

static const char config_magic[] = "TWKCONF1";

enum { FILE_BYTES_MIN = 4, FILE_NAME_MAX = 255, MODE_MAX = 07777 };

static enum tk_rc
derive_config_keys(const struct tk_keyring *ring, enum tk_suite suite, const uint8_t *salt, struct tk_envelope *env, struct tk_err *err)
{
	uint8_t suite_id = (uint8_t)suite;
	const struct tk_bytes info[] = {{ring->source.b, sizeof(ring->source.b)}, {&suite_id, 1}};

	return tk_envelope_derive(suite, ring->home_key, salt, "twinkeep config", info, 2, false, env, err);
}

/* Relative, and in no component empty, "." or "..": recover writes these files below a home. */
static bool
name_is_safe(const char *name)
{
	for (const char *at = name;; at++) {
		size_t len = strcspn(at, "/");

		if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += len;
		if (*at == '\0')
			return (size_t)(at - name) <= FILE_NAME_MAX;
	}
}

static enum tk_rc
encode_files(const struct tk_config_file *files, size_t count, struct tk_buf *plain, struct tk_err *err)
{
	size_t bytes = 10;
	struct tk_writer w;
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++) {
		if (!name_is_safe(files[i].name) || files[i].mode > MODE_MAX || files[i].content.len_bytes > TK_RECORD_MAX)
			return tk_err_set(err, TK_EINVAL, "the file '%.200s' cannot be kept with the configuration", files[i].name);
		bytes += 30 + strlen(files[i].name) + files[i].content.len_bytes;
	}
	/* All at once: there are keys among the files, and a buffer that grows would leave them behind in freed memory. */
	rc = tk_buf_reserve(plain, bytes, err);
	if (rc)
		return rc;
	tk_writer_begin_plain(&w, plain, err);
	tk_writer_uv(&w, count);
	for (size_t i = 0; i < count; i++) {
		tk_writer_bytes(&w, files[i].name, strlen(files[i].name));
		tk_writer_uv(&w, files[i].mode);
		tk_writer_bytes(&w, files[i].content.data, files[i].content.len_bytes);
	}
	return tk_writer_end(&w);
}

enum tk_rc
tk_config_seal_with(const uint8_t salt[TK_SALT_BYTES], const struct tk_keyring *ring, const struct tk_config_file *files, size_t count,
    struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_envelope_buf_wipe) struct tk_buf plain = {0};
	struct tk_writer w;
	enum tk_rc rc;

	rc = encode_files(files, count, &plain, err);
	if (rc == TK_OK)
		rc = derive_config_keys(ring, ring->suite, salt, &env, err);
	if (rc)
		return rc;
	tk_writer_begin(&w, out, config_magic, ring->suite, err);
	tk_writer_id(&w, &ring->source);
	tk_writer_raw(&w, salt, TK_SALT_BYTES);
	tk_writer_raw(&w, env.commitment, sizeof(env.commitment));
	tk_writer_seal(&w, ring->suite, &env, NULL, &plain);
	return tk_writer_end(&w);
}

enum tk_rc
tk_config_seal(const struct tk_keyring *ring, const struct tk_config_file *files, size_t count, struct tk_buf *out, struct tk_err *err)
{
	uint8_t salt[TK_SALT_BYTES];
	enum tk_rc rc = tk_random_bytes(salt, sizeof(salt), err);

	return rc ? rc : tk_config_seal_with(salt, ring, files, count, out, err);
}

void
tk_config_files_free(struct tk_config_file *files, size_t count)
{
	for (size_t i = 0; files && i < count; i++) {
		free(files[i].name);
		tk_envelope_buf_wipe(&files[i].content);
	}
	free(files);
}

static enum tk_rc
read_file(struct tk_cursor *cur, struct tk_config_file *file, struct tk_err *err)
{
	const uint8_t *content;
	size_t len;
	enum tk_rc rc = TK_OK;

	file->name = tk_record_text(cur, FILE_NAME_MAX, &rc);
	if (rc)
		return tk_err_set(err, rc, "no memory for the configuration");
	if (file->name && !name_is_safe(file->name))
		tk_cursor_fail(cur, "a file name that leaves the home");
	file->mode = (uint32_t)tk_cursor_uv_max(cur, MODE_MAX);
	content = tk_cursor_bytes(cur, TK_RECORD_MAX, &len);
	return content ? tk_buf_put(&file->content, content, len, err) : TK_OK;
}

static enum tk_rc
decode_files(const struct tk_buf *plain, struct tk_config_file **files, size_t *count, struct tk_err *err)
{
	struct tk_config_file *list;
	struct tk_cursor cur;
	size_t n;
	enum tk_rc rc = TK_OK;

	tk_cursor_init(&cur, plain->data, plain->len_bytes);
	n = (size_t)tk_cursor_uv_max(&cur, plain->len_bytes / FILE_BYTES_MIN);
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for the configuration");
	for (size_t i = 0; rc == TK_OK && i < n && tk_cursor_ok(&cur); i++)
		rc = read_file(&cur, &list[i], err);
	if (rc == TK_OK)
		rc = tk_cursor_end(&cur, "sealed configuration", err);
	if (rc) {
		tk_config_files_free(list, n);
		return rc;
	}
	*files = list;
	*count = n;
	return TK_OK;
}

enum tk_rc
tk_config_open(const struct tk_keyring *ring, const void *record, size_t len_bytes, struct tk_config_file **files, size_t *count,
    struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_envelope_buf_wipe) struct tk_buf plain = {0};
	uint8_t salt[TK_SALT_BYTES], commitment[TK_COMMITMENT_BYTES];
	struct tk_bytes aad = {record, 0}, sealed;
	enum tk_suite suite;
	struct tk_cursor cur;
	struct tk_id source;
	enum tk_rc rc;

	rc = tk_record_open(&cur, record, len_bytes, config_magic, "sealed configuration", &suite, err);
	if (rc)
		return rc;
	tk_record_id(&cur, &source);
	tk_cursor_copy(&cur, salt, sizeof(salt));
	tk_cursor_copy(&cur, commitment, sizeof(commitment));
	aad.len_bytes = cur.pos_bytes;
	sealed.data = tk_cursor_bytes(&cur, TK_RECORD_MAX, &sealed.len_bytes);
	rc = tk_cursor_end(&cur, "sealed configuration", err);
	if (rc)
		return rc;
	if (memcmp(&source, &ring->source, sizeof(source)) != 0)
		return tk_err_set(err, TK_EKEY, "the sealed configuration is another source's");
	rc = derive_config_keys(ring, suite, salt, &env, err);
	if (rc)
		return rc;
	if (!tk_equal_ct(env.commitment, commitment, sizeof(commitment)))
		return tk_err_set(err, TK_EKEY, "the configuration is sealed under another key");
	rc = tk_envelope_open(suite, &env, aad, sealed, &plain, err);
	if (rc)
		return tk_err_context(err, rc, "sealed configuration");
	return decode_files(&plain, files, count, err);
}
