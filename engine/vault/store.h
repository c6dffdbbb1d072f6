/* store.h -- one session with one site, whatever lies behind it: a vault directory in this process
 * (vault_store.h) or a twinkeepd over TLS (transport/client.h).
 *
 * The pipelines of engine/job see sites only through this interface. A session is used by one thread at a time;
 * open several for parallel reads. Every call ends within the session's time-outs with TK_EUNREACH or TK_ETIMEOUT; after either of
 * them the session is dead and only close is allowed. Nothing here needs a key: what goes through is sealed or signed. */
#ifndef TK_VAULT_STORE_H
#define TK_VAULT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/vault/ids.h"

/* What a site says of one domain when a session begins to work on it. */
struct tk_store_state {
	struct tk_id site_id;
	uint8_t site_key[TK_KEY_BYTES];         /* public key that signs its votes and receipts */
	struct tk_id vault_incarnation;
	uint64_t receipt_counter;               /* number of the last receipt or vote given */
	uint64_t promised_epoch;                /* highest vote or published epoch; 0: none */
	struct tk_digest promised_grant;        /* digest of its grant; zeros: none */
	struct tk_head head;                    /* highest complete point it holds */
	bool domain_known;
	bool read_only;                         /* the vault was set back: it takes packs and points, and promises nothing */
	uint64_t free_bytes;
};

/* A stored point record as found by list_points. */
struct tk_store_point {
	struct tk_head at;
	uint64_t received_ns;                   /* the site's clock when it published */
	bool expired;                           /* its content is there no more, or not for long; known of a vault in this process only */
};

struct tk_pack_names {
	struct tk_pack_name *names;             /* owned; tk_pack_names_release */
	size_t count;
};

/* A call that comes soon, with what it will be given (all borrowed during `ahead` only). */
enum tk_ask_kind {
	TK_ASK_STATE,                           /* id: the domain; data: the marks */
	TK_ASK_GENESIS,                         /* data */
	TK_ASK_FLUSH,
	TK_ASK_PUBLISH,                         /* data */
	TK_ASK_POINTS,                          /* id: the domain */
	TK_ASK_POINT,                           /* id: the domain; at */
	TK_ASK_RECORD,                          /* id: the domain; record, number: kind and epoch */
	TK_ASK_PUT_SLOT,                        /* data, recovery_key */
	TK_ASK_SLOT,                            /* id: the source; number: the index */
	TK_ASK_PUT_CONFIG,                      /* data */
	TK_ASK_CONFIG,                          /* id: the source */
};
struct tk_store_ask {
	enum tk_ask_kind kind;
	const struct tk_id *id;
	const void *data;
	size_t len_bytes;
	const uint8_t *recovery_key;
	const struct tk_head *at;
	int record;
	uint64_t number;
};

struct tk_store;

struct tk_store_ops {
	/* The calls that come next. Behind a network their questions go out at once, in this order, and share a round trip. The first call that was not named makes
	 * those void which did not come yet, but for what they did at the site. NULL where no call waits long: tk_store_ahead. */
	void (*ahead)(struct tk_store *store, const struct tk_store_ask *asks, size_t count);
	/* known (may be NULL): a list of promises (marks.h). A vault that does not know one of its own was rolled back, and serves reads only; those of other sites in
	 * this domain it keeps, to tell them to others. */
	TK_MUST_CHECK enum tk_rc (*state)(struct tk_store *store, const struct tk_id *domain, const struct tk_buf *known,
					  struct tk_store_state *out, struct tk_err *err);
	/* Stores a genesis record; the same again is harmless, another one is TK_ECONFLICT. Durable on return. */
	TK_MUST_CHECK enum tk_rc (*put_genesis)(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err);
	/* have[i] is set when the site can serve the whole pack. */
	TK_MUST_CHECK enum tk_rc (*have)(struct tk_store *store, const struct tk_pack_name *names, size_t count, bool *have,
					 struct tk_err *err);
	/* Sends a whole pack file from fd (read from its start by pread, borrowed). May return before the site stored it: what
	 * went wrong comes out of a later put_pack or flush. A pack that is there already is not sent twice. */
	TK_MUST_CHECK enum tk_rc (*put_pack)(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes,
					     struct tk_err *err);
	/* Waits until every pack sent is durable at the site (name, data and directory). */
	TK_MUST_CHECK enum tk_rc (*flush)(struct tk_store *store, struct tk_err *err);
	/* Publishes a point record. TK_EBEHIND: the point is durable, but the vault, being behind, gives no receipt. On TK_OK the point is durable and *receipt holds the signed receipt record. The same record
	 * again gives a receipt again. TK_EMISSING: *missing names packs that must be sent first (caller releases). TK_EFENCED: the site promised
	 * a later epoch. TK_ECONFLICT: another point is known under this (epoch, sequence). */
	TK_MUST_CHECK enum tk_rc (*publish)(struct tk_store *store, const void *record, size_t len_bytes, struct tk_buf *receipt,
					    struct tk_pack_names *missing, struct tk_err *err);
	/* Asks for the site's vote for a grant. On TK_OK *vote holds the signed vote, durable at the site. TK_EFENCED: it has voted for
	 * this or a later number. The same grant again gives the same vote again. */
	TK_MUST_CHECK enum tk_rc (*vote)(struct tk_store *store, const void *grant, size_t len_bytes, struct tk_buf *vote,
					 struct tk_err *err);
	/* Appends len_bytes of the pack from offset to *out. Errors: TK_ENOENT (no such pack), TK_EMISSING (all of it was dropped; of a blob that was, in a range with
	 * others, there are zeros), TK_ECORRUPT (shorter than asked). */
	TK_MUST_CHECK enum tk_rc (*get_range)(struct tk_store *store, const struct tk_pack_name *name, uint64_t offset_bytes,
					      uint32_t len_bytes, struct tk_buf *out, struct tk_err *err);
	/* The pack's length; TK_ENOENT when it is not there. */
	TK_MUST_CHECK enum tk_rc (*pack_size)(struct tk_store *store, const struct tk_pack_name *name, uint64_t *len_bytes,
					      struct tk_err *err);
	/* The pack's length, its header and its last tail_bytes (at most TK_STORE_TAIL_MAX; all of it when it is shorter), at one go; errors as above. Appends to
	 * *head and *tail. NULL where no call waits long: tk_store_get_ends. */
	TK_MUST_CHECK enum tk_rc (*get_ends)(struct tk_store *store, const struct tk_pack_name *name, uint32_t tail_bytes, uint64_t *len_bytes,
					     struct tk_buf *head, struct tk_buf *tail, struct tk_err *err);
	/* All points of a domain in order of (epoch, sequence); *out is malloc'ed. */
	TK_MUST_CHECK enum tk_rc (*list_points)(struct tk_store *store, const struct tk_id *domain, struct tk_store_point **out,
						size_t *count, struct tk_err *err);
	/* at->epoch 0: the last one that list_points gives. */
	TK_MUST_CHECK enum tk_rc (*get_point)(struct tk_store *store, const struct tk_id *domain, const struct tk_head *at,
					      struct tk_buf *out, struct tk_err *err);
	/* The domain's genesis record and grants: what a reader needs to trust points; and the list of other sites' newest promises that the site was shown.
	 * kind: TK_RECORD_GENESIS, _GRANT (by epoch) or _MARKS. */
	TK_MUST_CHECK enum tk_rc (*get_record)(struct tk_store *store, const struct tk_id *domain, int kind, uint64_t epoch,
					       struct tk_buf *out, struct tk_err *err);
	/* Key slots and the sealed configuration of a source. index: 0, 1, ...; TK_ENOENT after the last. */
	TK_MUST_CHECK enum tk_rc (*put_slot)(struct tk_store *store, const void *slot, size_t len_bytes, const uint8_t *recovery_key,
					     struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*drop_slot)(struct tk_store *store, const struct tk_id *slot_id, struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*get_slot)(struct tk_store *store, const struct tk_id *source, unsigned index, struct tk_buf *out,
					     struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*put_config)(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*get_config)(struct tk_store *store, const struct tk_id *source, struct tk_buf *out, struct tk_err *err);
	/* The site recomputes the digests of every blob of the pack against its footer. *bad_blobs: malloc'ed list. TK_OK with *bad_count > 0
	 * when blobs are damaged; TK_ECORRUPT when header or footer are. */
	TK_MUST_CHECK enum tk_rc (*check_pack)(struct tk_store *store, const struct tk_pack_name *name, uint32_t **bad_blobs,
					       size_t *bad_count, struct tk_err *err);
	/* Any thread, while the session lives: the call that is waiting and those to come end soon, with TK_ECANCELLED. NULL where no call waits long. */
	void (*abort)(struct tk_store *store);
	/* Frees the session; never fails. */
	void (*close)(struct tk_store *store);
};

enum { TK_RECORD_GENESIS = 1, TK_RECORD_GRANT = 2, TK_RECORD_MARKS = 3 };

/* The first member of every kind of session. */
struct tk_store {
	const struct tk_store_ops *ops;
};

#define TK_STORE_TAIL_MAX (256u << 10)
TK_MUST_CHECK enum tk_rc tk_store_get_ends(struct tk_store *store, const struct tk_pack_name *name, uint32_t tail_bytes, uint64_t *len_bytes,
					   struct tk_buf *head, struct tk_buf *tail, struct tk_err *err);
void tk_store_ahead(struct tk_store *store, const struct tk_store_ask *asks, size_t count);
void tk_pack_names_release(struct tk_pack_names *names);
/* Closes *store (NULL allowed) and sets it to NULL. */
void tk_store_cleanup(struct tk_store **store);

/* How a job opens sessions: given by cli for each configured site, so that engine never knows of transport. open may be called from any thread. */
struct tk_site {
	const char *name;                       /* borrowed from the configuration */
	bool is_local;                          /* in the writer's city */
	bool is_remote;                         /* behind a network, where an answer takes its time and several may be on their way */
	void *ctx;
	TK_MUST_CHECK enum tk_rc (*open)(const struct tk_site *site, struct tk_store **out, struct tk_err *err);
};

#endif
