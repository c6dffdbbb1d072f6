#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/catalog/catalog_core.h"
#include "engine/crypto/hash.h"
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
};

enum tk_rc
tk_catalog_reader_open(struct tk_catalog *catalog, struct tk_catalog_reader **out, struct tk_err *err)
{
	TK_AUTO(tk_catalog_reader_cleanup) struct tk_catalog_reader *reader = calloc(1, sizeof(*reader));
	enum tk_rc rc;

	if (!reader)
		return tk_err_set(err, TK_ENOMEM, "no memory for a reader of the catalog");
	reader->catalog = catalog;
	catalog->readers++;
	tk_buf_init(&reader->file, 0);
	tk_buf_init(&reader->bundle.path, 0);
	if ((rc = tk_catalog_load(catalog, TK_CURRENT_NAME, &reader->current, err)) || (rc = tk_hash_ctx_new(catalog->suite, &reader->hash, err)))
		return rc;
	*out = reader;
	reader = NULL;
	return TK_OK;
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
