/* select.h -- which recovery point does a user mean? Pure; any thread. */
#ifndef TK_POLICIES_SELECT_H
#define TK_POLICIES_SELECT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_SELECT_ID_BYTES 32

struct tk_candidate {
	uint8_t id[TK_SELECT_ID_BYTES];
	uint64_t epoch, sequence;
	int64_t scan_end_ns;
};

/*
 * Chooses by `text`: "latest" (or "" or NULL), the beginning of an id (at least four hexadecimal digits), or a time
 * as tk_time_parse reads it: the last point whose scan ended at or before it. Order is (epoch, sequence), never a
 * clock: where the point chosen by a time follows one of its epoch that is, by the clock, after that time, no choice is made. On TK_OK *index is into points[count], which may be in any
 * order; the same point may stand there twice.
 * Errors: TK_ENOENT (none fits), TK_EINVAL (two ids begin so, clocks were set, or the text is none of the three).
 */
TK_MUST_CHECK enum tk_rc tk_point_select(const char *text, const struct tk_candidate *points, size_t count, size_t *index,
	struct tk_err *err);

/* Splits "DATASET@POINT" at the last '@': writes the dataset to name[size]; *point is what follows, or NULL.
 * Errors: TK_EINVAL (no dataset, or longer than size - 1). */
TK_MUST_CHECK enum tk_rc tk_point_spec_split(const char *text, char *name, size_t size, const char **point, struct tk_err *err);

#endif
