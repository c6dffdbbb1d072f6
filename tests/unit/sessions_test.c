/* Sessions that many threads share to read from a site. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "engine/job/fetch_sessions.h"

#define THREADS 40
#define CALLS 20

/* A site that counts its sessions. */
struct counted {
	atomic_uint open, most, refused;
	bool down;
};

struct counted_store {
	struct tk_store base;
	struct counted *site;
};

static void
rest(void)
{
	const struct timespec pause = {0, 2000000};

	(void)nanosleep(&pause, NULL);
}

static void
close_store(struct tk_store *store)
{
	atomic_fetch_sub(&((struct counted_store *)store)->site->open, 1);
	free(store);
}

static const struct tk_store_ops counted_ops = {.close = close_store};

static enum tk_rc
open_store(const struct tk_site *site, struct tk_store **out, struct tk_err *err)
{
	struct counted *counted = site->ctx;
	struct counted_store *store;
	unsigned now, most;

	if (counted->down) {
		rest();
		atomic_fetch_add(&counted->refused, 1);
		return tk_err_set(err, TK_EUNREACH, "it is down");
	}
	store = calloc(1, sizeof(*store));
	if (!store)
		return tk_err_set(err, TK_ENOMEM, "no memory");
	store->base.ops = &counted_ops;
	store->site = counted;
	now = atomic_fetch_add(&counted->open, 1) + 1;
	for (most = atomic_load(&counted->most); now > most && !atomic_compare_exchange_weak(&counted->most, &most, now);)
		continue;
	*out = &store->base;
	return TK_OK;
}

static enum tk_rc
work(struct tk_store *store, void *arg, struct tk_err *err)
{
	(void)store;
	(void)arg;
	(void)err;
	rest();
	return TK_OK;
}

struct caller {
	struct tk_sessions *sessions;
	pthread_t thread;
	unsigned served, failed;
};

static void *
call_often(void *arg)
{
	struct caller *caller = arg;

	for (int i = 0; i < CALLS; i++) {
		if (tk_sessions_call(caller->sessions, 0, 1000, work, NULL, NULL))
			caller->failed++;
		else
			caller->served++;
	}
	return NULL;
}

static void
call_from_everywhere(struct tk_sessions *sessions, unsigned *served, unsigned *failed)
{
	struct caller callers[THREADS] = {{0}};

	*served = *failed = 0;
	for (int i = 0; i < THREADS; i++) {
		callers[i].sessions = sessions;
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(callers[i].thread, NULL);
		*served += callers[i].served;
		*failed += callers[i].failed;
	}
}

static void
more_threads_than_a_site_bears_take_turns(void **state)
{
	struct counted counted = {0};
	const struct tk_site site = {.name = "a", .ctx = &counted, .open = open_store};
	struct tk_sessions *sessions = NULL;
	unsigned served, failed;

	(void)state;
	assert_int_equal(tk_sessions_new(&site, 1, &sessions, NULL), TK_OK);
	call_from_everywhere(sessions, &served, &failed);
	assert_int_equal(served, THREADS * CALLS);
	assert_in_range(atomic_load(&counted.most), 2, TK_SESSIONS_MAX);
	tk_sessions_cleanup(&sessions);
	assert_int_equal(atomic_load(&counted.open), 0);
}

static unsigned
wait_for_open(struct counted *counted, unsigned wanted)
{
	for (int i = 0; i < 1000 && atomic_load(&counted->open) < wanted; i++)
		rest();
	return atomic_load(&counted->open);
}

static void
a_distant_site_gets_further_sessions_once(void **state)
{
	struct counted counted[2] = {{0}};
	const struct tk_site sites[] = {{.name = "a", .ctx = &counted[0], .open = open_store, .is_remote = true},
					{.name = "b", .ctx = &counted[1], .open = open_store}};
	struct tk_sessions *sessions = NULL;
	struct tk_store *store;
	unsigned open;

	(void)state;
	assert_int_equal(tk_sessions_new(sites, 2, &sessions, NULL), TK_OK);
	assert_int_equal(tk_sessions_call(sessions, 0, 1000, work, NULL, NULL), TK_OK);
	assert_int_equal(tk_sessions_call(sessions, 1, 1000, work, NULL, NULL), TK_OK);
	assert_int_equal(atomic_load(&counted[0].open), 1);
	tk_sessions_open_more(sessions);
	open = wait_for_open(&counted[0], 8);
	assert_in_range(open, 4, TK_SESSIONS_MAX);
	tk_sessions_open_more(sessions);
	assert_int_equal(wait_for_open(&counted[0], open), open);
	assert_int_equal(atomic_load(&counted[1].open), 1);

	/* One is taken away, and used by somebody else. */
	store = tk_sessions_take(sessions, 1);
	assert_non_null(store);
	assert_null(tk_sessions_take(sessions, 1));
	tk_sessions_give(sessions, 1, store);
	assert_int_equal(tk_sessions_call(sessions, 1, 1000, work, NULL, NULL), TK_OK);
	assert_int_equal(atomic_load(&counted[1].open), 1);
	tk_sessions_cleanup(&sessions);
	assert_int_equal(atomic_load(&counted[0].open) + atomic_load(&counted[1].open), 0);
}

static void
who_waited_for_a_site_that_failed_does_not_try_it_again(void **state)
{
	struct counted counted = {.down = true};
	const struct tk_site site = {.name = "a", .ctx = &counted, .open = open_store};
	struct tk_sessions *sessions = NULL;
	unsigned served, failed;

	(void)state;
	assert_int_equal(tk_sessions_new(&site, 1, &sessions, NULL), TK_OK);
	call_from_everywhere(sessions, &served, &failed);
	assert_int_equal(failed, THREADS * CALLS);
	assert_in_range(atomic_load(&counted.refused), 1, TK_SESSIONS_MAX);
	assert_true(tk_sessions_failed(sessions, 0));
	tk_sessions_cleanup(&sessions);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_threads_than_a_site_bears_take_turns),
		cmocka_unit_test(a_distant_site_gets_further_sessions_once),
		cmocka_unit_test(who_waited_for_a_site_that_failed_does_not_try_it_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
