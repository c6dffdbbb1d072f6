/* fetch_sessions.h -- idle sessions with each site, and which sites still answer; for fetch.c. Any thread. */
#ifndef TK_JOB_FETCH_SESSIONS_H
#define TK_JOB_FETCH_SESSIONS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/vault/store.h"

struct tk_sessions;
TK_MUST_CHECK enum tk_rc tk_sessions_new(const struct tk_site *sites, size_t count, struct tk_sessions **out, struct tk_err *err);
void tk_sessions_cleanup(struct tk_sessions **sessions);

/*
 * Calls `call` on a session with site `site`. A session that broke is tried once more with a fresh one; when that breaks too the site counts as failed. Errors: those of
 * call; TK_EUNREACH and TK_ETIMEOUT mean the site is out.
 */
TK_MUST_CHECK enum tk_rc tk_sessions_call(struct tk_sessions *sessions, size_t site,
					  enum tk_rc (*call)(struct tk_store *store, void *arg, struct tk_err *err), void *arg, struct tk_err *err);
bool tk_sessions_failed(const struct tk_sessions *sessions, size_t site);
bool tk_sessions_used(const struct tk_sessions *sessions, size_t site);

#endif
