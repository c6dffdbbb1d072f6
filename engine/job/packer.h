/* packer.h -- blobs become packs in the spool.
 *
 * Data comes in two ways. tk_packer_add puts a small piece into the packer's own solid blob, which was numbered when it was begun: the place is final at
 * once. It ends at 256 KiB, so that who wants one file of it need not fetch a megabyte; a larger piece has it for itself. A *lane* is a blob that one thread fills alone and that gets its number when it is handed over: nobody waits for a slow filler, and what one thread
 * reads in a row lies together, however many threads there are. Metadata blobs are put whole.
 *
 * Any thread may call anything here; a lane belongs to one thread at a time. Numbers are given under a lock that is held for a copy of some bytes at
 * most, and while the pool of buffers is empty. Seal threads compress and seal; one writer thread appends the blobs to their pack files in order. A pack that is
 * complete and fsynced is told through on_pack. A failure in any thread makes every later call return it.
 *
 * Memory: a pool of 20 + 2 x threads pairs of buffers of a blob (1 MiB plain, as much sealed; up to 8 MiB where metadata passed through), and
 * a lane's own buffer: about 50 MiB for two threads, and 4 MiB more for each further one.
 *
 * The first pack of a run is mixed: data and metadata together, so that a small run is one object. Once it holds a megabyte, metadata goes to a pack
 * of its own. */
#ifndef TK_JOB_PACKER_H
#define TK_JOB_PACKER_H

#include "engine/catalog/spool.h"
#include "engine/codec/codec.h"
#include "engine/vault/pack.h"

struct tk_packer_opts {
	const struct tk_domain_keys *keys;    /* all borrowed until cleanup */
	enum tk_suite suite;
	struct tk_id incarnation;
	struct tk_packtab *packs;
	struct tk_spool *spool;
	enum tk_codec codec;
	int level;
	unsigned threads;                     /* that seal, and that call at most; at least 1 */
	uint32_t pack_plain_bytes;            /* a pack ends once it holds this much plain data; 0: 64 MiB */
	uint32_t blob_plain_bytes;            /* a data blob's size; 0: 1 MiB */
	/* Called by the writer thread for every complete pack, in order of completion. It may wait: nothing is written meanwhile, and adding ends up waiting too. */
	enum tk_rc (*on_pack)(void *ctx, const struct tk_pack_ident *ident, struct tk_err *err);
	/* Called by the writer thread when the disk is full: waits until some of it was freed (TK_OK: the write is tried again), or says why not. May be NULL. */
	enum tk_rc (*on_full)(void *ctx, struct tk_err *err);
	void *ctx;
};

struct tk_packer;

TK_MUST_CHECK enum tk_rc tk_packer_new(const struct tk_packer_opts *opts, struct tk_packer **out, struct tk_err *err);
/* Stops the threads; unfinished packs are removed from the spool. All lanes are gone already. */
void tk_packer_cleanup(struct tk_packer **packer);

/* Appends file bytes to the open solid blob, or begins one (len_bytes <= blob size; never split): *extent says where they will be. chunk_id (16 bytes, or NULL) goes to the
 * pack's contents blob. */
TK_MUST_CHECK enum tk_rc tk_packer_add(struct tk_packer *packer, const void *data, size_t len_bytes, const uint8_t *chunk_id,
				       struct tk_extent *extent, struct tk_err *err);

/* ---- lanes ---- */

/* The pack of an extent whose bytes are still in a lane; its blob is the lane's tag. */
#define TK_PACK_STAGED (TK_PACK_NONE - 1u)
#define TK_LITERAL_BLOB_BYTES 65536u

enum tk_lane_kind {
	TK_LANE_CHUNKS,                       /* up to a blob's size; less than half of it goes into the solid blob */
	TK_LANE_LITERALS,                     /* up to TK_LITERAL_BLOB_BYTES, always a blob of its own, so that one live page does not pin a megabyte */
};

/* A chunk in a lane that has an id. */
struct tk_lane_row {
	uint32_t offset_bytes, length_bytes;
	uint8_t id[16];
};

struct tk_lane;
/* tag: tells the lanes of one extent list apart. */
TK_MUST_CHECK enum tk_rc tk_lane_new(struct tk_packer *packer, enum tk_lane_kind kind, uint32_t tag, struct tk_lane **out, struct tk_err *err);
/* What is still staged is given up. */
void tk_lane_cleanup(struct tk_lane **lane);
/* Gives up what is staged. */
void tk_lane_clear(struct tk_lane *lane);
/* What a lane holds at most. */
size_t tk_lane_max_bytes(const struct tk_lane *lane);
bool tk_lane_has_room(const struct tk_lane *lane, size_t len_bytes);
/* Stages bytes, for which there is room (TK_EINVAL otherwise). chunk_id (16 bytes) may be NULL. *extent is {TK_PACK_STAGED, tag}. */
TK_MUST_CHECK enum tk_rc tk_lane_put(struct tk_lane *lane, const void *data, size_t len_bytes, const uint8_t *chunk_id, struct tk_extent *extent,
				     struct tk_err *err);
/* A staged chunk of this id and length: its extent is like tk_lane_put's. */
bool tk_lane_find(const struct tk_lane *lane, const uint8_t id[16], size_t len_bytes, struct tk_extent *extent);

/* Where the bytes of a lane came to lie. */
struct tk_lane_place {
	struct tk_blob_ref ref;
	uint32_t offset_bytes;                /* of the lane's first byte in the blob */
	const struct tk_lane_row *rows;       /* the chunks with ids that it held, by offset in the lane; borrowed until the next put */
	size_t row_count;
};
/* Hands over what is staged, and empties the lane: waits for a free buffer. With nothing staged *place has pack TK_PACK_NONE and no rows. The caller then gives every
 * extent of this lane its place (tk_lane_settle), and may tell others of the rows. */
TK_MUST_CHECK enum tk_rc tk_lane_end(struct tk_lane *lane, struct tk_lane_place *place, struct tk_err *err);
/* Gives the extents that are staged in the lane their place. */
void tk_lane_settle(const struct tk_lane *lane, const struct tk_lane_place *place, struct tk_extent *extents, size_t count);

/* ---- metadata ---- */

/* Which pack the next metadata blob will be in, then the blob itself (see struct tk_page_sink). From place to put that pack stays open, whatever
 * other threads add; only one placing may be under way at a time (callers see to that), and what was placed must be put unless the run fails. */
TK_MUST_CHECK enum tk_rc tk_packer_place(struct tk_packer *packer, uint32_t *pack, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_packer_put(struct tk_packer *packer, enum tk_blob_type type, const void *plain, size_t plain_bytes,
				       const struct tk_blob_ref *refs, size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err);

/* Ends all packs and waits until they are complete in the spool; all lanes are empty. *idents is borrowed until cleanup. */
TK_MUST_CHECK enum tk_rc tk_packer_finish(struct tk_packer *packer, const struct tk_pack_ident **idents, size_t *count, struct tk_err *err);

#endif
