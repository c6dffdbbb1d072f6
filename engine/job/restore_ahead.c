#include "engine/job/restore_ahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/queue.h"
#include "engine/job/restore_core.h"

/* Pages that workers were given, and nobody looked at yet. */
#define PAGES_MAX 64u
/* More than there are pages between the oldest that a worker is at and the newest. */
#define ROWS 1024u
/* Of each file; once a worker writes it, he looks further himself. */
#define BLOBS_A_FILE 8u
/* Segments of a large file whose maps are asked for with it. */
#define SEGMENTS_A_FILE 4u

/* Blobs of small files are small: as many of them as fill the line, and come as late as the last of those that were asked for with them. */
#define WISHES_MAX 48u
#define WISHES_MAX_BYTES ((uint64_t)TK_LOOK_BLOBS << 20)

/* A blob that was asked for, and whose file no worker has begun. */
struct wish {
	size_t page, entry;
	uint32_t plain_bytes;
};

/* How far a page is. */
struct row {
	size_t page;
	size_t entry;                         /* that a worker is at; SIZE_MAX: all are done */
};

struct tk_restore_ahead {
	struct tk_restore *restore;
	struct tk_prefetch *prefetch;
	struct tk_queue *pages;               /* NULL: no look across files */
	pthread_t thread;
	bool started;
	struct tk_blob_ref last;              /* the thread's own: what it asked for last */

	pthread_mutex_t lock;                 /* over what follows */
	pthread_cond_t moved;
	bool stop;
	struct row rows[ROWS];
	struct wish wishes[WISHES_MAX];
	size_t wish_count;
	uint64_t wish_bytes;
	unsigned spare;                       /* blobs that workers at the end of a file do not look ahead any more */
};

void
tk_restore_ahead_want(struct tk_restore_ahead *ahead, struct tk_blob_ref ref, enum tk_blob_type type)
{
	if (ahead)
		tk_prefetch_want(ahead->prefetch, ref, type);
}

/* ---- how far the workers are; under the lock ---- */

static bool
is_begun(const struct tk_restore_ahead *ahead, size_t page, size_t entry)
{
	const struct row *row = &ahead->rows[page % ROWS];

	return row->page > page || (row->page == page && row->entry >= entry);
}

static void
drop_begun(struct tk_restore_ahead *ahead)
{
	size_t kept = 0;

	ahead->wish_bytes = 0;
	for (size_t i = 0; i < ahead->wish_count; i++) {
		if (is_begun(ahead, ahead->wishes[i].page, ahead->wishes[i].entry))
			continue;
		ahead->wish_bytes += ahead->wishes[i].plain_bytes;
		ahead->wishes[kept++] = ahead->wishes[i];
	}
	ahead->wish_count = kept;
}

static bool
is_full(struct tk_restore_ahead *ahead, uint32_t plain_bytes)
{
	drop_begun(ahead);
	return ahead->wish_count == WISHES_MAX || ahead->wish_bytes + plain_bytes > WISHES_MAX_BYTES + ((uint64_t)ahead->spare << 20);
}

void
tk_restore_ahead_at(struct tk_restore_ahead *ahead, size_t page, size_t entry)
{
	if (!ahead || !ahead->pages)
		return;
	pthread_mutex_lock(&ahead->lock);
	ahead->rows[page % ROWS] = (struct row){page, entry};
	pthread_cond_signal(&ahead->moved);
	pthread_mutex_unlock(&ahead->lock);
}

void
tk_restore_ahead_done(struct tk_restore_ahead *ahead, size_t page)
{
	tk_restore_ahead_at(ahead, page, SIZE_MAX);
}

/* ---- the thread ---- */

/* False: too late for this file, or all is over. */
static bool
wait_for_room(struct tk_restore_ahead *ahead, size_t page, size_t entry, uint32_t plain_bytes)
{
	bool in_time;

	pthread_mutex_lock(&ahead->lock);
	while (!ahead->stop && is_full(ahead, plain_bytes))
		pthread_cond_wait(&ahead->moved, &ahead->lock);
	in_time = !ahead->stop && !is_begun(ahead, page, entry);
	if (in_time)
		ahead->wishes[ahead->wish_count++] = (struct wish){page, entry, plain_bytes};
	pthread_mutex_unlock(&ahead->lock);
	return in_time;
}

static bool
is_late(struct tk_restore_ahead *ahead, size_t page, size_t entry)
{
	bool late;

	pthread_mutex_lock(&ahead->lock);
	late = ahead->stop || is_begun(ahead, page, entry);
	pthread_mutex_unlock(&ahead->lock);
	return late;
}

/* What it takes in the cache; one that cannot be told counts as the largest. */
static uint32_t
plain_bytes_of(const struct tk_restore_ahead *ahead, struct tk_blob_ref ref)
{
	struct tk_fetch *fetch = ahead->restore->opts->fetch;
	const struct tk_pack_index *index = NULL;
	uint32_t plain_bytes = TK_BLOB_DATA_MAX;

	if (!tk_fetch_index(fetch, ref.pack, &index, NULL) && ref.blob < index->blob_count)
		plain_bytes = index->blobs[ref.blob].plain_bytes;
	tk_fetch_index_release(fetch, index);
	return plain_bytes;
}

static void
want_extents(struct tk_restore_ahead *ahead, const struct tk_extent *extents, size_t count, size_t page, size_t entry)
{
	unsigned blobs = 0;

	for (size_t i = 0; i < count && blobs < BLOBS_A_FILE; i++) {
		struct tk_blob_ref ref = extents[i].ref;

		if (ref.pack == TK_PACK_NONE || (ref.pack == ahead->last.pack && ref.blob == ahead->last.blob))
			continue;
		if (!wait_for_room(ahead, page, entry, plain_bytes_of(ahead, ref)))
			return;
		ahead->last = ref;
		blobs++;
		tk_restore_ahead_want(ahead, ref, TK_BLOB_DATA);
	}
}

/* What is damaged or missing here is met again by the worker, who tells of it. */
static void
want_segments(struct tk_restore_ahead *ahead, const struct tk_entry *file, size_t page, size_t entry)
{
	const struct tk_restore *restore = ahead->restore;
	struct tk_blob_source source = tk_fetch_source(restore->opts->fetch);
	struct tk_segment *segments = NULL;
	struct tk_extent *extents = NULL;
	size_t count = 0, extent_count = 0;

	if (tk_segments_read(&source, restore->opts->packs, file->segments, file->meta.size_bytes, restore->segment_bytes, &segments, &count, NULL))
		return;
	for (size_t i = 0; i < count && i < SEGMENTS_A_FILE; i++)
		tk_restore_ahead_want(ahead, segments[i].base, TK_BLOB_BASE_MAP);
	if (count > 0 && !is_late(ahead, page, entry) && !tk_segment_extents(&source, restore->opts->packs, &segments[0], &extents, &extent_count, NULL))
		want_extents(ahead, extents, extent_count, page, entry);
	free(extents);
	free(segments);
}

static void
look_at_entry(struct tk_restore_ahead *ahead, const struct tk_entry *file, size_t page, size_t entry)
{
	/* Of a hardlink group one name brings the content, and which one is not known yet. */
	if (file->meta.type != TK_FT_REG || file->hardlink_group || !tk_restore_wants(ahead->restore, file) || is_late(ahead, page, entry))
		return;
	if (file->kind == TK_CONTENT_SEGMENTS)
		want_segments(ahead, file, page, entry);
	else
		want_extents(ahead, file->extents, file->extent_count, page, entry);
}

static void
look_at_page(struct tk_restore_ahead *ahead, const struct tk_page_task *page)
{
	const struct tk_restore_opts *opts = ahead->restore->opts;
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	TK_AUTO(tk_entry_release) struct tk_entry file;
	struct tk_fetched *blob = NULL;
	bool done = false;
	const uint8_t *plain;
	size_t len_bytes;

	tk_entry_init(&file);
	if (is_late(ahead, page->number, SIZE_MAX) || tk_fetch_blob(opts->fetch, page->ref, TK_BLOB_LEAF, &blob, NULL))
		return;
	plain = tk_fetched_data(blob, &len_bytes);
	if (!tk_leaf_open(plain, len_bytes, page->ref.pack, opts->packs, &reader, NULL))
		for (size_t entry = 0; !tk_leaf_next(reader, &file, &done, NULL) && !done; entry++)
			look_at_entry(ahead, &file, page->number, entry);
	tk_fetch_release(opts->fetch, blob);
}

static void *
thread_main(void *arg)
{
	struct tk_restore_ahead *ahead = arg;
	struct tk_page_task *page;

	while ((page = tk_queue_pop(ahead->pages)) != NULL) {
		look_at_page(ahead, page);
		free(page);
	}
	return NULL;
}

void
tk_restore_ahead_page(struct tk_restore_ahead *ahead, const struct tk_page_task *page)
{
	struct tk_page_task *copy = ahead && ahead->pages ? malloc(sizeof(*copy)) : NULL;

	tk_restore_ahead_want(ahead, page->ref, TK_BLOB_LEAF);
	/* Without memory the page is restored all the same. */
	if (!copy)
		return;
	*copy = *page;
	if (!tk_queue_push(ahead->pages, copy))
		free(copy);
}

static enum tk_rc
start(struct tk_restore_ahead *ahead, struct tk_err *err)
{
	enum tk_rc rc = tk_queue_new(PAGES_MAX, &ahead->pages, err);

	if (rc)
		return rc;
	ahead->started = pthread_create(&ahead->thread, NULL, thread_main, ahead) == 0;
	return ahead->started ? TK_OK : tk_err_set(err, TK_ENOMEM, "no thread for reading ahead");
}

enum tk_rc
tk_restore_ahead_new(struct tk_restore *restore, bool across, struct tk_restore_ahead **out, struct tk_err *err)
{
	TK_AUTO(tk_restore_ahead_cleanup) struct tk_restore_ahead *ahead = NULL;
	enum tk_rc rc;

	*out = NULL;
	if (!tk_fetch_is_remote(restore->opts->fetch))
		return TK_OK;
	ahead = calloc(1, sizeof(*ahead));
	if (!ahead)
		return tk_err_set(err, TK_ENOMEM, "no memory for reading ahead");
	(void)pthread_mutex_init(&ahead->lock, NULL);
	(void)pthread_cond_init(&ahead->moved, NULL);
	ahead->restore = restore;
	ahead->last.pack = TK_PACK_NONE;
	if (across && restore->opts->path_count == 0)
		tk_fetch_in_order(restore->opts->fetch);
	if ((rc = tk_prefetch_new(restore->opts->fetch, &ahead->prefetch, err)) || (across && (rc = start(ahead, err))))
		return rc;
	if (across)
		tk_prefetch_want_indexes(ahead->prefetch, restore->opts->packs, restore->opts->point->packs, restore->opts->point->pack_count);
	*out = ahead;
	ahead = NULL;
	return TK_OK;
}

void
tk_restore_ahead_cleanup(struct tk_restore_ahead **slot)
{
	struct tk_restore_ahead *ahead = *slot;

	if (!ahead)
		return;
	*slot = NULL;
	pthread_mutex_lock(&ahead->lock);
	ahead->stop = true;
	pthread_cond_broadcast(&ahead->moved);
	pthread_mutex_unlock(&ahead->lock);
	if (ahead->pages)
		tk_queue_close(ahead->pages);
	if (ahead->started)
		(void)pthread_join(ahead->thread, NULL);
	tk_queue_free(ahead->pages);
	tk_prefetch_cleanup(&ahead->prefetch);
	(void)pthread_cond_destroy(&ahead->moved);
	(void)pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

/* ---- within a file ---- */

void
tk_reach_begin(struct tk_reach *reach, const struct tk_restore_worker *worker, const struct tk_extent *first, size_t stride, size_t count)
{
	unsigned workers = worker->restore->opts->threads ? worker->restore->opts->threads : 1;

	memset(reach, 0, sizeof(*reach));
	reach->ahead = worker->restore->ahead;
	reach->first = first;
	reach->stride = stride;
	reach->count = count;
	reach->last.pack = TK_PACK_NONE;
	reach->mark_max = workers < TK_LOOK_BLOBS ? TK_LOOK_BLOBS / workers : 1;
}

static void
drop_passed(struct tk_reach *reach, size_t i)
{
	unsigned passed = 0;

	while (passed < reach->mark_count && reach->marks[passed] <= i)
		passed++;
	reach->mark_count -= passed;
	memmove(reach->marks, reach->marks + passed, reach->mark_count * sizeof(reach->marks[0]));
}

static void
set_spare(struct tk_reach *reach, unsigned spare)
{
	if (!reach->ahead || spare == reach->spare)
		return;
	pthread_mutex_lock(&reach->ahead->lock);
	reach->ahead->spare += spare - reach->spare;
	pthread_cond_signal(&reach->ahead->moved);
	pthread_mutex_unlock(&reach->ahead->lock);
	reach->spare = spare;
}

void
tk_reach_end(struct tk_reach *reach)
{
	set_spare(reach, 0);
}

void
tk_reach_at(struct tk_reach *reach, size_t i)
{
	drop_passed(reach, i);
	for (; reach->ahead && reach->next < reach->count && reach->mark_count < reach->mark_max; reach->next++) {
		const struct tk_extent *extent = (const void *)((const char *)reach->first + reach->next * reach->stride);

		if (extent->ref.pack == TK_PACK_NONE || (extent->ref.pack == reach->last.pack && extent->ref.blob == reach->last.blob))
			continue;
		reach->last = extent->ref;
		/* The one that is used now its reader asks for himself. */
		if (reach->next <= i)
			continue;
		reach->marks[reach->mark_count++] = reach->next;
		tk_restore_ahead_want(reach->ahead, extent->ref, TK_BLOB_DATA);
	}
	/* Else the line would run dry at the end of each large file, for a round trip. */
	if (reach->next == reach->count && reach->count > reach->mark_max)
		set_spare(reach, reach->mark_max - reach->mark_count);
}
