#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/catalog/catalog_core.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

struct tk_catalog_reader {
	struct tk_catalog *catalog;           /* borrowed */
	struct tk_current current;
	size_t next_bundle;
	struct tk_hash_ctx *hash;
	struct tk_buf file;                   /* the open bundle */
	struct tk_bundle_in bundle;
	bool is_open;
	bool is_done;                         /* no bundle is needed any more */

	/* A leaf that is read again alone. */
	struct tk_buf record;
	struct tk_bundle_in again;
};

static enum tk_rc
open_reader(struct tk_catalog *catalog, const char *pointer, struct tk_catalog_reader **out, struct tk_err *err)
{
	TK_AUTO(tk_catalog_reader_cleanup) struct tk_catalog_reader *reader = calloc(1, sizeof(*reader));
	enum tk_rc rc;

	if (!reader)
		return tk_err_set(err, TK_ENOMEM, "no memory for a reader of the catalog");
	reader->catalog = catalog;
	catalog->readers++;
	tk_buf_init(&reader->file, 0);
	tk_buf_init(&reader->bundle.path, 0);
	tk_buf_init(&reader->record, 0);
	tk_buf_init(&reader->again.path, 0);
	if ((rc = tk_catalog_load(catalog, pointer, &reader->current, err)) || (rc = tk_hash_ctx_new(catalog->suite, &reader->hash, err)))
		return rc;
	*out = reader;
	reader = NULL;
	return TK_OK;
}

enum tk_rc
tk_catalog_reader_open(struct tk_catalog *catalog, struct tk_catalog_reader **out, struct tk_err *err)
{
	return open_reader(catalog, TK_CURRENT_NAME, out, err);
}

enum tk_rc
tk_catalog_reader_open_unfinished(struct tk_catalog *catalog, struct tk_catalog_reader **out, struct tk_err *err)
{
	return open_reader(catalog, TK_UNFINISHED_NAME, out, err);
}

void
tk_catalog_reader_cleanup(struct tk_catalog_reader **reader)
{
	if (!*reader)
		return;
	(*reader)->catalog->readers -= !(*reader)->is_done;
	tk_current_release(&(*reader)->current);
	tk_hash_ctx_cleanup(&(*reader)->hash);
	tk_buf_release(&(*reader)->file);
	tk_bundle_in_release(&(*reader)->bundle);
	tk_buf_release(&(*reader)->record);
	tk_bundle_in_release(&(*reader)->again);
	free(*reader);
	*reader = NULL;
}

/* One read, one hash. A damaged file is removed: the writer takes a file of the right name for the right bytes. */
static enum tk_rc
open_bundle(struct tk_catalog_reader *reader, const struct tk_current_bundle *row, struct tk_err *err)
{
	struct tk_catalog *catalog = reader->catalog;
	char name[TK_BUNDLE_NAME_BYTES];
	struct tk_digest digest;
	enum tk_rc rc;

	tk_hex_encode(row->digest.b, sizeof(row->digest.b), name);
	rc = tk_read_file_at(catalog->bundles_dirfd, name, TK_BUNDLE_BYTES_MAX, &reader->file, err);
	if (rc == TK_ENOENT)
		return tk_err_set(err, TK_ECORRUPT, "bundle %s of the catalog is missing", name);
	if (rc && rc != TK_EINVAL)
		return rc;
	if (!rc && (rc = tk_hash_whole(reader->hash, reader->file.data, reader->file.len_bytes, digest.b, err)))
		return rc;
	if (rc == TK_EINVAL || memcmp(&digest, &row->digest, sizeof(digest)) != 0) {
		(void)unlinkat(catalog->bundles_dirfd, name, 0);
		return tk_err_set(err, TK_ECORRUPT, "bundle %s of the catalog is damaged", name);
	}
	return tk_bundle_in_begin(&reader->bundle, reader->file.data, reader->file.len_bytes, catalog->packs, err);
}

enum tk_rc
tk_catalog_reader_next(struct tk_catalog_reader *reader, const struct tk_catalog_leaf **leaf, struct tk_err *err)
{
	enum tk_rc rc;

	*leaf = NULL;
	for (;;) {
		if (reader->is_open) {
			if ((rc = tk_bundle_in_next(&reader->bundle, leaf, err)) || *leaf)
				return rc;
			reader->is_open = false;
			if (reader->bundle.entries_read != reader->current.bundles[reader->next_bundle - 1].entries)
				return tk_err_set(err, TK_ECORRUPT, "a bundle of the catalog does not hold what its pointer says");
		}
		if (reader->next_bundle == reader->current.bundle_count) {
			reader->catalog->readers -= !reader->is_done;
			reader->is_done = true;
			return TK_OK;
		}
		if ((rc = open_bundle(reader, &reader->current.bundles[reader->next_bundle], err)))
			return rc;
		reader->next_bundle++;
		reader->is_open = true;
	}
}

uint64_t
tk_catalog_reader_entries(const struct tk_catalog_reader *reader)
{
	uint64_t entries = 0;

	for (size_t i = 0; i < reader->current.bundle_count; i++)
		entries += reader->current.bundles[i].entries;
	return entries;
}

struct tk_leaf_place
tk_catalog_reader_place(const struct tk_catalog_reader *reader)
{
	const struct tk_bundle_in *in = &reader->bundle;

	return (struct tk_leaf_place){(uint32_t)(reader->next_bundle - 1), (uint32_t)in->leaf_at_bytes,
				      (uint32_t)(in->cur.pos_bytes - in->leaf_at_bytes), in->leaf.info.ref.pack};
}

enum tk_rc
tk_catalog_reader_at(struct tk_catalog_reader *reader, const struct tk_leaf_place *place, const struct tk_catalog_leaf **leaf, struct tk_err *err)
{
	char name[TK_BUNDLE_NAME_BYTES];
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	size_t got = 0;
	enum tk_rc rc;

	*leaf = NULL;
	tk_hex_encode(reader->current.bundles[place->bundle].digest.b, TK_DIGEST_BYTES, name);
	fd = openat(reader->catalog->bundles_dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return tk_err_set(err, TK_ECORRUPT, "bundle %s of the catalog is missing", name);
	tk_buf_clear(&reader->record);
	if ((rc = tk_buf_reserve(&reader->record, place->len_bytes, err)) ||
	    (rc = tk_pread_full(fd, reader->record.data, place->len_bytes, place->offset_bytes, &got, "a bundle of the catalog", err)))
		return rc;
	if (got != place->len_bytes)
		return tk_err_set(err, TK_ECORRUPT, "bundle %s of the catalog was cut", name);
	return tk_bundle_in_record(&reader->again, reader->record.data, got, place->pack, leaf, err);
}
