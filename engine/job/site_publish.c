#include "engine/job/site_publish.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"

/* A site that misses packs level by level asks again after each; more rounds than this mean that sending does not help. */
#define ROUNDS_MAX 64
#define RELAY_PIECE_BYTES (1u << 20)
#define RELAY_WAIT_MS 50

void
tk_site_publish_release(struct tk_site_publish *request)
{
	tk_store_cleanup(&request->peer);
}

static enum tk_rc
send_file(struct tk_site_publish *request, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = request->store->ops->put_pack(request->store, name, fd, len_bytes, err);

	if (rc)
		return rc;
	request->sent_bytes += len_bytes;
	tk_stock_sent(request->stock);
	return TK_OK;
}

enum tk_rc
tk_site_send_pack(struct tk_site_publish *request, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	uint64_t len = 0;
	enum tk_rc rc = tk_spool_read(request->spool, name, &fd, &len, err);

	return rc ? rc : send_file(request, name, fd, len, err);
}

static enum tk_rc
copy_bytes(struct tk_store *from, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf piece = {0};
	enum tk_rc rc = TK_OK;

	for (uint64_t at = 0; at < len_bytes && !rc; at += piece.len_bytes) {
		uint32_t want = len_bytes - at < RELAY_PIECE_BYTES ? (uint32_t)(len_bytes - at) : RELAY_PIECE_BYTES;

		tk_buf_clear(&piece);
		rc = from->ops->get_range(from, name, at, want, &piece, err);
		if (!rc)
			rc = tk_write_full(fd, piece.data, piece.len_bytes, "spool", err);
	}
	return rc;
}

/* Copies a pack from one site's session into the spool. It is sealed and the receiving site checks it: nothing is trusted here. *fd is the copy: it may leave the
 * spool at any time. */
static enum tk_rc
copy_to_spool(struct tk_site_publish *request, const struct tk_pack_name *name, int *fd, uint64_t *len_bytes, struct tk_err *err)
{
	struct tk_store *from = request->peer;
	size_t item;
	enum tk_rc rc;

	if ((rc = from->ops->pack_size(from, name, len_bytes, err)))
		return rc;
	tk_stock_trim(request->stock, *len_bytes);
	if ((rc = tk_spool_create(request->spool, name, fd, err)))
		return rc;
	if (!(rc = copy_bytes(from, name, *fd, *len_bytes, err)))
		rc = tk_spool_complete(request->spool, name, *fd, err);
	if (rc)
		tk_spool_discard(request->spool, name);
	return rc ? rc : tk_stock_add(request->stock, TK_STOCK_OLD, name, *len_bytes, &item, err);
}

/* Another site's worker may be fetching the same pack just now: then its copy is waited for, or made here once it gave up. */
static enum tk_rc
bring_to_spool(struct tk_site_publish *request, const struct tk_pack_name *name, int *fd, uint64_t *len_bytes, struct tk_err *err)
{
	const struct timespec pause = {0, RELAY_WAIT_MS * 1000000L};
	enum tk_rc rc;

	while ((rc = copy_to_spool(request, name, fd, len_bytes, err)) == TK_EEXIST) {
		if (request->stop && atomic_load(request->stop))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		(void)nanosleep(&pause, NULL);
		if (!tk_spool_read(request->spool, name, fd, len_bytes, NULL))
			return TK_OK;
	}
	return rc;
}

/* The session of the pack before is used again: a site that fell far behind is sent many. */
static enum tk_rc
open_peer(struct tk_site_publish *request, size_t site, struct tk_err *err)
{
	const struct tk_site *peer = &request->sites[site];

	if (request->peer && request->peer_site == site)
		return TK_OK;
	tk_store_cleanup(&request->peer);
	request->peer_site = site;
	return peer->open(peer, &request->peer, err);
}

static enum tk_rc
relay_from(struct tk_site_publish *request, size_t site, const struct tk_pack_name *name, bool *give_up, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	uint64_t len = 0;
	enum tk_rc rc = open_peer(request, site, err);

	*give_up = false;
	if (!rc)
		rc = bring_to_spool(request, name, &fd, &len, err);
	if (rc) {
		*give_up = rc == TK_ENOSPC || rc == TK_ENOMEM || rc == TK_ECANCELLED;
		tk_store_cleanup(&request->peer);
		return rc;
	}
	rc = send_file(request, name, fd, len, err);
	tk_stock_trim(request->stock, 0);
	/* That site's copy is damaged: the next one sends its own. */
	if (rc == TK_ECORRUPT)
		(void)!tk_spool_remove(request->spool, name, NULL);
	*give_up = rc != TK_ECORRUPT;
	return rc;
}

static enum tk_rc
relay_pack(struct tk_site_publish *request, const struct tk_pack_name *name, struct tk_err *err)
{
	char hex[2 * sizeof(name->b) + 1], why[256] = "";
	struct tk_err failure;
	size_t first = request->peer_site;

	for (size_t i = 0; i < request->site_count; i++) {
		size_t site = (first + i) % request->site_count;
		bool give_up;
		enum tk_rc rc;

		if (site == request->self)
			continue;
		rc = relay_from(request, site, name, &give_up, &failure);
		if (rc && give_up && err)
			*err = failure;
		if (!rc || give_up)
			return rc;
		if (rc != TK_ENOENT)
			(void)snprintf(why, sizeof(why), "; site %.48s: %.180s", request->sites[site].name, failure.text);
	}
	tk_hex_encode(name->b, sizeof(name->b), hex);
	return tk_err_set(err, TK_EMISSING, "pack %s is neither in the spool nor at another site%s", hex, why);
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

/* Until the site has what the point needs. */
static enum tk_rc
publish(struct tk_site_publish *request, const void *record, size_t len_bytes, struct tk_buf *receipt, struct tk_err *err)
{
	const struct tk_store_ask asks[] = {{.kind = TK_ASK_FLUSH}, {.kind = TK_ASK_PUBLISH, .data = record, .len_bytes = len_bytes}};
	enum tk_rc rc;

	/* Behind the last pack, without a word in between: a site that has not all of it, or cannot make it durable, gives no receipt. */
	tk_store_ahead(request->store, asks, 2);
	rc = request->store->ops->flush(request->store, err);
	for (int round = 0; !rc; round++) {
		struct tk_pack_names missing = {0};

		tk_buf_clear(receipt);
		rc = request->store->ops->publish(request->store, record, len_bytes, receipt, &missing, err);
		if (!rc)
			return TK_OK;
		if (rc == TK_EMISSING && round < ROUNDS_MAX && missing.count > 0)
			rc = send_missing(request, &missing, err);
		tk_pack_names_release(&missing);
	}
	return rc;
}

enum tk_rc
tk_site_publish(struct tk_site_publish *request, const struct tk_head *at, const void *record, size_t len_bytes, struct tk_buf *receipt,
		struct tk_site_receipt *out, struct tk_err *err)
{
	enum tk_rc rc = publish(request, record, len_bytes, receipt, err);

	return rc ? rc : take_receipt(request, at, receipt, out, err);
}

enum tk_rc
tk_site_store(struct tk_site_publish *request, const void *record, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf receipt = {0};

	return publish(request, record, len_bytes, &receipt, err);
}
