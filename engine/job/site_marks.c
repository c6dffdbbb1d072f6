#include "engine/job/site_marks.h"

#include <stdlib.h>
#include <string.h>

void
tk_site_marks_release(struct tk_site_marks *marks)
{
	tk_buf_release(&marks->own);
	tk_buf_release(&marks->of_others);
}

/* The list that shows a site its own newest promise; it may be empty. */
static enum tk_rc
own_list(const struct tk_buf *own, struct tk_buf *list, struct tk_err *err)
{
	TK_AUTO(tk_marks_free) struct tk_marks *marks = calloc(1, sizeof(*marks));
	enum tk_rc rc = marks ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for marks");

	if (!rc && own->len_bytes > 0)
		rc = tk_mark_decode(own->data, own->len_bytes, &marks->mark[marks->count++], err);
	return rc ? rc : tk_marks_encode(marks, list, err);
}

enum tk_rc
tk_site_meet(struct tk_store *store, const struct tk_id *domain, struct tk_journal *journal, const char *name, struct tk_site_marks *marks,
	     struct tk_store_state *state, struct tk_err *err)
{
	struct tk_store_ask asks[] = {{.kind = TK_ASK_STATE, .id = domain}, {.kind = TK_ASK_RECORD, .id = domain, .record = TK_RECORD_MARKS}};
	TK_AUTO(tk_buf_release) struct tk_buf list = {0};
	enum tk_rc rc = tk_journal_site_mark(journal, name, &marks->own, err);

	if (!rc || rc == TK_ENOENT)
		rc = own_list(&marks->own, &list, err);
	asks[0].data = list.data;
	asks[0].len_bytes = list.len_bytes;
	if (!rc) {
		tk_store_ahead(store, asks, 2);
		rc = store->ops->state(store, domain, &list, state, err);
	}
	if (rc || !state->domain_known)
		return rc;
	rc = store->ops->get_record(store, domain, TK_RECORD_MARKS, 0, &marks->of_others, err);
	return rc == TK_ENOENT ? TK_OK : rc;
}

static bool
is_among(const struct tk_marks *marks, const struct tk_mark *mark)
{
	for (size_t i = 0; i < marks->count; i++)
		if (marks->mark[i].record.len_bytes == mark->record.len_bytes &&
		    memcmp(marks->mark[i].record.data, mark->record.data, mark->record.len_bytes) == 0)
			return true;
	return false;
}

enum tk_rc
tk_site_marks_cover(const struct tk_site_marks *marks, const struct tk_marks *all, bool *cover, struct tk_err *err)
{
	TK_AUTO(tk_marks_free) struct tk_marks *known = calloc(1, sizeof(*known));
	enum tk_rc rc = known ? tk_site_marks_gather(marks, known, err) : tk_err_set(err, TK_ENOMEM, "no memory for marks");

	*cover = !rc;
	for (size_t i = 0; *cover && i < all->count; i++)
		*cover = is_among(known, &all->mark[i]);
	return rc;
}

enum tk_rc
tk_site_marks_told(struct tk_site_marks *marks, const struct tk_buf *list, struct tk_err *err)
{
	tk_buf_clear(&marks->of_others);
	return tk_buf_put(&marks->of_others, list->data, list->len_bytes, err);
}

enum tk_rc
tk_site_marks_keep(struct tk_site_marks *marks, const struct tk_buf *record, struct tk_err *err)
{
	tk_buf_clear(&marks->own);
	return tk_buf_put(&marks->own, record->data, record->len_bytes, err);
}

enum tk_rc
tk_site_journal_vote(struct tk_journal *journal, const char *name, const uint8_t site_key[TK_KEY_BYTES], const struct tk_buf *record,
		     struct tk_err *err)
{
	struct tk_journal_number number;
	struct tk_vote vote;
	enum tk_rc rc = tk_vote_decode(record->data, record->len_bytes, &vote, err);

	if (rc)
		return rc;
	if (memcmp(vote.site_key, site_key, sizeof(vote.site_key)) != 0)
		return tk_err_set(err, TK_EPROTO, "the vote is signed by another key than the site's");
	number = (struct tk_journal_number){vote.vault_incarnation, vote.counter};
	return tk_journal_add_vote(journal, name, &number, vote.time_ns, record->data, record->len_bytes, err);
}

enum tk_rc
tk_site_marks_gather(const struct tk_site_marks *marks, struct tk_marks *all, struct tk_err *err)
{
	TK_AUTO(tk_marks_free) struct tk_marks *told = calloc(1, sizeof(*told));
	struct tk_mark own;
	enum tk_rc rc = told ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for marks");

	if (!rc && marks->own.len_bytes > 0 && !(rc = tk_mark_decode(marks->own.data, marks->own.len_bytes, &own, err)))
		(void)tk_marks_add(all, &own);
	if (!rc && marks->of_others.len_bytes > 0)
		rc = tk_marks_decode(marks->of_others.data, marks->of_others.len_bytes, told, err);
	for (size_t i = 0; !rc && i < told->count; i++)
		(void)tk_marks_add(all, &told->mark[i]);
	return rc;
}
