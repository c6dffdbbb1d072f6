#include "engine/catalog/catalog_core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/catalog/domaindir.h"
#include "engine/catalog/markset.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define POINTER_BYTES_MAX (256u << 20)

enum tk_rc
tk_catalog_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_packtab *packs, struct tk_catalog **out,
		struct tk_err *err)
{
	TK_AUTO(tk_catalog_cleanup) struct tk_catalog *catalog = calloc(1, sizeof(*catalog));
	enum tk_rc rc;

	if (!catalog)
		return tk_err_set(err, TK_ENOMEM, "no memory for the catalog");
	*catalog = (struct tk_catalog){.dirfd = -1, .bundles_dirfd = -1, .domain = *domain, .suite = suite, .packs = packs};
	if ((rc = tk_domain_dir_open(state_dir, domain, "", &catalog->dirfd, err)) ||
	    (rc = tk_domain_dir_open(state_dir, domain, "bundles", &catalog->bundles_dirfd, err)))
		return tk_err_context(err, rc, "opening the catalog");
	*out = catalog;
	catalog = NULL;
	return TK_OK;
}

void
tk_catalog_cleanup(struct tk_catalog **catalog)
{
	if (!*catalog)
		return;
	tk_fd_cleanup(&(*catalog)->dirfd);
	tk_fd_cleanup(&(*catalog)->bundles_dirfd);
	free(*catalog);
	*catalog = NULL;
}

enum tk_rc
tk_catalog_load(struct tk_catalog *catalog, const char *name, struct tk_current *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf file;
	uint8_t digest[TK_HASH_BYTES];
	size_t body_bytes;
	enum tk_rc rc;

	tk_buf_init(&file, 0);
	if ((rc = tk_read_file_at(catalog->dirfd, name, POINTER_BYTES_MAX, &file, err)))
		return rc == TK_EINVAL ? tk_err_set(err, TK_ECORRUPT, "`%s` of the catalog is not a file of its size", name) : rc;
	body_bytes = file.len_bytes < TK_HASH_BYTES ? 0 : file.len_bytes - TK_HASH_BYTES;
	if ((rc = tk_hash(catalog->suite, file.data, body_bytes, digest, err)))
		return rc;
	if (body_bytes == 0 || memcmp(digest, file.data + body_bytes, sizeof(digest)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "`%s` of the catalog is damaged", name);
	return tk_current_decode(file.data, body_bytes, catalog->suite, &catalog->domain, catalog->packs, out, err);
}

enum tk_rc
tk_catalog_try_load(struct tk_catalog *catalog, const char *name, struct tk_current *out, bool *found, struct tk_err *err)
{
	enum tk_rc rc = tk_catalog_load(catalog, name, out, err);

	*found = rc == TK_OK;
	if (rc == TK_ENOENT || rc == TK_ECORRUPT) {
		tk_err_clear(err);
		return TK_OK;
	}
	return rc;
}

enum tk_rc
tk_catalog_store(struct tk_catalog *catalog, const char *name, const struct tk_current *current, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf file;
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	tk_buf_init(&file, POINTER_BYTES_MAX);
	if ((rc = tk_current_encode(current, catalog->suite, &catalog->domain, catalog->packs, &file, err)) ||
	    (rc = tk_hash(catalog->suite, file.data, file.len_bytes, digest, err)) || (rc = tk_buf_put(&file, digest, sizeof(digest), err)))
		return rc;
	return tk_publish_file(catalog->dirfd, name, file.data, file.len_bytes, 0600, err);
}

enum tk_rc
tk_catalog_current(struct tk_catalog *catalog, struct tk_catalog_current *out, struct tk_err *err)
{
	TK_AUTO(tk_current_release) struct tk_current current = {0};
	enum tk_rc rc = tk_catalog_load(catalog, TK_CURRENT_NAME, &current, err);

	*out = current.at;
	return rc;
}

static bool
same_head(const struct tk_head *a, const struct tk_head *b)
{
	return a->epoch == b->epoch && a->sequence == b->sequence && memcmp(&a->point, &b->point, sizeof(a->point)) == 0;
}

enum tk_rc
tk_catalog_advance(struct tk_catalog *catalog, const struct tk_head *at, struct tk_err *err)
{
	TK_AUTO(tk_current_release) struct tk_current current = {0};
	TK_AUTO(tk_current_release) struct tk_current next = {0};
	bool found;
	enum tk_rc rc;

	if ((rc = tk_catalog_try_load(catalog, TK_NEXT_NAME, &next, &found, err)))
		return rc;
	if (found && same_head(&next.at.at, at)) {
		if (renameat(catalog->dirfd, TK_NEXT_NAME, catalog->dirfd, TK_CURRENT_NAME) < 0)
			return tk_err_errno(err, TK_EIO, "renaming `next` of the catalog");
	} else {
		if ((rc = tk_catalog_try_load(catalog, TK_CURRENT_NAME, &current, &found, err)))
			return rc;
		if (!found || !same_head(&current.at.at, at))
			return tk_err_set(err, TK_ENOENT, "the catalog has no pages of the point, epoch %llu sequence %llu",
					  (unsigned long long)at->epoch, (unsigned long long)at->sequence);
	}
	if (unlinkat(catalog->dirfd, TK_UNFINISHED_NAME, 0) < 0 && errno != ENOENT)
		return tk_err_errno(err, TK_EIO, "removing `unfinished` of the catalog");
	/* The bundles of the point before go only once nothing can bring its pointer back. */
	if ((rc = tk_fsync_dir(catalog->dirfd, "the catalog", err)))
		return rc;
	tk_catalog_sweep(catalog);
	return TK_OK;
}

enum tk_rc
tk_catalog_drop_next(struct tk_catalog *catalog, struct tk_err *err)
{
	enum tk_rc rc;

	if (unlinkat(catalog->dirfd, TK_NEXT_NAME, 0) < 0 && errno != ENOENT)
		return tk_err_errno(err, TK_EIO, "removing `next` of the catalog");
	if ((rc = tk_fsync_dir(catalog->dirfd, "the catalog", err)))
		return rc;
	tk_catalog_sweep(catalog);
	return TK_OK;
}

static bool
is_named(void *ctx, const char *name)
{
	return tk_markset_has(ctx, name);
}

static bool
is_no_leftover(void *ctx, const char *name)
{
	(void)ctx;
	return !tk_publish_is_tmp(name);
}

static enum tk_rc
mark_bundles(const struct tk_current *current, struct tk_markset *named)
{
	char name[TK_BUNDLE_NAME_BYTES];
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < current->bundle_count && !rc; i++) {
		tk_hex_encode(current->bundles[i].digest.b, TK_DIGEST_BYTES, name);
		rc = tk_markset_add(named, name, NULL);
	}
	return rc;
}

void
tk_catalog_sweep(struct tk_catalog *catalog)
{
	TK_AUTO(tk_current_release) struct tk_current current = {0};
	TK_AUTO(tk_current_release) struct tk_current next = {0};
	TK_AUTO(tk_current_release) struct tk_current unfinished = {0};
	TK_AUTO(tk_markset_release) struct tk_markset named = {0};
	bool found;

	if (catalog->readers || catalog->writers)
		return;
	/* Without knowing what is needed nothing is removed. */
	if (tk_catalog_try_load(catalog, TK_CURRENT_NAME, &current, &found, NULL) || tk_catalog_try_load(catalog, TK_NEXT_NAME, &next, &found, NULL) ||
	    tk_catalog_try_load(catalog, TK_UNFINISHED_NAME, &unfinished, &found, NULL) || mark_bundles(&current, &named) ||
	    mark_bundles(&next, &named) || mark_bundles(&unfinished, &named))
		return;
	if (!tk_domain_dir_sweep(catalog->bundles_dirfd, is_named, &named, NULL))
		(void)!tk_domain_dir_sweep(catalog->dirfd, is_no_leftover, NULL, NULL);
}
