#include "engine/crypto/hash_two.h"

#include <stdlib.h>

#include "engine/crypto/hash.h"
#include "engine/crypto/ipsecmb.h"

struct tk_hash_two {
	struct tk_hash_ctx *single;
	struct tk_mb_sha256 *both;           /* NULL: one after the other */
};

enum tk_rc
tk_hash_two_new(enum tk_suite suite, struct tk_hash_two **out, struct tk_err *err)
{
	struct tk_hash_two *two = calloc(1, sizeof(*two));
	enum tk_rc rc;

	if (!two)
		return tk_err_set(err, TK_ENOMEM, "no memory for a hash context");
	if ((rc = tk_hash_ctx_new(suite, &two->single, err))) {
		free(two);
		return rc;
	}
	if (suite != TK_SUITE_GM)
		two->both = tk_mb_sha256_new();
	*out = two;
	return TK_OK;
}

void
tk_hash_two_cleanup(struct tk_hash_two **two)
{
	if (!*two)
		return;
	tk_mb_sha256_free((*two)->both);
	tk_hash_ctx_cleanup(&(*two)->single);
	free(*two);
	*two = NULL;
}

static bool
fits(struct tk_bytes message)
{
	return message.len_bytes > 0 && message.len_bytes <= TK_MB_MESSAGE_MAX_BYTES;
}

enum tk_rc
tk_hash_two(struct tk_hash_two *two, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[TK_HASH_BYTES], uint8_t out_b[TK_HASH_BYTES],
	    struct tk_err *err)
{
	enum tk_rc rc;

	if (two->both && fits(a) && fits(b))
		return tk_mb_sha256_two(two->both, a, b, out_a, out_b, err);
	rc = tk_hash_whole(two->single, a.data, a.len_bytes, out_a, err);
	return rc ? rc : tk_hash_whole(two->single, b.data, b.len_bytes, out_b, err);
}
