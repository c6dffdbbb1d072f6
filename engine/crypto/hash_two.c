#include "engine/crypto/hash_two.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifdef TK_HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "engine/crypto/hash.h"

#ifdef TK_HAVE_IPSEC_MB

/* What the library takes of one message. */
#define MESSAGE_MAX_BYTES 65534u

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

static enum tk_rc
both_at_once(IMB_MGR *manager, struct tk_bytes a, struct tk_bytes b, uint8_t *out_a, uint8_t *out_b, struct tk_err *err)
{
	unsigned done = 0;
	IMB_JOB *job;

	submit(manager, a, out_a, &done);
	submit(manager, b, out_b, &done);
	while ((job = IMB_FLUSH_JOB(manager)))
		done += job->status == IMB_STATUS_COMPLETED;
	return done == 2 ? TK_OK : tk_err_set(err, TK_EIO, "two digests at once: %s", imb_get_strerror(imb_get_errno(manager)));
}

/* What is not seen to give OpenSSL's digests is not used. */
static bool
agrees(IMB_MGR *manager, struct tk_hash_ctx *single)
{
	static const char text[] = "the same digest by either way";
	const struct tk_bytes a = {text, sizeof(text)}, b = {text, sizeof(text) / 2};
	uint8_t want[2][TK_HASH_BYTES], got[2][TK_HASH_BYTES];

	return !tk_hash_whole(single, a.data, a.len_bytes, want[0], NULL) && !tk_hash_whole(single, b.data, b.len_bytes, want[1], NULL) &&
	       !both_at_once(manager, a, b, got[0], got[1], NULL) && memcmp(want, got, sizeof(want)) == 0;
}

/* NULL: one after the other. Without the instructions the library goes through many messages side by side, and two alone would take longer. */
static IMB_MGR *
manager_new(enum tk_suite suite, struct tk_hash_ctx *single)
{
	IMB_MGR *manager = suite == TK_SUITE_GM ? NULL : alloc_mb_mgr(0);

	if (!manager)
		return NULL;
	init_mb_mgr_sse(manager);
	if (imb_get_errno(manager) == 0 && manager->features & IMB_FEATURE_SHANI && agrees(manager, single))
		return manager;
	free_mb_mgr(manager);
	return NULL;
}

#else

typedef void IMB_MGR;
#define MESSAGE_MAX_BYTES 0u

static enum tk_rc
both_at_once(IMB_MGR *manager, struct tk_bytes a, struct tk_bytes b, uint8_t *out_a, uint8_t *out_b, struct tk_err *err)
{
	(void)manager, (void)a, (void)b, (void)out_a, (void)out_b;
	return tk_err_set(err, TK_EUNSUPPORTED, "built without intel-ipsec-mb");
}

static IMB_MGR *
manager_new(enum tk_suite suite, struct tk_hash_ctx *single)
{
	(void)suite, (void)single;
	return NULL;
}

static void
free_mb_mgr(IMB_MGR *manager)
{
	(void)manager;
}

#endif

struct tk_hash_two {
	struct tk_hash_ctx *single;
	IMB_MGR *manager;                    /* NULL: one after the other */
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
	two->manager = manager_new(suite, two->single);
	*out = two;
	return TK_OK;
}

void
tk_hash_two_cleanup(struct tk_hash_two **two)
{
	if (!*two)
		return;
	if ((*two)->manager)
		free_mb_mgr((*two)->manager);
	tk_hash_ctx_cleanup(&(*two)->single);
	free(*two);
	*two = NULL;
}

enum tk_rc
tk_hash_two(struct tk_hash_two *two, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[TK_HASH_BYTES], uint8_t out_b[TK_HASH_BYTES],
	    struct tk_err *err)
{
	enum tk_rc rc;

	if (two->manager && a.len_bytes > 0 && a.len_bytes <= MESSAGE_MAX_BYTES && b.len_bytes > 0 && b.len_bytes <= MESSAGE_MAX_BYTES)
		return both_at_once(two->manager, a, b, out_a, out_b, err);
	rc = tk_hash_whole(two->single, a.data, a.len_bytes, out_a, err);
	return rc ? rc : tk_hash_whole(two->single, b.data, b.len_bytes, out_b, err);
}
