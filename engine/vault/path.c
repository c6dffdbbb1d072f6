/* Paths of the manifest: order, validity, border hash. */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define HASH_PREFIX "twinkeep page"
#define HASH_PREFIX_BYTES (sizeof(HASH_PREFIX) - 1)

struct tk_path_hasher {
	struct tk_hash_ctx *hash;
	struct tk_buf text;                    /* prefix and path, so that it is one hash call */
};

size_t
tk_path_shared(const char *a, const char *b, size_t len_bytes)
{
	size_t at = 0;

	for (; len_bytes - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t x, y;

		memcpy(&x, a + at, sizeof(x));
		memcpy(&y, b + at, sizeof(y));
		if (x != y)
			break;
	}
	while (at < len_bytes && a[at] == b[at])
		at++;
	return at;
}

static int
rank(char c)
{
	return c == '/' ? 0 : (int)(unsigned char)c + 1;
}

int
tk_path_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	size_t least = a_bytes < b_bytes ? a_bytes : b_bytes;
	size_t at = tk_path_shared(a, b, least);

	if (at < least)
		return rank(a[at]) - rank(b[at]);
	return a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

bool
tk_path_is_below(const char *path, size_t path_bytes, const char *dir, size_t dir_bytes)
{
	if (dir_bytes == 0)
		return true;
	if (path_bytes < dir_bytes || memcmp(path, dir, dir_bytes) != 0)
		return false;
	return path_bytes == dir_bytes || path[dir_bytes] == '/';
}

const char *
tk_path_fault(const char *path, size_t path_bytes, size_t from)
{
	size_t start = from < path_bytes ? from : path_bytes;

	if (path_bytes == 0)
		return NULL;
	if (path_bytes > TK_PATH_BYTES_MAX)
		return "a path is too long";
	if (memchr(path + start, '\0', path_bytes - start))
		return "a path has a NUL";
	while (start > 0 && path[start - 1] != '/')
		start--;
	for (;;) {
		const char *slash = memchr(path + start, '/', path_bytes - start);
		size_t len = (slash ? (size_t)(slash - path) : path_bytes) - start;

		if (len == 0)
			return "a path has an empty component";
		if (path[start] == '.' && (len == 1 || (len == 2 && path[start + 1] == '.')))
			return "a path has a dot component";
		if (!slash)
			return NULL;
		start += len + 1;
	}
}

enum tk_rc
tk_path_check(const char *path, size_t path_bytes, struct tk_err *err)
{
	const char *fault = tk_path_fault(path, path_bytes, 0);

	return fault ? tk_err_set(err, TK_ECORRUPT, "%s", fault) : TK_OK;
}

enum tk_rc
tk_path_hasher_new(enum tk_suite suite, struct tk_path_hasher **out, struct tk_err *err)
{
	TK_AUTO(tk_path_hasher_cleanup) struct tk_path_hasher *hasher = calloc(1, sizeof(*hasher));
	enum tk_rc rc;

	if (!hasher)
		return tk_err_set(err, TK_ENOMEM, "no memory for a path hasher");
	tk_buf_init(&hasher->text, 0);
	if ((rc = tk_buf_put(&hasher->text, HASH_PREFIX, HASH_PREFIX_BYTES, err)) != TK_OK)
		return rc;
	if ((rc = tk_hash_ctx_new(suite, &hasher->hash, err)) != TK_OK)
		return rc;
	*out = hasher;
	hasher = NULL;
	return TK_OK;
}

void
tk_path_hasher_cleanup(struct tk_path_hasher **hasher)
{
	if (!*hasher)
		return;
	tk_hash_ctx_free((*hasher)->hash);
	tk_buf_release(&(*hasher)->text);
	free(*hasher);
	*hasher = NULL;
}

enum tk_rc
tk_path_hasher_run(struct tk_path_hasher *hasher, const char *path, size_t path_bytes, uint64_t *hash, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	hasher->text.len_bytes = HASH_PREFIX_BYTES;
	if ((rc = tk_buf_put(&hasher->text, path, path_bytes, err)) != TK_OK)
		return rc;
	if ((rc = tk_hash_whole(hasher->hash, hasher->text.data, hasher->text.len_bytes, digest, err)) != TK_OK)
		return rc;
	*hash = 0;
	for (unsigned i = 0; i < 8; i++)
		*hash |= (uint64_t)digest[i] << (8 * i);
	return TK_OK;
}

enum tk_rc
tk_path_hash(enum tk_suite suite, const char *path, size_t path_bytes, uint64_t *hash, struct tk_err *err)
{
	TK_AUTO(tk_path_hasher_cleanup) struct tk_path_hasher *hasher = NULL;
	enum tk_rc rc = tk_path_hasher_new(suite, &hasher, err);

	return rc != TK_OK ? rc : tk_path_hasher_run(hasher, path, path_bytes, hash, err);
}
