#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/vault_core.h"

#define EPOCH_DIGITS 8
#define SEQUENCE_DIGITS 16

/* Exactly `digits` lower-case hexadecimal digits and then `end`; NULL otherwise. */
static const char *
take_hex(const char *at, int digits, char end, uint64_t *value)
{
	*value = 0;
	for (int i = 0; i < digits; i++, at++) {
		if (*at >= '0' && *at <= '9')
			*value = *value << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			*value = *value << 4 | (uint64_t)(*at - 'a' + 10);
		else
			return NULL;
	}
	return *at == end ? at + 1 : NULL;
}

bool
tk_vname_point(const char *name, struct tk_vname *out)
{
	const char *at = take_hex(name, EPOCH_DIGITS, '-', &out->epoch);

	if (at)
		at = take_hex(at, SEQUENCE_DIGITS, '-', &out->sequence);
	return at && tk_hex_decode(at, out->id_prefix, sizeof(out->id_prefix), NULL) == TK_OK;
}

bool
tk_vname_epoch(const char *name, uint64_t *epoch)
{
	return take_hex(name, EPOCH_DIGITS, '\0', epoch) || take_hex(name, EPOCH_DIGITS, '-', epoch);
}

void
tk_vrecord_path(char path[TK_VFILE_PATH_MAX], const struct tk_id *domain, const char *directory, const char *name)
{
	char tail[TK_VFILE_PATH_MAX - 64];

	(void)snprintf(tail, sizeof(tail), "%s%s%s", directory, name ? "/" : "", name ? name : "");
	tk_vault_id_path(path, "domains", domain, tail);
}

enum tk_rc
tk_vread_list(struct tk_vault *vault, const struct tk_id *domain, const char *directory, struct tk_vfile_list *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];

	enum tk_rc rc;

	tk_vrecord_path(path, domain, directory, NULL);
	/* Files first: what moves into the archive meanwhile is then seen in one of the two. */
	rc = tk_vfile_list(vault->root_fd, path, out, err);
	if (!rc && (rc = tk_varchive_list(vault, domain, directory, out, err)))
		tk_vfile_list_release(out);
	return rc;
}

enum tk_rc
tk_vread_record(struct tk_vault *vault, const struct tk_id *domain, const char *directory, const char *name, struct tk_buf *record, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc;

	tk_vrecord_path(path, domain, directory, name);
	tk_buf_clear(record);
	rc = tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, record, err);
	return rc == TK_ENOENT ? tk_varchive_get(vault, domain, directory, name, record, err) : rc;
}

/* A record says itself where it belongs: one that was moved or renamed is damage. */
static enum tk_rc
check_place(const struct tk_id *domain, const struct tk_id *found, bool named_so, struct tk_err *err)
{
	if (named_so && memcmp(domain->b, found->b, sizeof(domain->b)) == 0)
		return TK_OK;
	return tk_err_set(err, TK_ECORRUPT, "the record belongs to another domain or name");
}

static bool
is_named(const struct tk_head *at, const char *name)
{
	char own[TK_POINT_FILE_NAME_MAX];

	tk_point_file_name(at, own);
	return strcmp(own, name) == 0;
}

enum tk_rc
tk_vread_genesis(struct tk_vault *vault, const struct tk_id *domain, struct tk_genesis *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	enum tk_rc rc = tk_vread_record(vault, domain, "genesis", NULL, &record, err);

	if (!rc)
		rc = tk_genesis_decode(record.data, record.len_bytes, out, err);
	if (!rc)
		rc = check_place(domain, &out->domain, true, err);
	return rc;
}

enum tk_rc
tk_vread_point(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_point *out, struct tk_buf *record, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf own = {0};
	struct tk_buf *bytes = record ? record : &own;
	enum tk_rc rc = tk_vread_record(vault, domain, "points", name, bytes, err);

	if (!rc)
		rc = tk_point_decode(bytes->data, bytes->len_bytes, out, err);
	if (rc)
		return tk_err_context(err, rc, "point %s", name);
	rc = check_place(domain, &out->domain, is_named(&out->at, name), err);
	if (rc)
		tk_point_release(out);
	return rc;
}

enum tk_rc
tk_vread_receipt(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_receipt *out, struct tk_buf *record,
		 struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf own = {0};
	struct tk_buf *bytes = record ? record : &own;
	enum tk_rc rc = tk_vread_record(vault, domain, "receipts", name, bytes, err);

	if (!rc)
		rc = tk_receipt_decode(bytes->data, bytes->len_bytes, out, err);
	if (!rc)
		rc = check_place(domain, &out->domain, is_named(&out->at, name), err);
	return rc ? tk_err_context(err, rc, "receipt %s", name) : TK_OK;
}

enum tk_rc
tk_vread_vote(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_vote *out, struct tk_buf *record, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf own = {0};
	struct tk_buf *bytes = record ? record : &own;
	char name[32];
	enum tk_rc rc;

	(void)snprintf(name, sizeof(name), "%08llx", (unsigned long long)epoch);
	rc = tk_vread_record(vault, domain, "votes", name, bytes, err);
	if (!rc)
		rc = tk_vote_decode(bytes->data, bytes->len_bytes, out, err);
	if (!rc)
		rc = check_place(domain, &out->domain, out->epoch == epoch, err);
	return rc ? tk_err_context(err, rc, "vote %s", name) : TK_OK;
}

enum tk_rc
tk_vread_grant(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_grant *out, struct tk_buf *record, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf own = {0};
	struct tk_buf *bytes = record ? record : &own;
	char named[TK_VGRANT_NAME_MAX];
	enum tk_rc rc = tk_vread_record(vault, domain, "grants", name, bytes, err);

	if (!rc)
		rc = tk_grant_decode(bytes->data, bytes->len_bytes, out, err);
	if (!rc) {
		tk_vgrant_name(out->epoch, &out->digest, named);
		rc = check_place(domain, &out->domain, strcmp(named, name) == 0, err);
	}
	return rc ? tk_err_context(err, rc, "grant %s", name) : TK_OK;
}

enum tk_rc
tk_vread_site_set(struct tk_vault *vault, const struct tk_id *domain, struct tk_site_set *out, struct tk_err *err)
{
	struct tk_vfile_list names;
	bool found = false;
	enum tk_rc rc = tk_vread_list(vault, domain, "points", &names, err);

	for (size_t i = names.count; i > 0 && !rc && !found; i--) {
		TK_AUTO(tk_point_release) struct tk_point point = {0};
		struct tk_opening opening;

		/* One that is damaged says nothing. */
		if (tk_vread_point(vault, domain, names.names[i - 1], &point, NULL, NULL) || point.opening.len_bytes == 0)
			continue;
		rc = tk_opening_decode(point.opening.data, point.opening.len_bytes, &opening, err);
		*out = opening.set;
		found = true;
	}
	tk_vfile_list_release(&names);
	return rc || found ? rc : tk_err_set(err, TK_ENOENT, "no point opens an epoch");
}
