/* sites.h -- the writing side of a run: one worker thread a site, each with its own session and its own queue of work.
 *
 * A site that is slow or dead holds back only itself. One whose session breaks is tried again for a while, and goes on where it was. Work is done in the order it was given: older points first, then packs as they come, then the new point.
 * Called by the run's thread, except tk_sites_send_pack and tk_sites_flush (any thread). */
#ifndef TK_JOB_SITES_H
#define TK_JOB_SITES_H

#include "engine/base/log.h"
#include "engine/catalog/journal.h"
#include "engine/catalog/spool.h"
#include "engine/job/stock.h"
#include "engine/vault/store.h"

struct tk_sites_opts {
	const struct tk_site *sites;          /* all borrowed until cleanup */
	size_t count;
	const struct tk_id *domain;
	const struct tk_id *incarnation;      /* this home's */
	const struct tk_buf *genesis;         /* the record: given to sites that do not know the domain */
	struct tk_journal *journal;
	struct tk_spool *spool;
	struct tk_stock *stock;               /* is told which sites are in reach, and what they hold */
	/* Called by the worker once its session is open: gives the site what `recover` needs of this home. May be NULL; a failure is only logged. */
	enum tk_rc (*prepare)(void *ctx, const struct tk_site *site, struct tk_store *store, struct tk_err *err);
	/* Asks ahead (store.h) for what `prepare` will look at; may be NULL. */
	void (*prepare_ahead)(void *ctx, const struct tk_site *site, struct tk_store *store);
	void *prepare_ctx;
	int64_t reconnect_ms;                 /* how long a site whose session broke is tried again; 0: not at all */
	const struct tk_log *log;
};

enum tk_site_phase { TK_SITE_OPENING, TK_SITE_OPEN, TK_SITE_FAILED };

/* What came of one site; a copy. */
struct tk_site_report {
	enum tk_site_phase phase;
	struct tk_store_state state;          /* as of the opening */
	bool own_promise;                     /* the grant it has promised is one of this home's own */
	struct tk_err failure;                /* why it failed, or why it gave no receipt */
	bool told;                            /* it answered after its last vote or receipt: it has not been set back since */
	bool voted;
	struct tk_buf vote;                   /* borrowed from the sites; valid until cleanup */
	bool has_receipt;                     /* for the point last published */
	struct tk_digest receipt_digest;
	int64_t receipt_ns;
	uint64_t sent_bytes;
	size_t caught_up;                     /* older points it was given in this run */
};

struct tk_sites;
TK_MUST_CHECK enum tk_rc tk_sites_open(const struct tk_sites_opts *opts, struct tk_sites **out, struct tk_err *err);
/* Lets the workers finish what they are at (bounded by the sessions' time-outs) and frees. */
void tk_sites_cleanup(struct tk_sites **sites);

/* Waits until no site is opening, or the deadline (monotonic) has passed. */
void tk_sites_wait_open(struct tk_sites *sites, int64_t deadline_ns);
void tk_sites_report(struct tk_sites *sites, size_t site, struct tk_site_report *out);

/*
 * Tells each open site the newest promise of every site that is known here or at any of them, and waits for the answers. One that finds that it does not know a
 * promise of its own, or shows another incarnation than at its opening, fails with TK_EBEHIND, and its vote or receipt counts no more. `promised`: only those
 * that gave a vote or receipt since they were told last. A site that knows them all is not asked: unless it made its promise along with others, when it may have forgotten
 * it by the time that theirs came.
 */
TK_MUST_CHECK enum tk_rc tk_sites_tell(struct tk_sites *sites, bool promised, struct tk_err *err);
/* Asks one open site for its vote; waits for the answer. */
TK_MUST_CHECK enum tk_rc tk_sites_vote(struct tk_sites *sites, size_t site, const void *grant, size_t len_bytes, struct tk_err *err);
/* Every open site gets the journaled points of `epoch` after its head, oldest first. wait: until each has done so or failed. */
TK_MUST_CHECK enum tk_rc tk_sites_catch_up(struct tk_sites *sites, uint64_t epoch, bool wait, struct tk_err *err);
/* A pack of the stock goes to every open site. */
void tk_sites_send_pack(struct tk_sites *sites, size_t item);
/* Every open site makes durable what it was sent, as soon as nothing else is queued for it. */
void tk_sites_flush(struct tk_sites *sites);
/* Publishes the point at every open site, after what was queued before. */
TK_MUST_CHECK enum tk_rc tk_sites_publish(struct tk_sites *sites, const struct tk_head *at, const void *record, size_t len_bytes, struct tk_err *err);
/* Waits until done() says so (called under no lock, after each change), until no site is at work any more, or the deadline. */
void tk_sites_wait(struct tk_sites *sites, bool (*done)(void *ctx), void *ctx, int64_t deadline_ns);
/* True when no site is at work. */
bool tk_sites_idle(struct tk_sites *sites);
/* Workers drop what is queued, and end what they are at: nobody waits for a site that is slow or hangs. */
void tk_sites_stop(struct tk_sites *sites);

#endif
