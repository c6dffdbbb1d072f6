#include "engine/catalog/verified.h"

#include <string.h>

#include "engine/vault/records.h"

static bool
covers(const struct tk_run_row *run, const struct tk_head *at)
{
	if (run->covers == TK_COVERS_POINT)
		return memcmp(&run->at.point, &at->point, sizeof(at->point)) == 0;
	return run->covers == TK_COVERS_UP_TO && tk_head_compare(at, &run->at) <= 0;
}

/* Would it have seen the damage that `damage` saw? */
static bool
is_as_close(const struct tk_run_row *run, const struct tk_run_row *damage)
{
	return damage->depth == TK_DEPTH_STRUCTURE || run->depth == TK_DEPTH_DATA;
}

/* Did a verification later than rows[index], of no fewer points than `least` says, look at this and find it whole? The rows before it are later. */
static bool
is_mended(const struct tk_run_row *rows, size_t index, enum tk_run_covers least, const struct tk_head *at)
{
	const struct tk_run_row *damage = &rows[index];

	for (size_t i = 0; i < index; i++) {
		const struct tk_run_row *run = &rows[i];

		if (run->exit_status == 0 && strcmp(run->site, damage->site) == 0 && run->covers >= least && covers(run, at) && is_as_close(run, damage))
			return true;
	}
	return false;
}

struct tk_verified
tk_verified_point(const struct tk_run_row *rows, size_t count, const char *site, const struct tk_head *at)
{
	struct tk_verified found = {0};

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].site, site) != 0 || !covers(&rows[i], at))
			continue;
		if (rows[i].exit_status == 0 && !found.whole)
			found.whole = &rows[i];
		if (rows[i].exit_status != 0 && !is_mended(rows, i, TK_COVERS_POINT, at))
			return (struct tk_verified){NULL, &rows[i]};
	}
	return found;
}

struct tk_verified
tk_verified_site(const struct tk_run_row *rows, size_t count, const char *site)
{
	struct tk_verified found = {0};

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].site, site) != 0)
			continue;
		if (rows[i].exit_status == 0 && rows[i].covers == TK_COVERS_UP_TO && !found.whole)
			found.whole = &rows[i];
		if (rows[i].exit_status != 0 && !is_mended(rows, i, rows[i].covers, &rows[i].at))
			return (struct tk_verified){NULL, &rows[i]};
	}
	return found;
}
