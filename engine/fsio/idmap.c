#include "engine/fsio/idmap.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

/* A name service's record may be long (a group with thousands of members), but not endless. */
#define RECORD_MAX (1U << 20)

struct id_row {
	char *name;      /* owned; NULL in a by-id table when the id has none */
	uint32_t id;
	bool known;
};

struct id_table {
	struct id_row *rows; /* sorted by id, or by name */
	size_t count;
	size_t cap;
};

struct tk_idmap {
	struct id_table by_id[2];
	struct id_table by_name[2];
};

enum tk_rc
tk_idmap_new(struct tk_idmap **out, struct tk_err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out ? TK_OK : tk_err_set(err, TK_ENOMEM, "id map: out of memory");
}

static void
table_release(struct id_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->rows[i].name);
	free(table->rows);
}

void
tk_idmap_free(struct tk_idmap *map)
{
	if (!map)
		return;
	for (int kind = 0; kind < 2; kind++) {
		table_release(&map->by_id[kind]);
		table_release(&map->by_name[kind]);
	}
	free(map);
}

void
tk_idmap_cleanup(struct tk_idmap **map)
{
	tk_idmap_free(*map);
	*map = NULL;
}

/* Where the key is, or belongs; by name when name is given. */
static size_t
table_place(const struct id_table *table, const char *name, uint32_t id, bool *found)
{
	size_t lo = 0, hi = table->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct id_row *row = &table->rows[mid];
		int order = name ? strcmp(row->name, name) : (row->id > id) - (row->id < id);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

/* Takes over row.name, also when it fails. */
static enum tk_rc
table_insert(struct id_table *table, size_t at, struct id_row row, struct tk_err *err)
{
	if (table->count == table->cap) {
		size_t cap = table->cap ? table->cap * 2 : 16;
		struct id_row *rows = reallocarray(table->rows, cap, sizeof(*rows));

		if (!rows) {
			free(row.name);
			return tk_err_set(err, TK_ENOMEM, "id map: out of memory");
		}
		table->rows = rows;
		table->cap = cap;
	}
	memmove(&table->rows[at + 1], &table->rows[at], (table->count - at) * sizeof(row));
	table->rows[at] = row;
	table->count++;
	return TK_OK;
}

/* One question to the system: by name when name is given, else by *id. Returns errno's kind of number. */
static int
system_ask(enum tk_id_kind kind, const char *name, uint32_t *id, char *buf, size_t len_bytes, const char **found)
{
	struct passwd pw, *user = NULL;
	struct group gr, *group = NULL;
	int rc;

	*found = NULL;
	if (kind == TK_ID_USER) {
		rc = name ? getpwnam_r(name, &pw, buf, len_bytes, &user) : getpwuid_r(*id, &pw, buf, len_bytes, &user);
		if (user) {
			*found = user->pw_name;
			*id = user->pw_uid;
		}
		return rc;
	}
	rc = name ? getgrnam_r(name, &gr, buf, len_bytes, &group) : getgrgid_r(*id, &gr, buf, len_bytes, &group);
	if (group) {
		*found = group->gr_name;
		*id = group->gr_gid;
	}
	return rc;
}

/* Fills *row for the question; an unknown key gives a row that says so. */
static enum tk_rc
system_lookup(enum tk_id_kind kind, const char *name, uint32_t id, struct id_row *row, struct tk_err *err)
{
	const char *found = NULL;
	char *buf = NULL;
	int rc = ERANGE;

	row->known = false;
	row->id = id;
	for (size_t len = 1024; rc == ERANGE && len <= RECORD_MAX; len *= 4) {
		char *grown = realloc(buf, len);

		if (!grown) {
			free(buf);
			return tk_err_set(err, TK_ENOMEM, "id map: out of memory");
		}
		buf = grown;
		rc = system_ask(kind, name, &row->id, buf, len, &found);
	}
	row->known = found != NULL;
	row->name = name ? strdup(name) : found ? strdup(found) : NULL;
	free(buf);
	if ((name || row->known) && !row->name)
		return tk_err_set(err, TK_ENOMEM, "id map: out of memory");
	return TK_OK;
}

static enum tk_rc
idmap_find(struct id_table *table, enum tk_id_kind kind, const char *name, uint32_t id, const struct id_row **row, struct tk_err *err)
{
	struct id_row fresh = {0};
	enum tk_rc rc;
	bool found;
	size_t at = table_place(table, name, id, &found);

	if (!found) {
		if ((rc = system_lookup(kind, name, id, &fresh, err)) != TK_OK)
			return rc;
		if ((rc = table_insert(table, at, fresh, err)) != TK_OK)
			return rc;
	}
	*row = &table->rows[at];
	return TK_OK;
}

enum tk_rc
tk_idmap_name(struct tk_idmap *map, enum tk_id_kind kind, uint32_t id, const char **name, struct tk_err *err)
{
	const struct id_row *row;
	enum tk_rc rc = idmap_find(&map->by_id[kind], kind, NULL, id, &row, err);

	if (rc == TK_OK)
		*name = row->name;
	return rc;
}

enum tk_rc
tk_idmap_id(struct tk_idmap *map, enum tk_id_kind kind, const char *name, bool *known, uint32_t *id, struct tk_err *err)
{
	const struct id_row *row;
	enum tk_rc rc = idmap_find(&map->by_name[kind], kind, name, 0, &row, err);

	if (rc != TK_OK)
		return rc;
	*known = row->known;
	if (row->known)
		*id = row->id;
	return TK_OK;
}
