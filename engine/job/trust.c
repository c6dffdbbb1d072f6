#include "engine/job/trust.h"

#include "engine/base/clock.h"

#define NS_PER_S 1000000000LL
#define DAY_NS (86400 * NS_PER_S)

bool
tk_trust_reread_due(const struct tk_trust *trust, const char *path, size_t path_bytes)
{
	int64_t period = trust->reread_period_s, now = trust->scan_start_ns / NS_PER_S, last = trust->last_scan_ns / NS_PER_S;
	uint64_t hash = 0xcbf29ce484222325ull;
	int64_t moment;

	if (period <= 0 || last <= 0)
		return false;
	if (now - last >= period)
		return true;
	for (size_t i = 0; i < path_bytes; i++)
		hash = (hash ^ (uint8_t)path[i]) * 0x100000001b3ull;
	moment = (int64_t)((hash >> 20) % (uint64_t)period);
	/* Is last < moment <= now, modulo the period? */
	return (now - moment) / period != (last - moment) / period;
}

bool
tk_trust_stands(const struct tk_entry *was, const struct tk_sidecar *side, const struct tk_stat *st)
{
	if (side->ino != st->ino || !tk_trust_same_ctime(side, st) || side->racy || side->ino == 0)
		return false;
	if (was->meta.type != st->type || was->meta.mode != st->mode || was->meta.uid != st->uid || was->meta.gid != st->gid ||
	    was->meta.mtime_s != st->mtime_s || was->meta.mtime_ns != st->mtime_ns || was->inconsistent)
		return false;
	if (st->type == TK_FT_DIR)
		return true;
	if ((st->nlink > 1) != (was->hardlink_group != 0))
		return false;
	return st->type != TK_FT_REG || was->meta.size_bytes == st->size_bytes;
}

bool
tk_trust_same_ctime(const struct tk_sidecar *side, const struct tk_stat *st)
{
	return side->ctime_s == st->ctime_s && side->ctime_ns == st->ctime_ns;
}

bool
tk_trust_is_old(const struct tk_trust *trust, int64_t born_ns)
{
	return born_ns < trust->last_scan_ns - trust->racy_ns;
}

bool
tk_trust_content(const struct tk_trust *trust, const struct tk_entry *was, const struct tk_sidecar *side, const struct tk_stat *st, bool relinked,
		 int64_t born_ns)
{
	if (side->ino == 0 || side->ino != st->ino || side->dev != st->dev || side->racy || was->inconsistent)
		return false;
	if (was->meta.type != TK_FT_REG || st->type != TK_FT_REG || was->meta.size_bytes != st->size_bytes || was->meta.mtime_s != st->mtime_s ||
	    was->meta.mtime_ns != st->mtime_ns)
		return false;
	if (tk_trust_same_ctime(side, st))
		return true;
	if (!tk_trust_is_old(trust, born_ns) || trust->rule == TK_TRUST_CTIME)
		return false;
	return relinked || trust->rule == TK_TRUST_MTIME;
}

struct tk_sidecar
tk_trust_sidecar(const struct tk_trust *trust, const struct tk_stat *st)
{
	int64_t ctime_ns = st->ctime_s * NS_PER_S + st->ctime_ns;
	/* A day ahead is no file server's clock that is a little fast: this machine's was set back, and no change to come gets that time. */
	bool racy = ctime_ns > trust->scan_start_ns - trust->racy_ns && ctime_ns < tk_clock_wall_ns() + DAY_NS;

	return (struct tk_sidecar){st->dev, st->ino, st->ctime_s, st->ctime_ns, racy, st->nlink};
}
