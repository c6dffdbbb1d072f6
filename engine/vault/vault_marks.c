#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/vault_core.h"

static bool
same_id(const struct tk_id *a, const struct tk_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool
tk_vmark_is_own(const struct tk_vault *vault, const struct tk_mark *mark)
{
	return same_id(&mark->site, &vault->site.site_id) && memcmp(mark->site_key, vault->site.site_key, sizeof(mark->site_key)) == 0;
}

/* Numbers that this incarnation gave. What a former one gave was settled when the vault was let in again; of one that it never was, it forgot everything. */
enum standing { STANDS, SETTLED, UNHEARD_OF };

static enum standing
standing_of(struct tk_vault *vault, const struct tk_mark *mark)
{
	enum standing standing = UNHEARD_OF;

	(void)pthread_mutex_lock(&vault->counter_lock);
	if (same_id(&mark->incarnation, &vault->incarnation) && mark->counter <= vault->counter)
		standing = STANDS;
	for (size_t i = 0; i < vault->former_count; i++)
		if (same_id(&mark->incarnation, &vault->former[i]))
			standing = SETTLED;
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return standing;
}

/* The very record, since its number may have been given anew after a rollback. One that is damaged still holds its number. */
static enum tk_rc
knows_vote(struct tk_vault *vault, const struct tk_mark *mark, bool *known, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_vote vote;
	struct tk_err why;
	enum tk_rc rc = tk_vread_vote(vault, &mark->domain, mark->at.epoch, &vote, &record, &why);

	*known = rc == TK_ECORRUPT || (!rc && record.len_bytes == mark->record.len_bytes && memcmp(record.data, mark->record.data, record.len_bytes) == 0);
	if (!rc || rc == TK_ECORRUPT || rc == TK_ENOENT)
		return TK_OK;
	if (err)
		*err = why;
	return rc;
}

/* A receipt that was damaged is given anew under a later number, so the bytes may differ; the point and a number as high may not. */
static enum tk_rc
knows_receipt(struct tk_vault *vault, const struct tk_mark *mark, bool *known, struct tk_err *err)
{
	struct tk_point_row row;
	struct tk_err why;
	enum tk_rc rc = tk_vindex_point(vault->index, &mark->domain, mark->at.epoch, mark->at.sequence, &row, &why);

	*known = !rc && row.counter >= mark->counter && memcmp(row.at.point.b, mark->at.point.b, sizeof(row.at.point.b)) == 0;
	if (!rc || rc == TK_ENOENT)
		return TK_OK;
	if (err)
		*err = why;
	return rc;
}

static enum tk_rc
knows(struct tk_vault *vault, const struct tk_mark *mark, bool *known, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	enum standing standing = standing_of(vault, mark);
	struct tk_err why;
	enum tk_rc rc;

	*known = standing == SETTLED;
	if (standing != STANDS)
		return TK_OK;
	/* Entered: files and index agree, and no promise is half made. */
	rc = tk_vdomain_enter(vault, &mark->domain, &domain, &why);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc && err)
		*err = why;
	if (rc)
		return rc;
	return mark->is_vote ? knows_vote(vault, mark, known, err) : knows_receipt(vault, mark, known, err);
}

static void
marks_path(char path[TK_VFILE_PATH_MAX], const struct tk_id *domain)
{
	tk_vault_id_path(path, "marks", domain, NULL);
}

enum tk_rc
tk_vmarks_load(struct tk_vault *vault, const struct tk_id *domain, struct tk_buf *bytes, struct tk_marks *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_err why;
	enum tk_rc rc;

	out->count = out->asked_count = 0;
	marks_path(path, domain);
	rc = tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, bytes, &why);
	if (!rc)
		rc = tk_marks_decode(bytes->data, bytes->len_bytes, out, &why);
	if (rc == TK_ECORRUPT) {
		/* What others know of others: they will tell it again. */
		tk_log_event(vault->log, TK_LOG_ERROR, "marks-damaged", "error=%s", why.text);
		out->count = out->asked_count = 0;
	}
	if (!rc || rc == TK_ECORRUPT || rc == TK_ENOENT)
		return TK_OK;
	if (err)
		*err = why;
	return rc;
}

/* With marks_lock held. */
static enum tk_rc
put(struct tk_vault *vault, const struct tk_id *domain, const struct tk_marks *marks, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_marks_encode(marks, &bytes, err);

	marks_path(path, domain);
	return rc ? rc : tk_vfile_put(vault->root_fd, path, bytes.data, bytes.len_bytes, "marks", err);
}

/* Adds marks of one domain to what is kept for it, if they say more. */
static enum tk_rc
keep(struct tk_vault *vault, const struct tk_id *domain, const struct tk_mark *const *fresh, size_t count, const struct tk_id *asked,
     size_t asked_count, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf stored = {0};
	TK_AUTO(tk_marks_free) struct tk_marks *marks = malloc(sizeof(*marks));
	bool changed = false;
	enum tk_rc rc;

	if (!marks)
		return tk_err_set(err, TK_ENOMEM, "no memory for marks");
	(void)pthread_mutex_lock(&vault->marks_lock);
	rc = tk_vmarks_load(vault, domain, &stored, marks, err);
	for (size_t i = 0; i < count && !rc; i++)
		changed |= tk_marks_add(marks, fresh[i]);
	for (size_t i = 0; i < asked_count && !rc; i++)
		changed |= tk_marks_add_asked(marks, &asked[i]);
	if (!rc && changed)
		rc = put(vault, domain, marks, err);
	(void)pthread_mutex_unlock(&vault->marks_lock);
	return rc;
}

enum tk_rc
tk_vmarks_settle(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf stored = {0};
	TK_AUTO(tk_marks_free) struct tk_marks *marks = malloc(sizeof(*marks));
	size_t shown, kept = 0;
	enum tk_rc rc;

	if (!marks)
		return tk_err_set(err, TK_ENOMEM, "no memory for marks");
	(void)pthread_mutex_lock(&vault->marks_lock);
	rc = tk_vmarks_load(vault, domain, &stored, marks, err);
	shown = marks->count + marks->asked_count;
	for (size_t i = 0; i < marks->count; i++)
		if (!tk_vmark_is_own(vault, &marks->mark[i]))
			marks->mark[kept++] = marks->mark[i];
	marks->count = kept;
	marks->asked_count = 0;
	if (!rc && kept < shown)
		rc = put(vault, domain, marks, err);
	(void)pthread_mutex_unlock(&vault->marks_lock);
	return rc;
}

static enum tk_rc
go_behind(struct tk_vault *vault, const struct tk_mark *mark, struct tk_err *err)
{
	char hex[TK_VAULT_HEX_ID], why[256];
	enum tk_rc rc;

	tk_hex_encode(mark->domain.b, sizeof(mark->domain.b), hex);
	(void)snprintf(why, sizeof(why), "a %s that this vault gave is not known here: domain %s epoch %llu sequence %llu number %llu\n",
		       mark->is_vote ? "vote" : "receipt", hex, (unsigned long long)mark->at.epoch, (unsigned long long)mark->at.sequence,
		       (unsigned long long)mark->counter);
	rc = tk_vault_set_behind(vault, why, err);
	return rc ? rc : keep(vault, &mark->domain, &mark, 1, NULL, 0, err);
}

enum tk_rc
tk_vmarks_shown(struct tk_vault *vault, const struct tk_id *domain, const struct tk_marks *shown, bool keep_others, struct tk_err *err)
{
	const struct tk_mark *others[TK_MARKS_MAX];
	size_t count = 0, asked_count = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < shown->count && !rc; i++) {
		const struct tk_mark *mark = &shown->mark[i];
		bool known = true;

		if (tk_vmark_is_own(vault, mark)) {
			rc = knows(vault, mark, &known, err);
			if (!rc && !known)
				rc = go_behind(vault, mark, err);
		} else if (keep_others && same_id(&mark->domain, domain)) {
			others[count++] = mark;
		}
	}
	/* Whom a vault asked matters only while it is behind, and only from then on. */
	if (keep_others && tk_vault_is_behind(vault))
		asked_count = shown->asked_count;
	return rc || count + asked_count == 0 ? rc : keep(vault, domain, others, count, shown->asked, asked_count, err);
}
