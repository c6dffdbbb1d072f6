#include "engine/job/prefetch.h"

#include <pthread.h>
#include <stdlib.h>

#include "engine/base/queue.h"

#define INDEXES_MAX 4u

/* type 0: the index of ref.pack. */
struct wish {
	struct tk_blob_ref ref;
	enum tk_blob_type type;
};

struct tk_prefetch {
	struct tk_fetch *fetch;
	struct tk_queue *wishes;
	atomic_bool stop;
	pthread_t threads[TK_PREFETCH_THREADS];
	unsigned thread_count;
};

static void *
thread_main(void *arg)
{
	struct tk_prefetch *prefetch = arg;
	struct wish *wish;

	while ((wish = tk_queue_pop(prefetch->wishes)) != NULL) {
		if (!atomic_load(&prefetch->stop) && !wish->type)
			tk_fetch_warm_index(prefetch->fetch, wish->ref.pack);
		else if (!atomic_load(&prefetch->stop))
			tk_fetch_warm(prefetch->fetch, wish->ref, wish->type);
		free(wish);
	}
	return NULL;
}

enum tk_rc
tk_prefetch_new(struct tk_fetch *fetch, struct tk_prefetch **out, struct tk_err *err)
{
	TK_AUTO(tk_prefetch_cleanup) struct tk_prefetch *prefetch = calloc(1, sizeof(*prefetch));
	enum tk_rc rc;

	if (!prefetch)
		return tk_err_set(err, TK_ENOMEM, "no memory for reading ahead");
	prefetch->fetch = fetch;
	if ((rc = tk_queue_new(2 * TK_PREFETCH_AHEAD, &prefetch->wishes, err)))
		return rc;
	for (; prefetch->thread_count < TK_PREFETCH_THREADS; prefetch->thread_count++)
		if (pthread_create(&prefetch->threads[prefetch->thread_count], NULL, thread_main, prefetch))
			return tk_err_set(err, TK_ENOMEM, "no thread for reading ahead");
	*out = prefetch;
	prefetch = NULL;
	return TK_OK;
}

void
tk_prefetch_want(struct tk_prefetch *prefetch, struct tk_blob_ref ref, enum tk_blob_type type)
{
	struct wish *wish = malloc(sizeof(*wish));

	/* Without memory it is loaded when it is asked for. */
	if (!wish)
		return;
	*wish = (struct wish){ref, type};
	if (!tk_queue_push(prefetch->wishes, wish))
		free(wish);
}

void
tk_prefetch_want_indexes(struct tk_prefetch *prefetch, struct tk_packtab *packs, const struct tk_pack_ident *idents, size_t count)
{
	struct tk_blob_ref ref = {0};

	for (size_t i = 0; i < count && i < INDEXES_MAX; i++)
		if (!tk_packtab_intern(packs, &idents[i].name, &ref.pack, NULL))
			tk_prefetch_want(prefetch, ref, (enum tk_blob_type)0);
}

void
tk_prefetch_cleanup(struct tk_prefetch **slot)
{
	struct tk_prefetch *prefetch = *slot;

	if (!prefetch)
		return;
	*slot = NULL;
	atomic_store(&prefetch->stop, true);
	if (prefetch->wishes)
		tk_queue_close(prefetch->wishes);
	for (unsigned i = 0; i < prefetch->thread_count; i++)
		(void)pthread_join(prefetch->threads[i], NULL);
	tk_queue_free(prefetch->wishes);
	free(prefetch);
}
