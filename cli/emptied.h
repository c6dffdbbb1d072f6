/* emptied.h -- a dataset that has become empty: more often a file system that is not mounted than a wish. */
#ifndef TK_CLI_EMPTIED_H
#define TK_CLI_EMPTIED_H

#include "cli/home.h"

/* How many files the last point had that was not empty, by this home's journal; 0: there is none, or that is not known. Reads records from the newest back, and asks no site. */
uint64_t tk_emptied_files_before(const struct tk_home *home, const struct tk_id *domain);

#endif
