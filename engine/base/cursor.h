/* cursor.h -- the one way to decode bytes from outside.
 *
 * A cursor walks over borrowed memory and never leaves it. The first fault sticks: every later read fails
 * too and yields zero, so a decoder may read a row of fields and look at the result once with
 * tk_cursor_end() or tk_cursor_ok(). Hostile input is an error, never an assert. */
#ifndef TK_BASE_CURSOR_H
#define TK_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_cursor {
	const uint8_t *data; /* borrowed */
	size_t len_bytes;
	size_t pos_bytes;
	const char *fault;   /* static text of the first fault; NULL while all is well */
};

void tk_cursor_init(struct tk_cursor *cur, const void *data, size_t len_bytes);

uint8_t tk_cursor_u8(struct tk_cursor *cur);
uint16_t tk_cursor_u16(struct tk_cursor *cur);
uint32_t tk_cursor_u32(struct tk_cursor *cur);
uint64_t tk_cursor_u64(struct tk_cursor *cur);
/* LEB128; a form longer than needed, or over 64 bits, is a fault. */
uint64_t tk_cursor_uv(struct tk_cursor *cur);
/* As uv; a value over max is a fault. */
uint64_t tk_cursor_uv_max(struct tk_cursor *cur, uint64_t max);
int64_t tk_cursor_sv(struct tk_cursor *cur);
/* len_bytes raw bytes, borrowed from the cursor's memory; NULL on a fault. */
const uint8_t *tk_cursor_take(struct tk_cursor *cur, size_t len_bytes);
/* Copies len_bytes to dst; zeroes dst on a fault. */
void tk_cursor_copy(struct tk_cursor *cur, void *dst, size_t len_bytes);
/* A uv length (at most max_bytes) and that many bytes, borrowed; *len_bytes is 0 on a fault. */
const uint8_t *tk_cursor_bytes(struct tk_cursor *cur, size_t max_bytes, size_t *len_bytes);

size_t tk_cursor_left(const struct tk_cursor *cur);
/* Records a fault of the caller's own finding (static text), unless one is there. */
void tk_cursor_fail(struct tk_cursor *cur, const char *fault);
bool tk_cursor_ok(const struct tk_cursor *cur);

/* TK_OK when nothing failed and nothing is left over; else TK_ECORRUPT, naming `what`. */
TK_MUST_CHECK enum tk_rc tk_cursor_end(const struct tk_cursor *cur, const char *what, struct tk_err *err);
/* TK_OK when nothing failed so far; else TK_ECORRUPT, naming `what`. */
TK_MUST_CHECK enum tk_rc tk_cursor_check(const struct tk_cursor *cur, const char *what, struct tk_err *err);

#endif
