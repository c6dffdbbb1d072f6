#include "engine/job/fetch_load.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/fetch_sessions.h"

#define TAIL_GUESS_BYTES 65536u
#define TAILS_MAX 16u
/* Neighbouring blobs come from one site if it does not matter, so that each reads forward. */
#define BLOBS_A_SITE 16u
#define IDLE_MAX 64u
#define PACK_SHOWN_DIGITS 16

/* What one thread needs to load a blob. */
struct loader {
	struct tk_opener *opener;
	struct tk_buf sealed;
};

/* The last bytes of a pack, which came along with its footer: in a small pack, or behind the root of a tree, they hold the blobs that are asked for next. */
struct tail {
	struct tk_pack_name name;
	uint64_t at_bytes;
	struct tk_buf bytes;
};

struct tk_loads {
	const struct tk_fetch_opts *opts;
	struct tk_sessions *sessions;
	pthread_mutex_t lock;          /* over tails and idle loaders */
	struct tail tails[TAILS_MAX];
	size_t tail_next;
	struct loader idle[IDLE_MAX];
	size_t idle_count;
	atomic_uint_fast64_t loaded_bytes;
};

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
	struct tk_buf *tail;
};

static enum tk_rc
call_index(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct index_call *call = arg;
	TK_AUTO(tk_buf_release) struct tk_buf header = {0};
	struct tk_buf *tail = call->tail;
	uint64_t size = 0;
	uint32_t footer_bytes = 0, want;
	enum tk_rc rc;

	tk_buf_clear(tail);
	if ((rc = tk_store_get_ends(store, call->name, TAIL_GUESS_BYTES, &size, &header, tail, err)) ||
	    (rc = tk_pack_footer_bytes(tail->data + tail->len_bytes - TK_PACK_TRAILER_BYTES, size, &footer_bytes, err)))
		return rc;
	want = footer_bytes + TK_PACK_TRAILER_BYTES;
	if (want > tail->len_bytes) {
		tk_buf_clear(tail);
		if ((rc = store->ops->get_range(store, call->name, size - want, want, tail, err)))
			return rc;
	}
	rc = tk_pack_index_read(call->keys, header.data, tail->data, tail->len_bytes, size, call->out, err);
	if (!rc && memcmp(&(*call->out)->head.name, call->name, sizeof(*call->name)) != 0) {
		tk_pack_index_cleanup(call->out);
		return tk_err_set(err, TK_ECORRUPT, "the pack has another name inside");
	}
	return rc;
}

/* What is asked of sites: the call, and (may be NULL) a look at what came. */
struct request {
	enum tk_rc (*call)(struct tk_store *store, void *arg, struct tk_err *err);
	void *arg;
	enum tk_rc (*check)(void *ctx, struct tk_err *err);
	void *check_ctx;
	uint64_t len_bytes;            /* about what comes */
	size_t prefer;                 /* the site to begin with, all else equal */
	bool quiet;                    /* a fault is no news: it is asked for in another way then */
};

/* No other site would do better. */
static bool
is_final(enum tk_rc rc)
{
	return rc == TK_ENOMEM || rc == TK_EKEY || rc == TK_ECANCELLED;
}

static enum tk_rc
ask_site(struct tk_loads *loads, size_t site, const struct request *request, struct tk_err *err)
{
	enum tk_rc rc = tk_sessions_call(loads->sessions, site, request->len_bytes, request->call, request->arg, err);

	if (!rc && request->check && (rc = request->check(request->check_ctx, err)))
		rc = tk_err_context(err, rc, "site %s", loads->opts->sites[site].name);
	return rc;
}

/* Asks one site after another until one has it. */
static enum tk_rc
try_sites(struct tk_loads *loads, const struct request *request, struct tk_err *err)
{
	size_t count = loads->opts->site_count, site;
	bool *tried = calloc(count + 1, sizeof(*tried));
	enum tk_rc worst = TK_EUNREACH, rc = tried ? TK_EUNREACH : TK_ENOMEM;
	struct tk_err each, last;

	(void)tk_err_set(&last, rc, tried ? "no site is reachable" : "no memory for reading from sites");
	while (tried && (site = tk_sessions_choose(loads->sessions, request->prefer, tried, request->len_bytes)) != SIZE_MAX) {
		tried[site] = true;
		rc = ask_site(loads, site, request, &each);
		if (!rc || is_final(rc)) {
			worst = rc;
			last = each;
			break;
		}
		if (loads->opts->on_fault && !request->quiet)
			loads->opts->on_fault(loads->opts->ctx, loads->opts->sites[site].name, &each);
		/* What one site says of the bytes weighs more than another's silence. */
		if (worst == TK_EUNREACH || rc == TK_ECORRUPT) {
			worst = rc;
			last = each;
		}
	}
	if (!tried)
		worst = TK_ENOMEM;
	free(tried);
	if (worst == TK_ENOENT)
		worst = last.rc = TK_EMISSING;
	if (worst == TK_ETIMEOUT)
		worst = last.rc = TK_EUNREACH;
	if (worst && err)
		*err = last;
	return worst;
}

static enum tk_rc
loader_take(struct tk_loads *loads, struct loader *out, struct tk_err *err)
{
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&loads->lock);
	if (loads->idle_count > 0)
		*out = loads->idle[--loads->idle_count];
	pthread_mutex_unlock(&loads->lock);
	return out->opener ? TK_OK : tk_opener_new(&out->opener, err);
}

static void
loader_release(struct loader *loader)
{
	tk_opener_cleanup(&loader->opener);
	tk_buf_release(&loader->sealed);
}

static void
loader_give(struct tk_loads *loads, struct loader *loader)
{
	bool kept;

	pthread_mutex_lock(&loads->lock);
	kept = loader->opener && loads->idle_count < IDLE_MAX;
	if (kept)
		loads->idle[loads->idle_count++] = *loader;
	pthread_mutex_unlock(&loads->lock);
	if (!kept)
		loader_release(loader);
}

/* What is damaged or missing is told by the pack's name too: it is a file at the site, and the cause of whatever fails for want of it. */
static enum tk_rc
name_pack(enum tk_rc rc, const struct tk_pack_name *name, struct tk_err *err)
{
	char hex[2 * sizeof(name->b) + 1];

	if (rc != TK_ECORRUPT && rc != TK_EMISSING && rc != TK_EIO)
		return rc;
	tk_hex_encode(name->b, sizeof(name->b), hex);
	hex[PACK_SHOWN_DIGITS] = '\0';
	(void)tk_err_cause(err, rc, hex);
	return tk_err_context(err, rc, "pack %s", hex);
}

static size_t
preferred_site(const struct tk_loads *loads, struct tk_blob_ref ref)
{
	return loads->opts->site_count ? (ref.pack + ref.blob / BLOBS_A_SITE) % loads->opts->site_count : 0;
}

/* ---- ends of packs ---- */

static void
keep_tail(struct tk_loads *loads, const struct tk_pack_index *index, struct tk_buf *bytes)
{
	struct tail *tail;

	pthread_mutex_lock(&loads->lock);
	tail = &loads->tails[loads->tail_next];
	loads->tail_next = (loads->tail_next + 1) % TAILS_MAX;
	tk_buf_release(&tail->bytes);
	*tail = (struct tail){.name = index->head.name, .at_bytes = index->ident.len_bytes - bytes->len_bytes, .bytes = *bytes};
	memset(bytes, 0, sizeof(*bytes));
	pthread_mutex_unlock(&loads->lock);
}

/* False: it has to be read. What was spoiled on its way is read again, too. */
static bool
from_tail(struct tk_loads *loads, const struct range_call *range)
{
	bool found = false;

	tk_buf_clear(range->out);
	pthread_mutex_lock(&loads->lock);
	for (size_t i = 0; i < TAILS_MAX && !found; i++) {
		const struct tail *tail = &loads->tails[i];

		found = tail->bytes.len_bytes > 0 && memcmp(&tail->name, range->name, sizeof(tail->name)) == 0 && range->offset_bytes >= tail->at_bytes &&
			range->offset_bytes + range->len_bytes <= tail->at_bytes + tail->bytes.len_bytes &&
			!tk_buf_put(range->out, tail->bytes.data + (range->offset_bytes - tail->at_bytes), range->len_bytes, NULL);
	}
	pthread_mutex_unlock(&loads->lock);
	return found;
}

enum tk_rc
tk_load_index(struct tk_loads *loads, uint32_t pack, struct tk_pack_index **out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf tail = {0};
	struct tk_pack_name name = tk_packtab_name(loads->opts->packs, pack);
	struct index_call call = {&name, loads->opts->keys, out, &tail};
	struct request request = {.call = call_index, .arg = &call, .prefer = preferred_site(loads, (struct tk_blob_ref){pack, 0})};
	enum tk_rc rc = name_pack(try_sites(loads, &request, err), &name, err);

	if (!rc && tk_loads_remote(loads))
		keep_tail(loads, *out, &tail);
	return rc;
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

enum tk_rc
tk_load_blob(struct tk_loads *loads, const struct tk_pack_index *index, struct tk_blob_ref ref, struct tk_buf *plain, struct tk_err *err)
{
	const struct tk_blob_info *info = &index->blobs[ref.blob];
	struct loader loader;
	struct range_call range = {&index->head.name, info->offset_bytes, info->sealed_bytes, &loader.sealed};
	struct open_call open = {.index = index, .blob = ref.blob, .sealed = &loader.sealed, .plain = plain};
	struct request request = {.call = call_range, .arg = &range, .check = check_open, .check_ctx = &open, .len_bytes = info->sealed_bytes,
				  .prefer = preferred_site(loads, ref)};
	enum tk_rc rc = loader_take(loads, &loader, err);

	open.opener = loader.opener;
	if (!rc) {
		if (!from_tail(loads, &range) || check_open(&open, NULL))
			rc = name_pack(try_sites(loads, &request, err), &index->head.name, err);
		atomic_fetch_add(&loads->loaded_bytes, info->sealed_bytes);
	}
	loader_give(loads, &loader);
	return rc;
}

struct run_call {
	struct tk_opener *opener;
	const struct tk_pack_index *index;
	uint32_t first, count, must;
	const struct tk_buf *sealed;
	struct tk_buf *const *plain;
};

static enum tk_rc
check_run(void *ctx, struct tk_err *err)
{
	const struct run_call *call = ctx;
	const uint8_t *at = call->sealed->data;
	struct tk_err why;

	for (uint32_t i = 0; i < call->count; i++) {
		uint32_t blob = call->first + i, len = call->index->blobs[blob].sealed_bytes;
		enum tk_rc rc = call->plain[i] ? tk_open_blob(call->opener, call->index, blob, at, len, call->plain[i], &why) : TK_OK;

		if (rc)
			tk_buf_clear(call->plain[i]);
		if (rc && blob == call->must)
			return tk_err_set(err, rc, "%s", why.text);
		at += len;
	}
	return TK_OK;
}

/* Of blobs one behind the other. */
static uint32_t
run_bytes(const struct tk_pack_index *index, uint32_t first, uint32_t count)
{
	const struct tk_blob_info *begin = &index->blobs[first], *last = &index->blobs[first + count - 1];

	return (uint32_t)(last->offset_bytes + last->sealed_bytes - begin->offset_bytes);
}

enum tk_rc
tk_load_run(struct tk_loads *loads, const struct tk_pack_index *index, uint32_t pack, uint32_t first, uint32_t count, struct tk_buf *const *plain,
	    uint32_t must, struct tk_err *err)
{
	uint32_t len_bytes = run_bytes(index, first, count);
	struct loader loader;
	struct range_call range = {&index->head.name, index->blobs[first].offset_bytes, len_bytes, &loader.sealed};
	struct run_call run = {.index = index, .first = first, .count = count, .must = must, .sealed = &loader.sealed, .plain = plain};
	struct request request = {.call = call_range, .arg = &range, .check = check_run, .check_ctx = &run, .len_bytes = len_bytes,
				  .prefer = preferred_site(loads, (struct tk_blob_ref){pack, first}), .quiet = true};
	enum tk_rc rc = loader_take(loads, &loader, err);

	run.opener = loader.opener;
	if (!rc && (!from_tail(loads, &range) || check_run(&run, NULL)))
		rc = try_sites(loads, &request, err);
	if (!rc)
		atomic_fetch_add(&loads->loaded_bytes, len_bytes);
	loader_give(loads, &loader);
	return rc;
}

struct prove_call {
	struct tk_opener *opener;
	const struct tk_pack_index *index;
	uint32_t first, count;
	struct tk_buf *sealed;
	bool *sound;
};

/* A blob that is not sound is no fault of the reading. */
static enum tk_rc
check_prove(void *ctx, struct tk_err *err)
{
	const struct prove_call *call = ctx;
	uint8_t *at = call->sealed->data;

	for (uint32_t i = 0; i < call->count; i++) {
		uint32_t blob = call->first + i, len = call->index->blobs[blob].sealed_bytes;
		enum tk_rc rc = tk_prove_blob(call->opener, call->index, blob, at, len, err);

		if (rc && rc != TK_ECORRUPT)
			return rc;
		call->sound[i] = !rc;
		at += len;
	}
	return TK_OK;
}

enum tk_rc
tk_load_prove(struct tk_loads *loads, const struct tk_pack_index *index, uint32_t first, uint32_t count, bool *sound, struct tk_err *err)
{
	uint32_t len_bytes = run_bytes(index, first, count);
	struct loader loader;
	struct range_call range = {&index->head.name, index->blobs[first].offset_bytes, len_bytes, &loader.sealed};
	struct prove_call prove = {.index = index, .first = first, .count = count, .sealed = &loader.sealed, .sound = sound};
	struct request request = {.call = call_range, .arg = &range, .check = check_prove, .check_ctx = &prove, .len_bytes = len_bytes};
	enum tk_rc rc = loader_take(loads, &loader, err);

	prove.opener = loader.opener;
	if (!rc) {
		rc = name_pack(try_sites(loads, &request, err), &index->head.name, err);
		atomic_fetch_add(&loads->loaded_bytes, len_bytes);
	}
	loader_give(loads, &loader);
	return rc;
}

enum tk_rc
tk_load_call(struct tk_loads *loads, size_t site, enum tk_rc (*call)(struct tk_store *, void *, struct tk_err *), void *arg, struct tk_err *err)
{
	struct request request = {.call = call, .arg = arg};

	if (site != SIZE_MAX)
		return tk_sessions_call(loads->sessions, site, 0, call, arg, err);
	return try_sites(loads, &request, err);
}

bool
tk_loads_remote(const struct tk_loads *loads)
{
	for (size_t i = 0; i < loads->opts->site_count; i++)
		if (loads->opts->sites[i].is_remote)
			return true;
	return false;
}

struct tk_sessions *
tk_loads_sessions(struct tk_loads *loads)
{
	return loads->sessions;
}

uint64_t
tk_loads_bytes(const struct tk_loads *loads)
{
	return atomic_load(&loads->loaded_bytes);
}

enum tk_rc
tk_loads_new(const struct tk_fetch_opts *opts, struct tk_loads **out, struct tk_err *err)
{
	TK_AUTO(tk_loads_cleanup) struct tk_loads *loads = calloc(1, sizeof(*loads));
	enum tk_rc rc;

	if (!loads)
		return tk_err_set(err, TK_ENOMEM, "no memory for reading from sites");
	loads->opts = opts;
	(void)pthread_mutex_init(&loads->lock, NULL);
	if ((rc = tk_sessions_new(opts->sites, opts->site_count, &loads->sessions, err)))
		return rc;
	*out = loads;
	loads = NULL;
	return TK_OK;
}

void
tk_loads_cleanup(struct tk_loads **slot)
{
	struct tk_loads *loads = *slot;

	if (!loads)
		return;
	*slot = NULL;
	for (size_t i = 0; i < TAILS_MAX; i++)
		tk_buf_release(&loads->tails[i].bytes);
	for (size_t i = 0; i < loads->idle_count; i++)
		loader_release(&loads->idle[i]);
	tk_sessions_cleanup(&loads->sessions);
	(void)pthread_mutex_destroy(&loads->lock);
	free(loads);
}
