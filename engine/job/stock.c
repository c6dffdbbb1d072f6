#include "engine/job/stock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"

#define NS_PER_MS INT64_C(1000000)
#define POLL_NS 200000000L
/* Sites flush in pieces of this share of the bound, so that the line stays full between two flushes. */
#define FLUSH_SHARE 8

enum reach { SITE_OPENING, SITE_UP, SITE_DOWN };

struct item {
	struct tk_pack_name name;
	uint32_t len_bytes;
	uint8_t kind;
	bool here;                            /* in the spool */
	bool sent;                            /* queued for the sites */
	bool used;                            /* the point of this run needs it */
};

struct tk_stock {
	struct tk_stock_opts opts;
	pthread_mutex_t lock;                 /* guards what follows */
	pthread_cond_t changed;
	struct item *items;
	bool *held;                           /* site_count of them an item */
	size_t count, cap;
	size_t first_here;                    /* no item before it is in the spool */
	size_t first_unsent;                  /* likewise */
	uint64_t here_bytes;
	enum reach *reach;
	bool *up;                             /* reach, as the judge wants it */
	bool *behind;                         /* a pack left without the site, which is not waited for any more */
	bool *has;                            /* scratch for the judge */
	bool rule_in_reach;                   /* the sites that are up can meet the ack rule */
	uint64_t moves;                       /* grows with whatever a site does */
	struct tk_err last_failure;           /* of a site */
	struct tk_err lost;                   /* rc TK_OK: nothing is */
	bool stopped;
};

enum tk_rc
tk_stock_new(const struct tk_stock_opts *opts, struct tk_stock **out, struct tk_err *err)
{
	TK_AUTO(tk_stock_cleanup) struct tk_stock *stock = calloc(1, sizeof(*stock));
	pthread_condattr_t attr;

	if (!stock)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a run");
	stock->opts = *opts;
	(void)pthread_mutex_init(&stock->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&stock->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	stock->reach = calloc(opts->site_count + 1, sizeof(*stock->reach));
	stock->up = calloc(opts->site_count + 1, sizeof(*stock->up));
	stock->behind = calloc(opts->site_count + 1, sizeof(*stock->behind));
	stock->has = calloc(opts->site_count + 1, sizeof(*stock->has));
	if (!stock->reach || !stock->up || !stock->behind || !stock->has)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a run");
	*out = stock;
	stock = NULL;
	return TK_OK;
}

void
tk_stock_cleanup(struct tk_stock **slot)
{
	struct tk_stock *stock = *slot;

	if (!stock)
		return;
	*slot = NULL;
	(void)pthread_cond_destroy(&stock->changed);
	(void)pthread_mutex_destroy(&stock->lock);
	free(stock->items);
	free(stock->held);
	free(stock->reach);
	free(stock->up);
	free(stock->behind);
	free(stock->has);
	free(stock);
}

/* ---- under the lock: what may leave ---- */

static bool *
held_of(const struct tk_stock *stock, size_t item)
{
	return stock->held + item * stock->opts.site_count;
}

static bool
judge(struct tk_stock *stock, const bool *has)
{
	bool met = false, safe = false;

	stock->opts.judge(stock->opts.judge_ctx, has, stock->opts.site_count, &met, &safe);
	return met;
}

/* A site that is out of reach counts for nothing: nobody knows whether it comes back. */
static bool
held_by_all(const struct tk_stock *stock, const bool *held, bool also_behind)
{
	bool all = true, any = false;

	for (size_t i = 0; i < stock->opts.site_count; i++) {
		all &= held[i] || !stock->up[i] || (stock->behind[i] && !also_behind);
		any |= held[i] && stock->up[i];
	}
	return all && any;
}

static bool
held_by_enough(struct tk_stock *stock, const bool *held)
{
	if (!stock->rule_in_reach)
		return held_by_all(stock, held, true);
	for (size_t i = 0; i < stock->opts.site_count; i++)
		stock->has[i] = held[i] && stock->up[i];
	return judge(stock, stock->has);
}

enum turn { TURN_OLD, TURN_ALL, TURN_ENOUGH, TURNS };

static bool
may_leave(struct tk_stock *stock, size_t item, enum turn turn)
{
	const struct item *it = &stock->items[item];
	const bool *held = held_of(stock, item);

	if (!it->here || it->kind == TK_STOCK_KEPT)
		return false;
	if (turn == TURN_OLD || it->kind == TK_STOCK_OLD)
		return turn == TURN_OLD && it->kind == TK_STOCK_OLD;
	return held_by_enough(stock, held) && (turn == TURN_ENOUGH || held_by_all(stock, held, false));
}

static enum tk_rc
leave(struct tk_stock *stock, size_t item, struct tk_err *err)
{
	struct item *it = &stock->items[item];
	enum tk_rc rc = it->kind == TK_STOCK_OLD ? tk_spool_remove(stock->opts.spool, &it->name, err) :
						   tk_spool_send_away(stock->opts.spool, &it->name, err);

	if (rc)
		return rc;
	it->here = false;
	stock->here_bytes -= it->len_bytes;
	for (size_t i = 0; i < stock->opts.site_count && it->kind != TK_STOCK_OLD; i++)
		stock->behind[i] |= stock->up[i] && !held_of(stock, item)[i];
	return TK_OK;
}

/* Lets packs leave until no more than bound_bytes are left, as far as they may. */
static enum tk_rc
shrink(struct tk_stock *stock, uint64_t bound_bytes, enum turn last, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	while (stock->first_here < stock->count && !stock->items[stock->first_here].here)
		stock->first_here++;
	for (int turn = 0; turn <= (int)last; turn++)
		for (size_t i = stock->first_here; i < stock->count && stock->here_bytes > bound_bytes && !rc; i++)
			if (may_leave(stock, i, (enum turn)turn))
				rc = leave(stock, i, err);
	return rc;
}

static bool
is_lost(const struct tk_stock *stock, size_t item)
{
	const struct item *it = &stock->items[item];
	bool any = it->here || !it->used;

	for (size_t i = 0; i < stock->opts.site_count; i++)
		any |= held_of(stock, item)[i] && stock->up[i];
	return !any;
}

static void
note_lost(struct tk_stock *stock)
{
	size_t lost = 0;

	if (stock->lost.rc)
		return;
	for (size_t i = 0; i < stock->count; i++)
		lost += is_lost(stock, i);
	if (lost > 0)
		(void)tk_err_set(&stock->lost, TK_EUNREACH,
				 "%zu packs of this run had left the full spool for sites that have failed since; the next run goes on with what still can be had: %s",
				 lost, stock->last_failure.text);
}

/* ---- packs ---- */

static enum tk_rc
grow(struct tk_stock *stock, struct tk_err *err)
{
	size_t cap = stock->cap ? stock->cap * 2 : 64;
	struct item *items;
	bool *held;

	if (stock->count < stock->cap)
		return TK_OK;
	items = realloc(stock->items, cap * sizeof(*items));
	if (items)
		stock->items = items;
	held = realloc(stock->held, cap * stock->opts.site_count * sizeof(*held) + 1);
	if (held)
		stock->held = held;
	if (!items || !held)
		return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a run");
	stock->cap = cap;
	return TK_OK;
}

static enum tk_rc
add_locked(struct tk_stock *stock, const struct item *model, const bool *held, size_t *item, struct tk_err *err)
{
	enum tk_rc rc = grow(stock, err);

	if (rc)
		return rc;
	*item = stock->count++;
	stock->items[*item] = *model;
	for (size_t i = 0; i < stock->opts.site_count; i++)
		held_of(stock, *item)[i] = held && held[i];
	if (model->here)
		stock->here_bytes += model->len_bytes;
	return TK_OK;
}

enum tk_rc
tk_stock_add(struct tk_stock *stock, enum tk_stock_kind kind, const struct tk_pack_name *name, uint64_t len_bytes, size_t *item, struct tk_err *err)
{
	const struct item model = {.name = *name, .len_bytes = (uint32_t)len_bytes, .kind = (uint8_t)kind, .here = true,
				   .sent = kind != TK_STOCK_LEFT, .used = kind == TK_STOCK_NEW};
	enum tk_rc rc;

	if (len_bytes > UINT32_MAX)
		return tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes in the spool", (unsigned long long)len_bytes);
	pthread_mutex_lock(&stock->lock);
	rc = add_locked(stock, &model, NULL, item, err);
	pthread_mutex_unlock(&stock->lock);
	return rc;
}

enum tk_rc
tk_stock_add_away(struct tk_stock *stock, const struct tk_pack_name *name, uint64_t len_bytes, const bool *held, size_t *item, struct tk_err *err)
{
	const struct item model = {.name = *name, .len_bytes = (uint32_t)len_bytes, .kind = TK_STOCK_LEFT, .sent = true};
	enum tk_rc rc;

	pthread_mutex_lock(&stock->lock);
	rc = held_by_enough(stock, held) ? add_locked(stock, &model, held, item, err) :
					   tk_err_set(err, TK_EMISSING, "too few sites in reach hold the pack");
	pthread_mutex_unlock(&stock->lock);
	return rc;
}

void
tk_stock_set_kind(struct tk_stock *stock, size_t item, enum tk_stock_kind kind)
{
	pthread_mutex_lock(&stock->lock);
	stock->items[item].kind = (uint8_t)kind;
	stock->items[item].sent = kind != TK_STOCK_LEFT;
	if (kind == TK_STOCK_LEFT && item < stock->first_unsent)
		stock->first_unsent = item;
	pthread_mutex_unlock(&stock->lock);
}

void
tk_stock_forget(struct tk_stock *stock, size_t item)
{
	pthread_mutex_lock(&stock->lock);
	if (stock->items[item].here)
		stock->here_bytes -= stock->items[item].len_bytes;
	stock->items[item].here = false;
	stock->items[item].used = false;
	pthread_mutex_unlock(&stock->lock);
}

bool
tk_stock_use(struct tk_stock *stock, size_t item)
{
	struct item *it;
	bool send;

	pthread_mutex_lock(&stock->lock);
	it = &stock->items[item];
	it->used = true;
	send = it->here && !it->sent;
	it->sent = true;
	if (is_lost(stock, item))
		note_lost(stock);
	pthread_mutex_unlock(&stock->lock);
	return send;
}

bool
tk_stock_is_used(struct tk_stock *stock, size_t item)
{
	bool used;

	pthread_mutex_lock(&stock->lock);
	used = stock->items[item].used;
	pthread_mutex_unlock(&stock->lock);
	return used;
}

bool
tk_stock_next_unsent(struct tk_stock *stock, size_t *item)
{
	bool found = false;

	pthread_mutex_lock(&stock->lock);
	while (stock->first_unsent < stock->count && !found) {
		struct item *it = &stock->items[stock->first_unsent];

		found = it->here && !it->sent;
		if (found)
			*item = stock->first_unsent;
		it->sent = true;
		stock->first_unsent++;
	}
	pthread_mutex_unlock(&stock->lock);
	return found;
}

bool
tk_stock_is_here(struct tk_stock *stock, size_t item, struct tk_pack_name *name)
{
	bool here;

	pthread_mutex_lock(&stock->lock);
	here = stock->items[item].here;
	*name = stock->items[item].name;
	pthread_mutex_unlock(&stock->lock);
	return here;
}

/* ---- what the sites' workers tell ---- */

static void
set_reach(struct tk_stock *stock, size_t site, enum reach reach, const struct tk_err *why)
{
	pthread_mutex_lock(&stock->lock);
	stock->reach[site] = reach;
	stock->up[site] = reach == SITE_UP;
	stock->rule_in_reach = judge(stock, stock->up);
	if (why) {
		(void)tk_err_set(&stock->last_failure, why->rc, "site %s: %s", stock->opts.sites[site].name, why->text);
		note_lost(stock);
	}
	stock->moves++;
	pthread_cond_broadcast(&stock->changed);
	pthread_mutex_unlock(&stock->lock);
}

void
tk_stock_site_up(struct tk_stock *stock, size_t site)
{
	set_reach(stock, site, SITE_UP, NULL);
}

void
tk_stock_site_down(struct tk_stock *stock, size_t site, const struct tk_err *why)
{
	set_reach(stock, site, SITE_DOWN, why);
}

void
tk_stock_sent(struct tk_stock *stock)
{
	pthread_mutex_lock(&stock->lock);
	stock->moves++;
	pthread_cond_broadcast(&stock->changed);
	pthread_mutex_unlock(&stock->lock);
}

void
tk_stock_held(struct tk_stock *stock, size_t site, const size_t *items, size_t count)
{
	pthread_mutex_lock(&stock->lock);
	for (size_t i = 0; i < count; i++)
		held_of(stock, items[i])[site] = true;
	stock->moves++;
	pthread_cond_broadcast(&stock->changed);
	pthread_mutex_unlock(&stock->lock);
}

bool
tk_stock_wants_flush(struct tk_stock *stock, uint64_t unflushed_bytes)
{
	uint64_t max = stock->opts.max_bytes;
	bool wants;

	pthread_mutex_lock(&stock->lock);
	wants = max > 0 && stock->here_bytes > max / 2 && unflushed_bytes >= max / FLUSH_SHARE;
	pthread_mutex_unlock(&stock->lock);
	return wants;
}

void
tk_stock_trim(struct tk_stock *stock, uint64_t more_bytes)
{
	uint64_t max;

	pthread_mutex_lock(&stock->lock);
	max = stock->opts.max_bytes;
	/* What cannot be removed is removed when the run is tidied up. */
	if (max > 0)
		(void)!shrink(stock, max > more_bytes ? max - more_bytes : 0, TURN_OLD, NULL);
	pthread_mutex_unlock(&stock->lock);
}

/* ---- waiting ---- */

static enum tk_rc
check_locked(const struct tk_stock *stock, struct tk_err *err)
{
	bool any = false;

	if (stock->stopped || (stock->opts.cancel && atomic_load(stock->opts.cancel)))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	if (stock->lost.rc)
		return tk_err_set(err, stock->lost.rc, "%s", stock->lost.text);
	for (size_t i = 0; i < stock->opts.site_count; i++)
		any |= stock->reach[i] != SITE_DOWN;
	return any ? TK_OK : tk_err_set(err, TK_EUNREACH, "the spool is full and no site is left to send to: %s", stock->last_failure.text);
}

/* The sites that do not hold the oldest pack of this run which waits in the spool. */
static void
waited_for(const struct tk_stock *stock, char *dst, size_t size)
{
	size_t item = stock->first_here, len = 0;

	while (item < stock->count && (!stock->items[item].here || stock->items[item].kind == TK_STOCK_KEPT))
		item++;
	dst[0] = '\0';
	for (size_t i = 0; i < stock->opts.site_count && item < stock->count && len < size; i++)
		if (stock->reach[i] != SITE_DOWN && !held_of(stock, item)[i])
			len += (size_t)snprintf(dst + len, size - len, "%s%s", len ? ", " : "", stock->opts.sites[i].name);
}

static enum tk_rc
say_timeout(const struct tk_stock *stock, struct tk_err *err)
{
	char names[256];

	waited_for(stock, names, sizeof(names));
	return tk_err_set(err, TK_ETIMEOUT,
			  "the spool is full (%llu MiB) and no pack could leave it for %lld s: waited for site %s; see to the site, or raise spool_max",
			  (unsigned long long)(stock->here_bytes >> 20), (long long)(stock->opts.wait_ms / 1000), names);
}

static void
wait_change(struct tk_stock *stock)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (until.tv_nsec + POLL_NS) / 1000000000;
	until.tv_nsec = (until.tv_nsec + POLL_NS) % 1000000000;
	(void)pthread_cond_timedwait(&stock->changed, &stock->lock, &until);
}

static bool
passed(int64_t since_ns, int64_t span_ms)
{
	return tk_clock_mono_ns() - since_ns >= span_ms * NS_PER_MS;
}

/* Waits until no more than bound_bytes are in the spool. */
static enum tk_rc
wait_locked(struct tk_stock *stock, uint64_t bound_bytes, struct tk_err *err)
{
	int64_t began_ns = tk_clock_mono_ns(), moved_ns = began_ns;
	uint64_t moves = stock->moves;
	bool pressed = false;
	enum tk_rc rc;

	while (!(rc = shrink(stock, bound_bytes, passed(began_ns, stock->opts.grace_ms) ? TURN_ENOUGH : TURN_ALL, err)) &&
	       stock->here_bytes > bound_bytes) {
		if ((rc = check_locked(stock, err)))
			return rc;
		if (!pressed) {
			pressed = true;
			pthread_mutex_unlock(&stock->lock);
			stock->opts.press(stock->opts.press_ctx);
			pthread_mutex_lock(&stock->lock);
			continue;
		}
		if (moves != stock->moves) {
			moves = stock->moves;
			moved_ns = tk_clock_mono_ns();
		}
		if (passed(moved_ns, stock->opts.wait_ms) && passed(began_ns, stock->opts.grace_ms))
			return say_timeout(stock, err);
		wait_change(stock);
	}
	return rc;
}

enum tk_rc
tk_stock_wait_room(struct tk_stock *stock, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&stock->lock);
	if (stock->opts.max_bytes > 0)
		rc = wait_locked(stock, stock->opts.max_bytes, err);
	pthread_mutex_unlock(&stock->lock);
	return rc;
}

enum tk_rc
tk_stock_wait_less(struct tk_stock *stock, struct tk_err *err)
{
	uint64_t max;
	enum tk_rc rc;

	pthread_mutex_lock(&stock->lock);
	max = stock->opts.max_bytes;
	if (max == 0 || max > stock->here_bytes)
		stock->opts.max_bytes = stock->here_bytes > 0 ? stock->here_bytes : 1;
	rc = stock->here_bytes > 0 ? wait_locked(stock, stock->here_bytes - 1, err) :
				     tk_err_set(err, TK_ENOSPC, "the disk is full, and no pack is left that could leave the spool");
	pthread_mutex_unlock(&stock->lock);
	return rc;
}

enum tk_rc
tk_stock_check(struct tk_stock *stock, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&stock->lock);
	rc = stock->lost.rc ? tk_err_set(err, stock->lost.rc, "%s", stock->lost.text) : TK_OK;
	pthread_mutex_unlock(&stock->lock);
	return rc;
}

void
tk_stock_stop(struct tk_stock *stock)
{
	pthread_mutex_lock(&stock->lock);
	stock->stopped = true;
	pthread_cond_broadcast(&stock->changed);
	pthread_mutex_unlock(&stock->lock);
}
