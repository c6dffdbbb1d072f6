/* predict.h -- finds an old file's bytes in a new one: predict, then search.
 *
 * Works through one segment of the new file as its bytes come by, against the facts of the old file's segments; the old bytes are not needed. At each place it asks whether the old
 * block is there that is to be expected: after the one just found, and at the same offset as in the old file. What is overwritten in place costs one tag a block, at the speed of the
 * tag. Blocks that are not where they were expected make a gap. When the gap goes on, its bytes are searched one by one for the rolling sum of any block of the old file; one that is found, and has the
 * right tag, says by how much the content has moved from there on.
 *
 * Equal tags are taken for equal bytes: engine/crypto/tag.h gives the bound.
 *
 * Pure computation. An object is used by one thread; objects of different segments of one file may run side by side if the past's functions allow it. */
#ifndef TK_DELTA_PREDICT_H
#define TK_DELTA_PREDICT_H

#include "engine/delta/blockindex.h"
#include "engine/delta/delta_ops.h"
#include "engine/delta/facts.h"

/* The old file. */
struct tk_predict_past {
	uint64_t len_bytes;
	uint64_t segment_bytes;
	uint32_t block_bytes;   /* facts with blocks of another length count as absent */
	/* The facts of an old segment; borrowed until the next call. *out is NULL when there are none. */
	enum tk_rc (*facts)(void *ctx, size_t segment, const struct tk_facts **out, struct tk_err *err);
	/* The index over all facts, made when it is first asked for; borrowed for good. *out is NULL when there is none. Its block numbers: see tk_predict_block_number. */
	enum tk_rc (*index)(void *ctx, const struct tk_blockindex **out, struct tk_err *err);
	void *ctx;              /* borrowed */
	/* Granularity of the search through gaps; 0: 16 KiB, 256 KiB, 512 KiB. Tests make them small. */
	uint32_t piece_min_bytes, piece_max_bytes, keep_bytes;
};

/* The number under which the index knows the first block of an old segment. */
uint64_t tk_predict_block_number(const struct tk_predict_past *past, size_t segment);

/* A block of the old file. */
struct tk_predict_block {
	uint64_t old_bytes;     /* its place */
	size_t len_bytes;
	size_t index;           /* in the facts of its segment */
};
/* The one that holds the byte at old_bytes, which is under len_bytes. */
struct tk_predict_block tk_predict_block_at(const struct tk_predict_past *past, uint64_t old_bytes);

#define TK_PREDICT_SHIFTS 3

struct tk_predict {
	const struct tk_predict_past *past; /* borrowed */
	struct tk_tagger *tagger;           /* borrowed */
	struct tk_facts_draft *draft;       /* borrowed; the new segment's */
	uint64_t start_bytes, end_bytes;    /* the new segment's place in its file */
	uint64_t at_bytes;                  /* decided up to here */
	uint64_t front_bytes;               /* looked at up to here: from at_bytes on it is a gap */
	uint64_t piece_bytes;
	bool given_up;
	/* New offset - old offset: of the last match, of the one before, and 0. */
	int64_t shifts[TK_PREDICT_SHIFTS];
	/* The window of the present call. */
	const uint8_t *window;
	uint64_t window_bytes, window_end_bytes;
	const struct tk_facts *old;         /* of segment old_segment, when old_known */
	size_t old_segment;
	bool old_known;
};

/*
 * Begins with the segment [start_bytes, end_bytes) of the new file, whose draft was begun. shift_bytes: by how much the content is moved here, as far as is known (0 otherwise).
 */
void tk_predict_begin(struct tk_predict *predict, const struct tk_predict_past *past, struct tk_tagger *tagger, struct tk_facts_draft *draft,
		      uint64_t start_bytes, uint64_t end_bytes, int64_t shift_bytes);

/* Nothing more is looked for: all that follows is literal. */
void tk_predict_give_up(struct tk_predict *predict);

/* How much of a file around a segment is looked at: bytes from one block before it on, up to one block after it, as far as the file goes. */
uint64_t tk_predict_slack_bytes(const struct tk_predict *predict);
/* From where on the next call wants bytes (a file offset). */
uint64_t tk_predict_keep_from(const struct tk_predict *predict);
/* A window that reaches as far as this from keep_from on always allows progress. */
uint64_t tk_predict_window_bytes(const struct tk_predict *predict);

/*
 * Goes on with what the window holds: window_len bytes of the new file from offset window_bytes on, which is at most keep_from. at_end: the window reaches to slack after the segment's
 * end, or to the file's. Appends to *ops what was decided, so that all ops since begin make [start_bytes, at_bytes) exactly. At the end at_bytes is end_bytes.
 * Tags in the draft are filled in for what was compared; the caller completes it (tk_facts_draft_fill) as far as at_bytes before the bytes go.
 * Errors: TK_ENOMEM, tk_tag's, those of the past's functions.
 */
TK_MUST_CHECK enum tk_rc tk_predict_run(struct tk_predict *predict, const uint8_t *window, uint64_t window_bytes, size_t window_len, bool at_end,
					struct tk_delta_ops *ops, struct tk_err *err);

#endif
