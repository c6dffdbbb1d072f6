#include "engine/fsio/dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fsio/dirspill.h"
#include "engine/fsio/fstat.h"

/* What a list may keep for the next directory: a deep tree has one list a level. */
#define KEEP_ARENA_BYTES 65536
#define KEEP_ITEMS 4096
#define READ_BYTES 32768

void
tk_dirlist_init(struct tk_dirlist *list)
{
	*list = (struct tk_dirlist){.spill_names = TK_DIRLIST_SPILL_NAMES};
}

void
tk_dirlist_release(struct tk_dirlist *list)
{
	free(list->arena);
	free(list->items);
	tk_dirspill_free(list->spill);
	tk_dirlist_init(list);
}

void
tk_dirlist_clear(struct tk_dirlist *list)
{
	size_t spill_names = list->spill_names;

	if (list->spill || list->arena_cap_bytes > KEEP_ARENA_BYTES || list->cap > KEEP_ITEMS) {
		tk_dirlist_release(list);
		list->spill_names = spill_names;
	}
	list->arena_len_bytes = list->count = list->pos = 0;
}

static uint64_t
name_prefix(const char *name)
{
	uint64_t prefix = 0;

	for (unsigned i = 0; i < 8 && name[i]; i++)
		prefix |= (uint64_t)(unsigned char)name[i] << (56 - 8 * i);
	return prefix;
}

static int
item_order(const void *a, const void *b, void *arena)
{
	const struct tk_dirlist_item *left = a, *right = b;
	const char *names = arena;

	if (left->prefix != right->prefix)
		return left->prefix < right->prefix ? -1 : 1;
	return strcmp(names + left->offset_bytes, names + right->offset_bytes);
}

static void
list_sort(struct tk_dirlist *list)
{
	if (list->count > 1)
		qsort_r(list->items, list->count, sizeof(*list->items), item_order, list->arena);
}

/* What is in memory becomes one more run of the temporary file. */
static enum tk_rc
list_spill(struct tk_dirlist *list, const char *tmp_dir, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (!list->spill && (rc = tk_dirspill_new(tmp_dir, &list->spill, err)) != TK_OK)
		return rc;
	list_sort(list);
	for (size_t i = 0; rc == TK_OK && i < list->count; i++)
		rc = tk_dirspill_put(list->spill, list->arena + list->items[i].offset_bytes, err);
	list->arena_len_bytes = list->count = 0;
	return rc == TK_OK ? tk_dirspill_end_run(list->spill, err) : rc;
}

static enum tk_rc
list_grow(struct tk_dirlist *list, size_t name_bytes, struct tk_err *err)
{
	if (list->arena_cap_bytes - list->arena_len_bytes < name_bytes) {
		size_t cap = (list->arena_cap_bytes ? list->arena_cap_bytes * 2 : 1024) + name_bytes;
		char *arena = realloc(list->arena, cap);

		if (!arena)
			return tk_err_set(err, TK_ENOMEM, "reading a directory: out of memory");
		list->arena = arena;
		list->arena_cap_bytes = cap;
	}
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct tk_dirlist_item *items = reallocarray(list->items, cap, sizeof(*items));

		if (!items)
			return tk_err_set(err, TK_ENOMEM, "reading a directory: out of memory");
		list->items = items;
		list->cap = cap;
	}
	return TK_OK;
}

static enum tk_rc
list_add(struct tk_dirlist *list, const char *name, const char *tmp_dir, struct tk_err *err)
{
	size_t name_bytes = strlen(name) + 1;
	enum tk_rc rc;

	if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
		return TK_OK;
	if (list->count >= list->spill_names && (rc = list_spill(list, tmp_dir, err)) != TK_OK)
		return rc;
	if ((rc = list_grow(list, name_bytes, err)) != TK_OK)
		return rc;
	memcpy(list->arena + list->arena_len_bytes, name, name_bytes);
	list->items[list->count++] = (struct tk_dirlist_item){name_prefix(name), list->arena_len_bytes};
	list->arena_len_bytes += name_bytes;
	return TK_OK;
}

/* getdents64 into the stack instead of readdir: no duplicated descriptor and no allocation a directory. */
static enum tk_rc
list_fill(struct tk_dirlist *list, int dirfd, const char *tmp_dir, struct tk_err *err)
{
	char records[READ_BYTES] __attribute__((aligned(16)));
	enum tk_rc rc;

	for (;;) {
		ssize_t got = getdents64(dirfd, records, sizeof(records));

		if (got == 0)
			return TK_OK;
		if (got < 0) {
			if (errno == EINTR)
				continue;
			return tk_err_errno(err, tk_fs_rc(), "reading a directory");
		}
		for (ssize_t at = 0; at < got;) {
			uint16_t record_bytes;

			memcpy(&record_bytes, records + at + offsetof(struct dirent64, d_reclen), sizeof(record_bytes));
			rc = list_add(list, records + at + offsetof(struct dirent64, d_name), tmp_dir, err);
			if (rc != TK_OK)
				return rc;
			at += record_bytes;
		}
	}
}

enum tk_rc
tk_dirlist_read(struct tk_dirlist *list, int dirfd, const char *tmp_dir, struct tk_err *err)
{
	enum tk_rc rc;

	tk_dirlist_clear(list);
	rc = list_fill(list, dirfd, tmp_dir, err);
	if (rc == TK_OK && list->spill) {
		rc = list_spill(list, tmp_dir, err);
		if (rc == TK_OK)
			rc = tk_dirspill_rewind(list->spill, err);
	} else if (rc == TK_OK) {
		list_sort(list);
	}
	if (rc != TK_OK)
		tk_dirlist_clear(list);
	return rc;
}

const char *
tk_dirlist_peek(const struct tk_dirlist *list)
{
	if (list->spill)
		return tk_dirspill_peek(list->spill);
	return list->pos < list->count ? list->arena + list->items[list->pos].offset_bytes : NULL;
}

enum tk_rc
tk_dirlist_advance(struct tk_dirlist *list, struct tk_err *err)
{
	if (list->spill)
		return tk_dirspill_advance(list->spill, err);
	list->pos += list->pos < list->count;
	return TK_OK;
}
