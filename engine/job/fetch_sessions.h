/* fetch_sessions.h -- idle sessions with each site, which sites still answer, and how fast; for fetch_load.c. Any thread. Threads that call
 * a site at the same time have a session each, up to TK_SESSIONS_MAX: one more waits. */
#ifndef TK_JOB_FETCH_SESSIONS_H
#define TK_JOB_FETCH_SESSIONS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/vault/store.h"

/* A site bears a few dozen sessions for all its sources, and refuses what comes then. */
#define TK_SESSIONS_MAX 16u

struct tk_sessions;
TK_MUST_CHECK enum tk_rc tk_sessions_new(const struct tk_site *sites, size_t count, struct tk_sessions **out, struct tk_err *err);
void tk_sessions_cleanup(struct tk_sessions **sessions);

/*
 * The site that should have len_bytes here soonest, by what is being asked of each now and how fast it answered before; where that says little, the one at `prefer` or the next
 * after it. tried: a flag a site, those that need not be looked at. SIZE_MAX: none is left that answers.
 */
size_t tk_sessions_choose(struct tk_sessions *sessions, size_t prefer, const bool *tried, uint64_t len_bytes);

/*
 * Calls `call` on a session with site `site`. len_bytes is about what the answer will carry: the site's load meanwhile, and what its speed is measured by. A session that broke is tried once more with a fresh one; when that breaks too the site counts as failed. Errors: those of
 * call; TK_EUNREACH and TK_ETIMEOUT mean the site is out.
 */
TK_MUST_CHECK enum tk_rc tk_sessions_call(struct tk_sessions *sessions, size_t site, uint64_t len_bytes,
					  enum tk_rc (*call)(struct tk_store *store, void *arg, struct tk_err *err), void *arg, struct tk_err *err);
/* Opens further sessions in the background with each site behind a network that did not fail; once. Not called by two threads at a time. */
void tk_sessions_open_more(struct tk_sessions *sessions);
/* For tk_fetch_move_sessions: a session that nobody uses just now, or NULL; takes one over. */
struct tk_store *tk_sessions_take(struct tk_sessions *sessions, size_t site);
void tk_sessions_give(struct tk_sessions *sessions, size_t site, struct tk_store *store);

bool tk_sessions_failed(const struct tk_sessions *sessions, size_t site);
bool tk_sessions_used(const struct tk_sessions *sessions, size_t site);

#endif
