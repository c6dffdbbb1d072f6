#include "engine/job/fetch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/job/fetch_load.h"
#include "engine/job/fetch_points.h"

/* What restore reads ahead (restore_ahead.h), what its workers hold, and what they just left. */
#define DATA_CACHE_DEFAULT_BYTES (32u << 20)
#define META_CACHE_DEFAULT_BYTES (24u << 20)
#define INDEX_CACHE_BYTES (8u << 20)
/* Pages lie in a pack in the order of the tree. From a distant site they come by the dozen: a round trip costs more than so many bytes. */
#define NEAR_BYTES (256u << 10)
#define NEAR_BLOBS 128u
/* So do small blobs of data, where all of it is wanted: a dozen requests of so much each fill a line of 400 Mbit/s over 100 ms. */
#define DATA_RUN_BYTES (512u << 10)
#define TABLE_SLOTS 4096u
/* Buffers of evicted blobs are used again from this size on: fresh memory costs a page fault for every 4 KiB. */
#define SPARE_BYTES_MIN (256u << 10)
#define SPARES_MAX 4

/* Given up: it came along with another blob, or should have; who wants it asks for it anew. It is not in the table any more. */
enum item_state { ITEM_LOADING, ITEM_READY, ITEM_FAILED, ITEM_GIVEN_UP };

/* Data passes by and must not push out pages, which are read again and again. */
enum shelf_name { SHELF_DATA, SHELF_META, SHELF_INDEX, SHELVES };

/* A blob or a pack index in the cache: loaded by one thread, waited for by the others. */
struct tk_fetched {
	struct tk_blob_ref ref;               /* blob == INDEX_BLOB: the index of the pack */
	enum tk_blob_type type;               /* what it was asked for as */
	enum item_state state;
	unsigned holders;
	struct tk_buf plain;
	struct tk_pack_index *index;
	size_t cost_bytes;                    /* of memory, once ready */
	struct tk_err failure;
	struct tk_fetched *next_in_slot;
	struct tk_fetched *older, *newer;     /* by last use, among those of its shelf that nobody holds */
};

#define INDEX_BLOB UINT32_MAX

struct shelf {
	struct tk_fetched *oldest, *newest;
	size_t used_bytes, max_bytes;
};

struct tk_fetch {
	struct tk_fetch_opts opts;
	struct tk_loads *loads;
	pthread_mutex_t lock;
	pthread_cond_t loaded;
	struct tk_fetched *slots[TABLE_SLOTS];
	struct shelf shelves[SHELVES];
	struct tk_buf spares[SPARES_MAX];
	size_t spare_count;
	struct tk_known_points *known;
	atomic_bool in_order;                 /* data is read in the order of packs */
};

static size_t
slot_of(struct tk_blob_ref ref)
{
	return (ref.pack * 2654435761u ^ ref.blob * 40503u) % TABLE_SLOTS;
}

/* ---- cache bookkeeping; all under the lock ---- */

static struct shelf *
shelf_of(struct tk_fetch *fetch, const struct tk_fetched *item)
{
	if (item->ref.blob == INDEX_BLOB)
		return &fetch->shelves[SHELF_INDEX];
	return &fetch->shelves[item->type == TK_BLOB_DATA ? SHELF_DATA : SHELF_META];
}

static void
lru_remove(struct shelf *shelf, struct tk_fetched *item)
{
	*(item->older ? &item->older->newer : &shelf->oldest) = item->newer;
	*(item->newer ? &item->newer->older : &shelf->newest) = item->older;
	item->older = item->newer = NULL;
}

static void
lru_push(struct shelf *shelf, struct tk_fetched *item)
{
	item->older = shelf->newest;
	item->newer = NULL;
	*(shelf->newest ? &shelf->newest->newer : &shelf->oldest) = item;
	shelf->newest = item;
}

/* As the next one to leave. */
static void
lru_push_oldest(struct shelf *shelf, struct tk_fetched *item)
{
	item->newer = shelf->oldest;
	item->older = NULL;
	*(shelf->oldest ? &shelf->oldest->older : &shelf->newest) = item;
	shelf->oldest = item;
}

static void
free_item(struct tk_fetched *item)
{
	tk_buf_release(&item->plain);
	tk_pack_index_cleanup(&item->index);
	free(item);
}

static void
unlist_item(struct tk_fetch *fetch, const struct tk_fetched *item)
{
	struct tk_fetched **at = &fetch->slots[slot_of(item->ref)];

	while (*at != item)
		at = &(*at)->next_in_slot;
	*at = item->next_in_slot;
}

static void
drop_item(struct tk_fetch *fetch, struct tk_fetched *item)
{
	unlist_item(fetch, item);
	shelf_of(fetch, item)->used_bytes -= item->cost_bytes;
	if (item->type == TK_BLOB_DATA && item->plain.cap_bytes >= SPARE_BYTES_MIN && fetch->spare_count < SPARES_MAX) {
		fetch->spares[fetch->spare_count++] = item->plain;
		tk_buf_init(&item->plain, 0);
	}
	free_item(item);
}

static void
evict(struct tk_fetch *fetch, struct shelf *shelf)
{
	while (shelf->oldest && shelf->used_bytes > shelf->max_bytes) {
		struct tk_fetched *item = shelf->oldest;

		lru_remove(shelf, item);
		drop_item(fetch, item);
	}
}

static struct tk_fetched *
find_item(struct tk_fetch *fetch, struct tk_blob_ref ref)
{
	struct tk_fetched *item = fetch->slots[slot_of(ref)];

	while (item && (item->ref.pack != ref.pack || item->ref.blob != ref.blob))
		item = item->next_in_slot;
	return item;
}

static void
let_go(struct tk_fetch *fetch, struct tk_fetched *item, bool spent)
{
	struct shelf *shelf = shelf_of(fetch, item);

	if (--item->holders > 0)
		return;
	if (item->state == ITEM_GIVEN_UP) {
		free_item(item);
		return;
	}
	if (item->state == ITEM_FAILED) {
		drop_item(fetch, item);
		return;
	}
	(spent ? lru_push_oldest : lru_push)(shelf, item);
	evict(fetch, shelf);
}

/* ---- loading ---- */

static size_t
index_cost(const struct tk_pack_index *index)
{
	return sizeof(*index) + index->blob_count * (sizeof(*index->blobs) + sizeof(*index->ref_start)) +
		index->name_count * sizeof(*index->names) + index->ref_start[index->blob_count] * sizeof(*index->refs);
}

static enum tk_rc
load_index(struct tk_fetch *fetch, struct tk_fetched *item, struct tk_err *err)
{
	enum tk_rc rc = tk_load_index(fetch->loads, item->ref.pack, &item->index, err);

	if (!rc)
		item->cost_bytes = index_cost(item->index);
	return rc;
}

static enum tk_rc get_index(struct tk_fetch *fetch, uint32_t pack, struct tk_fetched **out, struct tk_err *err);
static enum tk_rc new_item(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out, struct tk_err *err);

/* ---- a page with its neighbours ---- */

struct near {
	uint32_t first, count;
	struct tk_fetched *items[NEAR_BLOBS]; /* those that this thread loads; NULL: somebody has them */
	struct tk_buf *plain[NEAR_BLOBS];
};

static bool
is_near(const struct tk_pack_index *index, uint32_t blob)
{
	const struct tk_blob_info *info = &index->blobs[blob];

	return info->type == TK_BLOB_LEAF || info->type == TK_BLOB_NODE || info->type == TK_BLOB_SEGMENT_NODE || info->type == TK_BLOB_BASE_MAP ||
	       info->type == TK_BLOB_OVERLAY_MAP;
}

static bool
touch(const struct tk_pack_index *index, uint32_t blob)
{
	return index->blobs[blob].offset_bytes + index->blobs[blob].sealed_bytes == index->blobs[blob + 1].offset_bytes;
}

/* The data that follows. */
static void
choose_run(const struct tk_pack_index *index, uint32_t blob, struct near *near)
{
	uint64_t bytes = index->blobs[blob].sealed_bytes;
	uint32_t end = blob + 1;

	while (end < index->blob_count && end - blob < NEAR_BLOBS && index->blobs[end].type == TK_BLOB_DATA && touch(index, end - 1) &&
	       bytes + index->blobs[end].sealed_bytes <= DATA_RUN_BYTES)
		bytes += index->blobs[end++].sealed_bytes;
	near->first = blob;
	near->count = end - blob;
}

/* The blobs around this one, a quarter of the bytes before it and the rest behind it. */
static void
choose_near(const struct tk_pack_index *index, uint32_t blob, struct near *near)
{
	const struct tk_blob_info *blobs = index->blobs;
	uint64_t bytes = blobs[blob].sealed_bytes;
	uint32_t end = blob + 1;

	if (blobs[blob].type == TK_BLOB_DATA) {
		choose_run(index, blob, near);
		return;
	}
	near->first = blob;
	while (near->first > 0 && end - near->first < NEAR_BLOBS / 4 && is_near(index, near->first - 1) &&
	       touch(index, near->first - 1) &&
	       bytes + blobs[near->first - 1].sealed_bytes <= NEAR_BYTES / 4)
		bytes += blobs[--near->first].sealed_bytes;
	while (end < index->blob_count && end - near->first < NEAR_BLOBS && is_near(index, end) && touch(index, end - 1) && bytes + blobs[end].sealed_bytes <= NEAR_BYTES)
		bytes += blobs[end++].sealed_bytes;
	near->count = end - near->first;
}

/* The neighbours that nobody has are this thread's to load, too. What stands at the ends and is had already is left out. */
static void
claim_near(struct tk_fetch *fetch, struct tk_fetched *item, const struct tk_pack_index *index, struct near *near)
{
	uint32_t first = item->ref.blob, end = first + 1;

	memset(near, 0, sizeof(*near));
	choose_near(index, item->ref.blob, near);
	pthread_mutex_lock(&fetch->lock);
	for (uint32_t blob = near->first; blob < near->first + near->count; blob++) {
		struct tk_blob_ref ref = {item->ref.pack, blob};
		struct tk_fetched *own = item;

		if (blob != item->ref.blob && (find_item(fetch, ref) || new_item(fetch, ref, index->blobs[blob].type, &own, NULL)))
			continue;
		near->items[blob - near->first] = own;
		near->plain[blob - near->first] = &own->plain;
		first = blob < first ? blob : first;
		end = blob + 1 > end ? blob + 1 : end;
	}
	pthread_mutex_unlock(&fetch->lock);
	memmove(near->items, near->items + (first - near->first), (end - first) * sizeof(near->items[0]));
	memmove(near->plain, near->plain + (first - near->first), (end - first) * sizeof(near->plain[0]));
	near->first = first;
	near->count = end - first;
}

/* Neighbours that did not come, whatever the reason, are asked for by themselves when they are needed. */
static void
settle_near(struct tk_fetch *fetch, const struct tk_fetched *item, const struct near *near)
{
	pthread_mutex_lock(&fetch->lock);
	for (uint32_t i = 0; i < near->count; i++) {
		struct tk_fetched *own = near->items[i];

		if (!own || own == item)
			continue;
		if (own->plain.len_bytes > 0) {
			own->state = ITEM_READY;
			own->cost_bytes = sizeof(*own) + own->plain.cap_bytes;
			shelf_of(fetch, own)->used_bytes += own->cost_bytes;
		} else {
			own->state = ITEM_GIVEN_UP;
			unlist_item(fetch, own);
		}
		let_go(fetch, own, false);
	}
	pthread_cond_broadcast(&fetch->loaded);
	pthread_mutex_unlock(&fetch->lock);
}

static enum tk_rc
load_near(struct tk_fetch *fetch, struct tk_fetched *item, const struct tk_pack_index *index, struct tk_err *err)
{
	struct near near;
	struct tk_err why;
	enum tk_rc rc;

	claim_near(fetch, item, index, &near);
	rc = tk_load_run(fetch->loads, index, item->ref.pack, near.first, near.count, near.plain, item->ref.blob, &why);
	settle_near(fetch, item, &near);
	/* By itself it says what is wrong with it, and is not lost with a neighbour. */
	return rc ? tk_load_blob(fetch->loads, index, item->ref, &item->plain, err) : TK_OK;
}

/* ---- what is asked for ---- */

static enum tk_rc
load_blob(struct tk_fetch *fetch, struct tk_fetched *item, struct tk_err *err)
{
	struct tk_fetched *index = NULL;
	enum tk_blob_type found;
	enum tk_rc rc = get_index(fetch, item->ref.pack, &index, err);

	if (rc)
		return rc;
	found = item->ref.blob < index->index->blob_count ? index->index->blobs[item->ref.blob].type : 0;
	if (found != item->type)
		rc = tk_err_set(err, TK_ECORRUPT, "a reference to a blob of another type (%d, not %d)", (int)found, (int)item->type);
	else if ((is_near(index->index, item->ref.blob) || (item->type == TK_BLOB_DATA && atomic_load(&fetch->in_order))) && tk_fetch_is_remote(fetch))
		rc = load_near(fetch, item, index->index, err);
	else
		rc = tk_load_blob(fetch->loads, index->index, item->ref, &item->plain, err);
	item->cost_bytes = sizeof(*item) + item->plain.cap_bytes;
	tk_fetch_release(fetch, index);
	return rc;
}

static enum tk_rc
new_item(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out, struct tk_err *err)
{
	struct tk_fetched *item = calloc(1, sizeof(*item));

	if (!item)
		return tk_err_set(err, TK_ENOMEM, "no memory for a blob");
	item->ref = ref;
	item->type = type;
	item->holders = 1;
	if (type == TK_BLOB_DATA && fetch->spare_count > 0)
		item->plain = fetch->spares[--fetch->spare_count];
	item->plain.max_bytes = TK_BLOB_META_MAX;
	item->next_in_slot = fetch->slots[slot_of(ref)];
	fetch->slots[slot_of(ref)] = item;
	*out = item;
	return TK_OK;
}

/* This thread loads it; the lock is not held meanwhile. */
static void
fill_item(struct tk_fetch *fetch, struct tk_fetched *item)
{
	struct tk_err failure;
	enum tk_rc rc;

	pthread_mutex_unlock(&fetch->lock);
	rc = item->ref.blob == INDEX_BLOB ? load_index(fetch, item, &failure) : load_blob(fetch, item, &failure);
	pthread_mutex_lock(&fetch->lock);
	item->state = rc ? ITEM_FAILED : ITEM_READY;
	if (rc)
		item->failure = failure;
	shelf_of(fetch, item)->used_bytes += item->cost_bytes;
	evict(fetch, shelf_of(fetch, item));
	pthread_cond_broadcast(&fetch->loaded);
}

static enum tk_rc
failure_of(const struct tk_fetched *item, enum tk_blob_type type, struct tk_err *err)
{
	if (item->state == ITEM_READY)
		return tk_err_set(err, TK_ECORRUPT, "a reference to a blob of another type (%d, not %d)", (int)item->type, (int)type);
	if (err)
		*err = item->failure;
	return item->failure.rc;
}

/* Gives the item held; loads it if nobody did. */
static enum tk_rc
get_item(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out, struct tk_err *err)
{
	struct tk_fetched *item;
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&fetch->lock);
	while ((item = find_item(fetch, ref)) != NULL) {
		if (item->holders++ == 0)
			lru_remove(shelf_of(fetch, item), item);
		while (item->state == ITEM_LOADING)
			pthread_cond_wait(&fetch->loaded, &fetch->lock);
		if (item->state != ITEM_GIVEN_UP)
			break;
		let_go(fetch, item, false);
	}
	if (!item && !(rc = new_item(fetch, ref, type, &item, err)))
		fill_item(fetch, item);
	if (!rc && (item->state == ITEM_FAILED || item->type != type)) {
		rc = failure_of(item, type, err);
		let_go(fetch, item, false);
	} else if (!rc) {
		*out = item;
	}
	pthread_mutex_unlock(&fetch->lock);
	return rc;
}

static enum tk_rc
get_index(struct tk_fetch *fetch, uint32_t pack, struct tk_fetched **out, struct tk_err *err)
{
	return get_item(fetch, (struct tk_blob_ref){pack, INDEX_BLOB}, 0, out, err);
}

/* ---- the interface ---- */

void
tk_fetch_in_order(struct tk_fetch *fetch)
{
	atomic_store(&fetch->in_order, true);
}

enum tk_rc
tk_fetch_index(struct tk_fetch *fetch, uint32_t pack, const struct tk_pack_index **out, struct tk_err *err)
{
	struct tk_fetched *item;
	enum tk_rc rc = get_index(fetch, pack, &item, err);

	if (!rc)
		*out = item->index;
	return rc;
}

void
tk_fetch_index_release(struct tk_fetch *fetch, const struct tk_pack_index *index)
{
	uint32_t pack;

	if (!index)
		return;
	/* The name was interned when the index was asked for: this cannot fail. */
	if (tk_packtab_intern(fetch->opts.packs, &index->head.name, &pack, NULL))
		return;
	pthread_mutex_lock(&fetch->lock);
	let_go(fetch, find_item(fetch, (struct tk_blob_ref){pack, INDEX_BLOB}), false);
	pthread_mutex_unlock(&fetch->lock);
}

enum tk_rc
tk_fetch_blob(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out, struct tk_err *err)
{
	if (ref.pack == TK_PACK_NONE || ref.blob == INDEX_BLOB)
		return tk_err_set(err, TK_ECORRUPT, "a reference to nothing");
	return get_item(fetch, ref, type, out, err);
}

struct tk_blob_ref
tk_fetched_ref(const struct tk_fetched *blob)
{
	return blob->ref;
}

const uint8_t *
tk_fetched_data(const struct tk_fetched *blob, size_t *len_bytes)
{
	*len_bytes = blob->plain.len_bytes;
	return blob->plain.data;
}

void
tk_fetch_hold(struct tk_fetch *fetch, struct tk_fetched *blob)
{
	pthread_mutex_lock(&fetch->lock);
	blob->holders++;
	pthread_mutex_unlock(&fetch->lock);
}

static void
release(struct tk_fetch *fetch, struct tk_fetched *blob, bool spent)
{
	if (!blob)
		return;
	pthread_mutex_lock(&fetch->lock);
	let_go(fetch, blob, spent);
	pthread_mutex_unlock(&fetch->lock);
}

void
tk_fetch_release(struct tk_fetch *fetch, struct tk_fetched *blob)
{
	release(fetch, blob, false);
}

void
tk_fetch_release_spent(struct tk_fetch *fetch, struct tk_fetched *blob)
{
	release(fetch, blob, true);
}

void
tk_fetch_warm(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type)
{
	struct tk_fetched *item;

	if (ref.pack == TK_PACK_NONE || ref.blob == INDEX_BLOB)
		return;
	pthread_mutex_lock(&fetch->lock);
	item = find_item(fetch, ref);
	if (item && item->holders == 0) {
		lru_remove(shelf_of(fetch, item), item);
		lru_push(shelf_of(fetch, item), item);
	} else if (!item && !new_item(fetch, ref, type, &item, NULL)) {
		fill_item(fetch, item);
		let_go(fetch, item, false);
	}
	pthread_mutex_unlock(&fetch->lock);
}

enum tk_rc
tk_fetch_prove(struct tk_fetch *fetch, const struct tk_pack_index *index, uint32_t first, uint32_t count, bool *sound, struct tk_err *err)
{
	return tk_load_prove(fetch->loads, index, first, count, sound, err);
}

void
tk_fetch_warm_index(struct tk_fetch *fetch, uint32_t pack)
{
	struct tk_fetched *index;
	struct tk_err why;

	/* What is wrong with it is told to who asks for it. */
	if (!get_index(fetch, pack, &index, &why))
		tk_fetch_release(fetch, index);
}

static enum tk_rc
source_read(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err)
{
	struct tk_fetch *fetch = ctx;
	struct tk_fetched *blob;
	enum tk_rc rc = tk_fetch_blob(fetch, ref, type, &blob, err);

	if (rc)
		return rc;
	tk_buf_clear(plain);
	rc = tk_buf_put(plain, blob->plain.data, blob->plain.len_bytes, err);
	tk_fetch_release(fetch, blob);
	return rc;
}

static enum tk_rc
source_type(void *ctx, struct tk_blob_ref ref, enum tk_blob_type *type, struct tk_err *err)
{
	struct tk_fetch *fetch = ctx;
	const struct tk_pack_index *index = NULL;
	enum tk_rc rc = tk_fetch_index(fetch, ref.pack, &index, err);

	if (rc)
		return rc;
	if (ref.blob < index->blob_count)
		*type = index->blobs[ref.blob].type;
	else
		rc = tk_err_set(err, TK_ECORRUPT, "a reference to a blob that its pack does not have");
	tk_fetch_index_release(fetch, index);
	return rc;
}

struct tk_blob_source
tk_fetch_source(struct tk_fetch *fetch)
{
	return (struct tk_blob_source){.ctx = fetch, .read = source_read, .type = source_type};
}

enum tk_rc
tk_fetch_with_session(struct tk_fetch *fetch, size_t site, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *), void *arg,
		      struct tk_err *err)
{
	return tk_load_call(fetch->loads, site, call, arg, err);
}

struct tk_known_points *
tk_fetch_known_points(struct tk_fetch *fetch)
{
	return fetch->known;
}

void
tk_fetch_open_more(struct tk_fetch *fetch)
{
	tk_sessions_open_more(tk_loads_sessions(fetch->loads));
}

void
tk_fetch_move_sessions(struct tk_fetch *from, size_t from_site, struct tk_fetch *to, size_t to_site)
{
	struct tk_store *store;

	while ((store = tk_sessions_take(tk_loads_sessions(from->loads), from_site)) != NULL)
		tk_sessions_give(tk_loads_sessions(to->loads), to_site, store);
}

bool
tk_fetch_is_remote(const struct tk_fetch *fetch)
{
	return tk_loads_remote(fetch->loads);
}

uint64_t
tk_fetch_bytes(const struct tk_fetch *fetch)
{
	return tk_loads_bytes(fetch->loads);
}

bool
tk_fetch_site_used(const struct tk_fetch *fetch, size_t site)
{
	return tk_sessions_used(tk_loads_sessions(fetch->loads), site);
}

bool
tk_fetch_site_failed(const struct tk_fetch *fetch, size_t site)
{
	return tk_sessions_failed(tk_loads_sessions(fetch->loads), site);
}

enum tk_rc
tk_fetch_new(const struct tk_fetch_opts *opts, struct tk_fetch **out, struct tk_err *err)
{
	TK_AUTO(tk_fetch_cleanup) struct tk_fetch *fetch = calloc(1, sizeof(*fetch));
	enum tk_rc rc;

	if (!fetch)
		return tk_err_set(err, TK_ENOMEM, "no memory for reading from sites");
	fetch->opts = *opts;
	fetch->shelves[SHELF_DATA].max_bytes = opts->cache_bytes ? opts->cache_bytes : DATA_CACHE_DEFAULT_BYTES;
	fetch->shelves[SHELF_META].max_bytes = opts->cache_bytes ? opts->cache_bytes : META_CACHE_DEFAULT_BYTES;
	fetch->shelves[SHELF_INDEX].max_bytes = INDEX_CACHE_BYTES;
	(void)pthread_mutex_init(&fetch->lock, NULL);
	(void)pthread_cond_init(&fetch->loaded, NULL);
	if ((rc = tk_loads_new(&fetch->opts, &fetch->loads, err)) || (rc = tk_known_points_new(&fetch->known, err)))
		return rc;
	*out = fetch;
	fetch = NULL;
	return TK_OK;
}

void
tk_fetch_cleanup(struct tk_fetch **slot)
{
	struct tk_fetch *fetch = *slot;

	if (!fetch)
		return;
	*slot = NULL;
	for (size_t i = 0; i < TABLE_SLOTS; i++) {
		while (fetch->slots[i]) {
			struct tk_fetched *item = fetch->slots[i];

			fetch->slots[i] = item->next_in_slot;
			free_item(item);
		}
	}
	for (size_t i = 0; i < fetch->spare_count; i++)
		tk_buf_release(&fetch->spares[i]);
	tk_known_points_cleanup(&fetch->known);
	tk_loads_cleanup(&fetch->loads);
	(void)pthread_cond_destroy(&fetch->loaded);
	(void)pthread_mutex_destroy(&fetch->lock);
	free(fetch);
}
