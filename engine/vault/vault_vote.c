#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/vault/vault_core.h"

static enum tk_rc
make_directories(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	static const char *const below[] = {NULL, "grants", "votes", "points", "receipts"};
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]) && !rc; i++) {
		tk_vault_id_path(path, "domains", domain, below[i]);
		rc = tk_vfile_mkdir(vault->root_fd, path, err);
	}
	return rc;
}

/* The same record, or no record that can be read: anything else is another beginning of the same domain. */
static enum tk_rc
compare_genesis(struct tk_vault *vault, const char *path, const void *record, size_t len_bytes, bool *same, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf stored = {0};
	struct tk_genesis genesis;
	enum tk_rc rc = tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, &stored, err);

	*same = !rc && stored.len_bytes == len_bytes && memcmp(stored.data, record, len_bytes) == 0;
	if (rc == TK_ENOENT || rc == TK_ECORRUPT)
		return TK_OK;
	if (!rc && !*same && tk_genesis_decode(stored.data, stored.len_bytes, &genesis, NULL) == TK_OK)
		rc = tk_err_set(err, TK_ECONFLICT, "another genesis record of this domain is stored");
	return rc;
}

enum tk_rc
tk_vault_put_genesis(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	char path[TK_VFILE_PATH_MAX];
	struct tk_genesis genesis;
	bool same = false;
	enum tk_rc rc = tk_vault_storable(vault, err);

	if (!rc)
		rc = tk_genesis_decode(record, len_bytes, &genesis, err);
	if (!rc)
		rc = tk_vdomain_enter_any(vault, &genesis.domain, &domain, err);
	if (rc)
		return rc;
	tk_vault_id_path(path, "domains", &genesis.domain, "genesis");
	rc = compare_genesis(vault, path, record, len_bytes, &same, err);
	/* A domain that is loaded has a genesis record that is durable. */
	if (rc || (same && domain->loaded))
		return rc;
	domain->loaded = false;
	rc = make_directories(vault, &genesis.domain, err);
	if (!rc)
		rc = tk_vfile_put(vault->root_fd, path, record, len_bytes, "genesis", err);
	return rc;
}

enum tk_rc
tk_vvote_store(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_bytes record, struct tk_err *err)
{
	char name[32], path[TK_VFILE_PATH_MAX];

	(void)snprintf(name, sizeof(name), "%08llx", (unsigned long long)epoch);
	tk_vrecord_path(path, domain, "votes", name);
	return tk_vfile_put(vault->root_fd, path, record.data, record.len_bytes, "votes", err);
}

static enum tk_rc
write_vote(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_grant *grant, struct tk_buf *record, struct tk_err *err)
{
	struct tk_vote vote = {.suite = TK_VAULT_SUITE, .domain = domain->id, .site = vault->site.site_id, .epoch = grant->epoch,
		.grant = grant->digest, .head = domain->head, .time_ns = tk_clock_wall_ns()};
	enum tk_rc rc;

	vote.counter = tk_vault_next_counter(vault, &vote.vault_incarnation);
	memcpy(vote.site_key, vault->site.site_key, sizeof(vote.site_key));
	rc = tk_vote_seal(&vote, vault->site_seed, record, err);
	return rc ? rc : tk_vvote_store(vault, &domain->id, grant->epoch, (struct tk_bytes){record->data, record->len_bytes}, err);
}

/* TK_OK: the number is still free, or promised to this very grant without a vote (a point under it came first). */
static enum tk_rc
check_number(const struct tk_vdomain *domain, const struct tk_grant *grant, struct tk_err *err)
{
	if (grant->epoch == 0 || grant->epoch > UINT32_MAX)
		return tk_err_set(err, TK_EINVAL, "epoch %llu is out of range", (unsigned long long)grant->epoch);
	if (grant->epoch < domain->promised_epoch ||
	    (grant->epoch == domain->promised_epoch && memcmp(grant->digest.b, domain->promised_grant.b, sizeof(grant->digest.b)) != 0))
		return tk_err_set(err, TK_EFENCED, "epoch %llu is promised already; epoch %llu was asked for",
			(unsigned long long)domain->promised_epoch, (unsigned long long)grant->epoch);
	return TK_OK;
}

static enum tk_rc
vote_new(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_grant *grant, const void *grant_bytes, size_t len_bytes,
	 struct tk_buf *record, struct tk_err *err)
{
	struct tk_grant stored;
	enum tk_rc rc = check_number(domain, grant, err);

	/* One that is stored was judged when it came; what it renews may have been superseded by itself. */
	if (!rc && tk_vgrant_load(vault, &domain->id, grant->epoch, &grant->digest, &stored, NULL) != TK_OK) {
		rc = tk_vgrant_allowed(vault, domain, grant, err);
		if (!rc)
			rc = tk_vgrant_store(vault, grant, grant_bytes, len_bytes, err);
	}
	if (rc)
		return rc;
	/* Once the vote may be on disk, memory must not say otherwise. */
	domain->loaded = false;
	rc = write_vote(vault, domain, grant, record, err);
	if (rc)
		return rc;
	domain->promised_epoch = grant->epoch;
	domain->promised_grant = grant->digest;
	domain->loaded = true;
	return TK_OK;
}

enum tk_rc
tk_vault_vote(struct tk_vault *vault, const void *grant_bytes, size_t len_bytes, struct tk_buf *vote, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	char hex[TK_VAULT_HEX_ID];
	struct tk_grant grant;
	struct tk_vote stored;
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc)
		rc = tk_grant_decode(grant_bytes, len_bytes, &grant, err);
	if (!rc)
		rc = tk_vdomain_enter(vault, &grant.domain, &domain, err);
	if (!rc)
		rc = tk_vault_writable(vault, err);
	if (rc)
		return rc;
	rc = tk_vread_vote(vault, &grant.domain, grant.epoch, &stored, &record, err);
	if (!rc && memcmp(stored.grant.b, grant.digest.b, sizeof(stored.grant.b)) != 0)
		rc = tk_err_set(err, TK_EFENCED, "this site has voted for another grant of epoch %llu", (unsigned long long)grant.epoch);
	else if (rc == TK_ENOENT)
		rc = vote_new(vault, domain, &grant, grant_bytes, len_bytes, &record, err);
	if (!rc)
		rc = tk_buf_put(vote, record.data, record.len_bytes, err);
	tk_hex_encode(grant.domain.b, sizeof(grant.domain.b), hex);
	tk_log_event(vault->log, TK_LOG_INFO, "vote", "domain=%s epoch=%llu result=%s", hex, (unsigned long long)grant.epoch, tk_rc_name(rc));
	return rc;
}
