/* stock.h -- where the packs of a run are, in the spool and at which sites; and so what may leave the spool when it is full.
 *
 * The spool is bounded. Once it is full the packer waits, sites are asked to make durable what they were sent, and packs leave the spool, oldest first:
 *   1. those of points that are stored: some site holds them, and whoever lacks them gets them from there;
 *   2. those of this run that every site which keeps up holds durably, and at least so many sites in reach as the ack rule wants;
 *   3. when that made no room for a while, those that so many sites hold as the rule wants. A site without them has fallen behind: it is not waited for any more, and
 *      gets them from another site when the point is published, or with the next run.
 * While the sites in reach cannot meet the rule among them, it is all of them that must hold a pack. So a slow site holds nobody back unless the rule needs it, and a
 * pack is away only where the rule's sites hold it, or all there are. Should all that hold it fail before the point is published, the run ends (tk_stock_check): its
 * point could not be whole.
 *
 * Any thread, but one only waits at a time. Memory: some 50 bytes a pack. */
#ifndef TK_JOB_STOCK_H
#define TK_JOB_STOCK_H

#include <stdatomic.h>

#include "engine/catalog/spool.h"
#include "engine/vault/store.h"

struct tk_stock_opts {
	const struct tk_site *sites;          /* all borrowed until cleanup */
	size_t site_count;
	struct tk_spool *spool;
	uint64_t max_bytes;                   /* of complete packs in the spool; 0: no bound */
	int64_t grace_ms;                     /* how long a full spool waits for sites that the rule does not need */
	int64_t wait_ms;                      /* how long it waits while no pack moves */
	const atomic_bool *cancel;            /* may be NULL */
	/* The ack rule: do these sites meet it? Any thread. */
	void (*judge)(void *ctx, const bool *has, size_t count, bool *met, bool *safe);
	void *judge_ctx;
	/* The spool is full: sites are to be sent what waits (tk_stock_next_unsent), and to flush. Called by the thread that waits, under no lock. */
	void (*press)(void *ctx);
	void *press_ctx;
};

enum tk_stock_kind {
	TK_STOCK_KEPT,                        /* lies in the spool and stays there */
	TK_STOCK_OLD,                         /* of a stored point, or a copy of what a site holds: may leave at any time */
	TK_STOCK_LEFT,                        /* of an interrupted run: goes to the sites once this run builds on it, or needs its room */
	TK_STOCK_NEW,                         /* of this run */
};

struct tk_stock;
TK_MUST_CHECK enum tk_rc tk_stock_new(const struct tk_stock_opts *opts, struct tk_stock **out, struct tk_err *err);
void tk_stock_cleanup(struct tk_stock **stock);

/* ---- packs: an item is a number, from 0 on, and stays what it is ---- */

/* A complete pack in the spool. */
TK_MUST_CHECK enum tk_rc tk_stock_add(struct tk_stock *stock, enum tk_stock_kind kind, const struct tk_pack_name *name, uint64_t len_bytes,
				      size_t *item, struct tk_err *err);
/* A pack of an interrupted run that is not in the spool; held[i]: site i has it. TK_EMISSING: at too few sites for this run to build on it. */
TK_MUST_CHECK enum tk_rc tk_stock_add_away(struct tk_stock *stock, const struct tk_pack_name *name, uint64_t len_bytes, const bool *held, size_t *item,
					   struct tk_err *err);
void tk_stock_set_kind(struct tk_stock *stock, size_t item, enum tk_stock_kind kind);
/* It was taken out of the spool, and is no part of the stock any more. */
void tk_stock_forget(struct tk_stock *stock, size_t item);
/* The point will need this pack of an interrupted run. True when it is in the spool and was not sent yet: it is for the caller to send. */
bool tk_stock_use(struct tk_stock *stock, size_t item);
bool tk_stock_is_used(struct tk_stock *stock, size_t item);
/* Takes a pack of an interrupted run that no site was sent yet; false: there is none. */
bool tk_stock_next_unsent(struct tk_stock *stock, size_t *item);
/* Its name; false when it has left the spool. */
bool tk_stock_is_here(struct tk_stock *stock, size_t item, struct tk_pack_name *name);

/* ---- what the sites' workers tell ---- */

/* A site is in reach, or (why) is not any more. */
void tk_stock_site_up(struct tk_stock *stock, size_t site);
void tk_stock_site_down(struct tk_stock *stock, size_t site, const struct tk_err *why);
/* A site took a pack that it may not have made durable yet: something moves. */
void tk_stock_sent(struct tk_stock *stock);
/* A flush returned: the site holds these durably. */
void tk_stock_held(struct tk_stock *stock, size_t site, const size_t *items, size_t count);
/* Has a site that was sent so much since its last flush better flush now, lest the spool run full? */
bool tk_stock_wants_flush(struct tk_stock *stock, uint64_t unflushed_bytes);
/* Lets OLD packs leave until `more_bytes` fit. They may not come to fit: a sender needs room for one pack whatever the bound says. */
void tk_stock_trim(struct tk_stock *stock, uint64_t more_bytes);

/* ---- waiting ---- */

/*
 * Waits until the spool is within its bound. Errors: TK_ETIMEOUT (no pack moved for wait_ms; names the sites that are waited for), TK_EUNREACH (no site is left, or tk_stock_check's),
 * TK_ECANCELLED, TK_EIO.
 */
TK_MUST_CHECK enum tk_rc tk_stock_wait_room(struct tk_stock *stock, struct tk_err *err);
/* The disk is full: waits until one pack at least has left the spool, which is its bound from now on. Errors: as above; TK_ENOSPC: there is none left. */
TK_MUST_CHECK enum tk_rc tk_stock_wait_less(struct tk_stock *stock, struct tk_err *err);
/* TK_EUNREACH: the sites that alone held a pack of this run's point have failed. */
TK_MUST_CHECK enum tk_rc tk_stock_check(struct tk_stock *stock, struct tk_err *err);
/* Whoever waits ends with TK_ECANCELLED. */
void tk_stock_stop(struct tk_stock *stock);

#endif
