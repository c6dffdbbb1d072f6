/* delta_ops.h -- how new bytes are made: a list of copies of old ranges and of literals, in order, without gaps. */
#ifndef TK_DELTA_DELTA_OPS_H
#define TK_DELTA_DELTA_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

enum tk_delta_kind {
	TK_DELTA_COPY,    /* the bytes are those of the old file at old_off_bytes */
	TK_DELTA_LITERAL, /* the bytes are those of the new file at this place; old_off_bytes is 0 */
};

struct tk_delta_op {
	enum tk_delta_kind kind;
	uint64_t old_off_bytes; /* in the old file */
	uint64_t len_bytes;     /* 1 or more */
};

/* One owner, one thread at a time. Neighbours that can be one operation are one. */
struct tk_delta_ops {
	struct tk_delta_op *rows; /* owned */
	size_t count;
	size_t cap;
	uint64_t copy_bytes;
	uint64_t literal_bytes;
};

/* Empty; needs no release while empty. */
void tk_delta_ops_init(struct tk_delta_ops *ops);
void tk_delta_ops_release(struct tk_delta_ops *ops);

/* Append; len_bytes 0 adds nothing. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_delta_ops_copy(struct tk_delta_ops *ops, uint64_t old_off_bytes, uint64_t len_bytes,
	struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_delta_ops_literal(struct tk_delta_ops *ops, uint64_t len_bytes, struct tk_err *err);

#endif
