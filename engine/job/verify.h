/* verify.h -- is what one site holds whole? Points, pages, references; with data: every blob, or a sample.
 *
 * Checked of every point: its record and signature, every page against the digests above it up to the tree digest, every segment map, that the references in the
 * clear name all that the pages use (else the site could let go of what is needed), and that every data blob used is in its pack. With data: every blob
 * of every pack that a point uses or brought, whichever point stored it, is read and its tag checked, under keys that no site has: the bytes are those that were sealed.
 * Data is not decompressed. Of what no point uses, what the site has let go is no damage. Damage is listed in the order of packs and blobs. */
#ifndef TK_JOB_VERIFY_H
#define TK_JOB_VERIFY_H

#include "engine/job/fetch.h"
#include "engine/base/progress.h"
#include "engine/vault/records.h"

/* One damaged or missing thing. */
struct tk_damage {
	bool is_point;                        /* the record of `point`; else a blob or a pack */
	struct tk_head point;
	struct tk_pack_name pack;
	uint32_t blob;                        /* UINT32_MAX: the pack as a whole */
	char text[256];
	char **files;                         /* owned; paths as in the manifest that need it, at most TK_DAMAGE_FILES_MAX; of a page: its first one */
	size_t file_count;
	uint64_t files_affected;              /* in all, each path once; of a page: its entries */
};
#define TK_DAMAGE_FILES_MAX 20u
#define TK_DAMAGED_MAX 1000u

struct tk_verify_opts {
	const struct tk_site *site;           /* all borrowed */
	struct tk_fetch *idle;                /* its idle sessions with its site number idle_site are taken over, to begin with; may be NULL */
	size_t idle_site;
	const struct tk_id *domain;
	const struct tk_domain_keys *keys;
	const struct tk_head *only;           /* one point; NULL: all that the site has */
	const struct tk_store_point *points;  /* what it has, in order, as it has just said; NULL: it is asked */
	size_t point_count;
	double data_percent;                  /* of the blobs that are read: 0, or up to 100 */
	unsigned threads;                     /* that read data; 4 to 16 are used */
	const atomic_bool *cancel;
	const struct tk_progress *progress;  /* may be NULL */
};

struct tk_verify_result {
	uint64_t points_checked, blobs_checked, checked_bytes;
	struct tk_damage *damaged;            /* owned; the first TK_DAMAGED_MAX */
	size_t damaged_count;
	uint64_t damaged_total;
	struct tk_head newest;                /* the newest point that was found whole */
};
void tk_verify_result_release(struct tk_verify_result *result);

/* TK_OK when the check came to its end: what is damaged is in the result. Errors: TK_EUNREACH, TK_EKEY, TK_ENOENT (no such point) ... */
TK_MUST_CHECK enum tk_rc tk_verify_site(const struct tk_verify_opts *opts, struct tk_verify_result *result, struct tk_err *err);

#endif
