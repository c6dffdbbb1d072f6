/* forerunner.h -- which file of the point before a new one probably continues: yesterday's dump, which had another name.
 *
 * Found by name: in the same directory of the point before, or, for a directory that is new itself, in the one that is most like it, a file whose name has half of its bytes in common with the
 * new one's (digits count as alike) and whose size is within a factor of four. Of those the ones that were written within half a day of the newest are of one generation; of these the one
 * whose name has most in common wins. It is a guess: whoever takes it must not depend on its being right.
 *
 * Built at the first question, from the cached pages undecoded: some 100 bytes for 64 entries. A question decodes the pages that hold files of the directory itself, a bounded number of
 * them, and a run a bounded number in all. One thread. */
#ifndef TK_JOB_FORERUNNER_H
#define TK_JOB_FORERUNNER_H

#include "engine/job/moves.h"

struct tk_forerunners;
/* catalog, packs: borrowed. */
TK_MUST_CHECK enum tk_rc tk_forerunners_new(struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_forerunners **out, struct tk_err *err);
void tk_forerunners_cleanup(struct tk_forerunners **forerunners);
/*
 * The regular file of the catalog's current point that the new file at path, of size_bytes, probably continues; NULL entry: none. *known is borrowed until the next call.
 * Errors: TK_ECORRUPT (the catalog is damaged), TK_ENOMEM, TK_EIO.
 */
TK_MUST_CHECK enum tk_rc tk_forerunners_find(struct tk_forerunners *forerunners, const char *path, size_t path_bytes, uint64_t size_bytes,
					     struct tk_known *known, struct tk_err *err);

/* How many bytes two names have in common at their beginnings and ends; alike: a digit is taken for any other. Never more than the shorter one has. */
size_t tk_name_likeness(const char *a, size_t a_bytes, const char *b, size_t b_bytes, bool alike);

#endif
