/* pack.h -- packs: sealing and opening blobs, writing a pack file, reading its index (docs/FORMAT.md, section 1).
 *
 * Writing is split so that one thread numbers blobs, many threads seal them, and one thread appends them:
 *   tk_pack_head      what a pack's blobs are sealed under; immutable after begin; any thread
 *   tk_sealer         a thread's compressor and cipher contexts; one a thread; serves any number of packs
 *   tk_pack_file      the file being written; one thread
 *   tk_pack_index     the parsed header and footer of a finished pack; immutable; any thread
 *   tk_opener         a thread's contexts for opening blobs; one a thread */
#ifndef TK_VAULT_PACK_H
#define TK_VAULT_PACK_H

#include "engine/base/buf.h"
#include "engine/codec/codec.h"
#include "engine/vault/ids.h"
#include "engine/vault/keyring.h"

#define TK_PACK_HEADER_BYTES 128
#define TK_PACK_TRAILER_BYTES 56
#define TK_PACK_BYTES_MAX (1ull << 30)
#define TK_PACK_BLOBS_MAX 65535u

enum tk_pack_type { TK_PACK_DATA = 1, TK_PACK_META = 2, TK_PACK_MIXED = 3 };

struct tk_pack_head {
	struct tk_pack_name name;
	enum tk_suite suite;
	enum tk_pack_type type;
	uint32_t key_epoch;
	struct tk_id domain;
	struct tk_id incarnation;              /* the writer's */
	uint8_t header[TK_PACK_HEADER_BYTES];  /* as written, and the AAD's beginning */
	bool has_key;
	uint8_t seal_key[TK_KEY_BYTES];        /* secret: tk_pack_head_wipe */
};

/* Makes a head with a fresh random name, sealed under the newest data key of `keys`. */
TK_MUST_CHECK enum tk_rc tk_pack_head_begin(const struct tk_domain_keys *keys, enum tk_suite suite, enum tk_pack_type type,
					    const struct tk_id *incarnation, struct tk_pack_head *out, struct tk_err *err);
/* Reads a head from a pack's first bytes and derives its key. TK_EKEY: commitment differs or the key epoch is not in `keys`; keys == NULL reads
 * the fields only (no key). TK_ECORRUPT, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_pack_head_read(const struct tk_domain_keys *keys, const uint8_t header[TK_PACK_HEADER_BYTES],
					   struct tk_pack_head *out, struct tk_err *err);
void tk_pack_head_wipe(struct tk_pack_head *head);

/* One blob as the footer describes it. */
struct tk_blob_info {
	enum tk_blob_type type;
	enum tk_codec codec;
	uint32_t plain_bytes;
	uint32_t sealed_bytes;
	uint64_t offset_bytes;                 /* in the pack; known once appended or read */
	struct tk_digest digest;               /* of the sealed bytes */
};

struct tk_sealer;
TK_MUST_CHECK enum tk_rc tk_sealer_new(struct tk_sealer **out, struct tk_err *err);
void tk_sealer_cleanup(struct tk_sealer **sealer);
/* Compresses (codec and level are the wish; raw when it does not shrink), seals and digests blob number `blob` of the pack. `sealed` is cleared first.
 * The number is the nonce: never seal two different blobs under one number of a pack; a pack that failed is given up, and begun anew under a new head.
 * Errors: TK_EINVAL (number, type or length out of range), TK_EUNSUPPORTED, TK_ENOMEM, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_seal_blob(struct tk_sealer *sealer, const struct tk_pack_head *head, uint32_t blob, enum tk_blob_type type,
				      enum tk_codec codec, int level, const void *plain, size_t plain_bytes, struct tk_buf *sealed,
				      struct tk_blob_info *info, struct tk_err *err);

/* A pack being written into fd (borrowed), from its start, without fsync. */
struct tk_pack_file;
TK_MUST_CHECK enum tk_rc tk_pack_file_begin(int fd, const struct tk_pack_head *head, struct tk_packtab *packs, struct tk_pack_file **out,
					    struct tk_err *err);
/* Appends blob number `blob`, which must be the next one. refs: the blob's references in the clear, sorted and unique or not (they are made so); the pack's own
 * number (tk_packtab_intern of head->name) becomes index 0. */
TK_MUST_CHECK enum tk_rc tk_pack_file_append(struct tk_pack_file *file, uint32_t blob, const struct tk_blob_info *info, const void *sealed,
					     const struct tk_blob_ref *refs, size_t ref_count, struct tk_err *err);
/* Bytes written so far, header included. */
uint64_t tk_pack_file_bytes(const struct tk_pack_file *file);

/* What a point says of a pack. */
struct tk_pack_ident {
	struct tk_pack_name name;
	struct tk_digest footer;
	uint64_t len_bytes;
};
/* Writes footer and trailer. The caller makes the file durable. */
TK_MUST_CHECK enum tk_rc tk_pack_file_finish(struct tk_pack_file *file, struct tk_pack_ident *ident, struct tk_err *err);
void tk_pack_file_cleanup(struct tk_pack_file **file);

/* The parsed header and footer. */
struct tk_pack_index {
	struct tk_pack_head head;              /* without its key when read without keys */
	struct tk_pack_ident ident;
	struct tk_blob_info *blobs;            /* owned */
	uint32_t blob_count;
	struct tk_pack_name *names;            /* owned; names[i] is reference index i + 1 */
	uint32_t name_count;
	struct tk_footer_ref { uint32_t pack_index, blob; } *refs; /* owned; of all blobs, in order */
	uint32_t *ref_start;                   /* owned; blob i has refs[ref_start[i] .. ref_start[i + 1]) */
};
/* Checks trailer, footer digest, header digest, all bounds and that the blobs fill the pack exactly. `tail` holds the pack's last bytes, at least footer and trailer;
 * tk_pack_footer_bytes says how many from the trailer alone. keys may be NULL (a site). */
TK_MUST_CHECK enum tk_rc tk_pack_index_read(const struct tk_domain_keys *keys, const uint8_t header[TK_PACK_HEADER_BYTES], const void *tail,
					    size_t tail_bytes, uint64_t pack_bytes, struct tk_pack_index **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_pack_footer_bytes(const uint8_t trailer[TK_PACK_TRAILER_BYTES], uint64_t pack_bytes, uint32_t *footer_bytes,
					      struct tk_err *err);
void tk_pack_index_cleanup(struct tk_pack_index **index);

struct tk_opener;
TK_MUST_CHECK enum tk_rc tk_opener_new(struct tk_opener **out, struct tk_err *err);
void tk_opener_cleanup(struct tk_opener **opener);
/* Opens blob number `blob` from its sealed bytes into `plain` (cleared first); the tag tells every change, so the digest is not computed again.
 * TK_ECORRUPT: tag, codec or length is wrong. TK_EINVAL: the index was read without keys. */
TK_MUST_CHECK enum tk_rc tk_open_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, const void *sealed,
				      size_t sealed_bytes, struct tk_buf *plain, struct tk_err *err);

/* As tk_open_blob as far as the tag goes: the bytes are those that were sealed. What they hold is not decompressed; `sealed` is overwritten. */
TK_MUST_CHECK enum tk_rc tk_prove_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, void *sealed, size_t sealed_bytes,
				       struct tk_err *err);

/* Checks sealed bytes against the footer's length and digest; needs no key. TK_ECORRUPT: they differ. */
TK_MUST_CHECK enum tk_rc tk_check_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, const void *sealed,
				       size_t sealed_bytes, struct tk_err *err);

/* The contents blob: chunks of the pack, from which a lost dedup index is rebuilt. Rows are in order of (blob, offset), none twice; the decoder mallocs
 * *rows for the caller to free. Errors: TK_EINVAL, TK_ECORRUPT, TK_ENOMEM. */
struct tk_content_row {
	uint32_t blob;
	uint32_t offset_bytes;
	uint32_t length_bytes;
	uint8_t id[16];
};
TK_MUST_CHECK enum tk_rc tk_contents_encode(const struct tk_content_row *rows, size_t count, struct tk_buf *plain, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_contents_decode(const void *plain, size_t plain_bytes, struct tk_content_row **rows, size_t *count,
					    struct tk_err *err);

#endif
