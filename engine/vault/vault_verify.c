#include <stdlib.h>
#include <string.h>

#include "engine/vault/vault_core.h"

struct verify {
	struct tk_vault *vault;
	enum tk_rc (*each)(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err);
	void *ctx;
};

/* Running out of memory ends the walk: it says nothing of what was looked at. */
static enum tk_rc
tell(const struct verify *self, struct tk_vault_finding *finding, const struct tk_err *why, struct tk_err *err)
{
	if (finding->rc == TK_ENOMEM) {
		if (err)
			*err = *why;
		return TK_ENOMEM;
	}
	finding->text = finding->rc ? why->text : "";
	if (finding->bad_count > 0)
		finding->text = "blobs are damaged";
	return self->each(self->ctx, finding, err);
}

static enum tk_rc
verify_pack(void *ctx, const struct tk_pack_name *name, struct tk_err *err)
{
	const struct verify *self = ctx;
	struct tk_vault_finding finding = {.pack = name};
	uint32_t *bad = NULL;
	struct tk_err why;
	enum tk_rc rc;

	finding.rc = tk_vault_check_pack(self->vault, name, &bad, &finding.bad_count, &why);
	/* Its file went away: that is told once, by its row. */
	if (finding.rc == TK_ENOENT && self->vault->index)
		return TK_OK;
	finding.bad_blobs = bad;
	if (finding.bad_count > 0)
		finding.rc = TK_ECORRUPT;
	rc = tell(self, &finding, &why, err);
	free(bad);
	return rc;
}

static enum tk_rc
verify_row(void *ctx, const struct tk_pack_row *row, struct tk_err *err)
{
	const struct verify *self = ctx;
	struct tk_vault_finding finding = {.pack = &row->name};
	struct tk_err why;
	uint64_t bytes;

	if (row->state == TK_PACK_GONE)
		return TK_OK;
	finding.rc = self->vault->driver->ops->size(self->vault->driver, &row->name, &bytes, &why);
	return finding.rc ? tell(self, &finding, &why, err) : TK_OK;
}

static enum tk_rc
check_record(struct tk_vault *vault, const struct tk_id *domain, const char *directory, const char *name, struct tk_err *why)
{
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	struct tk_receipt receipt;
	struct tk_grant grant;
	struct tk_vote vote;
	uint64_t epoch;

	if (strcmp(directory, "points") == 0)
		return tk_vread_point(vault, domain, name, &point, NULL, why);
	if (strcmp(directory, "receipts") == 0)
		return tk_vread_receipt(vault, domain, name, &receipt, NULL, why);
	if (strcmp(directory, "grants") == 0)
		return tk_vread_grant(vault, domain, name, &grant, NULL, why);
	if (!tk_vname_epoch(name, &epoch))
		return tk_err_set(why, TK_ECORRUPT, "%s is no name of a vote", name);
	return tk_vread_vote(vault, domain, epoch, &vote, NULL, why);
}

static enum tk_rc
verify_directory(const struct verify *self, const struct tk_id *domain, const char *directory, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_vfile_list names;
	struct tk_err why;
	enum tk_rc rc = tk_vread_list(self->vault, domain, directory, &names, err);

	for (size_t i = 0; i < names.count && !rc; i++) {
		struct tk_vault_finding finding = {.path = path};

		tk_vrecord_path(path, domain, directory, names.names[i]);
		finding.rc = check_record(self->vault, domain, directory, names.names[i], &why);
		rc = tell(self, &finding, &why, err);
	}
	tk_vfile_list_release(&names);
	return rc;
}

static enum tk_rc
verify_domain(const struct verify *self, const struct tk_id *domain, struct tk_err *err)
{
	static const char *const directories[] = {"grants", "votes", "points", "receipts"};
	char path[TK_VFILE_PATH_MAX];
	struct tk_vault_finding finding = {.path = path};
	struct tk_genesis genesis;
	struct tk_err why;
	enum tk_rc rc;

	tk_vault_id_path(path, "domains", domain, "genesis");
	finding.rc = tk_vread_genesis(self->vault, domain, &genesis, &why);
	rc = tell(self, &finding, &why, err);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) && !rc; i++)
		rc = verify_directory(self, domain, directories[i], err);
	return rc;
}

enum tk_rc
tk_vault_verify_all(struct tk_vault *vault, enum tk_rc (*each)(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err), void *ctx,
		    struct tk_err *err)
{
	struct verify self = {.vault = vault, .each = each, .ctx = ctx};
	struct tk_id *domains = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vault_list_domains(vault, &domains, &count, err);

	for (size_t i = 0; i < count && !rc; i++)
		rc = verify_domain(&self, &domains[i], err);
	free(domains);
	if (!rc)
		rc = vault->driver->ops->list(vault->driver, verify_pack, &self, err);
	if (!rc && vault->index)
		rc = tk_vindex_each_pack(vault->index, verify_row, &self, err);
	return rc;
}
