/* site_worker.h -- one thread a site: opens the session and does in order what the run asks of it; the inside of sites.h, for engine/job/sites.c and
 * site_worker.c only.
 *
 * Run and workers meet under the lock of struct tk_sites: the run queues work and signals work_there, a worker reports and signals changed. */
#ifndef TK_JOB_SITE_WORKER_H
#define TK_JOB_SITE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/job/site_marks.h"
#include "engine/job/site_packs.h"
#include "engine/job/sites.h"

enum tk_site_work_kind { WORK_TELL, WORK_VOTE, WORK_CATCH_UP, WORK_PACK, WORK_PUBLISH };

struct tk_site_work {
	enum tk_site_work_kind kind;
	struct tk_site_work *next;
	size_t item;                          /* of the stock */
	uint64_t epoch;
	struct tk_head at;
	struct tk_buf record;                 /* marks, grant or point */
};

struct tk_site_worker {
	struct tk_sites *sites;
	size_t index;
	pthread_t thread;
	bool started;
	struct tk_store *store;               /* the worker's own; set under sites->lock, so that it can be aborted */
	struct tk_site_packs packs;           /* the worker's own */
	struct tk_head caught_up;             /* the worker's own: the newest older point that the site has */

	/* under sites->lock */
	struct tk_site_work *first, *last;
	bool flush_wanted;                    /* once nothing else is to be done */
	bool busy;
	struct tk_site_report report;
	bool telling;                         /* waited for by tk_sites_tell */
	struct tk_site_marks marks;
};

struct tk_sites {
	struct tk_sites_opts opts;
	pthread_mutex_t lock;
	pthread_cond_t work_there;            /* for workers */
	pthread_cond_t changed;               /* for the run */
	bool closing;                         /* no more work comes */
	atomic_bool stop;
	size_t count;
	struct tk_site_worker workers[];
};

/* NULL is allowed. */
void tk_site_work_free(struct tk_site_work *work);
/* The thread: arg is its struct tk_site_worker. Ends once `closing` is set and nothing is queued. */
void *tk_site_worker_main(void *arg);

#endif
