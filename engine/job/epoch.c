#include "engine/job/epoch.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "engine/job/history.h"
#include "engine/vault/records.h"

#define RECOVER_ADVICE "do not write here while another home does; to make this one the writer again, run `twinkeep recover` with the passphrase"

/* What the journal knows of this home's points. */
struct past {
	struct tk_journal_point *points;      /* owned; oldest first */
	size_t count;
	struct tk_head tip;                   /* of any state: its sequence is never given again */
	struct tk_head last;                  /* that was not abandoned */
};

static enum tk_rc
read_past(const struct tk_epoch_opts *opts, struct past *past, struct tk_err *err)
{
	enum tk_rc rc = tk_journal_points(opts->journal, opts->domain, &past->points, &past->count, err);

	for (size_t i = 0; i < past->count && !rc; i++) {
		past->tip = past->points[i].at;
		if (past->points[i].state != TK_POINT_ABANDONED)
			past->last = past->points[i].at;
	}
	return rc;
}

static bool
wrote(const struct past *past, const struct tk_head *head)
{
	for (size_t i = past->count; i > 0; i--)
		if (memcmp(&past->points[i - 1].at, head, sizeof(*head)) == 0)
			return true;
	return false;
}

/* Does the site hold a promise to this home that the journal knows nothing of? */
static bool
elected_elsewhere(const struct tk_epoch *epoch, const struct tk_site_report *report)
{
	return report->own_promise && report->state.promised_epoch >= epoch->epoch && report->state.head.epoch <= epoch->epoch &&
	       memcmp(&report->state.promised_grant, &epoch->grant_digest, sizeof(epoch->grant_digest)) != 0;
}

static enum tk_rc
check_site(const struct tk_epoch *epoch, const struct past *past, const struct tk_store_state *state, struct tk_err *err)
{
	if (state->promised_epoch > epoch->epoch || state->head.epoch > epoch->epoch)
		return tk_err_set(err, TK_EFENCED, "epoch %llu is promised to another writer (this home holds %llu); " RECOVER_ADVICE,
				  (unsigned long long)state->promised_epoch, (unsigned long long)epoch->epoch);
	if (state->promised_epoch == epoch->epoch && memcmp(&state->promised_grant, &epoch->grant_digest, sizeof(epoch->grant_digest)) != 0)
		return tk_err_set(err, TK_EFENCED, "epoch %llu is promised to another grant than this home's; " RECOVER_ADVICE,
				  (unsigned long long)epoch->epoch);
	if (state->head.epoch != epoch->epoch)
		return TK_OK;
	if (state->head.sequence > past->tip.sequence)
		return tk_err_set(err, TK_EFENCED, "the site holds point %llu and this home's journal ends at %llu: the home was rolled back; " RECOVER_ADVICE,
				  (unsigned long long)state->head.sequence, (unsigned long long)past->tip.sequence);
	if (!wrote(past, &state->head))
		return tk_err_set(err, TK_EFENCED, "the site holds another point %llu than this home wrote; " RECOVER_ADVICE,
				  (unsigned long long)state->head.sequence);
	return TK_OK;
}

/* A vault that another run writes is told as what it is: who waits for that run needs no look at the network. */
static enum tk_rc
no_site(const struct tk_epoch_opts *opts, struct tk_err *err)
{
	struct tk_site_report report;

	for (size_t i = 0; i < opts->site_count; i++) {
		tk_sites_report(opts->sites, i, &report);
		if (report.failure.rc == TK_ELOCKED)
			return tk_err_set(err, TK_ELOCKED, "no site can be written to, and site %s is in use: %s", opts->handles[i].name, report.failure.text);
	}
	return tk_err_set(err, TK_EUNREACH, "no site answers; nothing is stored");
}

/* Of the voters: each is open, or was set back and waits to be let in, which goes by the set; and the open ones can elect. */
static bool
can_elect_all(const struct tk_epoch_opts *opts)
{
	bool open[TK_SITE_SET_MAX] = {false};

	if (opts->site_count != opts->voters->count || opts->site_count > TK_SITE_SET_MAX)
		return false;
	for (size_t i = 0; i < opts->site_count; i++) {
		struct tk_site_report report;

		tk_sites_report(opts->sites, i, &report);
		open[i] = report.phase == TK_SITE_OPEN;
		if (!open[i] && report.failure.rc != TK_EBEHIND)
			return false;
	}
	return tk_voters_suffice(opts->voters, opts->handles, open, opts->site_count);
}

static bool
same_set(const struct tk_site_set *a, const struct tk_site_set *b)
{
	bool same = a->count == b->count && a->least == b->least;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->sites[i].counts == b->sites[i].counts && memcmp(&a->sites[i].id, &b->sites[i].id, sizeof(a->sites[i].id)) == 0 &&
		       memcmp(a->sites[i].key, b->sites[i].key, sizeof(a->sites[i].key)) == 0;
	return same;
}

/* The set in the epoch's opening is what the sites judge by: one that was set back is let in when enough of those were asked. A site that has come, gone or been made
 * anew since is known to them with the next epoch only. */
static enum tk_rc
compare_set(const struct tk_epoch_opts *opts, struct tk_epoch_verdict *out, bool *elect_again, struct tk_err *err)
{
	const struct tk_epoch *epoch = &out->epoch;
	struct tk_opening opening;
	struct tk_site_set set;
	enum tk_rc rc;

	if (*elect_again || !epoch->opened || epoch->opening.len_bytes == 0 || !can_elect_all(opts))
		return TK_OK;
	if ((rc = tk_opening_decode(epoch->opening.data, epoch->opening.len_bytes, &opening, err)) ||
	    (rc = tk_voters_set(opts->voters, opts->journal, &set, err)))
		return rc;
	*elect_again = out->sites_changed = !same_set(&opening.set, &set);
	return TK_OK;
}

/* The journal's epoch stands, if no site says otherwise. */
static enum tk_rc
continue_epoch(const struct tk_epoch_opts *opts, struct tk_epoch_verdict *out, const struct past *past, bool *elect_again, struct tk_err *err)
{
	bool *seen = calloc(opts->site_count ? opts->site_count : 1, sizeof(*seen));
	size_t open = 0;
	enum tk_rc rc = TK_OK;

	if (!seen)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < opts->site_count && !rc; i++) {
		struct tk_site_report report;

		tk_sites_report(opts->sites, i, &report);
		if (report.phase != TK_SITE_OPEN)
			continue;
		open++;
		seen[i] = true;
		if (elected_elsewhere(&out->epoch, &report)) {
			*elect_again = true;
			continue;
		}
		rc = check_site(&out->epoch, past, &report.state, err);
		if (!rc && report.state.promised_epoch < out->epoch.epoch) {
			rc = tk_sites_vote(opts->sites, i, out->epoch.grant.data, out->epoch.grant.len_bytes, err);
			/* One site that does not promise gives no receipts; the ack rule will tell. */
			if (rc && rc != TK_EFENCED) {
				tk_log_event(opts->log, TK_LOG_INFO, "vote", "reason=\"%s\"", err->text);
				seen[i] = false;
				rc = TK_OK;
			}
		}
	}
	out->possibly_fenced = !tk_voters_asked_enough(opts->voters, opts->handles, seen, opts->site_count);
	free(seen);
	if (rc || open == 0)
		return rc ? rc : no_site(opts, err);
	return compare_set(opts, out, elect_again, err);
}

/* The grant to ask votes for: epoch 1's at the very beginning, else a renewal signed by the writer. */
static enum tk_rc
make_grant(const struct tk_epoch_opts *opts, struct tk_epoch *epoch, struct tk_err *err)
{
	struct tk_grant grant = {.suite = opts->ring->suite, .domain = *opts->domain, .incarnation = *opts->incarnation,
				 .created_ns = tk_clock_wall_ns()};
	bool known = false;
	enum tk_rc rc;

	for (size_t i = 0; i < opts->site_count; i++) {
		struct tk_site_report report;

		tk_sites_report(opts->sites, i, &report);
		if (report.phase != TK_SITE_OPEN)
			continue;
		known |= report.state.promised_epoch > 0 || report.state.head.epoch > 0;
		if (report.state.promised_epoch > grant.epoch) {
			grant.epoch = report.state.promised_epoch;
			grant.parent = report.state.promised_grant;
		}
	}
	tk_buf_clear(&epoch->grant);
	if (!known) {
		if ((rc = tk_buf_put(&epoch->grant, opts->first_grant->data, opts->first_grant->len_bytes, err)) ||
		    (rc = tk_grant_decode(opts->first_grant->data, opts->first_grant->len_bytes, &grant, err)))
			return rc;
	} else {
		grant.epoch++;
		if ((rc = tk_sign_public(opts->ring->suite, opts->ring->writer_seed, grant.writer_key, err)) ||
		    (rc = tk_grant_seal(&grant, opts->ring->has_operator_seed ? opts->ring->operator_seed : opts->ring->writer_seed, &epoch->grant,
					err)))
			return rc;
	}
	epoch->epoch = grant.epoch;
	epoch->grant_digest = grant.digest;
	return TK_OK;
}

/* Counts a vote if it is the site's own and for this grant; the highest head among the voters becomes the parent. */
static enum tk_rc
take_vote(const struct tk_epoch *epoch, const struct tk_site_report *report, struct tk_head *head, struct tk_head *parent, struct tk_err *err)
{
	struct tk_vote vote;
	enum tk_rc rc = tk_vote_decode(report->vote.data, report->vote.len_bytes, &vote, err);

	if (rc)
		return rc;
	if (vote.epoch != epoch->epoch || memcmp(&vote.grant, &epoch->grant_digest, sizeof(vote.grant)) != 0 ||
	    memcmp(vote.site_key, report->state.site_key, sizeof(vote.site_key)) != 0)
		return tk_err_set(err, TK_EPROTO, "a site's vote is for something else");
	*head = vote.head;
	if (tk_head_compare(&vote.head, parent) > 0)
		*parent = vote.head;
	return TK_OK;
}

static enum tk_rc
encode_opening(const struct tk_epoch_opts *opts, struct tk_epoch *epoch, const bool *voted, struct tk_err *err)
{
	struct tk_opening opening = {.grant = {epoch->grant.data, epoch->grant.len_bytes}};
	enum tk_rc rc = tk_voters_set(opts->voters, opts->journal, &opening.set, err);

	for (size_t i = 0; i < opts->site_count && !rc; i++) {
		struct tk_site_report report;

		if (!voted[i])
			continue;
		tk_sites_report(opts->sites, i, &report);
		opening.votes[opening.vote_count++] = (struct tk_bytes){report.vote.data, report.vote.len_bytes};
	}
	tk_buf_clear(&epoch->opening);
	return rc ? rc : tk_opening_encode(&opening, &epoch->opening, err);
}

/* Each voter is told of the others' votes, and asked whether it still stands by its own. */
static enum tk_rc
confirm_votes(const struct tk_epoch_opts *opts, bool *voted, size_t *votes, struct tk_err *why, struct tk_err *err)
{
	enum tk_rc rc = tk_sites_tell(opts->sites, true, err);

	for (size_t i = 0; i < opts->site_count && !rc; i++) {
		struct tk_site_report report;

		tk_sites_report(opts->sites, i, &report);
		if (!voted[i] || (report.voted && report.told))
			continue;
		voted[i] = false;
		(*votes)--;
		*why = report.failure;
	}
	return rc;
}

static enum tk_rc
too_few(const struct tk_epoch_opts *opts, size_t votes, const struct tk_err *why, struct tk_err *err)
{
	bool away = why->rc == TK_EUNREACH || why->rc == TK_ETIMEOUT;

	return tk_err_set(err, why->rc == TK_EFENCED || why->rc == TK_ELOCKED ? why->rc : TK_EUNREACH,
			  "this home has no journal of its own and needs a new epoch, for which %zu of %zu sites voted, too few: %s%s", votes, opts->voters->count,
			  why->text, away && !strstr(why->text, "; ") ? "; bring the others into reach; one that is gone for good is made anew with `twinkeep site "
			  "invite`, or taken out of the dataset's sites" : "");
}

static enum tk_rc
collect_votes(const struct tk_epoch_opts *opts, struct tk_epoch *epoch, bool *voted, bool *is_new, struct tk_head *heads, struct tk_err *err)
{
	struct tk_history_opts history = {.fetch = opts->fetch, .sites = opts->handles, .site_count = opts->site_count, .domain = opts->domain};
	size_t votes = 0;
	struct tk_err why;
	enum tk_rc rc = TK_OK;

	/* What stands if all that were asked voted. */
	(void)tk_err_set(&why, TK_EUNREACH, "the others were not asked; run it for all sites, without --site");
	memset(&epoch->parent, 0, sizeof(epoch->parent));
	for (size_t i = 0; i < opts->site_count && !rc; i++) {
		struct tk_site_report report;

		tk_sites_report(opts->sites, i, &report);
		if (report.phase != TK_SITE_OPEN) {
			if (report.failure.rc)
				why = report.failure;
			continue;
		}
		if (tk_sites_vote(opts->sites, i, epoch->grant.data, epoch->grant.len_bytes, &why)) {
			tk_log_event(opts->log, TK_LOG_INFO, "vote", "reason=\"%s\"", why.text);
			continue;
		}
		tk_sites_report(opts->sites, i, &report);
		rc = take_vote(epoch, &report, &heads[i], &epoch->parent, err);
		voted[i] = true;
		is_new[i] = !report.state.domain_known && heads[i].epoch == 0;
		votes++;
	}
	if (!rc)
		rc = confirm_votes(opts, voted, &votes, &why, err);
	if (rc)
		return rc;
	if (!tk_voters_suffice(opts->voters, opts->handles, voted, opts->site_count))
		return too_few(opts, votes, &why, err);
	history.voted = voted;
	history.is_new = is_new;
	history.heads = heads;
	if ((rc = tk_history_check(&history, &epoch->parent, err)))
		return rc;
	return encode_opening(opts, epoch, voted, err);
}

/* No journal: wins a new epoch, or says why not. */
static enum tk_rc
win_epoch(const struct tk_epoch_opts *opts, struct tk_epoch_verdict *out, struct tk_err *err)
{
	bool *voted = calloc(opts->site_count ? opts->site_count : 1, sizeof(*voted));
	bool *is_new = calloc(opts->site_count ? opts->site_count : 1, sizeof(*is_new));
	struct tk_head *heads = calloc(opts->site_count ? opts->site_count : 1, sizeof(*heads));
	enum tk_rc rc;

	out->won_now = true;
	rc = voted && is_new && heads ? make_grant(opts, &out->epoch, err) : tk_err_set(err, TK_ENOMEM, "no memory for votes");
	if (!rc)
		rc = collect_votes(opts, &out->epoch, voted, is_new, heads, err);
	free(voted);
	free(is_new);
	free(heads);
	if (rc)
		return rc;
	out->epoch.opened = false;
	tk_log_event(opts->log, TK_LOG_INFO, "epoch", "won=%llu parent_sequence=%llu", (unsigned long long)out->epoch.epoch,
		     (unsigned long long)out->epoch.parent.sequence);
	return tk_journal_set_epoch(opts->journal, opts->domain, &out->epoch, err);
}

static enum tk_rc
settle(const struct tk_epoch_opts *opts, const struct past *past, bool elect_again, struct tk_epoch_verdict *out, struct tk_err *err)
{
	enum tk_rc rc;

	if ((!elect_again && (rc = continue_epoch(opts, out, past, &elect_again, err))) || (elect_again && (rc = win_epoch(opts, out, err))))
		return rc;
	out->last = past->last.epoch ? past->last : out->epoch.parent;
	out->next_sequence = (past->tip.sequence > out->epoch.parent.sequence ? past->tip.sequence : out->epoch.parent.sequence) + 1;
	return TK_OK;
}

enum tk_rc
tk_epoch_settle(const struct tk_epoch_opts *opts, struct tk_epoch_verdict *out, struct tk_err *err)
{
	struct past past = {0};
	bool unknown;
	enum tk_rc rc = tk_journal_get_epoch(opts->journal, opts->domain, &out->epoch, err);

	if (rc && rc != TK_ENOENT)
		return rc;
	unknown = rc == TK_ENOENT;
	if (!(rc = read_past(opts, &past, err)))
		rc = settle(opts, &past, unknown, out, err);
	free(past.points);
	return rc;
}
