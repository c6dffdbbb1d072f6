#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/dir_core.h"

#define GONE_BYTES_MAX (1u << 30)

enum tk_rc
tk_dir_note_container(struct dir_driver *self, uint64_t number, size_t row_count, uint64_t file_bytes, struct tk_err *err)
{
	if (self->container_count == self->container_cap) {
		size_t cap = self->container_cap ? self->container_cap * 2 : 64;
		struct dir_container *grown = realloc(self->containers, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu containers", cap);
		self->containers = grown;
		self->container_cap = cap;
	}
	self->containers[self->container_count++] = (struct dir_container){number, row_count, file_bytes};
	if (number > self->last_container)
		self->last_container = number;
	return TK_OK;
}

void
tk_dir_forget_container(struct dir_driver *self, uint64_t number)
{
	size_t i = 0;

	while (i < self->container_count && self->containers[i].number != number)
		i++;
	if (i < self->container_count)
		self->containers[i] = self->containers[--self->container_count];
}

/* ---- names that are in containers no more ---- */

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tk_pack_name));
}

void
tk_dir_gone_release(struct tk_dir_gone *gone)
{
	free(gone->names);
	memset(gone, 0, sizeof(*gone));
}

/* An incomplete name at the end is of a write that was cut off: nobody was told. */
enum tk_rc
tk_dir_gone_read(const struct dir_driver *self, struct tk_dir_gone *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	struct tk_err why;
	enum tk_rc rc = tk_read_file_at(self->merged_fd, TK_DIR_GONE_NAME, GONE_BYTES_MAX, &bytes, &why);

	memset(out, 0, sizeof(*out));
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	out->count = bytes.len_bytes / sizeof(*out->names);
	out->names = malloc(bytes.len_bytes + 1);
	if (!out->names)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu names", out->count);
	if (out->count > 0) {
		memcpy(out->names, bytes.data, out->count * sizeof(*out->names));
		qsort(out->names, out->count, sizeof(*out->names), compare_names);
	}
	return TK_OK;
}

bool
tk_dir_gone_has(const struct tk_dir_gone *gone, const struct tk_pack_name *name)
{
	return gone->count > 0 && bsearch(name, gone->names, gone->count, sizeof(*name), compare_names) != NULL;
}

enum tk_rc
tk_dir_gone_add(struct dir_driver *self, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(self->merged_fd, TK_DIR_GONE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	enum tk_rc rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "packs/merged/gone");
	/* At a multiple of a name: over what a write that was cut off left. */
	rc = tk_pwrite_full(fd, name->b, sizeof(name->b), (uint64_t)st.st_size / sizeof(name->b) * sizeof(name->b), "packs/merged/gone", err);
	if (!rc && fsync(fd) < 0)
		rc = tk_err_errno(err, TK_EIO, "fsync of packs/merged/gone");
	if (!rc && st.st_size == 0)
		rc = tk_fsync_dir(self->merged_fd, "packs/merged", err);
	return rc;
}

/* ---- containers ---- */

static enum tk_rc
add_rows(struct dir_driver *self, uint64_t number, const struct tk_container_row *rows, size_t count, const struct tk_dir_gone *gone, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++) {
		const struct tk_place *newer = tk_places_find(&self->places, &rows[i].name);
		struct tk_place place = {rows[i].name, number, (uint32_t)rows[i].offset_bytes, (uint32_t)rows[i].len_bytes, false};

		if (tk_dir_gone_has(gone, &rows[i].name))
			continue;
		if (newer) {
			place = *newer;
			place.shadowed = true;
		}
		rc = tk_places_set(&self->places, &place, err);
	}
	return rc;
}

static enum tk_rc
add_container(struct dir_driver *self, struct dir_container *container, const struct tk_dir_gone *gone, struct tk_err *err)
{
	struct tk_container_row *rows = NULL;
	enum tk_rc rc = tk_container_open(self->merged_fd, container->number, &rows, &container->row_count, &container->file_bytes, err);

	/* It was merged into another one meanwhile, whose name is on this list too, or will be on the next. */
	if (rc == TK_ENOENT || rc == TK_ECORRUPT)
		return TK_OK;
	if (!rc)
		rc = add_rows(self, container->number, rows, container->row_count, gone, err);
	free(rows);
	return rc;
}

/* ---- what is in the directories ---- */

static int
compare_numbers_down(const void *a, const void *b)
{
	const struct dir_container *x = a, *y = b;

	return (x->number < y->number) - (x->number > y->number);
}

static enum tk_rc
note_container_name(struct dir_driver *self, const char *name, struct tk_err *err)
{
	uint64_t number;

	return tk_container_number(name, &number) ? tk_dir_note_container(self, number, 0, 0, err) : TK_OK;
}

static enum tk_rc
note_small(struct dir_driver *self, const char *name, struct tk_err *err)
{
	struct tk_place place = {.container = TK_PLACE_SMALL};

	if (tk_hex_decode(name, place.name.b, sizeof(place.name.b), NULL))
		return TK_OK;
	return tk_places_set(&self->places, &place, err);
}

static enum tk_rc
each_name(struct dir_driver *self, int dirfd, const char *what, enum tk_rc (*each)(struct dir_driver *, const char *, struct tk_err *), struct tk_err *err)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	struct dirent *entry;
	enum tk_rc rc = TK_OK;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !(dir = fdopendir(fd))) {
		rc = tk_err_errno(err, TK_EIO, "%s", what);
		tk_fd_cleanup(&fd);
		return rc;
	}
	while (!rc && (errno = 0, entry = readdir(dir)))
		rc = each(self, entry->d_name, err);
	return !rc && errno ? tk_err_errno(err, TK_EIO, "reading %s", what) : rc;
}

static enum tk_rc
load_containers(struct dir_driver *self, struct tk_err *err)
{
	TK_AUTO(tk_dir_gone_release) struct tk_dir_gone gone = {0};
	enum tk_rc rc = each_name(self, self->merged_fd, "packs/merged", note_container_name, err);

	if (!rc)
		rc = tk_dir_gone_read(self, &gone, err);
	if (self->container_count > 0)
		qsort(self->containers, self->container_count, sizeof(*self->containers), compare_numbers_down);
	for (size_t i = 0; i < self->container_count && !rc; i++)
		rc = add_container(self, &self->containers[i], &gone, err);
	return rc;
}

enum tk_rc
tk_dir_load(struct dir_driver *self, struct tk_err *err)
{
	struct stat small = {0}, merged = {0};
	enum tk_rc rc = TK_OK;

	tk_places_release(&self->places);
	self->container_count = 0;
	if ((self->small_fd >= 0 && fstat(self->small_fd, &small) < 0) || (self->merged_fd >= 0 && fstat(self->merged_fd, &merged) < 0))
		return tk_err_errno(err, TK_EIO, "packs");
	self->small_seen = small.st_mtim;
	self->merged_seen = merged.st_mtim;
	/* Small ones first: a pack that is merged while a reader looks is then seen in one of the two, or in both. */
	if (self->small_fd >= 0)
		rc = each_name(self, self->small_fd, "packs/small", note_small, err);
	if (!rc && self->merged_fd >= 0)
		rc = load_containers(self, err);
	return rc;
}
