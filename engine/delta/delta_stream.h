/* delta_stream.h -- reads librsync's delta format as it is produced, and keeps only what it says, not the literals.
 *
 * The format (librsync's doc/format.md): the magic 0x72730236, then commands of one byte: 0 end; 1..64 a literal of that
 * length; 65..68 a literal whose length follows in 1, 2, 4 or 8 bytes; 69..84 a copy whose offset and length follow in
 * 1, 2, 4 or 8 bytes each (offset width by quarter, length width within); all big-endian; literals' bytes follow them. */
#ifndef TK_DELTA_DELTA_STREAM_H
#define TK_DELTA_DELTA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/delta/delta_ops.h"

/* Plain data; needs no release. One thread at a time. */
struct tk_delta_stream {
	struct tk_delta_ops *ops;  /* borrowed; operations are appended */
	uint64_t old_base_bytes;   /* added to each copy's offset */
	uint64_t old_len_bytes;    /* copies stay within it */
	uint64_t new_len_bytes;    /* the operations must make exactly this many bytes */
	uint64_t made_bytes;       /* so far, counting the whole of a literal that has begun */
	uint64_t missed_bytes;     /* literals since the last copy */
	uint64_t skip_bytes;       /* left of the present literal */
	uint8_t head[17];          /* a command cut by the border of two pieces */
	size_t head_len_bytes;
	bool magic_seen;
	bool end_seen;
};

void tk_delta_stream_init(struct tk_delta_stream *stream, struct tk_delta_ops *ops, uint64_t old_base_bytes,
	uint64_t old_len_bytes, uint64_t new_len_bytes);
/* Takes the next bytes, in pieces of any length. Errors: TK_ECORRUPT (also: a range out of bounds, bytes after the end),
 * TK_ENOMEM. After an error the operations appended so far are of no use. */
TK_MUST_CHECK enum tk_rc tk_delta_stream_feed(struct tk_delta_stream *stream, const uint8_t *data, size_t len_bytes,
	struct tk_err *err);
/* TK_OK when the stream came to its end and made the whole range; else TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_delta_stream_end(const struct tk_delta_stream *stream, struct tk_err *err);

#endif
