#include "engine/job/site_publish.h"

#include <string.h>
#include <time.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"

/* A site that misses packs level by level asks again after each; more rounds than this mean that sending does not help. */
#define ROUNDS_MAX 64
#define RELAY_PIECE_BYTES (1u << 20)
#define RELAY_WAIT_MS 50

enum tk_rc
tk_site_send_pack(struct tk_site_publish *request, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	uint64_t len = 0;
	enum tk_rc rc;

	if ((rc = tk_spool_read(request->spool, name, &fd, &len, err)) ||
	    (rc = request->store->ops->put_pack(request->store, name, fd, len, err)))
		return rc;
	request->sent_bytes += len;
	return TK_OK;
}

/* Copies a pack from one site's session into the spool. It is sealed and the receiving site checks it: nothing is trusted here. */
static enum tk_rc
copy_to_spool(struct tk_site_publish *request, struct tk_store *from, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	TK_AUTO(tk_buf_release) struct tk_buf piece = {0};
	uint64_t size = 0;
	enum tk_rc rc;

	if ((rc = from->ops->pack_size(from, name, &size, err)) || (rc = tk_spool_create(request->spool, name, &fd, err)))
		return rc;
	for (uint64_t at = 0; at < size && !rc; at += piece.len_bytes) {
		uint32_t want = size - at < RELAY_PIECE_BYTES ? (uint32_t)(size - at) : RELAY_PIECE_BYTES;

		tk_buf_clear(&piece);
		rc = from->ops->get_range(from, name, at, want, &piece, err);
		if (!rc)
			rc = tk_write_full(fd, piece.data, piece.len_bytes, "spool", err);
	}
	if (!rc)
		rc = tk_spool_complete(request->spool, name, fd, err);
	if (rc)
		tk_spool_discard(request->spool, name);
	return rc;
}

/* Another site's worker may be fetching the same pack just now: then its copy is waited for, or made here once it gave up. */
static enum tk_rc
bring_to_spool(struct tk_site_publish *request, struct tk_store *from, const struct tk_pack_name *name, struct tk_err *err)
{
	const struct timespec pause = {0, RELAY_WAIT_MS * 1000000L};
	enum tk_rc rc;

	while ((rc = copy_to_spool(request, from, name, err)) == TK_EEXIST) {
		TK_AUTO(tk_fd_cleanup) int fd = -1;
		uint64_t len = 0;

		if (request->stop && atomic_load(request->stop))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		(void)nanosleep(&pause, NULL);
		if (!tk_spool_read(request->spool, name, &fd, &len, NULL))
			return TK_OK;
	}
	return rc;
}

static enum tk_rc
relay_pack(struct tk_site_publish *request, const struct tk_pack_name *name, struct tk_err *err)
{
	char hex[2 * sizeof(name->b) + 1];

	for (size_t i = 0; i < request->site_count; i++) {
		TK_AUTO(tk_store_cleanup) struct tk_store *from = NULL;
		const struct tk_site *site = &request->sites[i];
		enum tk_rc rc;

		if (i == request->self || site->open(site, &from, err))
			continue;
		rc = bring_to_spool(request, from, name, err);
		if (rc == TK_ENOSPC || rc == TK_ENOMEM || rc == TK_ECANCELLED)
			return rc;
		if (rc)
			continue;
		rc = tk_site_send_pack(request, name, err);
		if (rc != TK_ECORRUPT && rc != TK_ENOENT)
			return rc;
		/* That site's copy is damaged: the next one sends its own. */
		(void)!tk_spool_remove(request->spool, name, NULL);
	}
	tk_hex_encode(name->b, sizeof(name->b), hex);
	return tk_err_set(err, TK_EMISSING, "pack %s is neither in the spool nor at another site", hex);
}

static enum tk_rc
send_missing(struct tk_site_publish *request, const struct tk_pack_names *missing, struct tk_err *err)
{
	for (size_t i = 0; i < missing->count; i++) {
		enum tk_rc rc = tk_site_send_pack(request, &missing->names[i], err);

		if (rc == TK_ENOENT)
			rc = relay_pack(request, &missing->names[i], err);
		if (rc)
			return rc;
		if (request->stop && atomic_load(request->stop))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
	}
	return request->store->ops->flush(request->store, err);
}

/* A receipt counts only if the key pinned for the site signed it, for this very point, under the point's epoch. */
static enum tk_rc
take_receipt(struct tk_site_publish *request, const struct tk_head *at, const struct tk_buf *record, struct tk_site_receipt *out,
	     struct tk_err *err)
{
	const char *name = request->sites[request->self].name;
	struct tk_receipt receipt;
	struct tk_journal_number number;
	uint8_t key[TK_KEY_BYTES];
	struct tk_id id;
	enum tk_rc rc;

	if ((rc = tk_receipt_decode(record->data, record->len_bytes, &receipt, err)) || (rc = tk_journal_site_key(request->journal, name, &id, key, err)))
		return rc;
	if (memcmp(key, receipt.site_key, sizeof(key)) != 0 || memcmp(&id, &receipt.site, sizeof(id)) != 0)
		return tk_err_set(err, TK_EDENIED, "the receipt is signed by another key than the site's");
	if (memcmp(&receipt.domain, request->domain, sizeof(receipt.domain)) != 0 || tk_head_compare(&receipt.at, at) != 0 ||
	    memcmp(&receipt.at.point, &at->point, sizeof(at->point)) != 0)
		return tk_err_set(err, TK_EPROTO, "the receipt is for another point");
	if (receipt.promised_epoch != at->epoch)
		return tk_err_set(err, TK_EFENCED, "the site has promised epoch %llu", (unsigned long long)receipt.promised_epoch);
	number = (struct tk_journal_number){receipt.vault_incarnation, receipt.counter};
	out->time_ns = receipt.time_ns;
	if ((rc = tk_hash(receipt.suite, record->data, record->len_bytes, out->digest.b, err)))
		return rc;
	return tk_journal_add_receipt(request->journal, request->domain, at, name, &number, receipt.time_ns, record->data, record->len_bytes, err);
}

enum tk_rc
tk_site_publish(struct tk_site_publish *request, const struct tk_head *at, const void *record, size_t len_bytes, struct tk_buf *receipt,
		struct tk_site_receipt *out, struct tk_err *err)
{
	enum tk_rc rc = request->store->ops->flush(request->store, err);

	for (int round = 0; !rc; round++) {
		struct tk_pack_names missing = {0};

		tk_buf_clear(receipt);
		rc = request->store->ops->publish(request->store, record, len_bytes, receipt, &missing, err);
		if (!rc)
			return take_receipt(request, at, receipt, out, err);
		if (rc == TK_EMISSING && round < ROUNDS_MAX && missing.count > 0)
			rc = send_missing(request, &missing, err);
		tk_pack_names_release(&missing);
	}
	return rc;
}
