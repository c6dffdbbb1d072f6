#include "engine/crypto/ipsecmb.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef TK_HAVE_IPSEC_MB

#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>

#include "engine/crypto/hash.h"

struct tk_mb_sha256 {
	IMB_MGR *manager;
};

struct tk_mb_gmac {
	struct gcm_key_data key;              /* first: the library wants it aligned */
	struct gcm_context_data context;
	IMB_MGR *manager;
};

/* ---- SHA-256 ---- */

/* Adds 1 to *done for each message that is done with. */
static void
submit(IMB_MGR *manager, struct tk_bytes message, uint8_t *out, unsigned *done)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(manager);

	memset(job, 0, sizeof(*job));
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = IMB_AUTH_SHA_256;
	job->src = message.data;
	job->msg_len_to_hash_in_bytes = message.len_bytes;
	job->auth_tag_output = out;
	job->auth_tag_output_len_in_bytes = TK_HASH_BYTES;
	for (job = IMB_SUBMIT_JOB(manager); job; job = IMB_GET_COMPLETED_JOB(manager))
		*done += job->status == IMB_STATUS_COMPLETED;
}

enum tk_rc
tk_mb_sha256_two(struct tk_mb_sha256 *mb, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[32], uint8_t out_b[32], struct tk_err *err)
{
	unsigned done = 0;
	IMB_JOB *job;

	submit(mb->manager, a, out_a, &done);
	submit(mb->manager, b, out_b, &done);
	while ((job = IMB_FLUSH_JOB(mb->manager)))
		done += job->status == IMB_STATUS_COMPLETED;
	return done == 2 ? TK_OK : tk_err_set(err, TK_EIO, "two digests at once: %s", imb_get_strerror(imb_get_errno(mb->manager)));
}

static bool
hashes_as_openssl(struct tk_mb_sha256 *mb)
{
	static const char text[] = "the same digest by either way";
	const struct tk_bytes a = {text, sizeof(text)}, b = {text, sizeof(text) / 2};
	uint8_t want[2][TK_HASH_BYTES], got[2][TK_HASH_BYTES];

	return !tk_hash(TK_SUITE_AES, a.data, a.len_bytes, want[0], NULL) && !tk_hash(TK_SUITE_AES, b.data, b.len_bytes, want[1], NULL) &&
	       !tk_mb_sha256_two(mb, a, b, got[0], got[1], NULL) && memcmp(want, got, sizeof(want)) == 0;
}

/* Without the instructions for SHA-256 the library goes through many messages side by side, and two alone would take longer than one after the other. */
struct tk_mb_sha256 *
tk_mb_sha256_new(void)
{
	struct tk_mb_sha256 *mb = calloc(1, sizeof(*mb));

	if (!mb)
		return NULL;
	mb->manager = alloc_mb_mgr(0);
	if (mb->manager) {
		init_mb_mgr_sse(mb->manager);
		if (imb_get_errno(mb->manager) == 0 && mb->manager->features & IMB_FEATURE_SHANI && hashes_as_openssl(mb))
			return mb;
	}
	tk_mb_sha256_free(mb);
	return NULL;
}

void
tk_mb_sha256_free(struct tk_mb_sha256 *mb)
{
	if (mb && mb->manager)
		free_mb_mgr(mb->manager);
	free(mb);
}

/* ---- GMAC ---- */

/* Of vector AES, which OpenSSL 3.0 makes no use of. */
struct tk_mb_gmac *
tk_mb_gmac_new(const uint8_t key[32])
{
	struct tk_mb_gmac *mb = NULL;
	IMB_ARCH arch;

	if (posix_memalign((void **)&mb, 64, sizeof(*mb)))
		return NULL;
	memset(mb, 0, sizeof(*mb));
	mb->manager = alloc_mb_mgr(0);
	if (mb->manager) {
		init_mb_mgr_auto(mb->manager, &arch);
		if (imb_get_errno(mb->manager) == 0 && mb->manager->features & IMB_FEATURE_VAES) {
			IMB_AES256_GCM_PRE(mb->manager, key, &mb->key);
			return mb;
		}
	}
	tk_mb_gmac_free(mb);
	return NULL;
}

void
tk_mb_gmac_free(struct tk_mb_gmac *mb)
{
	if (!mb)
		return;
	if (mb->manager)
		free_mb_mgr(mb->manager);
	tk_wipe(mb, sizeof(*mb));
	free(mb);
}

void
tk_mb_gmac(struct tk_mb_gmac *mb, const void *data, size_t len_bytes, uint8_t tag[16])
{
	static const uint8_t nonce[12];

	IMB_AES256_GMAC_INIT(mb->manager, &mb->key, &mb->context, nonce, sizeof(nonce));
	if (len_bytes > 0)
		IMB_AES256_GMAC_UPDATE(mb->manager, &mb->key, &mb->context, data, len_bytes);
	IMB_AES256_GMAC_FINALIZE(mb->manager, &mb->key, &mb->context, tag, 16);
}

#else

struct tk_mb_sha256 *
tk_mb_sha256_new(void)
{
	return NULL;
}

void
tk_mb_sha256_free(struct tk_mb_sha256 *mb)
{
	(void)mb;
}

enum tk_rc
tk_mb_sha256_two(struct tk_mb_sha256 *mb, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[32], uint8_t out_b[32], struct tk_err *err)
{
	(void)mb, (void)a, (void)b, (void)out_a, (void)out_b;
	return tk_err_set(err, TK_EUNSUPPORTED, "built without intel-ipsec-mb");
}

struct tk_mb_gmac *
tk_mb_gmac_new(const uint8_t key[32])
{
	(void)key;
	return NULL;
}

void
tk_mb_gmac_free(struct tk_mb_gmac *mb)
{
	(void)mb;
}

void
tk_mb_gmac(struct tk_mb_gmac *mb, const void *data, size_t len_bytes, uint8_t tag[16])
{
	(void)mb, (void)data, (void)len_bytes, (void)tag;
}

#endif
