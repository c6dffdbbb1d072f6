/* cdc.h -- content-defined chunking: cuts that follow the content, so that an insertion moves only the cuts near it.
 *
 * FastCDC (W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication",
 * USENIX ATC 2016): a gear hash, the first `min` bytes of a chunk skipped, and normalised chunking (a harder condition before
 * the average, an easier one after it). Here the gear table is keyed, so that cut points do not tell what was cut, and the
 * hash is warmed over the 64 bytes before the first possible cut: whether a place is a cut depends on the 64 bytes
 * before it and on the chunk's start, nothing else.
 *
 * The same key and parameters give the same cuts for ever: the dedup of a domain rests on it. */
#ifndef TK_DELTA_CDC_H
#define TK_DELTA_CDC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_CDC_KEY_BYTES 32
#define TK_CDC_MIN_BYTES (32u * 1024)
#define TK_CDC_AVG_BYTES (128u * 1024)
#define TK_CDC_MAX_BYTES (512u * 1024)

/* Plain data; needs no release. After init it is only read: any number of threads may share it. Holds the key's
 * image: as secret as the key. */
struct tk_cdc {
	size_t min_bytes;
	size_t avg_bytes;
	size_t max_bytes;
	uint64_t limit_before_avg; /* a hash below it is a cut */
	uint64_t limit_after_avg;
	uint64_t gear[256];
};

/*
 * Makes the table: the key is read as four little-endian words k[0..3]; xoshiro256** (Blackman, Vigna) starts from the state
 * s[i] = mix(k[i] + (i + 1) * 0x9e3779b97f4a7c15), mix being splitmix64's finaliser, and gives gear[0], gear[1], ... in order.
 * The key should come from a key derivation: the generator hides nothing by itself.
 * Errors: TK_EINVAL unless 1 <= min < avg < max and avg is a power of two from 16 bytes to 1 GiB.
 */
TK_MUST_CHECK enum tk_rc tk_cdc_init(struct tk_cdc *cdc, const uint8_t key[TK_CDC_KEY_BYTES], size_t min_bytes,
	size_t avg_bytes, size_t max_bytes, struct tk_err *err);

/*
 * The length of the chunk that begins at data: more than min and at most max bytes; shorter only when it is the last one.
 * 0: no cut in these bytes, give more after them (never happens with at_end, nor with max bytes or more), or len_bytes is 0.
 * More bytes never change an answer, but for the last chunk. A search without a cut is begun anew: tk_cdc_go_on is for bytes that come piece by piece.
 */
size_t tk_cdc_cut(const struct tk_cdc *cdc, const uint8_t *data, size_t len_bytes, bool at_end);

/* Where the search for one chunk's end stands. All zero: at its beginning. */
struct tk_cdc_search {
	size_t at_bytes;
	uint64_t hash;
};

/* The same answers as tk_cdc_cut, each byte looked at once: data is the chunk's beginning, with at least the bytes of the call before in front. A cut
 * sets *search to zero, ready for the next chunk. */
size_t tk_cdc_go_on(const struct tk_cdc *cdc, struct tk_cdc_search *search, const uint8_t *data, size_t len_bytes, bool at_end);

#endif
