/* epoch.h -- may this home write, and under which epoch? Asked before a run, from what the sites and the journal say.
 *
 * Cases:
 *   - the journal's epoch is the highest promised anywhere: go on; sites that have not promised it yet are asked to.
 *   - a site has promised a later epoch, or another grant of this one: fenced.
 *   - a site is ahead of the journal in the journal's own epoch: this home was rolled back: fenced, until an operator's `recover`.
 *   - there is no journal, or a promise to this very home that the journal does not know (an election that a crash cut short): a new epoch must be won from
 *     enough sites; its parent is the highest head among the voters. Voters whose heads are not one line: two histories (history.h).
 *   - the dataset's sites or their keys are not those of the epoch's opening any more, and all of them are there: a new epoch, whose opening says what they are.
 */
#ifndef TK_JOB_EPOCH_H
#define TK_JOB_EPOCH_H

#include "engine/catalog/journal.h"
#include "engine/job/fetch.h"
#include "engine/job/sites.h"
#include "engine/job/voters.h"
#include "engine/vault/keyring.h"

struct tk_epoch_opts {
	struct tk_sites *sites;               /* borrowed, open */
	const struct tk_site *handles;        /* of the same sites */
	size_t site_count;
	struct tk_journal *journal;
	const struct tk_id *domain;
	const struct tk_keyring *ring;
	const struct tk_id *incarnation;
	const struct tk_buf *first_grant;     /* epoch 1's, made by init */
	const struct tk_voters *voters;
	struct tk_fetch *fetch;               /* over the same sites: to look into a voter's history */
	const struct tk_log *log;
};

struct tk_epoch_verdict {
	struct tk_epoch epoch;                /* caller releases */
	uint64_t next_sequence;
	struct tk_head last;                  /* the parent of the next point; epoch 0: none */
	bool won_now;                         /* a new epoch was won in this run */
	bool sites_changed;                   /* that is why */
	bool possibly_fenced;                 /* the sites that were not reached could have elected another writer, or hold what a former state of this home wrote */
};

/* Errors: TK_EFENCED; TK_EHISTORY; TK_EUNREACH: no site, or too few votes for a new epoch. */
TK_MUST_CHECK enum tk_rc tk_epoch_settle(const struct tk_epoch_opts *opts, struct tk_epoch_verdict *out, struct tk_err *err);

#endif
