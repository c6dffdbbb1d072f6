/* refine.h -- what of an old file is in a gap between two copies, byte by byte, where the old bytes are at hand.
 *
 * The copies around the gap are made longer as far as bytes agree. Between them a window of 32 bytes goes over the new bytes and is looked up among the old ones, every 16th of which begins
 * an indexed window: whatever they have in common in 47 bytes or more is found, to the byte. Few bytes in common in many places are left alone: each would be two more pieces of the file.
 *
 * Pure computation; an object is used by one thread at a time. */
#ifndef TK_DELTA_REFINE_H
#define TK_DELTA_REFINE_H

#include <stdbool.h>

#include "engine/delta/delta_ops.h"

/* Of matches in the middle of a gap there may be one in so many of its bytes, and one in any. */
#define TK_REFINE_PIECE_BYTES 256u

/* All zero at first; keeps its memory between runs: 8 bytes for 16 old ones. */
struct tk_refine {
	uint32_t *heads;        /* owned; where in the old bytes a window with this hash begins, plus one */
	size_t heads_cap;
};
void tk_refine_release(struct tk_refine *refine);

struct tk_refine_gap {
	const uint8_t *old;     /* borrowed; what may be in the gap */
	size_t old_bytes;
	uint64_t old_off_bytes; /* where it begins in the old file */
	const uint8_t *fresh;   /* borrowed; the gap's new bytes */
	size_t fresh_bytes;
	bool begins, ends;      /* the new file has the old bytes right before the old ones, and before the new; right after them */
};

/* Appends operations that make exactly the new bytes. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_refine_run(struct tk_refine *refine, const struct tk_refine_gap *gap, struct tk_delta_ops *ops, struct tk_err *err);

#endif
