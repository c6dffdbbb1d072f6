#include "engine/catalog/dedup_core.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/catalog/domaindir.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define NUMBER_DIGITS 16u
#define SUFFIX ".run"

void
tk_dedup_file_name(uint64_t number, char dst[TK_DEDUP_FILE_NAME_BYTES])
{
	(void)snprintf(dst, TK_DEDUP_FILE_NAME_BYTES, "%016llx" SUFFIX, (unsigned long long)number);
}

static bool
parse_file_name(const char *name, uint64_t *number)
{
	if (strspn(name, "0123456789abcdef") != NUMBER_DIGITS || strcmp(name + NUMBER_DIGITS, SUFFIX) != 0)
		return false;
	*number = strtoull(name, NULL, 16);
	return *number <= INT64_MAX;
}

enum tk_rc
tk_dedup_load_run(struct tk_dedup *dedup, uint64_t number, struct tk_err *err)
{
	char name[TK_DEDUP_FILE_NAME_BYTES];
	enum tk_rc rc;
	int fd;

	if (dedup->run_count == dedup->run_cap) {
		size_t cap = dedup->run_cap ? dedup->run_cap * 2 : 16;
		struct tk_dedup_run *grown = realloc(dedup->runs, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the dedup index");
		dedup->runs = grown;
		dedup->run_cap = cap;
	}
	tk_dedup_file_name(number, name);
	fd = openat(dedup->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening %s of the dedup index", name);
	if ((rc = tk_dedup_run_open(fd, dedup->hash, &dedup->runs[dedup->run_count], err)))
		return rc;
	dedup->runs[dedup->run_count++].number = number;
	return TK_OK;
}

void
tk_dedup_drop_run(struct tk_dedup *dedup, size_t index)
{
	char name[TK_DEDUP_FILE_NAME_BYTES];

	tk_dedup_file_name(dedup->runs[index].number, name);
	(void)unlinkat(dedup->dirfd, name, 0);
	tk_dedup_run_release(&dedup->runs[index]);
	dedup->run_count--;
	memmove(&dedup->runs[index], &dedup->runs[index + 1], (dedup->run_count - index) * sizeof(*dedup->runs));
}

/* The directory is the truth: what is there and whole belongs to the index. A damaged run goes, with its rows. */
static enum tk_rc
load_runs(struct tk_dedup *dedup, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist names;
	TK_AUTO(tk_fd_cleanup) int fd = openat(dedup->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name;
	uint64_t number;
	enum tk_rc rc;

	tk_dirlist_init(&names);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "reading the directory of the dedup index");
	rc = tk_dirlist_read(&names, fd, NULL, err);
	while (!rc && (name = tk_dirlist_peek(&names))) {
		if (parse_file_name(name, &number)) {
			dedup->next_number = number + 1;
			rc = tk_dedup_load_run(dedup, number, err);
			if (rc == TK_ECORRUPT)
				(void)unlinkat(dedup->dirfd, name, 0);
			if (rc && rc != TK_ECORRUPT && rc != TK_ENOENT)
				return rc;
		}
		rc = tk_dirlist_advance(&names, err);
	}
	return rc;
}

enum tk_rc
tk_dedup_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_packtab *packs, struct tk_dedup **out,
	      bool *fresh, struct tk_err *err)
{
	TK_AUTO(tk_dedup_cleanup) struct tk_dedup *dedup = calloc(1, sizeof(*dedup));
	enum tk_rc rc;

	if (!dedup)
		return tk_err_set(err, TK_ENOMEM, "no memory for the dedup index");
	dedup->dirfd = -1;
	(void)pthread_mutex_init(&dedup->lock, NULL);
	dedup->packs = packs;
	dedup->next_number = 1;
	if ((rc = tk_hash_ctx_new(suite, &dedup->hash, err)) || (rc = tk_domain_dir_open(state_dir, domain, "dedup", &dedup->dirfd, err)) ||
	    (rc = tk_publish_sweep(dedup->dirfd, err)) || (rc = load_runs(dedup, err)))
		return tk_err_context(err, rc, "opening the dedup index");
	*fresh = dedup->run_count == 0;
	*out = dedup;
	dedup = NULL;
	return TK_OK;
}

void
tk_dedup_cleanup(struct tk_dedup **slot)
{
	struct tk_dedup *dedup = *slot;

	if (!dedup)
		return;
	for (size_t i = 0; i < dedup->run_count; i++)
		tk_dedup_run_release(&dedup->runs[i]);
	free(dedup->runs);
	tk_dedup_rows_release(&dedup->added);
	tk_hash_ctx_cleanup(&dedup->hash);
	tk_fd_cleanup(&dedup->dirfd);
	(void)pthread_mutex_destroy(&dedup->lock);
	free(dedup);
	*slot = NULL;
}

static enum tk_rc
find_locked(struct tk_dedup *dedup, const uint8_t id[16], struct tk_extent *extent, bool *found, struct tk_err *err)
{
	const struct tk_dedup_row *row = tk_dedup_rows_find(&dedup->added, id);
	enum tk_rc rc;

	*found = row != NULL;
	if (row) {
		*extent = row->extent;
		return TK_OK;
	}
	for (size_t i = 0; i < dedup->run_count;) {
		rc = tk_dedup_run_find(&dedup->runs[i], dedup->hash, dedup->packs, id, extent, found, err);
		if (rc && rc != TK_ECORRUPT)
			return rc;
		if (*found)
			return TK_OK;
		if (rc)
			tk_dedup_drop_run(dedup, i);
		else
			i++;
	}
	memcpy(dedup->missed, id, sizeof(dedup->missed));
	dedup->has_missed = true;
	return TK_OK;
}

static enum tk_rc
add_locked(struct tk_dedup *dedup, const uint8_t id[16], const struct tk_extent *extent, struct tk_err *err)
{
	struct tk_dedup_row row = {.extent = *extent};
	struct tk_extent place;
	bool found = false;
	enum tk_rc rc;

	if (!dedup->has_missed || memcmp(dedup->missed, id, sizeof(dedup->missed)) != 0)
		if ((rc = find_locked(dedup, id, &place, &found, err)) || found)
			return rc;
	dedup->has_missed = false;
	memcpy(row.id, id, sizeof(row.id));
	return tk_dedup_rows_add(&dedup->added, &row, err);
}

enum tk_rc
tk_dedup_find(struct tk_dedup *dedup, const uint8_t id[16], struct tk_extent *extent, bool *found, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&dedup->lock);
	rc = find_locked(dedup, id, extent, found, err);
	pthread_mutex_unlock(&dedup->lock);
	return rc;
}

enum tk_rc
tk_dedup_add(struct tk_dedup *dedup, const uint8_t id[16], const struct tk_extent *extent, struct tk_err *err)
{
	enum tk_rc rc;

	if (extent->length_bytes == 0 || extent->ref.pack == TK_PACK_NONE)
		return tk_err_set(err, TK_EINVAL, "a chunk without a place for the dedup index");
	pthread_mutex_lock(&dedup->lock);
	rc = add_locked(dedup, id, extent, err);
	pthread_mutex_unlock(&dedup->lock);
	return rc;
}
