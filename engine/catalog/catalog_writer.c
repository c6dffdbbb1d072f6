#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/catalog/catalog_core.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

/* A bundle that was written under a temporary name: it is made durable with the others, when its bytes are on the disk already. */
struct pending {
	struct pending *before;
	char tmp[TK_TMP_NAME_MAX];
	char name[TK_BUNDLE_NAME_BYTES];
};

struct tk_catalog_writer {
	struct tk_catalog *catalog;           /* borrowed */
	struct tk_current old;                /* for its nodes; empty when there is none */
	struct tk_current next;
	struct tk_bundle_out bundle;
	struct tk_path_hasher *paths;
	struct tk_hash_ctx *hash;
	struct pending *pending;
	bool is_done;                         /* nothing of it can be swept any more */
};

enum tk_rc
tk_catalog_writer_begin(struct tk_catalog *catalog, struct tk_catalog_writer **out, struct tk_err *err)
{
	TK_AUTO(tk_catalog_writer_cleanup) struct tk_catalog_writer *writer = calloc(1, sizeof(*writer));
	bool found;
	enum tk_rc rc;

	if (!writer)
		return tk_err_set(err, TK_ENOMEM, "no memory for a writer of the catalog");
	writer->catalog = catalog;
	catalog->writers++;
	tk_bundle_out_init(&writer->bundle);
	if ((rc = tk_catalog_try_load(catalog, TK_CURRENT_NAME, &writer->old, &found, err)) ||
	    (rc = tk_path_hasher_new(catalog->suite, &writer->paths, err)) || (rc = tk_hash_ctx_new(catalog->suite, &writer->hash, err)))
		return rc;
	*out = writer;
	writer = NULL;
	return TK_OK;
}

void
tk_catalog_writer_cleanup(struct tk_catalog_writer **slot)
{
	struct tk_catalog_writer *writer = *slot;

	if (!writer)
		return;
	writer->catalog->writers -= !writer->is_done;
	while (writer->pending) {
		struct pending *last = writer->pending;

		writer->pending = last->before;
		(void)unlinkat(writer->catalog->bundles_dirfd, last->tmp, 0);
		free(last);
	}
	tk_current_release(&writer->old);
	tk_current_release(&writer->next);
	tk_bundle_out_release(&writer->bundle);
	tk_path_hasher_cleanup(&writer->paths);
	tk_hash_ctx_cleanup(&writer->hash);
	free(writer);
	*slot = NULL;
}

static enum tk_rc
write_tmp(struct tk_catalog_writer *writer, const char *tmp, struct tk_err *err)
{
	const struct tk_bundle_out *bundle = &writer->bundle;
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	enum tk_rc rc;

	fd = openat(writer->catalog->bundles_dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "creating a bundle of the catalog");
	if ((rc = tk_write_full(fd, bundle->head.data, bundle->head.len_bytes, "a bundle of the catalog", err)) ||
	    (rc = tk_write_full(fd, bundle->leaves.data, bundle->leaves.len_bytes, "a bundle of the catalog", err)))
		return rc;
	/* A start of the write-back, so that finish need not wait long; whether it worked is what fsync says then. */
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return tk_fd_close(&fd, "a bundle of the catalog", err);
}

static enum tk_rc
write_bundle(struct tk_catalog_writer *writer, const char *name, struct tk_err *err)
{
	struct pending *file = calloc(1, sizeof(*file));
	enum tk_rc rc;

	if (!file)
		return tk_err_set(err, TK_ENOMEM, "no memory for a bundle");
	memcpy(file->name, name, sizeof(file->name));
	if ((rc = tk_publish_tmp_name(file->tmp, err))) {
		free(file);
		return rc;
	}
	if ((rc = write_tmp(writer, file->tmp, err))) {
		(void)unlinkat(writer->catalog->bundles_dirfd, file->tmp, 0);
		free(file);
		return rc;
	}
	file->before = writer->pending;
	writer->pending = file;
	return TK_OK;
}

/* Writes the bundle as it is, and adds it to `next`. One whose bytes are there under their name is not written again. */
static enum tk_rc
put_bundle(struct tk_catalog_writer *writer, struct tk_err *err)
{
	struct tk_bundle_out *bundle = &writer->bundle;
	struct tk_current_bundle row = {.entries = bundle->entries};
	char name[TK_BUNDLE_NAME_BYTES];
	struct stat st;
	enum tk_rc rc;

	if (bundle->leaf_count == 0)
		return TK_OK;
	if ((rc = tk_bundle_out_head(bundle, writer->catalog->packs, err)) || (rc = tk_hash_begin(writer->hash, err)) ||
	    (rc = tk_hash_add(writer->hash, bundle->head.data, bundle->head.len_bytes, err)) ||
	    (rc = tk_hash_add(writer->hash, bundle->leaves.data, bundle->leaves.len_bytes, err)) ||
	    (rc = tk_hash_end(writer->hash, row.digest.b, err)) || (rc = tk_current_add_bundle(&writer->next, &row, err)))
		return rc;
	tk_hex_encode(row.digest.b, sizeof(row.digest.b), name);
	if (fstatat(writer->catalog->bundles_dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != bundle->head.len_bytes + bundle->leaves.len_bytes)
		rc = write_bundle(writer, name, err);
	return rc;
}

static enum tk_rc
end_bundle(struct tk_catalog_writer *writer, struct tk_err *err)
{
	enum tk_rc rc = put_bundle(writer, err);

	tk_bundle_out_clear(&writer->bundle);
	return rc;
}

enum tk_rc
tk_catalog_writer_add(struct tk_catalog_writer *writer, const struct tk_page_info *info, const void *plain, size_t plain_bytes,
		      const struct tk_sidecar *sidecars, size_t count, struct tk_err *err)
{
	bool is_border = false;
	uint64_t hash;
	enum tk_rc rc;

	if (writer->bundle.leaf_count) {
		if ((rc = tk_path_hasher_run(writer->paths, info->first_path, info->first_path_bytes, &hash, err)))
			return rc;
		is_border = (hash >> 6) % 64 == 0 || writer->bundle.leaves.len_bytes > TK_BUNDLE_SOFT_BYTES;
	}
	if (is_border && (rc = end_bundle(writer, err)))
		return rc;
	return tk_bundle_out_add(&writer->bundle, info, plain, plain_bytes, sidecars, count, err);
}

enum tk_rc
tk_catalog_node_find(struct tk_catalog_writer *writer, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found, struct tk_err *err)
{
	const struct tk_current_node *node = tk_current_find_node(&writer->old, key);

	*found = node != NULL;
	if (!node)
		return TK_OK;
	*ref = node->ref;
	return tk_current_add_node(&writer->next, node, err);
}

enum tk_rc
tk_catalog_node_made(struct tk_catalog_writer *writer, const struct tk_digest *key, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_current_node node = {.key = *key, .ref = ref};

	return tk_current_add_node(&writer->next, &node, err);
}

/* fsync, rename: a bundle under its own name is whole. */
static enum tk_rc
publish_pending(struct tk_catalog_writer *writer, struct tk_err *err)
{
	int dirfd = writer->catalog->bundles_dirfd;

	while (writer->pending) {
		struct pending *last = writer->pending;
		TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, last->tmp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0 || fsync(fd) < 0)
			return tk_err_errno(err, TK_EIO, "fsync of a bundle of the catalog");
		if (renameat(dirfd, last->tmp, dirfd, last->name) < 0)
			return tk_err_errno(err, TK_EIO, "publishing a bundle of the catalog");
		writer->pending = last->before;
		free(last);
	}
	/* Also for bundles that were there: the run that wrote them may have died before it came here. */
	return tk_fsync_dir(dirfd, "the bundles of the catalog", err);
}

enum tk_rc
tk_catalog_writer_checkpoint(struct tk_catalog_writer *writer, const struct tk_page_info *info, const void *plain, size_t plain_bytes,
			     const struct tk_sidecar *sidecars, size_t count, struct tk_err *err)
{
	struct tk_current unfinished = {.at = {.root = {TK_PACK_NONE, 0}}};
	struct tk_bundle_out *bundle = &writer->bundle;
	struct tk_bundle_mark mark = tk_bundle_out_mark(bundle);
	size_t ended = writer->next.bundle_count;
	enum tk_rc rc = TK_OK;

	if (info->entries > 0)
		rc = tk_bundle_out_add(bundle, info, plain, plain_bytes, sidecars, count, err);
	/* The open bundle as far as it is: it goes on, and will have another name. */
	if (!rc && !(rc = put_bundle(writer, err)) && !(rc = publish_pending(writer, err))) {
		unfinished.bundles = writer->next.bundles;
		unfinished.bundle_count = writer->next.bundle_count;
		rc = tk_catalog_store(writer->catalog, TK_UNFINISHED_NAME, &unfinished, err);
	}
	writer->next.bundle_count = ended;
	tk_bundle_out_return(bundle, &mark);
	return rc ? tk_err_context(err, rc, "writing the catalog") : TK_OK;
}

enum tk_rc
tk_catalog_writer_finish(struct tk_catalog_writer *writer, const struct tk_catalog_current *next, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = end_bundle(writer, err)) || (rc = publish_pending(writer, err)))
		return tk_err_context(err, rc, "writing the catalog");
	writer->next.at = *next;
	tk_current_sort_nodes(&writer->next);
	if ((rc = tk_catalog_store(writer->catalog, TK_NEXT_NAME, &writer->next, err)))
		return tk_err_context(err, rc, "writing the catalog");
	writer->catalog->writers -= !writer->is_done;
	writer->is_done = true;
	return TK_OK;
}
