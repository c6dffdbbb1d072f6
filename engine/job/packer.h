/* packer.h -- blobs become packs in the spool.
 *
 * One thread (the run's) appends bytes and metadata blobs and so numbers the blobs; seal threads compress and seal them; one
 * writer thread appends them to their pack files in order. A pack that is complete and fsynced is told through on_pack. Memory is bounded by the pool of
 * blob buffers. A failure in any thread makes every later call return it.
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
	unsigned threads;                     /* that seal; at least 1 */
	uint32_t pack_plain_bytes;            /* a pack ends once it holds this much plain data; 0: 64 MiB */
	uint32_t blob_plain_bytes;            /* a data blob's size; 0: 1 MiB */
	/* Called by the writer thread for every complete pack, in order of completion. */
	void (*on_pack)(void *ctx, const struct tk_pack_ident *ident);
	void *ctx;
};

struct tk_packer;

TK_MUST_CHECK enum tk_rc tk_packer_new(const struct tk_packer_opts *opts, struct tk_packer **out, struct tk_err *err);
/* Stops the threads; unfinished packs are removed from the spool. */
void tk_packer_cleanup(struct tk_packer **packer);

/* Appends file bytes to the open solid blob (len_bytes <= blob size; never split): *extent says where they will be. chunk_id (16 bytes, or NULL) goes to the
 * pack's contents blob. */
TK_MUST_CHECK enum tk_rc tk_packer_add(struct tk_packer *packer, const void *data, size_t len_bytes, const uint8_t *chunk_id,
				       struct tk_extent *extent, struct tk_err *err);
#define TK_LITERAL_BLOB_BYTES 65536u
/* Appends bytes of a delta's literal (at most TK_LITERAL_BLOB_BYTES) to the open literal blob. */
TK_MUST_CHECK enum tk_rc tk_packer_add_literal(struct tk_packer *packer, const void *data, size_t len_bytes, struct tk_extent *extent,
					       struct tk_err *err);
/* Ends the open literal blob: a segment is done. */
TK_MUST_CHECK enum tk_rc tk_packer_end_literals(struct tk_packer *packer, struct tk_err *err);

/* Metadata: which pack the next metadata blob will be in, then the blob itself (see struct tk_page_sink). */
TK_MUST_CHECK enum tk_rc tk_packer_place(struct tk_packer *packer, uint32_t *pack, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_packer_put(struct tk_packer *packer, enum tk_blob_type type, const void *plain, size_t plain_bytes,
				       const struct tk_blob_ref *refs, size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err);

/* Ends all packs and waits until they are complete in the spool. *idents is borrowed until cleanup. */
TK_MUST_CHECK enum tk_rc tk_packer_finish(struct tk_packer *packer, const struct tk_pack_ident **idents, size_t *count, struct tk_err *err);

/* Plain bytes taken as data, and bytes of complete packs. */
uint64_t tk_packer_data_bytes(const struct tk_packer *packer);

#endif
