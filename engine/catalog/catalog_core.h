/* catalog_core.h -- what the files of the catalog share. Private to engine/catalog. */
#ifndef TK_CATALOG_CATALOG_CORE_H
#define TK_CATALOG_CATALOG_CORE_H

#include "engine/catalog/bundle.h"
#include "engine/catalog/current.h"

#define TK_CURRENT_NAME "current"
#define TK_NEXT_NAME "next"
#define TK_UNFINISHED_NAME "unfinished"
#define TK_BUNDLE_NAME_BYTES (2 * TK_DIGEST_BYTES + 1)

struct tk_catalog {
	int dirfd;                    /* of the domain */
	int bundles_dirfd;
	struct tk_id domain;
	enum tk_suite suite;
	struct tk_packtab *packs;     /* borrowed */
	unsigned readers, writers;    /* open ones: nothing is swept under them */
};

/* Reads `current`, `next` or `unfinished` into *out (empty). Errors: TK_ENOENT, TK_ECORRUPT, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_catalog_load(struct tk_catalog *catalog, const char *name, struct tk_current *out, struct tk_err *err);
/* As tk_catalog_load, but a missing or damaged one leaves *out empty; *found. */
TK_MUST_CHECK enum tk_rc tk_catalog_try_load(struct tk_catalog *catalog, const char *name, struct tk_current *out, bool *found,
					     struct tk_err *err);
/* Writes it, durable on return. */
TK_MUST_CHECK enum tk_rc tk_catalog_store(struct tk_catalog *catalog, const char *name, const struct tk_current *current, struct tk_err *err);
/* Removes the bundles that none of the pointers names, and temporary files, unless someone still reads or writes. What cannot
 * be removed now is removed by a later sweep. */
void tk_catalog_sweep(struct tk_catalog *catalog);

#endif
