#include "policies/select.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "engine/base/clock.h"
#include "engine/base/hex.h"

#define PREFIX_MIN_DIGITS 4

static bool
is_later(const struct tk_candidate *a, const struct tk_candidate *b)
{
	return a->epoch != b->epoch ? a->epoch > b->epoch : a->sequence > b->sequence;
}

static enum tk_rc
select_not_after(int64_t limit_ns, const struct tk_candidate *points, size_t count, size_t *index)
{
	bool found = false;

	for (size_t i = 0; i < count; i++)
		if (points[i].scan_end_ns <= limit_ns && (!found || is_later(&points[i], &points[*index]))) {
			*index = i;
			found = true;
		}
	return found ? TK_OK : TK_ENOENT;
}

/* Did the chosen point's writer make one before it that is, by its clock, after the moment asked for? Then its clock was set between them, and cannot say which of
 * the two is meant. */
static enum tk_rc
check_clocks(int64_t limit_ns, const struct tk_candidate *points, size_t count, size_t index, struct tk_err *err)
{
	char early[9], late[9];

	for (size_t i = 0; i < count; i++) {
		if (points[i].epoch != points[index].epoch || points[i].scan_end_ns <= limit_ns || is_later(&points[i], &points[index]))
			continue;
		tk_hex_encode(points[index].id, 4, early);
		tk_hex_encode(points[i].id, 4, late);
		return tk_err_set(err, TK_EINVAL, "a clock was set back: point %s follows %s and has an earlier time; see twinkeep list, and name the point by its id",
				  early, late);
	}
	return TK_OK;
}

static bool
id_begins(const struct tk_candidate *point, const char *digits)
{
	char text[2 * TK_SELECT_ID_BYTES + 1];

	tk_hex_encode(point->id, TK_SELECT_ID_BYTES, text);
	return strncasecmp(text, digits, strlen(digits)) == 0;
}

static enum tk_rc
select_prefix(const char *digits, const struct tk_candidate *points, size_t count, size_t *index, struct tk_err *err)
{
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		if (!id_begins(&points[i], digits))
			continue;
		if (found && memcmp(points[i].id, points[*index].id, TK_SELECT_ID_BYTES) != 0)
			return tk_err_set(err, TK_EINVAL, "more than one point begins with %s; give more digits", digits);
		*index = i;
		found = true;
	}
	return found ? TK_OK : tk_err_set(err, TK_ENOENT, "no point begins with %s; twinkeep list shows them", digits);
}

static bool
is_prefix(const char *text)
{
	size_t len = strlen(text);

	return len >= PREFIX_MIN_DIGITS && len <= 2 * TK_SELECT_ID_BYTES && strspn(text, "0123456789abcdefABCDEF") == len;
}

enum tk_rc
tk_point_select(const char *text, const struct tk_candidate *points, size_t count, size_t *index, struct tk_err *err)
{
	int64_t limit_ns;

	if (!text || !*text || strcmp(text, "latest") == 0) {
		if (select_not_after(INT64_MAX, points, count, index))
			return tk_err_set(err, TK_ENOENT, "there is no point yet; make one with twinkeep backup");
		return TK_OK;
	}
	if (is_prefix(text))
		return select_prefix(text, points, count, index, err);
	if (tk_time_parse(text, &limit_ns, NULL))
		return tk_err_set(err, TK_EINVAL, "\"%.80s\" names no point; write latest, at least 4 digits of an id, or a time such as 2026-11-24T03:00", text);
	if (select_not_after(limit_ns, points, count, index))
		return tk_err_set(err, TK_ENOENT, "no point was complete at %.80s; twinkeep list shows when each was", text);
	return check_clocks(limit_ns, points, count, *index, err);
}

enum tk_rc
tk_point_spec_split(const char *text, char *name, size_t size, const char **point, struct tk_err *err)
{
	const char *at = strrchr(text, '@');
	size_t len = at ? (size_t)(at - text) : strlen(text);

	if (len == 0)
		return tk_err_set(err, TK_EINVAL, "\"%.80s\" names no dataset; write DATASET or DATASET@POINT", text);
	if (len >= size)
		return tk_err_set(err, TK_EINVAL, "the name of the dataset is longer than %zu bytes", size - 1);
	memcpy(name, text, len);
	name[len] = '\0';
	if (at && !at[1])
		return tk_err_set(err, TK_EINVAL, "\"%.80s\" names no point after the @; write latest, an id or a time, or leave the @ out", text);
	*point = at ? at + 1 : NULL;
	return TK_OK;
}
