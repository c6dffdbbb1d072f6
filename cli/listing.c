#include "cli/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "engine/base/hex.h"

#define NS_PER_S 1000000000LL

static const struct {
	enum tk_ftype type;
	char letter;
	const char *name;
} types[] = {
	{TK_FT_REG, '-', "file"},
	{TK_FT_DIR, 'd', "directory"},
	{TK_FT_SYMLINK, 'l', "symlink"},
	{TK_FT_FIFO, 'p', "fifo"},
	{TK_FT_CHAR, 'c', "character-device"},
	{TK_FT_BLOCK, 'b', "block-device"},
};

const char *
tk_listing_type(enum tk_ftype type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			return types[i].name;
	return "other";
}

/* The last letter of a triple, with setuid, setgid or sticky. */
static char
special(bool executable, bool set, char lower, char upper)
{
	if (set)
		return executable ? lower : upper;
	return executable ? 'x' : '-';
}

void
tk_listing_mode(const struct tk_meta *meta, char dst[TK_LISTING_MODE_MAX])
{
	uint32_t mode = meta->mode;
	bool has_acl = tk_meta_find_xattr(meta, TK_XATTR_ACL_ACCESS) || tk_meta_find_xattr(meta, TK_XATTR_ACL_DEFAULT);

	dst[0] = '?';
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == meta->type)
			dst[0] = types[i].letter;
	for (unsigned i = 0; i < 3; i++) {
		dst[1 + 3 * i] = mode & (0400u >> (3 * i)) ? 'r' : '-';
		dst[2 + 3 * i] = mode & (0200u >> (3 * i)) ? 'w' : '-';
	}
	dst[3] = special(mode & 0100, mode & 04000, 's', 'S');
	dst[6] = special(mode & 0010, mode & 02000, 's', 'S');
	dst[9] = special(mode & 0001, mode & 01000, 't', 'T');
	dst[10] = has_acl ? '+' : '\0';
	dst[11] = '\0';
}

void
tk_listing_owner(const char *name, uint32_t id, char dst[TK_LISTING_OWNER_MAX])
{
	if (name)
		(void)tk_format_name(name, dst, TK_LISTING_OWNER_MAX);
	else
		(void)snprintf(dst, TK_LISTING_OWNER_MAX, "%" PRIu32, id);
}

char *
tk_listing_text(const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	char *out = malloc(size);

	if (out)
		(void)tk_format_name(text, out, size);
	return out;
}

static char *
absolute(const char *path, size_t path_bytes)
{
	char *out = malloc(path_bytes + 2);

	if (out) {
		out[0] = '/';
		memcpy(out + 1, path, path_bytes);
		out[path_bytes + 1] = '\0';
	}
	return out;
}

char *
tk_listing_name(const char *path, size_t path_bytes)
{
	char *whole = absolute(path, path_bytes), *out = whole ? tk_listing_text(whole) : NULL;

	free(whole);
	return out;
}

int64_t
tk_listing_mtime_ns(const struct tk_meta *meta)
{
	/* Years that nanoseconds in 64 bits do not reach are shown as the last one they do. */
	if (meta->mtime_s >= INT64_MAX / NS_PER_S)
		return INT64_MAX;
	if (meta->mtime_s <= INT64_MIN / NS_PER_S)
		return INT64_MIN;
	return meta->mtime_s * NS_PER_S + meta->mtime_ns;
}

json_t *
tk_listing_json_path(const char *path)
{
	char *whole = absolute(path, strlen(path));
	json_t *value = whole ? tk_json_text(whole) : NULL;

	free(whole);
	return value;
}

json_t *
tk_listing_json(const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;
	char mode[8], digest[2 * TK_DIGEST_BYTES + 1];
	json_t *doc;

	(void)snprintf(mode, sizeof(mode), "%04" PRIo32, meta->mode);
	doc = json_pack("{s:o, s:s, s:s, s:I, s:I, s:o, s:o, s:I, s:o}", "path", tk_listing_json_path(entry->path), "type", tk_listing_type(meta->type),
			"mode", mode, "uid", (json_int_t)meta->uid, "gid", (json_int_t)meta->gid, "user", tk_json_text(meta->uname), "group",
			tk_json_text(meta->gname), "size_bytes", (json_int_t)meta->size_bytes, "mtime", tk_json_time(tk_listing_mtime_ns(meta)));
	if (meta->type == TK_FT_REG) {
		tk_hex_encode(entry->content.b, sizeof(entry->content.b), digest);
		(void)json_object_set_new(doc, "content_digest", json_string(digest));
		(void)json_object_set_new(doc, "inconsistent", json_boolean(entry->inconsistent));
	}
	if (meta->link_target)
		(void)json_object_set_new(doc, "link_target", tk_json_text(meta->link_target));
	if (meta->type == TK_FT_CHAR || meta->type == TK_FT_BLOCK) {
		(void)json_object_set_new(doc, "device_major", json_integer((json_int_t)meta->dev_major));
		(void)json_object_set_new(doc, "device_minor", json_integer((json_int_t)meta->dev_minor));
	}
	return doc;
}
