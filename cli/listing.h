/* listing.h -- entries of a manifest as people and programs see them. Pure; any thread. */
#ifndef TK_CLI_LISTING_H
#define TK_CLI_LISTING_H

#include <jansson.h>

#include "engine/vault/entry.h"

#define TK_LISTING_MODE_MAX 12
#define TK_LISTING_OWNER_MAX 64

/* "-rwsr-xr-t", as ls -l writes it; a '+' after it when there is an ACL. */
void tk_listing_mode(const struct tk_meta *meta, char dst[TK_LISTING_MODE_MAX]);
/* The name, else the number. */
void tk_listing_owner(const char *name, uint32_t id, char dst[TK_LISTING_OWNER_MAX]);
/* Absolute, and safe on a terminal; the caller frees it; NULL when memory ran out. */
char *tk_listing_name(const char *path, size_t path_bytes);
char *tk_listing_text(const char *text);
int64_t tk_listing_mtime_ns(const struct tk_meta *meta);
/* "file", "directory", ... Static. */
const char *tk_listing_type(enum tk_ftype type);
json_t *tk_listing_json(const struct tk_entry *entry);
/* The absolute path. */
json_t *tk_listing_json_path(const char *path);

#endif
