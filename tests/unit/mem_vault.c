#include "tests/unit/mem_vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tk_rc
mem_place(void *ctx, uint32_t *pack, struct tk_err *err)
{
	struct mem_vault *vault = ctx;
	struct tk_pack_name name;

	if (vault->pack_blobs == vault->pack_blobs_max) {
		memset(name.b, 0xa0, sizeof(name.b));
		tk_store_u64(name.b, tk_packtab_count(vault->packs));
		if (tk_packtab_intern(vault->packs, &name, &vault->pack, err) != TK_OK)
			return TK_ENOMEM;
		vault->pack_blobs = 0;
	}
	*pack = vault->pack;
	return TK_OK;
}

static enum tk_rc
mem_put(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count,
	struct tk_blob_ref *ref, struct tk_err *err)
{
	struct mem_vault *vault = ctx;
	struct mem_blob *blob;

	(void)err;
	if (vault->count == vault->cap) {
		vault->cap = vault->cap ? vault->cap * 2 : 64;
		vault->blobs = reallocarray(vault->blobs, vault->cap, sizeof(*vault->blobs));
		assert_non_null(vault->blobs);
	}
	blob = &vault->blobs[vault->count++];
	*blob = (struct mem_blob){.ref = {vault->pack, vault->pack_blobs++}, .type = type, .len_bytes = plain_bytes, .ref_count = ref_count};
	blob->data = malloc(plain_bytes ? plain_bytes : 1);
	blob->refs = calloc(ref_count + 1, sizeof(*refs));
	assert_non_null(blob->data);
	assert_non_null(blob->refs);
	memcpy(blob->data, plain, plain_bytes);
	if (ref_count)
		memcpy(blob->refs, refs, ref_count * sizeof(*refs));
	vault->put_bytes += plain_bytes;
	*ref = blob->ref;
	return TK_OK;
}

static enum tk_rc
mem_leaf_made(void *ctx, const struct tk_page_info *info, const void *plain, size_t plain_bytes, struct tk_err *err)
{
	struct mem_vault *vault = ctx;

	(void)plain;
	(void)plain_bytes;
	(void)err;
	assert_int_equal(info->level, 0);
	vault->leaves_made++;
	return TK_OK;
}

const struct mem_blob *
mem_vault_find(const struct mem_vault *vault, struct tk_blob_ref ref)
{
	for (size_t i = vault->count; i-- > 0;)
		if (vault->blobs[i].ref.pack == ref.pack && vault->blobs[i].ref.blob == ref.blob)
			return &vault->blobs[i];
	return NULL;
}

static enum tk_rc
mem_read(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err)
{
	struct mem_vault *vault = ctx;
	const struct mem_blob *blob = mem_vault_find(vault, ref);

	vault->reads++;
	if (!blob)
		return tk_err_set(err, TK_EMISSING, "no such blob");
	if (blob->type != type)
		return tk_err_set(err, TK_ECORRUPT, "a blob of another type");
	tk_buf_clear(plain);
	return tk_buf_put(plain, blob->data, blob->len_bytes, err);
}

static enum tk_rc
mem_type(void *ctx, struct tk_blob_ref ref, enum tk_blob_type *type, struct tk_err *err)
{
	const struct mem_blob *blob = mem_vault_find(ctx, ref);

	if (!blob)
		return tk_err_set(err, TK_EMISSING, "no such blob");
	*type = blob->type;
	return TK_OK;
}

void
mem_vault_init(struct mem_vault *vault, uint32_t pack_blobs_max)
{
	*vault = (struct mem_vault){.pack_blobs_max = pack_blobs_max, .pack_blobs = pack_blobs_max};
	vault->sink = (struct tk_page_sink){.ctx = vault, .place = mem_place, .put = mem_put, .leaf_made = mem_leaf_made};
	vault->source = (struct tk_blob_source){.ctx = vault, .read = mem_read, .type = mem_type};
	assert_int_equal(tk_packtab_new(&vault->packs, NULL), TK_OK);
}

void
mem_vault_release(struct mem_vault *vault)
{
	for (size_t i = 0; i < vault->count; i++) {
		free(vault->blobs[i].data);
		free(vault->blobs[i].refs);
	}
	free(vault->blobs);
	tk_packtab_free(vault->packs);
}

uint64_t
mem_rand_next(struct mem_rand *rand)
{
	rand->state ^= rand->state >> 12;
	rand->state ^= rand->state << 25;
	rand->state ^= rand->state >> 27;
	return rand->state * 0x2545f4914f6cdd1dULL;
}

uint64_t
mem_rand_below(struct mem_rand *rand, uint64_t limit)
{
	return (mem_rand_next(rand) >> 11) % limit;
}

static void
make_content(struct tk_entry *entry, struct mem_rand *rand, uint32_t packs)
{
	size_t count = mem_rand_below(rand, 6);

	for (size_t i = 0; i < sizeof(entry->content.b); i++)
		entry->content.b[i] = (uint8_t)mem_rand_next(rand);
	if (count == 0)
		return;
	if (mem_rand_below(rand, 10) == 0) {
		entry->kind = TK_CONTENT_SEGMENTS;
		entry->segments = (struct tk_blob_ref){(uint32_t)mem_rand_below(rand, packs), (uint32_t)mem_rand_below(rand, 300)};
		entry->meta.size_bytes = mem_rand_next(rand) | 1;
		return;
	}
	entry->kind = TK_CONTENT_EXTENTS;
	entry->extents = calloc(count, sizeof(*entry->extents));
	assert_non_null(entry->extents);
	entry->extent_count = count;
	for (size_t i = 0; i < count; i++) {
		struct tk_extent *extent = &entry->extents[i];

		extent->length_bytes = 1 + (uint32_t)mem_rand_below(rand, 5000);
		switch (mem_rand_below(rand, i ? 4 : 2)) {
		case 0:
			extent->ref.pack = TK_PACK_NONE;
			break;
		case 1:
			extent->ref = (struct tk_blob_ref){(uint32_t)mem_rand_below(rand, packs), (uint32_t)mem_rand_below(rand, 65535)};
			extent->offset_bytes = (uint32_t)mem_rand_below(rand, 1 << 19);
			break;
		default:
			*extent = extent[-1];
			extent->length_bytes = 77;
			if (extent->ref.pack != TK_PACK_NONE && extent->ref.blob < 65534) {
				extent->offset_bytes = i % 2 ? 0 : extent->offset_bytes + extent[-1].length_bytes;
				extent->ref.blob += i % 2;
			}
			break;
		}
	}
	for (size_t i = 0; i < count; i++)
		entry->meta.size_bytes += entry->extents[i].length_bytes;
}

void
mem_entry_make(struct tk_entry *entry, const char *path, uint64_t seed, uint32_t packs)
{
	struct mem_rand rand = {seed * 2 + 1};
	struct tk_meta *meta = &entry->meta;
	char text[32];

	tk_entry_init(entry);
	entry->path = strdup(path);
	entry->path_bytes = strlen(path);
	meta->type = mem_rand_below(&rand, 3) ? TK_FT_REG : (enum tk_ftype)(1 + mem_rand_below(&rand, 6));
	meta->mode = (uint32_t)mem_rand_below(&rand, 010000);
	meta->uid = (uint32_t)mem_rand_below(&rand, 3) * 1000;
	meta->gid = (uint32_t)mem_rand_next(&rand);
	if (mem_rand_below(&rand, 2)) {
		snprintf(text, sizeof(text), "user%u", (unsigned)mem_rand_below(&rand, 5));
		meta->uname = strdup(text);
		meta->gname = mem_rand_below(&rand, 2) ? strdup("staff") : NULL;
	}
	meta->mtime_s = (int64_t)mem_rand_next(&rand) >> mem_rand_below(&rand, 60);
	meta->mtime_ns = (uint32_t)mem_rand_below(&rand, 1000000000);
	entry->inconsistent = mem_rand_below(&rand, 20) == 0;
	entry->hardlink_group = mem_rand_below(&rand, 10) ? 0 : mem_rand_next(&rand);
	meta->flags = mem_rand_below(&rand, 10) ? 0 : 0x20;
	if (mem_rand_below(&rand, 5) == 0) {
		assert_int_equal(tk_meta_put_xattr(meta, "user.note", "some\0value", 10, NULL), TK_OK);
		assert_int_equal(tk_meta_put_xattr(meta, "user.empty", "", 0, NULL), TK_OK);
	}
	if (mem_rand_below(&rand, 15) == 0)
		assert_int_equal(tk_buf_put(&entry->extensions, "\x02\x05\x03" "abc\x09\x00", 8, NULL), TK_OK);
	if (meta->type == TK_FT_REG)
		make_content(entry, &rand, packs);
	if (meta->type == TK_FT_SYMLINK)
		meta->link_target = strdup("../somewhere");
	if (meta->type == TK_FT_CHAR || meta->type == TK_FT_BLOCK)
		meta->dev_major = (uint32_t)mem_rand_below(&rand, 300);
}
