#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/vault/vault_expire.h"
#include "engine/vault/vault_trace.h"

/* Files are the truth, the index follows: a domain is loaded by comparing the two. A point counts as published once its receipt is on
 * disk: from then on the receipt may be given out. So
 *   receipt without a row    a crash or a lost index: the row is made again, before anything else is promised;
 *   point without a receipt  a publish that failed: nobody was told, the file goes;
 *   row without a receipt    files were lost or rolled back: the vault is behind its own promises. */

/* What the caller may not go on without knowing: receipts that were given, but cannot be read. */
static enum tk_rc
receipt_unreadable(struct tk_vault *vault, const struct tk_vdomain *domain, const char *name, struct tk_err *err)
{
	char hex[TK_VAULT_HEX_ID], why[256];

	tk_hex_encode(domain->id.b, sizeof(domain->id.b), hex);
	(void)snprintf(why, sizeof(why), "a receipt is lost or damaged: domain %s receipt %s\n", hex, name);
	return tk_vault_set_behind(vault, why, err);
}

static enum tk_rc
store_row(struct tk_vault *vault, struct tk_vtrace *trace, const struct tk_point_row *row, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	enum tk_rc rc = tk_vindex_begin(vault->index, &txn, err);

	if (!rc && row->state == TK_POINT_WHOLE)
		rc = tk_vtrace_store(trace, err);
	if (!rc)
		rc = tk_vindex_put_point(vault->index, row, err);
	return rc ? rc : tk_vindex_commit(&txn, err);
}

/* Traces and makes the row, with `refs` held. A point whose content is damaged or gone is listed, but is no head. */
static enum tk_rc
adopt_point(struct tk_vault *vault, const struct tk_vdomain *domain, const char *name, bool expired, struct tk_point_row *row, struct tk_err *err)
{
	TK_AUTO(tk_vtrace_cleanup) struct tk_vtrace *trace = NULL;
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	bool complete = false;
	struct tk_err why;
	enum tk_rc rc = tk_vtrace_new(vault, &domain->id, &trace, err);

	if (rc)
		return rc;
	rc = tk_vread_point(vault, &domain->id, name, &point, NULL, &why);
	if (!rc) {
		row->at = point.at;
		row->root_pack = point.root_pack;
		row->root_blob = point.root_blob;
		if (!expired)
			rc = tk_vtrace_point(trace, &point, &complete, &why);
	}
	row->state = expired ? TK_POINT_EXPIRING : complete ? TK_POINT_WHOLE : TK_POINT_BROKEN;
	if (rc == TK_ENOMEM || rc == TK_EIO) {
		if (err)
			*err = why;
		return rc;
	}
	if (rc)
		tk_log_event(vault->log, TK_LOG_ERROR, "point-damaged", "point=%s error=%s", name, why.text);
	return row->at.epoch > 0 ? store_row(vault, trace, row, err) : TK_OK;
}

/* What the row of a point is made of, but for what its record says. */
static enum tk_rc
row_from_receipt(struct tk_vault *vault, const struct tk_vdomain *domain, const char *name, struct tk_point_row *row, struct tk_err *err)
{
	struct tk_receipt receipt;
	struct tk_err why;
	enum tk_rc rc = tk_vread_receipt(vault, &domain->id, name, &receipt, NULL, &why);

	if (rc == TK_ECORRUPT || rc == TK_EUNSUPPORTED) {
		rc = receipt_unreadable(vault, domain, name, err);
	} else if (rc) {
		if (err)
			*err = why;
	} else {
		row->at = receipt.at;
		row->counter = receipt.counter;
		row->received_ns = (uint64_t)receipt.time_ns;
	}
	return rc;
}

/* known: the row that is there, of which only the tracing is wanting; NULL: there is none. What expired is not traced: it needs nothing any more. */
static enum tk_rc
adopt(struct tk_vault *vault, const struct tk_vdomain *domain, const char *name, const struct tk_point_row *known, const struct tk_vexpired *expired,
      struct tk_err *err)
{
	struct tk_point_row row = {.domain = domain->id};
	enum tk_rc rc = known ? TK_OK : row_from_receipt(vault, domain, name, &row, err);

	if (rc)
		return rc;
	if (known)
		row = *known;
	(void)pthread_rwlock_rdlock(&vault->refs);
	rc = adopt_point(vault, domain, name, tk_vexpired_has(expired, &row.at), &row, err);
	(void)pthread_rwlock_unlock(&vault->refs);
	tk_log_event(vault->log, TK_LOG_INFO, "point-adopted", "point=%s complete=%d", name, row.state == TK_POINT_WHOLE);
	return rc;
}

static enum tk_rc
sweep_unreceipted(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_vfile_list *receipts, struct tk_err *err)
{
	struct tk_vfile_list points;
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_vread_list(vault, &domain->id, "points", &points, err);

	for (size_t i = 0; i < points.count && !rc; i++) {
		if (strlen(points.names[i]) >= TK_POINT_FILE_NAME_MAX || tk_vfile_list_has(receipts, points.names[i]))
			continue;
		tk_vrecord_path(path, &domain->id, "points", points.names[i]);
		rc = tk_vfile_remove(vault->root_fd, path, err);
	}
	tk_vfile_list_release(&points);
	return rc;
}

/* Both are in the order of (epoch, sequence). */
static enum tk_rc
compare_receipts(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_vfile_list *receipts, const struct tk_vexpired *expired,
		 struct tk_err *err)
{
	struct tk_point_row *rows = NULL;
	char own[TK_POINT_FILE_NAME_MAX];
	size_t count = 0, r = 0, f = 0;
	struct tk_vname parts;
	enum tk_rc rc = tk_vindex_points(vault->index, &domain->id, &rows, &count, err);
	int order;

	while (!rc && (r < count || f < receipts->count)) {
		if (f < receipts->count && !tk_vname_point(receipts->names[f], &parts)) {
			f++;
			continue;
		}
		if (r < count)
			tk_point_file_name(&rows[r].at, own);
		order = r == count ? 1 : f == receipts->count ? -1 : strcmp(own, receipts->names[f]);
		if (order < 0) {
			rc = receipt_unreadable(vault, domain, own, err);
		} else if (order > 0) {
			rc = adopt(vault, domain, receipts->names[f], NULL, expired, err);
		} else if (rows[r].state == TK_POINT_UNTRACED) {
			rc = adopt(vault, domain, receipts->names[f], &rows[r], expired, err);
		}
		r += order <= 0;
		f += order >= 0;
	}
	free(rows);
	return rc;
}

static enum tk_rc
load_points(struct tk_vault *vault, struct tk_vdomain *domain, struct tk_err *err)
{
	TK_AUTO(tk_vexpired_release) struct tk_vexpired expired = {{0}};
	struct tk_vfile_list receipts;
	enum tk_rc rc = tk_vread_list(vault, &domain->id, "receipts", &receipts, err);

	if (!rc)
		rc = sweep_unreceipted(vault, domain, &receipts, err);
	if (!rc)
		rc = tk_vexpired_load(vault, &domain->id, &expired, err);
	if (!rc)
		rc = compare_receipts(vault, domain, &receipts, &expired, err);
	if (!rc)
		rc = tk_vexpire_settle(vault, domain, &expired, err);
	domain->expired_last = tk_vexpired_last(&expired);
	tk_vfile_list_release(&receipts);
	return rc;
}

/* The highest vote. One that is damaged still promises its number, to nobody that can be named: it fences everyone. */
static enum tk_rc
load_votes(struct tk_vault *vault, struct tk_vdomain *domain, struct tk_err *err)
{
	struct tk_vfile_list votes;
	struct tk_vote vote;
	struct tk_err why;
	uint64_t epoch;
	enum tk_rc rc = tk_vread_list(vault, &domain->id, "votes", &votes, err);

	for (size_t i = 0; i < votes.count && !rc; i++)
		if (tk_vname_epoch(votes.names[i], &epoch) && epoch > domain->promised_epoch)
			domain->promised_epoch = epoch;
	tk_vfile_list_release(&votes);
	if (rc || domain->promised_epoch == 0)
		return rc;
	rc = tk_vread_vote(vault, &domain->id, domain->promised_epoch, &vote, NULL, &why);
	if (!rc) {
		/* A later epoch has a later number: this is the domain's highest. */
		domain->promised_grant = vote.grant;
		tk_vault_counter_given(vault, vote.counter);
	} else {
		tk_log_event(vault->log, TK_LOG_ERROR, "vote-damaged", "error=%s", why.text);
	}
	return TK_OK;
}

/* A point that is held promises its epoch, vote or not. */
static enum tk_rc
load_head(struct tk_vault *vault, struct tk_vdomain *domain, struct tk_err *err)
{
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	struct tk_point_row *rows = NULL;
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_head last;
	size_t count = 0;
	enum tk_rc rc = tk_vindex_points(vault->index, &domain->id, &rows, &count, err);

	memset(&domain->head, 0, sizeof(domain->head));
	for (size_t i = 0; i < count; i++)
		if (rows[i].state == TK_POINT_WHOLE)
			domain->head = rows[i].at;
	memset(&last, 0, sizeof(last));
	if (count > 0)
		last = rows[count - 1].at;
	free(rows);
	if (rc || last.epoch <= domain->promised_epoch)
		return rc;
	domain->promised_epoch = last.epoch;
	memset(&domain->promised_grant, 0, sizeof(domain->promised_grant));
	tk_point_file_name(&last, name);
	if (tk_vread_point(vault, &domain->id, name, &point, NULL, NULL) == TK_OK)
		domain->promised_grant = point.grant;
	return TK_OK;
}

static void
set_unsettled(struct tk_vault *vault, struct tk_vdomain *domain, bool unsettled)
{
	if (domain->unsettled == unsettled)
		return;
	domain->unsettled = unsettled;
	if (unsettled)
		(void)__atomic_add_fetch(&vault->unsettled, 1, __ATOMIC_ACQ_REL);
	else
		(void)__atomic_sub_fetch(&vault->unsettled, 1, __ATOMIC_ACQ_REL);
}

void
tk_vdomain_promise_begin(struct tk_vault *vault, struct tk_vdomain *domain)
{
	domain->loaded = false;
	set_unsettled(vault, domain, true);
}

void
tk_vdomain_promise_end(struct tk_vault *vault, struct tk_vdomain *domain)
{
	domain->loaded = true;
	set_unsettled(vault, domain, false);
}

/* A killed process may have left names that are seen, but not durable: nothing may be built on them before. */
static enum tk_rc
sync_directories(struct tk_vault *vault, const struct tk_id *id, struct tk_err *err)
{
	static const char *const directories[] = {"grants", "votes", "points", "receipts", NULL};
	char path[TK_VFILE_PATH_MAX];

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		TK_AUTO(tk_fd_cleanup) int fd = -1;

		tk_vault_id_path(path, "domains", id, directories[i]);
		fd = tk_open_quiet(vault->root_fd, path, true);
		if (fd < 0 || fsync(fd) < 0)
			return tk_err_errno(err, TK_EIO, "fsync of %s", path);
	}
	return TK_OK;
}

static enum tk_rc
load(struct tk_vault *vault, struct tk_vdomain *domain, struct tk_err *err)
{
	enum tk_rc rc = tk_vread_genesis(vault, &domain->id, &domain->genesis, err);

	domain->promised_epoch = 0;
	memset(&domain->promised_grant, 0, sizeof(domain->promised_grant));
	if (!rc)
		rc = sync_directories(vault, &domain->id, err);
	if (!rc)
		rc = load_votes(vault, domain, err);
	if (!rc)
		rc = load_points(vault, domain, err);
	if (!rc)
		rc = load_head(vault, domain, err);
	domain->loaded = !rc;
	set_unsettled(vault, domain, rc && rc != TK_ENOENT);
	return rc;
}

static struct tk_vdomain *
find(struct tk_vault *vault, const struct tk_id *id)
{
	struct tk_vdomain *domain;

	(void)pthread_mutex_lock(&vault->domains_lock);
	for (domain = vault->domains; domain; domain = domain->next)
		if (memcmp(domain->id.b, id->b, sizeof(id->b)) == 0)
			break;
	(void)pthread_mutex_unlock(&vault->domains_lock);
	return domain;
}

static enum tk_rc
find_or_add(struct tk_vault *vault, const struct tk_id *id, struct tk_vdomain **out, struct tk_err *err)
{
	struct tk_vdomain *fresh = calloc(1, sizeof(*fresh)), *domain;

	if (!fresh)
		return tk_err_set(err, TK_ENOMEM, "no memory for a domain");
	fresh->id = *id;
	(void)pthread_mutex_init(&fresh->lock, NULL);
	(void)pthread_mutex_lock(&vault->domains_lock);
	for (domain = vault->domains; domain; domain = domain->next)
		if (memcmp(domain->id.b, id->b, sizeof(id->b)) == 0)
			break;
	if (!domain) {
		fresh->next = vault->domains;
		vault->domains = fresh;
		domain = fresh;
		fresh = NULL;
	}
	(void)pthread_mutex_unlock(&vault->domains_lock);
	if (fresh) {
		(void)pthread_mutex_destroy(&fresh->lock);
		free(fresh);
	}
	*out = domain;
	return TK_OK;
}

enum tk_rc
tk_vdomain_enter_any(struct tk_vault *vault, const struct tk_id *id, struct tk_vdomain **out, struct tk_err *err)
{
	struct tk_vdomain *domain = NULL;
	enum tk_rc rc = find_or_add(vault, id, &domain, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&domain->lock);
	*out = domain;
	return TK_OK;
}

enum tk_rc
tk_vdomain_enter(struct tk_vault *vault, const struct tk_id *id, struct tk_vdomain **out, struct tk_err *err)
{
	struct tk_vdomain *domain = find(vault, id);
	char hex[TK_VAULT_HEX_ID];
	enum tk_rc rc = TK_OK;

	tk_hex_encode(id->b, sizeof(id->b), hex);
	if (!domain)
		return tk_err_set(err, TK_ENOENT, "domain %s is not known here: its genesis record must come first", hex);
	(void)pthread_mutex_lock(&domain->lock);
	if (!domain->loaded)
		rc = load(vault, domain, err);
	if (rc) {
		(void)pthread_mutex_unlock(&domain->lock);
		return tk_err_context(err, rc, "domain %s", hex);
	}
	*out = domain;
	return TK_OK;
}

void
tk_vdomain_leave(struct tk_vdomain **domain)
{
	if (*domain)
		(void)pthread_mutex_unlock(&(*domain)->lock);
	*domain = NULL;
}

/* One domain that cannot be loaded does not take the others with it: it is tried again, and its error told, at each use. */
enum tk_rc
tk_vdomain_load_all(struct tk_vault *vault, struct tk_err *err)
{
	struct tk_id *ids = NULL;
	struct tk_err why;
	size_t count = 0;
	enum tk_rc rc = tk_vault_list_domains(vault, &ids, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;

		rc = tk_vdomain_enter_any(vault, &ids[i], &domain, err);
		if (!rc && load(vault, domain, &why))
			tk_log_event(vault->log, TK_LOG_ERROR, "domain-damaged", "error=%s", why.text);
	}
	free(ids);
	return rc;
}

enum tk_rc
tk_vdomain_settle_all(struct tk_vault *vault, struct tk_err *err)
{
	struct tk_vdomain *domain, *next;
	enum tk_rc rc = TK_OK;

	(void)pthread_mutex_lock(&vault->domains_lock);
	next = vault->domains;
	(void)pthread_mutex_unlock(&vault->domains_lock);
	/* New ones come in front, none goes before close: the list from here on stands still. */
	while (!rc && (domain = next)) {
		(void)pthread_mutex_lock(&domain->lock);
		next = domain->next;
		if (domain->unsettled)
			rc = load(vault, domain, err);
		(void)pthread_mutex_unlock(&domain->lock);
	}
	return rc;
}

void
tk_vdomain_free_all(struct tk_vault *vault)
{
	struct tk_vdomain *next;

	for (struct tk_vdomain *domain = vault->domains; domain; domain = next) {
		next = domain->next;
		(void)pthread_mutex_destroy(&domain->lock);
		free(domain);
	}
	vault->domains = NULL;
}
