/* file_edit.h -- random changes to what is in one file, as databases, editors, logs and careless scripts make them. */
#ifndef TK_TESTS_FILE_EDIT_H
#define TK_TESTS_FILE_EDIT_H

#include <sys/types.h>

#include "tests/unit/dice.h"

/* Writes len_bytes of random bytes, text or zeros at an offset; flags for open(2), beside O_WRONLY and O_CREAT. */
void file_write_at(const char *path, struct dice *dice, off_t offset, size_t len_bytes, int flags);
/* One change: overwritten, inserted, cut, moved, doubled, swapped, punched, zeroed, appended, truncated, grown, replaced, or changed with its time put back. */
void file_edit(const char *path, struct dice *dice);

#endif
