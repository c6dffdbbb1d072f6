#include "engine/vault/marks.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/vault/recordio.h"

#define MAGIC_BYTES 8u
static const char marks_magic[] = "TWKMARKS";
static const char vote_magic[] = "TWKVOTE1";
#define VERSION 1u

static enum tk_rc
from_vote(const void *record, size_t len_bytes, struct tk_mark *out, struct tk_err *err)
{
	struct tk_vote vote;
	enum tk_rc rc = tk_vote_decode(record, len_bytes, &vote, err);

	if (rc)
		return rc;
	out->is_vote = true;
	out->domain = vote.domain;
	out->site = vote.site;
	out->incarnation = vote.vault_incarnation;
	out->counter = vote.counter;
	out->at.epoch = vote.epoch;
	out->time_ns = vote.time_ns;
	memcpy(out->site_key, vote.site_key, sizeof(out->site_key));
	return TK_OK;
}

static enum tk_rc
from_receipt(const void *record, size_t len_bytes, struct tk_mark *out, struct tk_err *err)
{
	struct tk_receipt receipt;
	enum tk_rc rc = tk_receipt_decode(record, len_bytes, &receipt, err);

	if (rc)
		return rc;
	out->domain = receipt.domain;
	out->site = receipt.site;
	out->incarnation = receipt.vault_incarnation;
	out->counter = receipt.counter;
	out->at = receipt.at;
	out->time_ns = receipt.time_ns;
	memcpy(out->site_key, receipt.site_key, sizeof(out->site_key));
	return TK_OK;
}

enum tk_rc
tk_mark_decode(const void *record, size_t len_bytes, struct tk_mark *out, struct tk_err *err)
{
	memset(out, 0, sizeof(*out));
	if (len_bytes < MAGIC_BYTES || len_bytes > TK_MARK_BYTES_MAX)
		return tk_err_set(err, TK_ECORRUPT, "a mark of %zu bytes", len_bytes);
	out->record = (struct tk_bytes){record, len_bytes};
	return memcmp(record, vote_magic, MAGIC_BYTES) == 0 ? from_vote(record, len_bytes, out, err) : from_receipt(record, len_bytes, out, err);
}

enum tk_rc
tk_marks_decode(const void *bytes, size_t len_bytes, struct tk_marks *out, struct tk_err *err)
{
	uint8_t magic[MAGIC_BYTES];
	struct tk_cursor cur;
	uint64_t count;
	enum tk_rc rc = TK_OK;

	out->count = out->asked_count = 0;
	tk_cursor_init(&cur, bytes, len_bytes);
	tk_cursor_copy(&cur, magic, sizeof(magic));
	if (tk_cursor_ok(&cur) && memcmp(magic, marks_magic, sizeof(magic)) != 0)
		tk_cursor_fail(&cur, "not a list of marks");
	if (tk_cursor_u16(&cur) != VERSION && tk_cursor_ok(&cur))
		return tk_err_set(err, TK_EUNSUPPORTED, "a list of marks of a version that this program does not know");
	count = tk_cursor_uv_max(&cur, TK_MARKS_MAX);
	while (!rc && out->count < count && tk_cursor_ok(&cur)) {
		size_t record_bytes;
		const uint8_t *record = tk_cursor_bytes(&cur, TK_MARK_BYTES_MAX, &record_bytes);

		if (tk_cursor_ok(&cur))
			rc = tk_mark_decode(record, record_bytes, &out->mark[out->count++], err);
	}
	count = tk_cursor_uv_max(&cur, TK_MARKS_MAX);
	while (out->asked_count < count && tk_cursor_ok(&cur))
		tk_record_id(&cur, &out->asked[out->asked_count++]);
	return rc ? rc : tk_cursor_end(&cur, "list of marks", err);
}

enum tk_rc
tk_marks_encode(const struct tk_marks *marks, struct tk_buf *out, struct tk_err *err)
{
	struct tk_writer w;

	tk_writer_begin_plain(&w, out, err);
	tk_writer_raw(&w, marks_magic, MAGIC_BYTES);
	tk_writer_u8(&w, VERSION);
	tk_writer_u8(&w, 0);
	tk_writer_uv(&w, marks->count);
	for (size_t i = 0; i < marks->count; i++)
		tk_writer_bytes(&w, marks->mark[i].record.data, marks->mark[i].record.len_bytes);
	tk_writer_uv(&w, marks->asked_count);
	for (size_t i = 0; i < marks->asked_count; i++)
		tk_writer_id(&w, &marks->asked[i]);
	return tk_writer_end(&w);
}

void
tk_marks_free(struct tk_marks **marks)
{
	free(*marks);
	*marks = NULL;
}

static bool
newer(const struct tk_mark *a, const struct tk_mark *b)
{
	if (memcmp(&a->incarnation, &b->incarnation, sizeof(a->incarnation)) == 0)
		return a->counter > b->counter;
	return a->time_ns > b->time_ns;
}

bool
tk_marks_add(struct tk_marks *marks, const struct tk_mark *mark)
{
	for (size_t i = 0; i < marks->count; i++) {
		struct tk_mark *known = &marks->mark[i];

		if (memcmp(&known->site, &mark->site, sizeof(mark->site)) != 0 || memcmp(known->site_key, mark->site_key, sizeof(mark->site_key)) != 0)
			continue;
		if (!newer(mark, known))
			return false;
		*known = *mark;
		return true;
	}
	if (marks->count == TK_MARKS_MAX)
		return false;
	marks->mark[marks->count++] = *mark;
	return true;
}

bool
tk_marks_add_asked(struct tk_marks *marks, const struct tk_id *site)
{
	for (size_t i = 0; i < marks->asked_count; i++)
		if (memcmp(&marks->asked[i], site, sizeof(*site)) == 0)
			return false;
	if (marks->asked_count == TK_MARKS_MAX)
		return false;
	marks->asked[marks->asked_count++] = *site;
	return true;
}
