#include "engine/job/links.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"

/* Two open-addressed tables over one array of rows: by (dev, ino), and by group. Slot 0 means empty; n is row n - 1. */
struct tk_links {
	struct tk_link_row **rows;
	size_t count, cap;
	uint32_t *by_inode, *by_group;
	size_t slots;                         /* a power of two */
};

static uint64_t
mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15ull ^ b;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 29;
}

static struct tk_link_row *
find_group(const struct tk_links *links, uint64_t group)
{
	for (size_t at = mix(group, 0);; at++) {
		uint32_t slot = links->by_group[at & (links->slots - 1)];

		if (slot == 0)
			return NULL;
		if (links->rows[slot - 1]->group == group)
			return links->rows[slot - 1];
	}
}

struct tk_link_row *
tk_links_find(struct tk_links *links, uint64_t dev, uint64_t ino)
{
	for (size_t at = mix(dev, ino);; at++) {
		uint32_t slot = links->by_inode[at & (links->slots - 1)];

		if (slot == 0)
			return NULL;
		if (links->rows[slot - 1]->ino == ino && links->rows[slot - 1]->dev == dev)
			return links->rows[slot - 1];
	}
}

static void
insert(uint32_t *table, size_t slots, uint64_t hash, uint32_t value)
{
	size_t at = hash;

	while (table[at & (slots - 1)])
		at++;
	table[at & (slots - 1)] = value;
}

static enum tk_rc
grow(struct tk_links *links, struct tk_err *err)
{
	size_t slots = links->slots ? links->slots * 2 : 1024;
	uint32_t *by_inode = calloc(slots, sizeof(*by_inode)), *by_group = calloc(slots, sizeof(*by_group));
	struct tk_link_row **rows = realloc(links->rows, slots / 2 * sizeof(struct tk_link_row *));

	if (rows)
		links->rows = rows;
	if (!by_inode || !by_group || !rows) {
		free(by_inode);
		free(by_group);
		return tk_err_set(err, TK_ENOMEM, "no memory for hardlinks");
	}
	for (size_t i = 0; i < links->count; i++) {
		insert(by_inode, slots, mix(rows[i]->dev, rows[i]->ino), (uint32_t)i + 1);
		insert(by_group, slots, mix(rows[i]->group, 0), (uint32_t)i + 1);
	}
	free(links->by_inode);
	free(links->by_group);
	links->by_inode = by_inode;
	links->by_group = by_group;
	links->slots = slots;
	links->cap = slots / 2;
	return TK_OK;
}

enum tk_rc
tk_links_add(struct tk_links *links, uint64_t dev, uint64_t ino, uint64_t wish, struct tk_link_row **row, struct tk_err *err)
{
	enum tk_rc rc;

	if (links->count == links->cap && (rc = grow(links, err)))
		return rc;
	while (wish == 0 || find_group(links, wish))
		if ((rc = tk_random_bytes(&wish, sizeof(wish), err)))
			return rc;
	*row = calloc(1, sizeof(**row));
	if (!*row)
		return tk_err_set(err, TK_ENOMEM, "no memory for hardlinks");
	(*row)->dev = dev;
	(*row)->ino = ino;
	(*row)->group = wish;
	links->rows[links->count++] = *row;
	insert(links->by_inode, links->slots, mix(dev, ino), (uint32_t)links->count);
	insert(links->by_group, links->slots, mix(wish, 0), (uint32_t)links->count);
	return TK_OK;
}

enum tk_rc
tk_links_set_content(struct tk_link_row *row, const struct tk_content *content, struct tk_err *err)
{
	struct tk_extent *copy = NULL;

	if (content->extent_count > 0) {
		copy = malloc(content->extent_count * sizeof(*copy));
		if (!copy)
			return tk_err_set(err, TK_ENOMEM, "no memory for a hardlink's extents");
		memcpy(copy, content->extents, content->extent_count * sizeof(*copy));
	}
	free(row->content.extents);
	row->content = *content;
	row->content.extents = copy;
	row->content.extent_cap = content->extent_count;
	row->has_content = true;
	return TK_OK;
}

enum tk_rc
tk_links_new(struct tk_links **out, struct tk_err *err)
{
	struct tk_links *links = calloc(1, sizeof(*links));
	enum tk_rc rc;

	if (!links)
		return tk_err_set(err, TK_ENOMEM, "no memory for hardlinks");
	if ((rc = grow(links, err))) {
		tk_links_cleanup(&links);
		return rc;
	}
	*out = links;
	return TK_OK;
}

void
tk_links_cleanup(struct tk_links **slot)
{
	struct tk_links *links = *slot;

	if (!links)
		return;
	for (size_t i = 0; i < links->count; i++) {
		free(links->rows[i]->content.extents);
		free(links->rows[i]);
	}
	free(links->rows);
	free(links->by_inode);
	free(links->by_group);
	free(links);
	*slot = NULL;
}
