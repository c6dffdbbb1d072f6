#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/dir_core.h"

/* So many small packs become a container, and so many young containers an older one: every byte is copied about as often as the number of packs has digits. */
#define SMALL_MERGE_COUNT 64u
#define YOUNG_MERGE_COUNT 16u
#define YOUNG_BYTES (16u << 20)
#define YOUNG_ROWS (TK_CONTAINER_ROWS_MAX / YOUNG_MERGE_COUNT)
#define BATCH_BYTES (64u << 20)
#define ROOM_BYTES (128u << 20)

/* Packs that become one container. */
struct batch {
	struct tk_place *from;                 /* where they are; ascending by name */
	struct tk_container_row *rows;         /* where they will be */
	size_t count, cap;
	uint64_t bytes;
};

/* A container as the places see it. */
struct tally {
	uint64_t number;
	uint64_t file_bytes;
	uint64_t live_bytes;
	size_t row_count;
};

static void
batch_release(struct batch *batch)
{
	free(batch->from);
	free(batch->rows);
	memset(batch, 0, sizeof(*batch));
}

static enum tk_rc
batch_add(struct batch *batch, const struct tk_place *place, struct tk_err *err)
{
	if (batch->count == batch->cap) {
		size_t cap = batch->cap ? batch->cap * 2 : SMALL_MERGE_COUNT;
		struct tk_place *grown = realloc(batch->from, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory to merge packs");
		batch->from = grown;
		batch->cap = cap;
	}
	batch->from[batch->count++] = *place;
	batch->bytes += place->len_bytes;
	return TK_OK;
}

static bool
batch_is_full(const struct batch *batch)
{
	return batch->count == TK_CONTAINER_ROWS_MAX || batch->bytes >= BATCH_BYTES;
}

static int
compare_places(const void *a, const void *b)
{
	const struct tk_place *x = a, *y = b;

	return memcmp(&x->name, &y->name, sizeof(x->name));
}

/* ---- writing a container ---- */

static enum tk_rc
lay_out(struct batch *batch, struct tk_err *err)
{
	qsort(batch->from, batch->count, sizeof(*batch->from), compare_places);
	batch->rows = calloc(batch->count, sizeof(*batch->rows));
	if (!batch->rows)
		return tk_err_set(err, TK_ENOMEM, "no memory to merge packs");
	for (size_t i = 0; i < batch->count; i++)
		batch->rows[i] = (struct tk_container_row){.name = batch->from[i].name, .len_bytes = batch->from[i].len_bytes};
	return TK_OK;
}

static int
open_source(const struct dir_driver *self, const struct tk_place *place)
{
	char path[TK_DIR_PATH_MAX], name[TK_CONTAINER_NAME_MAX];

	if (place->container == TK_PLACE_SMALL) {
		tk_dir_pack_path(TK_DIR_SMALL_SHARD, &place->name, path);
		return openat(self->packs_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	tk_container_name(place->container, name);
	return openat(self->merged_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

struct copying {
	const struct dir_driver *self;
	const struct batch *batch;
};

/* A pack that was removed meanwhile leaves zeros. */
static enum tk_rc
copy_pack(void *ctx, size_t i, struct tk_buf *bytes, struct tk_err *err)
{
	const struct copying *copying = ctx;
	const struct tk_place *place = &copying->batch->from[i];
	TK_AUTO(tk_fd_cleanup) int fd = open_source(copying->self, place);
	size_t got;
	enum tk_rc rc;

	rc = tk_buf_reserve(bytes, place->len_bytes, err);
	if (rc)
		return rc;
	memset(bytes->data, 0, place->len_bytes);
	if (fd < 0 && errno != ENOENT)
		return tk_err_errno(err, TK_EIO, "reading a pack to merge");
	if (fd >= 0)
		rc = tk_pread_full(fd, bytes->data, place->len_bytes, place->offset_bytes, &got, "pack to merge", err);
	bytes->len_bytes = place->len_bytes;
	return rc;
}

/* ---- putting it in their place ---- */

/* A pack that was told gone came again, and lies in the new container: it is gone no more. One that was removed while it was copied is. */
static enum tk_rc
mend_gone(struct dir_driver *self, const struct batch *batch, const bool *vanished, struct tk_err *err)
{
	TK_AUTO(tk_dir_gone_release) struct tk_dir_gone gone = {0};
	TK_AUTO(tk_buf_release) struct tk_buf kept = {0};
	enum tk_rc rc = tk_dir_gone_read(self, &gone, err);
	size_t before = gone.count;

	for (size_t i = 0; i < before && !rc; i++) {
		const struct tk_container_row key = {.name = gone.names[i]};
		const struct tk_place *mine = bsearch(&key.name, batch->from, batch->count, sizeof(*batch->from), compare_places);

		if (!mine || vanished[mine - batch->from])
			rc = tk_buf_put(&kept, gone.names[i].b, sizeof(gone.names[i].b), err);
	}
	if (rc)
		return rc;
	if (kept.len_bytes < before * sizeof(*gone.names))
		rc = tk_publish_file(self->merged_fd, TK_DIR_GONE_NAME, kept.data, kept.len_bytes, 0600, err);
	for (size_t i = 0; i < batch->count && !rc; i++)
		if (vanished[i] && !tk_dir_gone_has(&gone, &batch->from[i].name))
			rc = tk_dir_gone_add(self, &batch->from[i].name, err);
	return rc;
}

/* Needs places_lock. moved[i]: the pack is in the container from now on. */
static enum tk_rc
move_places(struct dir_driver *self, const struct batch *batch, uint64_t number, bool *moved, bool *vanished, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < batch->count && !rc; i++) {
		const struct tk_place *now = tk_places_find(&self->places, &batch->from[i].name);
		struct tk_place place;

		vanished[i] = !now;
		if (!now)
			continue;
		place = *now;
		moved[i] = now->container == batch->from[i].container && now->offset_bytes == batch->from[i].offset_bytes;
		place.shadowed = place.shadowed || place.container != TK_PLACE_SMALL || !moved[i];
		if (moved[i]) {
			place.container = number;
			place.offset_bytes = (uint32_t)batch->rows[i].offset_bytes;
			place.len_bytes = (uint32_t)batch->rows[i].len_bytes;
		}
		rc = tk_places_set(&self->places, &place, err);
	}
	return rc;
}

static enum tk_rc
unlink_small(struct dir_driver *self, const struct batch *batch, const bool *moved, struct tk_err *err)
{
	char path[TK_DIR_PATH_MAX];

	for (size_t i = 0; i < batch->count; i++) {
		if (!moved[i] || batch->from[i].container != TK_PLACE_SMALL)
			continue;
		tk_dir_pack_path(TK_DIR_SMALL_SHARD, &batch->from[i].name, path);
		if (unlinkat(self->packs_fd, path, 0) < 0 && errno != ENOENT)
			return tk_err_errno(err, TK_EIO, "removing pack %s, which was merged", path);
	}
	return TK_OK;
}

static enum tk_rc
take_over(struct dir_driver *self, const struct batch *batch, uint64_t number, bool *flags, struct tk_err *err)
{
	bool *moved = flags, *vanished = flags + batch->count;
	enum tk_rc rc;

	(void)pthread_rwlock_wrlock(&self->places_lock);
	rc = tk_dir_note_container(self, number, batch->count, tk_container_file_bytes(batch->rows, batch->count), err);
	if (!rc)
		rc = move_places(self, batch, number, moved, vanished, err);
	if (!rc)
		rc = mend_gone(self, batch, vanished, err);
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc ? rc : unlink_small(self, batch, moved, err);
}

/* The container is durable before a place of its packs changes, and they change before a file goes. */
static enum tk_rc
merge(struct dir_driver *self, struct batch *batch, struct tk_err *err)
{
	struct copying copying = {self, batch};
	uint64_t number = self->last_container + 1;
	bool *flags;
	enum tk_rc rc = lay_out(batch, err);

	if (!rc)
		rc = tk_container_write(self->merged_fd, number, batch->rows, batch->count, copy_pack, &copying, err);
	if (rc)
		return rc;
	flags = calloc(2 * batch->count, sizeof(*flags));
	if (!flags)
		return tk_err_set(err, TK_ENOMEM, "no memory to merge packs");
	rc = take_over(self, batch, number, flags, err);
	free(flags);
	return rc;
}

/* ---- what to merge ---- */

static enum tk_rc
choose_small(struct dir_driver *self, struct batch *batch, struct tk_err *err)
{
	const struct tk_place *place;
	char path[TK_DIR_PATH_MAX];
	struct stat st;
	size_t at = 0;
	enum tk_rc rc = TK_OK;

	(void)pthread_rwlock_rdlock(&self->places_lock);
	while (!rc && !batch_is_full(batch) && (place = tk_places_next(&self->places, &at))) {
		struct tk_place sized = *place;

		if (place->container != TK_PLACE_SMALL)
			continue;
		tk_dir_pack_path(TK_DIR_SMALL_SHARD, &place->name, path);
		if (fstatat(self->packs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size >= (off_t)TK_DIR_SMALL_BYTES)
			continue;
		sized.len_bytes = (uint32_t)st.st_size;
		rc = batch_add(batch, &sized, err);
	}
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc;
}

static int
compare_tallies(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* All containers, ascending by number, with what of them is alive. Not those whose tables are damaged: what is alive in them is not known, and they stay as they are. */
static enum tk_rc
tally_containers(struct dir_driver *self, struct tally **out, size_t *count, struct tk_err *err)
{
	struct tally *tallies = calloc(self->container_count + 1, sizeof(*tallies));
	const struct tk_place *place;
	size_t at = 0;

	if (!tallies)
		return tk_err_set(err, TK_ENOMEM, "no memory for a tally of containers");
	(void)pthread_rwlock_rdlock(&self->places_lock);
	*count = 0;
	for (size_t i = 0; i < self->container_count; i++)
		if (self->containers[i].row_count > 0)
			tallies[(*count)++] = (struct tally){.number = self->containers[i].number, .file_bytes = self->containers[i].file_bytes,
				.row_count = self->containers[i].row_count};
	qsort(tallies, *count, sizeof(*tallies), compare_tallies);
	while ((place = tk_places_next(&self->places, &at))) {
		const struct tally key = {.number = place->container};
		struct tally *mine = bsearch(&key, tallies, *count, sizeof(*tallies), compare_tallies);

		if (mine)
			mine->live_bytes += place->len_bytes;
	}
	(void)pthread_rwlock_unlock(&self->places_lock);
	*out = tallies;
	return TK_OK;
}

static bool
is_young(const struct tally *tally)
{
	return tally->file_bytes < YOUNG_BYTES && tally->row_count < YOUNG_ROWS;
}

static bool
is_mostly_dead(const struct tally *tally)
{
	return tally->live_bytes < tally->file_bytes / 2;
}

/* Those that are to become one: what is mostly dead, and young ones when there are many. The oldest first, whole containers as long as they fit. */
static void
keep_chosen(struct tally *tallies, size_t *count)
{
	size_t young = 0, kept = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < *count; i++)
		young += is_young(&tallies[i]);
	for (size_t i = 0; i < *count; i++) {
		bool is_due = is_mostly_dead(&tallies[i]) || (young >= YOUNG_MERGE_COUNT && is_young(&tallies[i]));

		if (!is_due || bytes + tallies[i].live_bytes > BATCH_BYTES)
			continue;
		bytes += tallies[i].live_bytes;
		tallies[kept++] = tallies[i];
	}
	*count = kept;
}

static enum tk_rc
choose_merged(struct dir_driver *self, const struct tally *tallies, size_t count, struct batch *batch, struct tk_err *err)
{
	const struct tk_place *place;
	size_t at = 0;
	enum tk_rc rc = TK_OK;

	(void)pthread_rwlock_rdlock(&self->places_lock);
	while (!rc && !batch_is_full(batch) && (place = tk_places_next(&self->places, &at))) {
		const struct tally key = {.number = place->container};

		if (bsearch(&key, tallies, count, sizeof(*tallies), compare_tallies))
			rc = batch_add(batch, place, err);
	}
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc;
}

static enum tk_rc
unlink_dead(struct dir_driver *self, struct tk_err *err)
{
	char name[TK_CONTAINER_NAME_MAX];
	struct tally *tallies = NULL;
	size_t count;
	enum tk_rc rc = tally_containers(self, &tallies, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		if (tallies[i].live_bytes > 0)
			continue;
		tk_container_name(tallies[i].number, name);
		if (unlinkat(self->merged_fd, name, 0) < 0 && errno != ENOENT)
			rc = tk_err_errno(err, TK_EIO, "removing packs/merged/%s", name);
		if (!rc)
			tk_dir_forget_container(self, tallies[i].number);
	}
	free(tallies);
	return rc;
}

/* ---- tidy ---- */

static enum tk_rc
merge_if_room(struct dir_driver *self, struct batch *batch, bool *merged, struct tk_err *err)
{
	struct statvfs fs;

	*merged = false;
	if (batch->count == 0)
		return TK_OK;
	if (fstatvfs(self->packs_fd, &fs) < 0)
		return tk_err_errno(err, TK_EIO, "free space of packs");
	/* The last of the room is for packs and promises. */
	if ((uint64_t)fs.f_bavail * fs.f_frsize < ROOM_BYTES + batch->bytes)
		return TK_OK;
	*merged = true;
	return merge(self, batch, err);
}

static enum tk_rc
merge_small(struct dir_driver *self, bool *merged, struct tk_err *err)
{
	TK_AUTO(batch_release) struct batch batch = {0};
	enum tk_rc rc = choose_small(self, &batch, err);

	return rc ? rc : merge_if_room(self, &batch, merged, err);
}

static enum tk_rc
merge_containers(struct dir_driver *self, struct tk_err *err)
{
	TK_AUTO(batch_release) struct batch batch = {0};
	struct tally *tallies = NULL;
	bool merged = false;
	size_t count;
	enum tk_rc rc = tally_containers(self, &tallies, &count, err);

	if (!rc) {
		keep_chosen(tallies, &count);
		rc = choose_merged(self, tallies, count, &batch, err);
	}
	if (!rc)
		rc = merge_if_room(self, &batch, &merged, err);
	free(tallies);
	return rc ? rc : unlink_dead(self, err);
}

static size_t
count_small(struct dir_driver *self)
{
	size_t count;

	(void)pthread_rwlock_rdlock(&self->places_lock);
	count = self->places.small_count;
	(void)pthread_rwlock_unlock(&self->places_lock);
	return count;
}

enum tk_rc
tk_dir_tidy(struct tk_driver *driver, struct tk_err *err)
{
	struct dir_driver *self = (struct dir_driver *)driver;
	bool merged = true, any = false;
	enum tk_rc rc = TK_OK;

	if (!self->only_writer || pthread_mutex_trylock(&self->merge_lock))
		return TK_OK;
	while (!rc && merged && count_small(self) >= SMALL_MERGE_COUNT) {
		rc = merge_small(self, &merged, err);
		any = any || merged;
	}
	if (!rc && any)
		rc = merge_containers(self, err);
	(void)pthread_mutex_unlock(&self->merge_lock);
	return rc ? tk_err_context(err, rc, "merging small packs") : TK_OK;
}
