#include "engine/job/fetch_sessions.h"

#include <pthread.h>
#include <stdlib.h>

#define IDLE_MAX 16

struct site_slot {
	const struct tk_site *site;
	struct tk_store *idle[IDLE_MAX];
	size_t idle_count;
	atomic_bool failed;
	atomic_bool used;
};

struct tk_sessions {
	pthread_mutex_t lock;
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
	sessions->count = count;
	for (size_t i = 0; i < count; i++)
		sessions->slots[i].site = &sites[i];
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
		for (size_t k = 0; k < sessions->slots[i].idle_count; k++)
			tk_store_cleanup(&sessions->slots[i].idle[k]);
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
	if (slot->idle_count < IDLE_MAX) {
		slot->idle[slot->idle_count++] = store;
		store = NULL;
	}
	pthread_mutex_unlock(&sessions->lock);
	tk_store_cleanup(&store);
}

static bool
session_died(enum tk_rc rc)
{
	return rc == TK_EUNREACH || rc == TK_ETIMEOUT || rc == TK_EPROTO;
}

static enum tk_rc
call_once(struct tk_sessions *sessions, struct site_slot *slot, struct tk_store *store, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *),
	  void *arg, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (!store && (rc = slot->site->open(slot->site, &store, err)))
		return rc;
	rc = call(store, arg, err);
	if (session_died(rc)) {
		tk_store_cleanup(&store);
		return rc;
	}
	atomic_store(&slot->used, true);
	give_back(sessions, slot, store);
	return rc;
}

enum tk_rc
tk_sessions_call(struct tk_sessions *sessions, size_t site, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *), void *arg,
		 struct tk_err *err)
{
	struct site_slot *slot = &sessions->slots[site];
	struct tk_store *idle;
	enum tk_rc rc;

	if (atomic_load(&slot->failed))
		return tk_err_set(err, TK_EUNREACH, "site %s failed before", slot->site->name);
	idle = take_idle(sessions, slot);
	rc = call_once(sessions, slot, idle, call, arg, err);
	/* An idle session may have been closed meanwhile; a new one that fails says how it is, and is not waited for twice. */
	if (idle && session_died(rc) && !atomic_load(&slot->failed))
		rc = call_once(sessions, slot, NULL, call, arg, err);
	if (session_died(rc) || rc == TK_EDENIED)
		atomic_store(&slot->failed, true);
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
