#include "engine/job/fetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/fetch_sessions.h"

#define CACHE_DEFAULT_BYTES (48u << 20)
#define INDEXES_MAX 1024u
#define TABLE_SLOTS 4096u
#define TAIL_GUESS_BYTES 65536u
/* Neighbouring blobs come from one site, so that each reads forward. */
#define BLOBS_A_SITE 16u

enum item_state { ITEM_LOADING, ITEM_READY, ITEM_FAILED };

/* A blob or a pack index in the cache: loaded by one thread, waited for by the others. */
struct tk_fetched {
	struct tk_blob_ref ref;               /* blob == UINT32_MAX: the index of the pack */
	enum item_state state;
	unsigned holders;
	struct tk_buf plain;
	struct tk_pack_index *index;
	struct tk_err failure;
	struct tk_fetched *next_in_slot;
	struct tk_fetched *older, *newer;     /* by last use, among those nobody holds */
};

#define INDEX_BLOB UINT32_MAX

struct tk_fetch {
	struct tk_fetch_opts opts;
	struct tk_sessions *sessions;
	pthread_mutex_t lock;
	pthread_cond_t loaded;
	struct tk_fetched *slots[TABLE_SLOTS];
	struct tk_fetched *oldest, *newest;
	size_t cached_bytes, cached_indexes;
	struct tk_opener *openers[64];        /* idle ones */
	size_t opener_count;
	atomic_uint_fast64_t fetched_bytes;
};

static size_t
slot_of(struct tk_blob_ref ref)
{
	return (ref.pack * 2654435761u ^ ref.blob * 40503u) % TABLE_SLOTS;
}

/* ---- cache bookkeeping; all under the lock ---- */

static void
lru_remove(struct tk_fetch *fetch, struct tk_fetched *item)
{
	*(item->older ? &item->older->newer : &fetch->oldest) = item->newer;
	*(item->newer ? &item->newer->older : &fetch->newest) = item->older;
	item->older = item->newer = NULL;
}

static void
lru_push(struct tk_fetch *fetch, struct tk_fetched *item)
{
	item->older = fetch->newest;
	item->newer = NULL;
	*(fetch->newest ? &fetch->newest->newer : &fetch->oldest) = item;
	fetch->newest = item;
}

static void
free_item(struct tk_fetched *item)
{
	tk_buf_release(&item->plain);
	tk_pack_index_cleanup(&item->index);
	free(item);
}

static void
unlink_item(struct tk_fetch *fetch, struct tk_fetched *item)
{
	struct tk_fetched **at = &fetch->slots[slot_of(item->ref)];

	while (*at != item)
		at = &(*at)->next_in_slot;
	*at = item->next_in_slot;
	fetch->cached_bytes -= item->plain.len_bytes;
	if (item->index)
		fetch->cached_indexes--;
}

static void
evict(struct tk_fetch *fetch)
{
	struct tk_fetched *item = fetch->oldest;

	while (item && (fetch->cached_bytes > fetch->opts.cache_bytes || fetch->cached_indexes > INDEXES_MAX)) {
		struct tk_fetched *newer = item->newer;
		bool of_use = item->index ? fetch->cached_indexes > INDEXES_MAX : fetch->cached_bytes > fetch->opts.cache_bytes;

		if (of_use) {
			lru_remove(fetch, item);
			unlink_item(fetch, item);
			free_item(item);
		}
		item = newer;
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
let_go(struct tk_fetch *fetch, struct tk_fetched *item)
{
	if (--item->holders > 0)
		return;
	if (item->state == ITEM_FAILED) {
		unlink_item(fetch, item);
		free_item(item);
		return;
	}
	lru_push(fetch, item);
	evict(fetch);
}

/* ---- reading from sites ---- */

struct range_call {
	const struct tk_pack_name *name;
	uint64_t offset_bytes;
	uint32_t len_bytes;
	struct tk_buf *out;
};

static enum tk_rc
call_range(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct range_call *call = arg;

	tk_buf_clear(call->out);
	return store->ops->get_range(store, call->name, call->offset_bytes, call->len_bytes, call->out, err);
}

struct index_call {
	const struct tk_pack_name *name;
	const struct tk_domain_keys *keys;
	struct tk_pack_index **out;
};

static enum tk_rc
call_index(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct index_call *call = arg;
	TK_AUTO(tk_buf_release) struct tk_buf header = {0}, tail = {0};
	uint64_t size = 0;
	uint32_t footer_bytes = 0, want;
	enum tk_rc rc;

	if ((rc = store->ops->pack_size(store, call->name, &size, err)))
		return rc;
	if (size < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes", (unsigned long long)size);
	want = size < TAIL_GUESS_BYTES ? (uint32_t)size : TAIL_GUESS_BYTES;
	if ((rc = store->ops->get_range(store, call->name, 0, TK_PACK_HEADER_BYTES, &header, err)) ||
	    (rc = store->ops->get_range(store, call->name, size - want, want, &tail, err)) ||
	    (rc = tk_pack_footer_bytes(tail.data + tail.len_bytes - TK_PACK_TRAILER_BYTES, size, &footer_bytes, err)))
		return rc;
	if (footer_bytes + TK_PACK_TRAILER_BYTES > want) {
		want = footer_bytes + TK_PACK_TRAILER_BYTES;
		tk_buf_clear(&tail);
		if ((rc = store->ops->get_range(store, call->name, size - want, want, &tail, err)))
			return rc;
	}
	rc = tk_pack_index_read(call->keys, header.data, tail.data, tail.len_bytes, size, call->out, err);
	if (!rc && memcmp(&(*call->out)->head.name, call->name, sizeof(*call->name)) != 0) {
		tk_pack_index_cleanup(call->out);
		return tk_err_set(err, TK_ECORRUPT, "the pack has another name inside");
	}
	return rc;
}

/* Tries the sites one after another, beginning with one chosen by the blob's place. check (may be NULL) looks at what came. */
static enum tk_rc
try_sites(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *), void *arg,
	  enum tk_rc (*check)(void *ctx, struct tk_err *err), void *check_ctx, struct tk_err *err)
{
	size_t count = fetch->opts.site_count, first = count ? (ref.pack + ref.blob / BLOBS_A_SITE) % count : 0;
	enum tk_rc worst = TK_EUNREACH;
	struct tk_err each, last;

	(void)tk_err_set(&last, TK_EUNREACH, "no site is reachable");
	for (size_t i = 0; i < count; i++) {
		size_t site = (first + i) % count;
		enum tk_rc rc;

		if (tk_sessions_failed(fetch->sessions, site))
			continue;
		rc = tk_sessions_call(fetch->sessions, site, call, arg, &each);
		if (!rc && check && (rc = check(check_ctx, &each)))
			rc = tk_err_context(&each, rc, "site %s", fetch->opts.sites[site].name);
		if (!rc)
			return TK_OK;
		if (rc == TK_ENOMEM || rc == TK_EKEY || rc == TK_ECANCELLED) {
			if (err)
				*err = each;
			return rc;
		}
		if (fetch->opts.on_fault)
			fetch->opts.on_fault(fetch->opts.ctx, fetch->opts.sites[site].name, &each);
		/* What one site says of the bytes weighs more than another's silence. */
		if (worst == TK_EUNREACH || rc == TK_ECORRUPT) {
			worst = rc;
			last = each;
		}
	}
	if (worst == TK_ENOENT)
		worst = last.rc = TK_EMISSING;
	if (worst == TK_ETIMEOUT)
		worst = last.rc = TK_EUNREACH;
	if (err)
		*err = last;
	return worst;
}

/* ---- loading ---- */

static struct tk_opener *
take_opener(struct tk_fetch *fetch)
{
	struct tk_opener *opener = NULL;

	pthread_mutex_lock(&fetch->lock);
	if (fetch->opener_count > 0)
		opener = fetch->openers[--fetch->opener_count];
	pthread_mutex_unlock(&fetch->lock);
	return opener;
}

static void
give_opener(struct tk_fetch *fetch, struct tk_opener *opener)
{
	pthread_mutex_lock(&fetch->lock);
	if (fetch->opener_count < sizeof(fetch->openers) / sizeof(fetch->openers[0])) {
		fetch->openers[fetch->opener_count++] = opener;
		opener = NULL;
	}
	pthread_mutex_unlock(&fetch->lock);
	tk_opener_cleanup(&opener);
}

/* What is damaged or missing is told by the pack's name too: it is a file at the site. */
static enum tk_rc
name_pack(enum tk_rc rc, const struct tk_pack_name *name, struct tk_err *err)
{
	char hex[2 * sizeof(name->b) + 1];

	if (rc != TK_ECORRUPT && rc != TK_EMISSING && rc != TK_EIO)
		return rc;
	tk_hex_encode(name->b, sizeof(name->b), hex);
	return tk_err_context(err, rc, "pack %.16s", hex);
}

static enum tk_rc
load_index(struct tk_fetch *fetch, struct tk_fetched *item, struct tk_err *err)
{
	struct tk_pack_name name = tk_packtab_name(fetch->opts.packs, item->ref.pack);
	struct index_call call = {&name, fetch->opts.keys, &item->index};

	return name_pack(try_sites(fetch, (struct tk_blob_ref){item->ref.pack, 0}, call_index, &call, NULL, NULL, err), &name, err);
}

struct open_call {
	struct tk_opener *opener;
	const struct tk_pack_index *index;
	uint32_t blob;
	const struct tk_buf *sealed;
	struct tk_buf *plain;
};

static enum tk_rc
check_open(void *ctx, struct tk_err *err)
{
	const struct open_call *call = ctx;

	return tk_open_blob(call->opener, call->index, call->blob, call->sealed->data, call->sealed->len_bytes, call->plain, err);
}

static enum tk_rc
load_blob(struct tk_fetch *fetch, struct tk_fetched *item, struct tk_err *err)
{
	struct tk_pack_name name = tk_packtab_name(fetch->opts.packs, item->ref.pack);
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = take_opener(fetch);
	const struct tk_pack_index *index = NULL;
	enum tk_rc rc;

	if ((!opener && (rc = tk_opener_new(&opener, err))) || (rc = tk_fetch_index(fetch, item->ref.pack, &index, err)))
		return rc;
	if (item->ref.blob >= index->blob_count) {
		rc = tk_err_set(err, TK_ECORRUPT, "a reference to a blob that its pack does not have");
	} else {
		const struct tk_blob_info *info = &index->blobs[item->ref.blob];
		struct range_call range = {&name, info->offset_bytes, info->sealed_bytes, &sealed};
		struct open_call open = {opener, index, item->ref.blob, &sealed, &item->plain};

		rc = name_pack(try_sites(fetch, item->ref, call_range, &range, check_open, &open, err), &name, err);
		atomic_fetch_add(&fetch->fetched_bytes, info->sealed_bytes);
	}
	tk_fetch_index_release(fetch, index);
	give_opener(fetch, opener);
	opener = NULL;
	return rc;
}

static enum tk_rc
new_item(struct tk_fetch *fetch, struct tk_blob_ref ref, struct tk_fetched **out, struct tk_err *err)
{
	struct tk_fetched *item = calloc(1, sizeof(*item));

	if (!item)
		return tk_err_set(err, TK_ENOMEM, "no memory for a blob");
	item->ref = ref;
	item->holders = 1;
	tk_buf_init(&item->plain, TK_BLOB_META_MAX);
	item->next_in_slot = fetch->slots[slot_of(ref)];
	fetch->slots[slot_of(ref)] = item;
	*out = item;
	return TK_OK;
}

/* Gives the item held; loads it if nobody did. */
static enum tk_rc
get_item(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_rc (*load)(struct tk_fetch *, struct tk_fetched *, struct tk_err *),
	 struct tk_fetched **out, struct tk_err *err)
{
	struct tk_fetched *item;
	struct tk_err failure;
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&fetch->lock);
	item = find_item(fetch, ref);
	if (item) {
		if (item->holders++ == 0)
			lru_remove(fetch, item);
		while (item->state == ITEM_LOADING)
			pthread_cond_wait(&fetch->loaded, &fetch->lock);
	} else {
		if ((rc = new_item(fetch, ref, &item, err))) {
			pthread_mutex_unlock(&fetch->lock);
			return rc;
		}
		pthread_mutex_unlock(&fetch->lock);
		rc = load(fetch, item, &failure);
		pthread_mutex_lock(&fetch->lock);
		item->state = rc ? ITEM_FAILED : ITEM_READY;
		if (rc)
			item->failure = failure;
		fetch->cached_bytes += item->plain.len_bytes;
		fetch->cached_indexes += item->index ? 1 : 0;
		pthread_cond_broadcast(&fetch->loaded);
	}
	if (item->state == ITEM_FAILED) {
		rc = item->failure.rc;
		if (err)
			*err = item->failure;
		let_go(fetch, item);
	} else {
		*out = item;
	}
	pthread_mutex_unlock(&fetch->lock);
	return rc;
}

/* ---- the interface ---- */

enum tk_rc
tk_fetch_index(struct tk_fetch *fetch, uint32_t pack, const struct tk_pack_index **out, struct tk_err *err)
{
	struct tk_fetched *item;
	enum tk_rc rc = get_item(fetch, (struct tk_blob_ref){pack, INDEX_BLOB}, load_index, &item, err);

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
	let_go(fetch, find_item(fetch, (struct tk_blob_ref){pack, INDEX_BLOB}));
	pthread_mutex_unlock(&fetch->lock);
}

enum tk_rc
tk_fetch_blob(struct tk_fetch *fetch, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_fetched **out, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	enum tk_blob_type found;
	enum tk_rc rc;

	if (ref.pack == TK_PACK_NONE || ref.blob == INDEX_BLOB)
		return tk_err_set(err, TK_ECORRUPT, "a reference to nothing");
	if ((rc = tk_fetch_index(fetch, ref.pack, &index, err)))
		return rc;
	found = ref.blob < index->blob_count ? index->blobs[ref.blob].type : 0;
	tk_fetch_index_release(fetch, index);
	if (found != type)
		return tk_err_set(err, TK_ECORRUPT, "a reference to a blob of another type (%d, not %d)", (int)found, (int)type);
	return get_item(fetch, ref, load_blob, out, err);
}

const uint8_t *
tk_fetched_data(const struct tk_fetched *blob, size_t *len_bytes)
{
	*len_bytes = blob->plain.len_bytes;
	return blob->plain.data;
}

void
tk_fetch_release(struct tk_fetch *fetch, struct tk_fetched *blob)
{
	if (!blob)
		return;
	pthread_mutex_lock(&fetch->lock);
	let_go(fetch, blob);
	pthread_mutex_unlock(&fetch->lock);
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
	if (site != SIZE_MAX)
		return tk_sessions_call(fetch->sessions, site, call, arg, err);
	return try_sites(fetch, (struct tk_blob_ref){0, 0}, call, arg, NULL, NULL, err);
}

struct list_call {
	const struct tk_id *domain;
	struct tk_store_point *points;
	size_t count;
};

static enum tk_rc
call_list(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct list_call *call = arg;
	size_t count = 0;
	struct tk_store_point *points = NULL;
	enum tk_rc rc = store->ops->list_points(store, call->domain, &points, &count, err);

	if (rc) {
		free(points);
		return rc;
	}
	call->points = points;
	call->count = count;
	return TK_OK;
}

enum tk_rc
tk_fetch_list_points(struct tk_fetch *fetch, size_t site, const struct tk_id *domain, struct tk_store_point **points, size_t *count, struct tk_err *err)
{
	struct list_call call = {.domain = domain};
	enum tk_rc rc = tk_fetch_with_session(fetch, site, call_list, &call, err);

	*points = call.points;
	*count = call.count;
	return rc;
}

uint64_t
tk_fetch_bytes(const struct tk_fetch *fetch)
{
	return atomic_load(&fetch->fetched_bytes);
}

bool
tk_fetch_site_used(const struct tk_fetch *fetch, size_t site)
{
	return tk_sessions_used(fetch->sessions, site);
}

bool
tk_fetch_site_failed(const struct tk_fetch *fetch, size_t site)
{
	return tk_sessions_failed(fetch->sessions, site);
}

enum tk_rc
tk_fetch_new(const struct tk_fetch_opts *opts, struct tk_fetch **out, struct tk_err *err)
{
	TK_AUTO(tk_fetch_cleanup) struct tk_fetch *fetch = calloc(1, sizeof(*fetch));
	enum tk_rc rc;

	if (!fetch)
		return tk_err_set(err, TK_ENOMEM, "no memory for reading from sites");
	fetch->opts = *opts;
	if (fetch->opts.cache_bytes == 0)
		fetch->opts.cache_bytes = CACHE_DEFAULT_BYTES;
	(void)pthread_mutex_init(&fetch->lock, NULL);
	(void)pthread_cond_init(&fetch->loaded, NULL);
	if ((rc = tk_sessions_new(opts->sites, opts->site_count, &fetch->sessions, err)))
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
	for (size_t i = 0; i < fetch->opener_count; i++)
		tk_opener_cleanup(&fetch->openers[i]);
	tk_sessions_cleanup(&fetch->sessions);
	(void)pthread_cond_destroy(&fetch->loaded);
	(void)pthread_mutex_destroy(&fetch->lock);
	free(fetch);
}
