#include "transport/rate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS_MAX 256u
#define CALLER_BYTES 64
#define MINUTE_NS INT64_C(60000000000)

struct caller {
	char name[CALLER_BYTES];
	unsigned count;
};

struct tk_rate {
	pthread_mutex_t lock;
	unsigned per_caller, total;
	int64_t minute_ns;           /* when the present minute began */
	unsigned count;              /* of all callers in it */
	struct caller callers[CALLERS_MAX];
	unsigned caller_count;
};

enum tk_rc
tk_rate_new(unsigned per_caller, unsigned total, struct tk_rate **out, struct tk_err *err)
{
	struct tk_rate *rate = calloc(1, sizeof(*rate));

	if (!rate || pthread_mutex_init(&rate->lock, NULL)) {
		free(rate);
		return tk_err_set(err, TK_ENOMEM, "no memory for a rate limit");
	}
	rate->per_caller = per_caller;
	rate->total = total;
	rate->minute_ns = INT64_MIN;
	*out = rate;
	return TK_OK;
}

void
tk_rate_free(struct tk_rate *rate)
{
	if (!rate)
		return;
	pthread_mutex_destroy(&rate->lock);
	free(rate);
}

/* NULL when the table is full: then nobody new is served in this minute. */
static struct caller *
caller_find(struct tk_rate *rate, const char *name)
{
	struct caller *caller;

	for (unsigned i = 0; i < rate->caller_count; i++)
		if (strncmp(rate->callers[i].name, name, CALLER_BYTES - 1) == 0)
			return &rate->callers[i];
	if (rate->caller_count == CALLERS_MAX)
		return NULL;
	caller = &rate->callers[rate->caller_count++];
	(void)snprintf(caller->name, sizeof(caller->name), "%s", name);
	caller->count = 0;
	return caller;
}

bool
tk_rate_allow(struct tk_rate *rate, const char *caller, int64_t now_ns)
{
	struct caller *entry;
	bool allowed = false;

	pthread_mutex_lock(&rate->lock);
	if (rate->minute_ns == INT64_MIN || now_ns - rate->minute_ns >= MINUTE_NS) {
		rate->minute_ns = now_ns;
		rate->count = 0;
		rate->caller_count = 0;
	}
	entry = caller_find(rate, caller);
	if (entry && entry->count < rate->per_caller && rate->count < rate->total) {
		entry->count++;
		rate->count++;
		allowed = true;
	}
	pthread_mutex_unlock(&rate->lock);
	return allowed;
}
