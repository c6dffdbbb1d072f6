#include "engine/catalog/tagkey.h"

#include <string.h>

#include "engine/base/hex.h"
#include "engine/catalog/domaindir.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define FILE_NAME "tagkey"
#define MAGIC "TWKTAGK1"
#define MAGIC_BYTES 8u
#define BODY_BYTES (MAGIC_BYTES + TK_TAG_KEY_BYTES)
#define FILE_BYTES (BODY_BYTES + TK_HASH_BYTES)

/* *found stays false for a file that is not whole. */
static enum tk_rc
read_key(int dirfd, uint8_t key[TK_TAG_KEY_BYTES], bool *found, struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf bytes = {0};
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = tk_read_file_at(dirfd, FILE_NAME, FILE_BYTES, &bytes, err);

	*found = false;
	if (rc == TK_ENOENT || rc == TK_EINVAL)
		return TK_OK;
	if (rc || bytes.len_bytes != FILE_BYTES || memcmp(bytes.data, MAGIC, MAGIC_BYTES) != 0)
		return rc;
	if ((rc = tk_hash(TK_SUITE_AES, bytes.data, BODY_BYTES, digest, err)))
		return rc;
	*found = memcmp(digest, bytes.data + BODY_BYTES, sizeof(digest)) == 0;
	if (*found)
		memcpy(key, bytes.data + MAGIC_BYTES, TK_TAG_KEY_BYTES);
	return TK_OK;
}

static enum tk_rc
make_key(int dirfd, uint8_t key[TK_TAG_KEY_BYTES], struct tk_err *err)
{
	uint8_t bytes[FILE_BYTES];
	enum tk_rc rc;

	if ((rc = tk_random_bytes(key, TK_TAG_KEY_BYTES, err)))
		return rc;
	memcpy(bytes, MAGIC, MAGIC_BYTES);
	memcpy(bytes + MAGIC_BYTES, key, TK_TAG_KEY_BYTES);
	rc = tk_hash(TK_SUITE_AES, bytes, BODY_BYTES, bytes + BODY_BYTES, err);
	if (!rc)
		rc = tk_publish_file(dirfd, FILE_NAME, bytes, sizeof(bytes), 0600, err);
	tk_wipe(bytes, sizeof(bytes));
	return rc;
}

enum tk_rc
tk_tagkey_open(const char *state_dir, const struct tk_id *domain, uint8_t key[TK_TAG_KEY_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	bool found;
	enum tk_rc rc;

	if ((rc = tk_domain_dir_open(state_dir, domain, "", &dirfd, err)))
		return rc;
	rc = read_key(dirfd, key, &found, err);
	if (!rc && !found)
		rc = make_key(dirfd, key, err);
	return rc ? tk_err_context(err, rc, "the key of local facts") : TK_OK;
}
