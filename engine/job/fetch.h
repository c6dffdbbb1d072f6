/* fetch.h -- reads blobs from whatever sites can serve them, opened and checked.
 *
 * Every blob is authenticated. A site that does not answer is left out for the rest of the job; a blob that is missing or damaged at one site is
 * asked for at the next. Each read goes to the site that should answer soonest, by its load and its speed of late. Any thread; memory is bounded: the caches, what is held, and
 * about 3 MiB for each thread that loads. */
#ifndef TK_JOB_FETCH_H
#define TK_JOB_FETCH_H

#include <stdatomic.h>

#include "engine/vault/pack.h"
#include "engine/vault/segmap.h"
#include "engine/vault/store.h"

struct tk_fetch_opts {
	const struct tk_site *sites;          /* borrowed until cleanup, like all here */
	size_t site_count;
	const struct tk_domain_keys *keys;
	struct tk_packtab *packs;
	size_t cache_bytes;                   /* of opened data blobs, and as much again of pages and maps; 0: 32 MiB and 24 MiB */
	/* Told of each site that fails and of each blob found damaged or missing; any thread; may be NULL. */
	void (*on_fault)(void *ctx, const char *site, const struct tk_err *err);
	void *ctx;
};

struct tk_fetch;
TK_MUST_CHECK enum tk_rc tk_fetch_new(const struct tk_fetch_opts *opts, struct tk_fetch **out, struct tk_err *err);
void tk_fetch_cleanup(struct tk_fetch **fetch);

/* A blob in the cache; held until released. */
struct tk_fetched;
/* type: what it must be. Errors: TK_EUNREACH (no site left), TK_EMISSING, TK_ECORRUPT (at every site), TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_fetch_blob(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out,
				       struct tk_err *err);
struct tk_blob_ref tk_fetched_ref(const struct tk_fetched *blob);
const uint8_t *tk_fetched_data(const struct tk_fetched *blob, size_t *len_bytes);
/* One hold more on a blob that is held: it is released once more, too. */
void tk_fetch_hold(struct tk_fetch *fetch, struct tk_fetched *blob);
void tk_fetch_release(struct tk_fetch *fetch, struct tk_fetched *blob);
/* The same for a blob that was used up: it leaves the cache before those that wait for their first use. */
void tk_fetch_release_spent(struct tk_fetch *fetch, struct tk_fetched *blob);
/* Brings a blob into the cache unless it is there, or on its way. What cannot be loaded is told to who asks for it. */
void tk_fetch_warm(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type);

/* The same for a pack's index. */
void tk_fetch_warm_index(struct tk_fetch *fetch, uint32_t pack);

/* All data will be wanted, about in the order in which it lies in packs: small blobs of it come several with each request from then on. */
void tk_fetch_in_order(struct tk_fetch *fetch);

/* Reads blobs `first` to `first + count - 1` of the pack, which lie one behind the other there, in one go, and checks each by its tag; nothing is decompressed or kept.
 * sound[i] tells of blob first + i. Errors: those of reading; sound says nothing then. */
TK_MUST_CHECK enum tk_rc tk_fetch_prove(struct tk_fetch *fetch, const struct tk_pack_index *index, uint32_t first, uint32_t count, bool *sound,
					struct tk_err *err);

/* The same as a blob source (copies): for pages and maps. */
struct tk_blob_source tk_fetch_source(struct tk_fetch *fetch);

/* A pack's index, held until released. */
TK_MUST_CHECK enum tk_rc tk_fetch_index(struct tk_fetch *fetch, uint32_t pack, const struct tk_pack_index **out, struct tk_err *err);
void tk_fetch_index_release(struct tk_fetch *fetch, const struct tk_pack_index *index);

/* Runs one call on a session with a given site (or, with site == SIZE_MAX, any that works). */
TK_MUST_CHECK enum tk_rc tk_fetch_with_session(struct tk_fetch *fetch, size_t site, enum tk_rc (*call)(struct tk_store *store, void *arg, struct tk_err *err),
					       void *arg, struct tk_err *err);

/* The points of a domain at a given site (or, with site == SIZE_MAX, at any that works), as tk_store_ops.list_points. The caller frees *points, which is
 * NULL on an error. */
TK_MUST_CHECK enum tk_rc tk_fetch_list_points(struct tk_fetch *fetch, size_t site, const struct tk_id *domain, struct tk_store_point **points,
					      size_t *count, struct tk_err *err);

/* From a site behind a network: brings the records of the first of these points, which will be asked for, at one go. How many it looked after: go on behind them once
 * those were used. */
size_t tk_fetch_points(struct tk_fetch *fetch, const struct tk_id *domain, const struct tk_store_point *points, size_t count);
/* True: *record is the record of the point, which came with others or with a list of points; it was looked at by nobody yet. */
bool tk_fetch_known_point(struct tk_fetch *fetch, const struct tk_head *at, struct tk_buf *record);

/* Much will be read: sites behind a network are given further sessions, in the background, so that threads find them open. */
void tk_fetch_open_more(struct tk_fetch *fetch);
/* Sessions with a site that nobody uses just now go over to another fetch, in which it has the number to_site. */
void tk_fetch_move_sessions(struct tk_fetch *from, size_t from_site, struct tk_fetch *to, size_t to_site);

bool tk_fetch_is_remote(const struct tk_fetch *fetch);               /* some site is behind a network */
uint64_t tk_fetch_bytes(const struct tk_fetch *fetch);              /* sealed bytes read from sites */
bool tk_fetch_site_used(const struct tk_fetch *fetch, size_t site);
bool tk_fetch_site_failed(const struct tk_fetch *fetch, size_t site);

#endif
