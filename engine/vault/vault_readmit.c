#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/vault_expire.h"

/* A vault that was set back has forgotten promises, and does not know which. What it may be let in with:
 *   - what it is known to have promised is here again: others showed it the newest of its promises that they knew, and that one covers those before it;
 *   - no epoch that others told of is unknown to it;
 *   - nothing it has promised can be unknown to all whom it asked: those it did not ask can neither have acknowledged a point nor elected a writer with it
 *     alone (docs/model/rollback.pml, BARE_READMIT). */

/* Of the whole vault. */
struct look {
	struct tk_vault *vault;
	struct tk_vault_lacks *lacks;
	struct tk_id *domains;
	size_t domain_count;
	struct tk_id *unheard;                 /* incarnations of its own promises */
	size_t unheard_count;
};

/* Of one domain, which is entered; NULL: it is not known here any more. */
struct place {
	const struct tk_id *id;
	struct tk_vdomain *domain;
	char name[320];
};

static TK_PRINTF(3, 4) enum tk_rc
lack(struct look *look, struct tk_err *err, const char *fmt, ...)
{
	struct tk_vault_lacks *lacks = look->lacks;
	char (*more)[TK_VAULT_LACK_MAX] = realloc(lacks->lines, (lacks->count + 1) * sizeof(*more));
	va_list args;

	if (!more)
		return tk_err_set(err, TK_ENOMEM, "no memory for what a vault lacks");
	lacks->lines = more;
	va_start(args, fmt);
	(void)vsnprintf(lacks->lines[lacks->count++], sizeof(*more), fmt, args);
	va_end(args);
	return TK_OK;
}

void
tk_vault_lacks_release(struct tk_vault_lacks *lacks)
{
	free(lacks->lines);
	*lacks = (struct tk_vault_lacks){0};
}

static bool
holds(const struct look *look, const struct tk_id *domain, const struct tk_head *at)
{
	struct tk_point_row row;

	return tk_vindex_point(look->vault->index, domain, at->epoch, at->sequence, &row, NULL) == TK_OK && row.state != TK_POINT_BROKEN &&
	       memcmp(&row.at.point, &at->point, sizeof(at->point)) == 0;
}

static enum tk_rc
need_point(struct look *look, const struct place *place, const struct tk_head *at, const char *why, struct tk_err *err)
{
	if (holds(look, place->id, at))
		return TK_OK;
	return lack(look, err, "%s: point %llu of epoch %llu is not here, or not whole, %s", place->name, (unsigned long long)at->sequence,
		    (unsigned long long)at->epoch, why);
}

/* A vote that was forgotten is taken up again by tk_vault_readmit, unless its number went to somebody else since. */
static enum tk_rc
look_at_own(struct look *look, const struct place *place, const struct tk_mark *mark, struct tk_err *err)
{
	struct tk_vote vote;
	enum tk_rc rc;

	look->unheard[look->unheard_count++] = mark->incarnation;
	if (!place->domain)
		return TK_OK;
	if (!mark->is_vote)
		return need_point(look, place, &mark->at, "for which this vault gave a receipt", err);
	rc = tk_vote_decode(mark->record.data, mark->record.len_bytes, &vote, err);
	if (!rc && vote.head.epoch > 0)
		rc = need_point(look, place, &vote.head, "which this vault named when it voted", err);
	if (!rc && place->domain->promised_epoch == vote.epoch && memcmp(&place->domain->promised_grant, &vote.grant, sizeof(vote.grant)) != 0)
		rc = lack(look, err, "%s: epoch %llu is promised to another grant than this vault voted for before it was set back", place->name,
			  (unsigned long long)vote.epoch);
	return rc;
}

static enum tk_rc
look_at_marks(struct look *look, const struct place *place, const struct tk_marks *marks, struct tk_err *err)
{
	uint64_t newest = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < marks->count && !rc; i++) {
		if (tk_vmark_is_own(look->vault, &marks->mark[i]))
			rc = look_at_own(look, place, &marks->mark[i], err);
		else if (marks->mark[i].at.epoch > newest)
			newest = marks->mark[i].at.epoch;
	}
	if (!rc && place->domain && newest > place->domain->promised_epoch)
		rc = lack(look, err, "%s: another site has promised epoch %llu, and nothing of it is here", place->name, (unsigned long long)newest);
	return rc;
}

/* Would the sites that were not asked, this one among them, matter without the others? */
static enum tk_rc
look_at_asked(struct look *look, const struct place *place, const struct tk_marks *marks, struct tk_err *err)
{
	bool asked[TK_SITE_SET_MAX] = {false};
	struct tk_site_set set;
	struct tk_err why;
	size_t count = 0, others = 0;
	enum tk_rc rc = tk_vread_site_set(look->vault, place->id, &set, &why);

	if (rc == TK_ENOENT)
		return lack(look, err, "%s: no point that opens an epoch is here, and so it is not known which other sites there are", place->name);
	if (rc && err)
		*err = why;
	if (rc)
		return rc;
	for (size_t i = 0; i < set.count; i++) {
		if (memcmp(&set.sites[i].id, &look->vault->site.site_id, sizeof(set.sites[i].id)) == 0)
			continue;
		others++;
		for (size_t k = 0; k < marks->asked_count && !asked[i]; k++)
			asked[i] = memcmp(&set.sites[i].id, &marks->asked[k], sizeof(set.sites[i].id)) == 0;
		count += asked[i];
	}
	if (tk_site_set_leaves_nothing(&set, asked))
		return TK_OK;
	if (others == 0)
		return lack(look, err, "%s: there is no other site that could tell what this one promised", place->name);
	return lack(look, err, "%s: too few of the other sites have given it what they hold since it was set back (%zu of %zu)", place->name, count, others);
}

static enum tk_rc
look_at_receipts(struct look *look, const struct place *place, struct tk_err *err)
{
	struct tk_point_row *rows = NULL;
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_receipt receipt;
	size_t count = 0;
	enum tk_rc rc = tk_vindex_points(look->vault->index, place->id, &rows, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		tk_point_file_name(&rows[i].at, name);
		if (tk_vread_receipt(look->vault, place->id, name, &receipt, NULL, NULL) == TK_ENOENT)
			rc = lack(look, err, "%s: point %llu of epoch %llu, for which this vault gave a receipt, is lost", place->name,
				  (unsigned long long)rows[i].at.sequence, (unsigned long long)rows[i].at.epoch);
	}
	free(rows);
	return rc;
}

static enum tk_rc
look_at_domain(struct look *look, const struct tk_id *id, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	TK_AUTO(tk_marks_free) struct tk_marks *marks = malloc(sizeof(*marks));
	char hex[TK_VAULT_HEX_ID];
	struct place place = {.id = id};
	struct tk_err why;
	enum tk_rc rc = marks ? tk_vdomain_enter(look->vault, id, &domain, &why) : tk_err_set(&why, TK_ENOMEM, "no memory for marks");

	tk_hex_encode(id->b, sizeof(id->b), hex);
	if (rc && rc != TK_ENOENT) {
		if (err)
			*err = why;
		return rc;
	}
	place.domain = domain;
	(void)snprintf(place.name, sizeof(place.name), "%s%sdomain %.8s", domain ? domain->genesis.source_name : "", domain ? ", " : "", hex);
	if (!domain && (rc = lack(look, err, "%s: nothing of it is here any more", place.name)))
		return rc;
	if ((rc = tk_vmarks_load(look->vault, id, &bytes, marks, err)) || (rc = look_at_marks(look, &place, marks, err)) || !domain)
		return rc;
	rc = look_at_receipts(look, &place, err);
	return rc ? rc : look_at_asked(look, &place, marks, err);
}

/* Every domain that the vault holds, or was shown a promise of. */
static enum tk_rc
list_domains(struct look *look, struct tk_err *err)
{
	struct tk_vfile_list told;
	enum tk_rc rc = tk_vfile_list(look->vault->root_fd, "marks", &told, err);
	struct tk_id *more;

	if (rc)
		return rc;
	if (!(rc = tk_vault_list_domains(look->vault, &look->domains, &look->domain_count, err))) {
		more = realloc(look->domains, (look->domain_count + told.count + 1) * sizeof(*more));
		rc = more ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for domains");
		look->domains = more ? more : look->domains;
	}
	for (size_t i = 0; i < told.count && !rc; i++) {
		struct tk_id id;
		bool known = tk_hex_decode(told.names[i], id.b, sizeof(id.b), NULL) != TK_OK;

		for (size_t k = 0; k < look->domain_count && !known; k++)
			known = memcmp(&look->domains[k], &id, sizeof(id)) == 0;
		if (!known)
			look->domains[look->domain_count++] = id;
	}
	tk_vfile_list_release(&told);
	/* At most one promise of its own a domain. */
	if (!rc && !(look->unheard = calloc(look->domain_count + 1, sizeof(*look->unheard))))
		rc = tk_err_set(err, TK_ENOMEM, "no memory for incarnations");
	return rc;
}

/* The vote that the vault gave, if it promised nothing later since. */
static enum tk_rc
take_up_vote(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_marks *marks, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < marks->count && !rc; i++) {
		const struct tk_mark *mark = &marks->mark[i];

		if (!mark->is_vote || !tk_vmark_is_own(vault, mark) || mark->at.epoch <= domain->promised_epoch)
			continue;
		domain->loaded = false;
		rc = tk_vvote_store(vault, &domain->id, mark->at.epoch, mark->record, err);
	}
	return rc;
}

/* Rows of points that are lost would have the vault fall behind again when it is opened next. */
static enum tk_rc
drop_lost(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	struct tk_point_row *rows = NULL;
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_receipt receipt;
	size_t count = 0;
	enum tk_rc rc = tk_vindex_points(vault->index, domain, &rows, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		tk_point_file_name(&rows[i].at, name);
		if (tk_vread_receipt(vault, domain, name, &receipt, NULL, NULL) == TK_ENOENT)
			rc = tk_vexpire_forget(vault, &rows[i], err);
	}
	free(rows);
	return rc;
}

static enum tk_rc
settle_domain(struct tk_vault *vault, const struct tk_id *id, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	TK_AUTO(tk_marks_free) struct tk_marks *marks = malloc(sizeof(*marks));
	struct tk_err why;
	enum tk_rc rc = marks ? tk_vdomain_enter(vault, id, &domain, &why) : tk_err_set(&why, TK_ENOMEM, "no memory for marks");

	if (rc == TK_ENOENT)
		return tk_vmarks_settle(vault, id, err);
	if (!rc)
		rc = tk_vmarks_load(vault, id, &bytes, marks, &why);
	if (!rc)
		rc = take_up_vote(vault, domain, marks, &why);
	if (!rc)
		rc = drop_lost(vault, id, &why);
	if (!rc)
		rc = tk_vmarks_settle(vault, id, &why);
	if (domain)
		domain->loaded = false;
	if (rc && err)
		*err = why;
	return rc;
}

static enum tk_rc
look_at_all(struct look *look, struct tk_err *err)
{
	enum tk_rc rc = list_domains(look, err);

	for (size_t i = 0; i < look->domain_count && !rc; i++)
		rc = look_at_domain(look, &look->domains[i], err);
	return rc;
}

static enum tk_rc
let_in(struct look *look, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < look->domain_count && !rc; i++)
		rc = settle_domain(look->vault, &look->domains[i], err);
	return rc ? rc : tk_vault_new_incarnation(look->vault, look->unheard, look->unheard_count, err);
}

enum tk_rc
tk_vault_readmit(struct tk_vault *vault, bool forced, struct tk_vault_lacks *lacks, struct tk_err *err)
{
	struct look look = {.vault = vault, .lacks = lacks};
	enum tk_rc rc = tk_vault_storable(vault, err);

	*lacks = (struct tk_vault_lacks){0};
	if (rc || !tk_vault_is_behind(vault))
		return rc;
	rc = look_at_all(&look, err);
	if (!rc && lacks->count > 0 && !forced)
		rc = tk_err_set(err, TK_EBEHIND, "vault %s has not caught up: %s", vault->path, lacks->lines[0]);
	if (!rc)
		rc = let_in(&look, err);
	free(look.domains);
	free(look.unheard);
	return rc;
}
