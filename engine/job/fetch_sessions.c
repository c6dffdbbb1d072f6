#include "engine/job/fetch_sessions.h"

#include <pthread.h>
#include <stdlib.h>

#include "engine/base/clock.h"

/* A call has its fixed cost, and counts as at least so long. */
#define CALL_BYTES_MIN 65536u
/* What was measured may have changed: after so long without a call a site counts as twice as fast, and so on, until it is asked again. */
#define DOUBT_NS 1000000000ll
/* Another site than the preferred one must be so much sooner: reading forward is worth something, and measures are rough. */
#define BETTER_BY 1.15

/* Opened in the background: at a MiB each, with what is under way to the first one, a line of 100 Mbit/s is full over 100 ms of round trip. */
#define MORE_SESSIONS 7u

struct site_slot {
	const struct tk_site *site;
	struct tk_sessions *sessions;
	pthread_t openers[MORE_SESSIONS];
	unsigned opener_count;
	struct tk_store *idle[TK_SESSIONS_MAX];
	size_t idle_count;
	size_t call_count;         /* calls under way, with a session each; under the lock */
	atomic_bool failed;
	atomic_bool used;
	/* Under the lock: */
	uint64_t asked_bytes;      /* by calls that are under way */
	double ns_a_byte;          /* of late; 0: not known */
	int64_t measured_ns;       /* when that was */
};

struct tk_sessions {
	pthread_mutex_t lock;
	pthread_cond_t call_ended;
	size_t count;
	struct site_slot slots[];
};

enum tk_rc
tk_sessions_new(const struct tk_site *sites, size_t count, struct tk_sessions **out, struct tk_err *err)
{
	struct tk_sessions *sessions = calloc(1, sizeof(*sessions) + count * sizeof(sessions->slots[0]));

	if (!sessions)
		return tk_err_set(err, TK_ENOMEM, "no memory for sessions");
	(void)pthread_mutex_init(&sessions->lock, NULL);
	(void)pthread_cond_init(&sessions->call_ended, NULL);
	sessions->count = count;
	for (size_t i = 0; i < count; i++)
		sessions->slots[i] = (struct site_slot){.site = &sites[i], .sessions = sessions};
	*out = sessions;
	return TK_OK;
}

void
tk_sessions_cleanup(struct tk_sessions **slot)
{
	struct tk_sessions *sessions = *slot;

	if (!sessions)
		return;
	for (size_t i = 0; i < sessions->count; i++)
		for (unsigned k = 0; k < sessions->slots[i].opener_count; k++)
			(void)pthread_join(sessions->slots[i].openers[k], NULL);
	for (size_t i = 0; i < sessions->count; i++)
		for (size_t k = 0; k < sessions->slots[i].idle_count; k++)
			tk_store_cleanup(&sessions->slots[i].idle[k]);
	(void)pthread_cond_destroy(&sessions->call_ended);
	(void)pthread_mutex_destroy(&sessions->lock);
	free(sessions);
	*slot = NULL;
}

static struct tk_store *
take_idle(struct tk_sessions *sessions, struct site_slot *slot)
{
	struct tk_store *store = NULL;

	pthread_mutex_lock(&sessions->lock);
	if (slot->idle_count > 0)
		store = slot->idle[--slot->idle_count];
	pthread_mutex_unlock(&sessions->lock);
	return store;
}

static void
give_back(struct tk_sessions *sessions, struct site_slot *slot, struct tk_store *store)
{
	pthread_mutex_lock(&sessions->lock);
	/* Whoever gives back is among those that call. */
	if (slot->idle_count < TK_SESSIONS_MAX && slot->idle_count + slot->call_count <= TK_SESSIONS_MAX) {
		slot->idle[slot->idle_count++] = store;
		store = NULL;
	}
	pthread_mutex_unlock(&sessions->lock);
	tk_store_cleanup(&store);
}

/* A session that cannot be opened now is opened by who needs it, and says why then. */
static void *
opener_main(void *arg)
{
	struct site_slot *slot = arg;
	struct tk_store *store = NULL;
	struct tk_err err;

	if (!slot->site->open(slot->site, &store, &err))
		give_back(slot->sessions, slot, store);
	return NULL;
}

void
tk_sessions_open_more(struct tk_sessions *sessions)
{
	for (size_t i = 0; i < sessions->count; i++) {
		struct site_slot *slot = &sessions->slots[i];

		if (!slot->site->is_remote || atomic_load(&slot->failed))
			continue;
		while (slot->opener_count < MORE_SESSIONS && !pthread_create(&slot->openers[slot->opener_count], NULL, opener_main, slot))
			slot->opener_count++;
	}
}

struct tk_store *
tk_sessions_take(struct tk_sessions *sessions, size_t site)
{
	return take_idle(sessions, &sessions->slots[site]);
}

void
tk_sessions_give(struct tk_sessions *sessions, size_t site, struct tk_store *store)
{
	if (store)
		give_back(sessions, &sessions->slots[site], store);
}

/* ---- choosing a site; under the lock ---- */

static uint64_t
load_of(uint64_t len_bytes)
{
	return len_bytes < CALL_BYTES_MIN ? CALL_BYTES_MIN : len_bytes;
}

static double
slowest_known(const struct tk_sessions *sessions)
{
	double slowest = 1;

	for (size_t i = 0; i < sessions->count; i++)
		if (sessions->slots[i].ns_a_byte > slowest)
			slowest = sessions->slots[i].ns_a_byte;
	return slowest;
}

/* A site that nobody knows is tried at once, by one call; until that comes back it counts as the slowest. */
static double
expected_ns(const struct tk_sessions *sessions, const struct site_slot *slot, uint64_t len_bytes, int64_t now_ns)
{
	double doubt = slot->call_count > 0 ? 0 : (double)(now_ns - slot->measured_ns) / (double)DOUBT_NS;
	double cost = slot->ns_a_byte / (1 + doubt);

	if (slot->ns_a_byte <= 0 && slot->asked_bytes > 0)
		cost = slowest_known(sessions);
	return cost * (double)(slot->asked_bytes + load_of(len_bytes));
}

size_t
tk_sessions_choose(struct tk_sessions *sessions, size_t prefer, const bool *tried, uint64_t len_bytes)
{
	int64_t now_ns = tk_clock_mono_ns();
	double best_ns = 0;
	size_t best = SIZE_MAX;

	pthread_mutex_lock(&sessions->lock);
	for (size_t i = 0; i < sessions->count; i++) {
		size_t site = (prefer + i) % sessions->count;
		double ns;

		if (tried[site] || atomic_load(&sessions->slots[site].failed))
			continue;
		ns = expected_ns(sessions, &sessions->slots[site], len_bytes, now_ns);
		if (best == SIZE_MAX || ns * BETTER_BY < best_ns) {
			best = site;
			best_ns = ns;
		}
	}
	pthread_mutex_unlock(&sessions->lock);
	return best;
}

/* Gives what the site was asked for at that time, this call's bytes included. */
static uint64_t
call_begins(struct tk_sessions *sessions, struct site_slot *slot, uint64_t len_bytes)
{
	uint64_t asked_bytes;

	pthread_mutex_lock(&sessions->lock);
	slot->asked_bytes += len_bytes;
	while (slot->call_count == TK_SESSIONS_MAX)
		pthread_cond_wait(&sessions->call_ended, &sessions->lock);
	slot->call_count++;
	asked_bytes = slot->asked_bytes;
	pthread_mutex_unlock(&sessions->lock);
	return asked_bytes;
}

/* A call shares the site's line with those that were under way: its time is that of all of them (queue_bytes). */
static void
call_ends(struct tk_sessions *sessions, struct site_slot *slot, uint64_t len_bytes, uint64_t queue_bytes, bool answered, int64_t began_ns)
{
	int64_t now_ns = tk_clock_mono_ns();
	double cost;

	pthread_mutex_lock(&sessions->lock);
	slot->asked_bytes -= len_bytes;
	slot->call_count--;
	pthread_cond_broadcast(&sessions->call_ended);
	if (answered) {
		cost = (double)(now_ns - began_ns) / (double)queue_bytes;
		slot->ns_a_byte = slot->ns_a_byte > 0 ? (3 * slot->ns_a_byte + cost) / 4 : cost;
		slot->measured_ns = now_ns;
	}
	pthread_mutex_unlock(&sessions->lock);
}

static bool
session_died(enum tk_rc rc)
{
	return rc == TK_EUNREACH || rc == TK_ETIMEOUT || rc == TK_EPROTO;
}

static enum tk_rc
call_once(struct tk_sessions *sessions, struct site_slot *slot, struct tk_store *store, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *),
	  void *arg, int64_t *began_ns, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (!store && (rc = slot->site->open(slot->site, &store, err)))
		return rc;
	*began_ns = tk_clock_mono_ns();
	rc = call(store, arg, err);
	if (session_died(rc)) {
		tk_store_cleanup(&store);
		return rc;
	}
	atomic_store(&slot->used, true);
	give_back(sessions, slot, store);
	return rc;
}

static enum tk_rc
call_site(struct tk_sessions *sessions, struct site_slot *slot, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *), void *arg,
	  int64_t *began_ns, struct tk_err *err)
{
	struct tk_store *idle = take_idle(sessions, slot);
	enum tk_rc rc = call_once(sessions, slot, idle, call, arg, began_ns, err);

	/* An idle session may have been closed meanwhile; a new one that fails says how it is, and is not waited for twice. */
	if (idle && session_died(rc) && !atomic_load(&slot->failed))
		rc = call_once(sessions, slot, NULL, call, arg, began_ns, err);
	if (session_died(rc) || rc == TK_EDENIED)
		atomic_store(&slot->failed, true);
	return rc;
}

enum tk_rc
tk_sessions_call(struct tk_sessions *sessions, size_t site, uint64_t len_bytes, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *),
		 void *arg, struct tk_err *err)
{
	struct site_slot *slot = &sessions->slots[site];
	int64_t began_ns = 0;
	uint64_t queue_bytes;
	enum tk_rc rc;

	len_bytes = load_of(len_bytes);
	queue_bytes = call_begins(sessions, slot, len_bytes);
	rc = atomic_load(&slot->failed) ? tk_err_set(err, TK_EUNREACH, "it failed before") : call_site(sessions, slot, call, arg, &began_ns, err);
	call_ends(sessions, slot, len_bytes, queue_bytes, !rc, began_ns);
	return rc ? tk_err_context(err, rc, "site %s", slot->site->name) : TK_OK;
}

bool
tk_sessions_failed(const struct tk_sessions *sessions, size_t site)
{
	return atomic_load(&sessions->slots[site].failed);
}

bool
tk_sessions_used(const struct tk_sessions *sessions, size_t site)
{
	return atomic_load(&sessions->slots[site].used);
}
