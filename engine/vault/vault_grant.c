#include <stdio.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/vault_core.h"

void
tk_vgrant_name(uint64_t epoch, const struct tk_digest *digest, char name[TK_VGRANT_NAME_MAX])
{
	char hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(digest->b, TK_ID_BYTES, hex);
	(void)snprintf(name, TK_VGRANT_NAME_MAX, "%08llx-%s", (unsigned long long)epoch, hex);
}

enum tk_rc
tk_vgrant_load(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, const struct tk_digest *digest, struct tk_grant *out,
	       struct tk_err *err)
{
	char name[TK_VGRANT_NAME_MAX];
	enum tk_rc rc;

	tk_vgrant_name(epoch, digest, name);
	rc = tk_vread_grant(vault, domain, name, out, NULL, err);
	/* The name holds half of the digest only. */
	if (!rc && memcmp(out->digest.b, digest->b, sizeof(digest->b)) != 0)
		rc = tk_err_set(err, TK_ENOENT, "grant %s", name);
	return rc;
}

enum tk_rc
tk_vgrant_store(struct tk_vault *vault, const struct tk_grant *grant, const void *record, size_t len_bytes, struct tk_err *err)
{
	char name[TK_VGRANT_NAME_MAX], path[TK_VFILE_PATH_MAX];

	tk_vgrant_name(grant->epoch, &grant->digest, name);
	tk_vrecord_path(path, &grant->domain, "grants", name);
	return tk_vfile_put(vault->root_fd, path, record, len_bytes, "grant", err);
}

/* The key that writes the epoch which is promised now. Epoch 1 may have come without its grant: the genesis record names its writer. That holds, too,
 * for a site that has promised nothing: it could be asked for epoch 1 first, so that a renewal straight away gives nobody more than he has. */
static enum tk_rc
present_writer(struct tk_vault *vault, const struct tk_vdomain *domain, uint8_t key[TK_KEY_BYTES], struct tk_err *err)
{
	struct tk_grant grant;
	enum tk_rc rc = tk_vgrant_load(vault, &domain->id, domain->promised_epoch, &domain->promised_grant, &grant, err);

	if (!rc)
		memcpy(key, grant.writer_key, TK_KEY_BYTES);
	if (rc == TK_ENOENT && domain->promised_epoch <= 1) {
		memcpy(key, domain->genesis.writer_key, TK_KEY_BYTES);
		rc = TK_OK;
	}
	return rc;
}

enum tk_rc
tk_vgrant_allowed(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_grant *grant, struct tk_err *err)
{
	uint8_t writer[TK_KEY_BYTES];

	if (memcmp(grant->domain.b, domain->id.b, sizeof(domain->id.b)) != 0)
		return tk_err_set(err, TK_EDENIED, "the grant is for another domain");
	if (memcmp(grant->signer_key, domain->genesis.operator_key, TK_KEY_BYTES) == 0)
		return TK_OK;
	/* A renewal: the writer of the epoch that stands opens a later one for itself. Key and number decide: a site that missed the epochs
	 * in between holds an older grant than the parent. */
	if (grant->epoch > domain->promised_epoch &&
	    memcmp(grant->writer_key, grant->signer_key, TK_KEY_BYTES) == 0 && present_writer(vault, domain, writer, NULL) == TK_OK &&
	    memcmp(writer, grant->signer_key, TK_KEY_BYTES) == 0)
		return TK_OK;
	return tk_err_set(err, TK_EDENIED, "the grant is signed neither by the domain's operator nor by its present writer");
}
