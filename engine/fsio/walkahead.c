#include "engine/fsio/walkahead.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/base/queue.h"

/* One entry; its path and name are in the batch's text. */
struct item {
	struct tk_stat st;
	size_t path_at, path_len_bytes;
	size_t name_at;
	size_t root_len_bytes;
	unsigned dir;                  /* its parent, in the batch */
	bool is_root;
};

struct note {
	unsigned before;               /* comes before this item */
	enum tk_walk_note kind;
	size_t path_at, path_len_bytes;
	struct tk_err *err;            /* owned; NULL: none */
};

struct batch {
	struct item items[WALKAHEAD_ENTRIES];
	unsigned count;
	struct tk_dirref *dirs[WALKAHEAD_DIRS];
	unsigned dir_count;
	struct note *notes;            /* owned */
	size_t note_count, note_cap;
	struct tk_buf text;
	bool is_last;
	struct tk_err end;             /* of the last one: how the walk ended */
};

struct tk_walkahead {
	struct tk_walk *walk;          /* the thread's */
	struct batch *filling;         /* the thread's */
	enum tk_rc note_rc;            /* the thread's: a note could not be kept */
	pthread_t thread;
	bool started;
	struct tk_queue *full, *empty;
	struct batch *batches;         /* owned */

	struct batch *current;         /* the caller's, as all that follows */
	unsigned next_item;
	size_t next_note;
	struct tk_walk_entry entry;
	void (*on_note)(void *ctx, const char *path, size_t path_len_bytes, enum tk_walk_note note, const struct tk_err *err);
	void *note_ctx;
	bool skipping;
	enum tk_rc skip_rc;            /* what that was is not known */
	struct tk_buf skipped;         /* the path of the directory whose children are not given */
};

/* ---- the walk's thread ---- */

static void
batch_clear(struct batch *batch)
{
	for (unsigned i = 0; i < batch->dir_count; i++)
		tk_dirref_drop(&batch->dirs[i]);
	for (size_t i = 0; i < batch->note_count; i++)
		free(batch->notes[i].err);
	tk_buf_clear(&batch->text);
	batch->count = batch->dir_count = 0;
	batch->note_count = 0;
	batch->is_last = false;
}

/* With its NUL. */
static enum tk_rc
put_text(struct batch *batch, const char *text, size_t len_bytes, size_t *at, struct tk_err *err)
{
	enum tk_rc rc;

	*at = batch->text.len_bytes;
	rc = tk_buf_put(&batch->text, text, len_bytes, err);
	return rc ? rc : tk_buf_put_u8(&batch->text, 0, err);
}

/* Called from within the walk. A note that finds no memory ends it. */
static void
keep_note(void *ctx, const char *path, size_t path_len_bytes, enum tk_walk_note kind, const struct tk_err *why)
{
	struct tk_walkahead *ahead = ctx;
	struct batch *batch = ahead->filling;
	struct note *note;

	if (!ahead->note_rc && batch->note_count == batch->note_cap) {
		size_t cap = batch->note_cap ? batch->note_cap * 2 : 16;
		struct note *grown = reallocarray(batch->notes, cap, sizeof(*grown));

		if (!grown) {
			ahead->note_rc = TK_ENOMEM;
			return;
		}
		batch->notes = grown;
		batch->note_cap = cap;
	}
	if (ahead->note_rc)
		return;
	note = &batch->notes[batch->note_count];
	*note = (struct note){.before = batch->count, .kind = kind, .path_len_bytes = path_len_bytes};
	if ((ahead->note_rc = put_text(batch, path, path_len_bytes, &note->path_at, NULL)))
		return;
	if (why && (note->err = malloc(sizeof(*note->err))))
		*note->err = *why;
	batch->note_count++;
}

static bool
is_full(const struct batch *batch)
{
	return batch->count == WALKAHEAD_ENTRIES || batch->dir_count == WALKAHEAD_DIRS || batch->note_count >= WALKAHEAD_ENTRIES;
}

static enum tk_rc
keep_entry(struct batch *batch, const struct tk_walk_entry *entry, struct tk_err *err)
{
	struct item *item = &batch->items[batch->count];
	enum tk_rc rc = put_text(batch, entry->path, entry->path_len_bytes, &item->path_at, err);

	item->st = entry->st;
	item->path_len_bytes = entry->path_len_bytes;
	item->root_len_bytes = entry->root_len_bytes;
	item->is_root = entry->is_root;
	/* A root's name is that of what a symlink led to. */
	if (!rc && entry->is_root)
		rc = put_text(batch, entry->name, strlen(entry->name), &item->name_at, err);
	else
		item->name_at = item->path_at + (size_t)(entry->name - entry->path);
	if (rc)
		return rc;
	if (batch->dir_count == 0 || batch->dirs[batch->dir_count - 1] != entry->parent)
		batch->dirs[batch->dir_count++] = tk_dirref_hold(entry->parent);
	item->dir = batch->dir_count - 1;
	batch->count++;
	return TK_OK;
}

/* Fills a batch. The walk is over when it is the last one. */
static void
fill(struct tk_walkahead *ahead)
{
	struct batch *batch = ahead->filling;
	const struct tk_walk_entry *entry;
	enum tk_rc rc = TK_OK;

	while (!is_full(batch)) {
		rc = tk_walk_next(ahead->walk, &entry, &batch->end);
		if (!rc && ahead->note_rc)
			rc = tk_err_set(&batch->end, ahead->note_rc, "walk: out of memory");
		if (rc || !entry)
			break;
		if ((rc = keep_entry(batch, entry, &batch->end)))
			break;
	}
	batch->is_last = rc || !is_full(batch);
	if (!rc)
		tk_err_clear(&batch->end);
}

static void *
walk_main(void *arg)
{
	struct tk_walkahead *ahead = arg;
	bool go_on = true;

	while (go_on && (ahead->filling = tk_queue_pop(ahead->empty))) {
		fill(ahead);
		go_on = !ahead->filling->is_last;
		if (!tk_queue_push(ahead->full, ahead->filling))
			go_on = false;
	}
	return NULL;
}

/* ---- the caller ---- */

static enum tk_rc
start(struct tk_walkahead *ahead, const struct tk_walk_opts *opts, struct tk_err *err)
{
	struct tk_walk_opts own = *opts;
	enum tk_rc rc;

	ahead->on_note = opts->on_note;
	ahead->note_ctx = opts->note_ctx;
	own.on_note = keep_note;
	own.note_ctx = ahead;
	ahead->batches = calloc(WALKAHEAD_BATCHES, sizeof(*ahead->batches));
	if (!ahead->batches)
		return tk_err_set(err, TK_ENOMEM, "walk: out of memory");
	if ((rc = tk_walk_new(&own, &ahead->walk, err)) || (rc = tk_queue_new(WALKAHEAD_BATCHES, &ahead->full, err)) ||
	    (rc = tk_queue_new(WALKAHEAD_BATCHES, &ahead->empty, err)))
		return rc;
	for (unsigned i = 0; i < WALKAHEAD_BATCHES; i++)
		if (!tk_queue_push(ahead->empty, &ahead->batches[i]))
			return tk_err_set(err, TK_EINVAL, "walk: no room for its batches");
	if (pthread_create(&ahead->thread, NULL, walk_main, ahead))
		return tk_err_set(err, TK_ENOMEM, "walk: no thread");
	ahead->started = true;
	return TK_OK;
}

enum tk_rc
tk_walkahead_new(const struct tk_walk_opts *opts, struct tk_walkahead **out, struct tk_err *err)
{
	TK_AUTO(tk_walkahead_cleanup) struct tk_walkahead *ahead = calloc(1, sizeof(*ahead));
	enum tk_rc rc;

	if (!ahead)
		return tk_err_set(err, TK_ENOMEM, "walk: out of memory");
	rc = start(ahead, opts, err);
	if (rc)
		return rc;
	*out = ahead;
	ahead = NULL;
	return TK_OK;
}

void
tk_walkahead_cleanup(struct tk_walkahead **slot)
{
	struct tk_walkahead *ahead = *slot;

	*slot = NULL;
	if (!ahead)
		return;
	if (ahead->started) {
		tk_queue_close(ahead->empty);
		tk_queue_close(ahead->full);
		pthread_join(ahead->thread, NULL);
	}
	for (unsigned i = 0; ahead->batches && i < WALKAHEAD_BATCHES; i++) {
		batch_clear(&ahead->batches[i]);
		free(ahead->batches[i].notes);
		tk_buf_release(&ahead->batches[i].text);
	}
	free(ahead->batches);
	tk_queue_cleanup(&ahead->full);
	tk_queue_cleanup(&ahead->empty);
	tk_walk_cleanup(&ahead->walk);
	tk_buf_release(&ahead->skipped);
	free(ahead);
}

/* The owner, who said that the directory is not entered, knows already that it cannot be. */
static bool
is_of_skipped(const struct tk_walkahead *ahead, const char *path, size_t len_bytes)
{
	return ahead->skipping && len_bytes == ahead->skipped.len_bytes && (len_bytes == 0 || memcmp(path, ahead->skipped.data, len_bytes) == 0);
}

static void
tell_notes(struct tk_walkahead *ahead)
{
	const struct batch *batch = ahead->current;

	while (ahead->next_note < batch->note_count && batch->notes[ahead->next_note].before <= ahead->next_item) {
		const struct note *note = &batch->notes[ahead->next_note++];
		const char *path = (const char *)batch->text.data + note->path_at;

		if (ahead->on_note && !is_of_skipped(ahead, path, note->path_len_bytes))
			ahead->on_note(ahead->note_ctx, path, note->path_len_bytes, note->kind, note->err);
	}
}

/* Lies it in the directory that is not entered, and was not reached from a root inside? The first entry that does not ends that. */
static bool
is_skipped(struct tk_walkahead *ahead, const struct item *item, const char *path)
{
	size_t skipped_bytes = ahead->skipped.len_bytes;
	bool inside;

	if (!ahead->skipping)
		return false;
	inside = skipped_bytes == 0 || (item->path_len_bytes > skipped_bytes && path[skipped_bytes] == '/' && memcmp(path, ahead->skipped.data, skipped_bytes) == 0);
	ahead->skipping = inside;
	return inside && item->root_len_bytes <= skipped_bytes;
}

static void
give(struct tk_walkahead *ahead, const struct item *item)
{
	const struct batch *batch = ahead->current;
	const char *text = (const char *)batch->text.data;

	ahead->entry = (struct tk_walk_entry){
		.path = text + item->path_at,
		.path_len_bytes = item->path_len_bytes,
		.root_len_bytes = item->root_len_bytes,
		.parent = batch->dirs[item->dir],
		.name = text + item->name_at,
		.st = item->st,
		.is_root = item->is_root,
	};
}

/* The next batch instead of the one that is used up; false after the last. */
static bool
turn(struct tk_walkahead *ahead)
{
	if (ahead->current) {
		if (ahead->current->is_last)
			return false;
		batch_clear(ahead->current);
		/* There is always room; closed it is only by cleanup. */
		if (!tk_queue_push(ahead->empty, ahead->current))
			return false;
	}
	ahead->current = tk_queue_pop(ahead->full);
	ahead->next_item = 0;
	ahead->next_note = 0;
	return ahead->current != NULL;
}

enum tk_rc
tk_walkahead_next(struct tk_walkahead *ahead, const struct tk_walk_entry **entry, struct tk_err *err)
{
	*entry = NULL;
	if (ahead->skip_rc)
		return tk_err_set(err, ahead->skip_rc, "walk: out of memory");
	for (;;) {
		const struct batch *batch = ahead->current;
		const struct item *item;

		if (batch)
			tell_notes(ahead);
		if (!batch || ahead->next_item == batch->count) {
			if (turn(ahead))
				continue;
			if (!batch || !batch->end.rc)
				return TK_OK;
			if (err)
				*err = batch->end;
			return batch->end.rc;
		}
		item = &batch->items[ahead->next_item++];
		if (is_skipped(ahead, item, (const char *)batch->text.data + item->path_at))
			continue;
		give(ahead, item);
		*entry = &ahead->entry;
		return TK_OK;
	}
}

void
tk_walkahead_skip_children(struct tk_walkahead *ahead)
{
	tk_buf_clear(&ahead->skipped);
	ahead->skipping = true;
	/* It has no way to fail: next tells. */
	ahead->skip_rc = tk_buf_put(&ahead->skipped, ahead->entry.path, ahead->entry.path_len_bytes, NULL);
}
