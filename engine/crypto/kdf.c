#include "engine/crypto/kdf.h"

#include "engine/crypto/hash.h"
#include "engine/crypto/ossl.h"

static enum tk_rc
check_parameters(uint32_t log2n, uint32_t r, uint32_t p, size_t out_bytes, struct tk_err *err)
{
	if (log2n < 1 || log2n > 20 || r < 1 || r > 64 || p < 1 || p > 64 || r * p > 256)
		return tk_err_set(err, TK_EINVAL, "scrypt parameters out of range: log2n %u, r %u, p %u", (unsigned)log2n,
		    (unsigned)r, (unsigned)p);
	if (((uint64_t)128 * r << log2n) > TK_SCRYPT_MEMORY_MAX)
		return tk_err_set(err, TK_EINVAL, "scrypt parameters need over %llu bytes of memory",
		    (unsigned long long)TK_SCRYPT_MEMORY_MAX);
	if (out_bytes < 1 || out_bytes > TK_SCRYPT_OUT_MAX)
		return tk_err_set(err, TK_EINVAL, "scrypt cannot derive %zu bytes here", out_bytes);
	return TK_OK;
}

enum tk_rc
tk_scrypt(const void *pass, size_t pass_bytes, const uint8_t *salt, size_t salt_bytes, uint32_t log2n, uint32_t r, uint32_t p,
    void *out, size_t out_bytes, struct tk_err *err)
{
	enum tk_rc rc = check_parameters(log2n, r, p, out_bytes, err);

	if (rc != TK_OK) {
		tk_wipe(out, out_bytes);
		return rc;
	}
	/* OpenSSL's default limit of 32 MiB is below our parameters; it also counts small buffers beside 128 * N * r. */
	if (EVP_PBE_scrypt_ex(pass, pass_bytes, salt, salt_bytes, (uint64_t)1 << log2n, r, p,
	    TK_SCRYPT_MEMORY_MAX + ((uint64_t)64 << 20), out, out_bytes, NULL, NULL) != 1) {
		tk_wipe(out, out_bytes);
		return tk_ossl_err(err, TK_EIO, "scrypt");
	}
	return TK_OK;
}
