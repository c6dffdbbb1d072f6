/* rollsum.h -- a sum of a block that follows a window byte by byte.
 *
 * Two sums mod 2^32 over the n bytes b[0..n): a of the bytes, b of the bytes weighted n, n-1, ... 1 (the idea of Adler-32 and of A. Tridgell, P. Mackerras, "The
 * rsync algorithm", 1996, with 32 bits each so that long blocks do not wrap); the value mixes them to 32 bits. It only says where comparing tags is worth it: equal values mean
 * nothing by themselves.
 *
 * Pure; any thread. */
#ifndef TK_DELTA_ROLLSUM_H
#define TK_DELTA_ROLLSUM_H

#include <stddef.h>
#include <stdint.h>

struct tk_rollsum {
	uint32_t a;
	uint32_t b;
};

struct tk_rollsum tk_rollsum_of(const uint8_t *data, size_t len_bytes);

/* The window of len_bytes goes on by one byte. */
static inline void
tk_rollsum_roll(struct tk_rollsum *sum, uint32_t len_bytes, uint8_t out, uint8_t in)
{
	sum->a += (uint32_t)in - out;
	sum->b += sum->a - len_bytes * out;
}

static inline uint32_t
tk_rollsum_value(struct tk_rollsum sum)
{
	return sum.a * UINT32_C(0x85ebca77) + sum.b * UINT32_C(0x9e3779b1);
}

#endif
