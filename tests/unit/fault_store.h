/* fault_store.h -- a session around another one that fails, hangs or lies as a test asks. */
#ifndef TK_TESTS_FAULT_STORE_H
#define TK_TESTS_FAULT_STORE_H

#include <stdatomic.h>

#include "engine/vault/store.h"

/* What goes wrong at a site; shared by all its sessions, changed by the test at any time. TK_OK and 0: nothing. */
struct fault_plan {
	_Atomic(enum tk_rc) open_rc, put_rc, publish_rc, get_rc;
	atomic_uint put_after;             /* so many packs are taken before put_rc counts */
	atomic_uint delay_ms;              /* before each put_pack and publish */
	atomic_uint get_delay_ms;          /* before each get_range */
	atomic_bool flip;                  /* ranges come back with a bit turned */
	atomic_bool forge;                 /* receipts are signed by another key */
	atomic_uint behind_after;          /* once so many publishes and votes were answered, the vault says that it is behind; 0: never */

	atomic_uint break_at;              /* this call of state, put_pack, flush or publish finds the connection broken; 0: none */
	atomic_bool break_late;            /* the site does what it was asked, only its answer is lost */

	atomic_uint calls;                 /* of those four */
	atomic_uint puts, publishes, gets; /* calls that came */
	atomic_uint getting, most_getting; /* calls of get_range at the same time: now, and at most */
	atomic_uint promises;              /* answered publishes and votes */
};

/* Wraps *store (owned from now on). */
void fault_store_wrap(struct fault_plan *plan, struct tk_store **store);

#endif
