/* verify_core.h -- what the parts of a verification share; for engine/job/verify*.c only. One thread, but for the data pass, whose threads read. */
#ifndef TK_JOB_VERIFY_CORE_H
#define TK_JOB_VERIFY_CORE_H

#include "engine/job/prefetch.h"
#include "engine/job/refset.h"
#include "engine/job/verify.h"
#include "engine/vault/treewalk.h"

struct tk_verify {
	const struct tk_verify_opts *opts;
	struct tk_verify_result *result;
	struct tk_packtab *packs;
	struct tk_fetch *fetch;
	struct tk_prefetch *prefetch;         /* during the passes over the pages */
	struct tk_page_loader *loader;
	struct tk_refset seen;                /* metadata blobs that were checked, data blobs that are used; {pack, UINT32_MAX}: the pack is used */
	struct tk_refset bad;                 /* damaged data blobs, and packs as {pack, UINT32_MAX} */
	struct tk_refset named;               /* pairs of damage and path that were counted, as hashes */
	enum tk_suite suite;
	uint64_t segment_bytes;
	bool naming;                          /* second pass: which files need what is damaged */
	bool whole;                           /* the point being checked, so far */
	uint64_t draw;                        /* of the sample */
};

/* verify_damage.c. A damage is noted once; noting it is TK_OK, anything that is no damage comes back as it is. */
bool tk_verify_is_damage(enum tk_rc rc);
TK_MUST_CHECK enum tk_rc tk_verify_note_point(struct tk_verify *verify, enum tk_rc rc, const struct tk_head *at, struct tk_err *err);
/* page (may be NULL): the page that the blob holds; path (may be NULL): a file that needs it. */
TK_MUST_CHECK enum tk_rc tk_verify_note(struct tk_verify *verify, enum tk_rc rc, struct tk_blob_ref ref, const struct tk_page_info *page, const char *path,
					struct tk_err *err);
/* Names the file under each damage that the blob is part of. */
TK_MUST_CHECK enum tk_rc tk_verify_name_file(struct tk_verify *verify, struct tk_blob_ref ref, const char *path, struct tk_err *err);

/* verify_tree.c: a page and all below it. What was checked for another point is not checked again. */
TK_MUST_CHECK enum tk_rc tk_verify_page(struct tk_verify *verify, const struct tk_page_info *page, struct tk_err *err);

/* verify_data.c: reads the blobs of every pack known by now, or a sample of them. */
TK_MUST_CHECK enum tk_rc tk_verify_packs(struct tk_verify *verify, struct tk_err *err);

/* verify.c */
TK_MUST_CHECK enum tk_rc tk_verify_go_on(const struct tk_verify *verify, struct tk_err *err);

#endif
