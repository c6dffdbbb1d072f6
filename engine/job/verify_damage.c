/* What was found damaged, and which files need it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/verify_core.h"

/* Of its name, before what fetch says of a pack. */
#define PACK_SHOWN_BYTES 8

void
tk_verify_result_release(struct tk_verify_result *result)
{
	for (size_t i = 0; i < result->damaged_count; i++) {
		for (size_t k = 0; k < result->damaged[i].file_count; k++)
			free(result->damaged[i].files[k]);
		free(result->damaged[i].files);
	}
	free(result->damaged);
	memset(result, 0, sizeof(*result));
}

/* TK_EIO: a disk that does not give a blob back has damaged it; an error of this machine's own would be met everywhere. */
bool
tk_verify_is_damage(enum tk_rc rc)
{
	return rc == TK_ECORRUPT || rc == TK_EMISSING || rc == TK_ENOENT || rc == TK_EUNSUPPORTED || rc == TK_EIO;
}

static struct tk_damage *
find_damage(struct tk_verify *verify, const struct tk_pack_name *pack, uint32_t blob)
{
	for (size_t i = 0; i < verify->result->damaged_count; i++) {
		struct tk_damage *damage = &verify->result->damaged[i];

		if (!damage->is_point && damage->blob == blob && memcmp(&damage->pack, pack, sizeof(*pack)) == 0)
			return damage;
	}
	return NULL;
}

/* Without "WHAT NAME: " at its beginning. */
static const char *
skip_context(const char *text, const char *what, const char *name)
{
	size_t what_len = strlen(what), name_len = strlen(name);

	if (strncmp(text, what, what_len) != 0 || text[what_len] != ' ' || strncmp(text + what_len + 1, name, name_len) != 0 ||
	    strncmp(text + what_len + 1 + name_len, ": ", 2) != 0)
		return text;
	return text + what_len + 1 + name_len + 2;
}

/* *out is NULL when the list is full: then it is only counted. */
static enum tk_rc
new_damage(struct tk_verify *verify, const char *text, struct tk_damage **out, struct tk_err *err)
{
	struct tk_verify_result *result = verify->result;
	struct tk_damage *grown;

	*out = NULL;
	result->damaged_total++;
	if (result->damaged_count >= TK_DAMAGED_MAX)
		return TK_OK;
	grown = realloc(result->damaged, (result->damaged_count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of damage");
	result->damaged = grown;
	*out = &grown[result->damaged_count++];
	memset(*out, 0, sizeof(**out));
	memcpy((*out)->text, text, strnlen(text, sizeof((*out)->text) - 1));
	return TK_OK;
}

enum tk_rc
tk_verify_note_point(struct tk_verify *verify, enum tk_rc rc, const struct tk_head *at, struct tk_err *err)
{
	struct tk_damage *damage;
	struct tk_err why;

	if (!tk_verify_is_damage(rc))
		return rc;
	verify->whole = false;
	if (verify->naming)
		return TK_OK;
	why = *err;
	rc = new_damage(verify, skip_context(why.text, "site", verify->opts->site->name), &damage, err);
	if (!rc && damage) {
		damage->is_point = true;
		damage->point = *at;
		damage->blob = UINT32_MAX;
	}
	return rc;
}

static enum tk_rc
add_name(struct tk_damage *damage, const char *path, struct tk_err *err)
{
	char **grown;

	if (damage->file_count >= TK_DAMAGE_FILES_MAX)
		return TK_OK;
	grown = realloc(damage->files, (damage->file_count + 1) * sizeof(*grown));
	if (!grown || !(grown[damage->file_count] = strdup(path))) {
		damage->files = grown ? grown : damage->files;
		return tk_err_set(err, TK_ENOMEM, "no memory for paths");
	}
	damage->files = grown;
	damage->file_count++;
	return TK_OK;
}

/* FNV-1a: points name the same file again and again, and it counts once. */
static struct tk_blob_ref
pair_of(size_t damage, const char *path)
{
	uint64_t hash = 14695981039346656037ull ^ damage;

	for (hash *= 1099511628211ull; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 1099511628211ull;
	return (struct tk_blob_ref){(uint32_t)(hash >> 33), (uint32_t)hash};
}

static enum tk_rc
name_in(struct tk_verify *verify, struct tk_damage *damage, const char *path, struct tk_err *err)
{
	bool added = false;
	enum tk_rc rc = tk_refset_add(&verify->named, pair_of((size_t)(damage - verify->result->damaged), path), &added, err);

	if (rc || !added)
		return rc;
	damage->files_affected++;
	return add_name(damage, path, err);
}

enum tk_rc
tk_verify_name_file(struct tk_verify *verify, struct tk_blob_ref ref, const char *path, struct tk_err *err)
{
	struct tk_pack_name name = tk_packtab_name(verify->packs, ref.pack);
	struct tk_damage *blob = find_damage(verify, &name, ref.blob), *pack = find_damage(verify, &name, UINT32_MAX);
	enum tk_rc rc = blob ? name_in(verify, blob, path, err) : TK_OK;

	return !rc && pack && pack != blob ? name_in(verify, pack, path, err) : rc;
}

/* What the damage says of itself, and which site it is, need not be in its text. */
static const char *
text_of(const struct tk_verify *verify, const struct tk_pack_name *pack, uint32_t blob, const struct tk_err *why)
{
	char name[2 * sizeof(pack->b) + 1], number[16];

	tk_hex_encode(pack->b, PACK_SHOWN_BYTES, name);
	(void)snprintf(number, sizeof(number), "%u", (unsigned)blob);
	return skip_context(skip_context(skip_context(why->text, "pack", name), "site", verify->opts->site->name), "blob", number);
}

/* One pack that is gone is one damage, not one for each of its blobs. */
static uint32_t
blob_or_pack(struct tk_verify *verify, struct tk_blob_ref ref)
{
	const struct tk_pack_index *index = NULL;

	if (ref.blob == UINT32_MAX || tk_fetch_index(verify->fetch, ref.pack, &index, NULL))
		return UINT32_MAX;
	tk_fetch_index_release(verify->fetch, index);
	return ref.blob;
}

enum tk_rc
tk_verify_note(struct tk_verify *verify, enum tk_rc rc, struct tk_blob_ref ref, const struct tk_page_info *page, const char *path, struct tk_err *err)
{
	struct tk_damage *damage;
	struct tk_pack_name name;
	struct tk_err why;
	bool added;

	if (!tk_verify_is_damage(rc))
		return rc;
	verify->whole = false;
	if (verify->naming)
		return TK_OK;
	why = *err;
	name = tk_packtab_name(verify->packs, ref.pack);
	ref.blob = blob_or_pack(verify, ref);
	damage = find_damage(verify, &name, ref.blob);
	if (!damage && !tk_refset_has(&verify->bad, ref) && (rc = new_damage(verify, text_of(verify, &name, ref.blob, &why), &damage, err)) != TK_OK)
		return rc;
	if ((rc = tk_refset_add(&verify->bad, ref, &added, err)) || !damage)
		return rc;
	damage->pack = name;
	damage->blob = ref.blob;
	if (path)
		return name_in(verify, damage, path, err);
	if (!page)
		return TK_OK;
	damage->files_affected += page->entries;
	return page->first_path ? add_name(damage, page->first_path, err) : TK_OK;
}
