#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/vault/vault_expired.h"

enum tk_rc
tk_vault_list_domains(struct tk_vault *vault, struct tk_id **out, size_t *count, struct tk_err *err)
{
	struct tk_vfile_list names;
	char path[TK_VFILE_PATH_MAX];
	struct tk_id *ids;
	enum tk_rc rc = tk_vfile_list(vault->root_fd, "domains", &names, err);

	*count = 0;
	if (rc)
		return rc;
	ids = calloc(names.count + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < names.count; i++) {
		if (tk_hex_decode(names.names[i], ids[*count].b, sizeof(ids->b), NULL))
			continue;
		/* A directory without a genesis record is the rest of a crash: nothing was promised in it. */
		tk_vault_id_path(path, "domains", &ids[*count], "genesis");
		if (faccessat(vault->root_fd, path, F_OK, 0) == 0)
			(*count)++;
	}
	tk_vfile_list_release(&names);
	*out = ids;
	return ids ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a list of domains");
}

static enum tk_rc
points_from_index(struct tk_vault *vault, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	struct tk_point_row *rows = NULL;
	struct tk_store_point *points;
	enum tk_rc rc = tk_vindex_points(vault->index, domain, &rows, count, err);

	if (rc)
		return rc;
	points = calloc(*count + 1, sizeof(*points));
	for (size_t i = 0; points && i < *count; i++) {
		points[i].at = rows[i].at;
		points[i].received_ns = rows[i].received_ns;
		points[i].expired = tk_point_is_expired(rows[i].state);
	}
	free(rows);
	*out = points;
	return points ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a list of points");
}

/* Without an index: the receipts tell what was published. One that cannot be read does not hide its point. */
static enum tk_rc
points_from_files(struct tk_vault *vault, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_vexpired_release) struct tk_vexpired expired = {{0}};
	struct tk_vfile_list receipts;
	struct tk_store_point *points;
	struct tk_receipt receipt;
	enum tk_rc rc = tk_vexpired_load(vault, domain, &expired, err);

	*count = 0;
	if (!rc)
		rc = tk_vread_list(vault, domain, "receipts", &receipts, err);
	if (rc)
		return rc;
	points = calloc(receipts.count + 1, sizeof(*points));
	for (size_t i = 0; points && i < receipts.count; i++) {
		TK_AUTO(tk_point_release) struct tk_point point = {0};

		if (tk_vread_receipt(vault, domain, receipts.names[i], &receipt, NULL, NULL) == TK_OK) {
			points[*count].at = receipt.at;
			points[(*count)++].received_ns = (uint64_t)receipt.time_ns;
		} else if (tk_vread_point(vault, domain, receipts.names[i], &point, NULL, NULL) == TK_OK) {
			points[(*count)++].at = point.at;
		}
	}
	tk_vfile_list_release(&receipts);
	for (size_t i = 0; points && i < *count; i++)
		points[i].expired = tk_vexpired_has(&expired, &points[i].at);
	*out = points;
	return points ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a list of points");
}

enum tk_rc
tk_vault_list_points(struct tk_vault *vault, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	return vault->index ? points_from_index(vault, domain, out, count, err) : points_from_files(vault, domain, out, count, err);
}

static enum tk_rc
newest_point(struct tk_vault *vault, const struct tk_id *domain, struct tk_head *at, struct tk_err *err)
{
	struct tk_store_point *points = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vault_list_points(vault, domain, &points, &count, err);

	if (!rc && count == 0)
		rc = tk_err_set(err, TK_ENOENT, "no point yet");
	if (!rc)
		*at = points[count - 1].at;
	free(points);
	return rc;
}

enum tk_rc
tk_vault_get_point(struct tk_vault *vault, const struct tk_id *domain, const struct tk_head *asked, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_head at = *asked;
	enum tk_rc rc;

	if (at.epoch == 0 && (rc = newest_point(vault, domain, &at, err)))
		return rc;
	tk_point_file_name(&at, name);
	/* A record without a receipt is a publish that did not come to its end. */
	rc = tk_vread_record(vault, domain, "receipts", name, &record, err);
	if (!rc)
		rc = tk_vread_record(vault, domain, "points", name, &record, err);
	return rc ? rc : tk_buf_put(out, record.data, record.len_bytes, err);
}

/* The grant that the epoch's points were written under, or that was voted for; false: neither is known. */
static bool
decided_grant(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_digest *digest)
{
	struct tk_vfile_list points;
	struct tk_vname parts;
	struct tk_vote vote;
	bool found = false;

	if (tk_vread_list(vault, domain, "points", &points, NULL))
		return false;
	for (size_t i = 0; i < points.count && !found; i++) {
		TK_AUTO(tk_point_release) struct tk_point point = {0};

		if (!tk_vname_point(points.names[i], &parts) || parts.epoch != epoch)
			continue;
		found = tk_vread_point(vault, domain, points.names[i], &point, NULL, NULL) == TK_OK;
		if (found)
			*digest = point.grant;
	}
	tk_vfile_list_release(&points);
	if (!found && tk_vread_vote(vault, domain, epoch, &vote, NULL, NULL) == TK_OK) {
		*digest = vote.grant;
		found = true;
	}
	return found;
}

/* Usually there is one. A crash between grant and vote may leave another that nobody promised anything to. */
static enum tk_rc
get_grant(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_buf *out, struct tk_err *err)
{
	char name[TK_VGRANT_NAME_MAX] = "", path[TK_VFILE_PATH_MAX];
	struct tk_vfile_list grants;
	struct tk_digest digest;
	uint64_t of_epoch;
	size_t found = 0, last = 0;
	enum tk_rc rc = tk_vread_list(vault, domain, "grants", &grants, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < grants.count; i++)
		if (tk_vname_epoch(grants.names[i], &of_epoch) && of_epoch == epoch) {
			found++;
			last = i;
		}
	if (found == 1)
		tk_vrecord_path(path, domain, "grants", grants.names[last]);
	tk_vfile_list_release(&grants);
	if (found > 1 && decided_grant(vault, domain, epoch, &digest)) {
		tk_vgrant_name(epoch, &digest, name);
		tk_vrecord_path(path, domain, "grants", name);
	} else if (found != 1) {
		return tk_err_set(err, TK_ENOENT, "the grant of epoch %llu is not stored", (unsigned long long)epoch);
	}
	return tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, out, err);
}

enum tk_rc
tk_vault_get_record(struct tk_vault *vault, const struct tk_id *domain, int kind, uint64_t epoch, struct tk_buf *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];

	if (kind == TK_RECORD_GRANT)
		return get_grant(vault, domain, epoch, out, err);
	if (kind == TK_RECORD_MARKS) {
		tk_vault_id_path(path, "marks", domain, NULL);
		return tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, out, err);
	}
	if (kind != TK_RECORD_GENESIS)
		return tk_err_set(err, TK_EINVAL, "no kind %d of record", kind);
	tk_vault_id_path(path, "domains", domain, "genesis");
	return tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, out, err);
}

/* What the files alone say, for a reader. */
static enum tk_rc
state_from_files(struct tk_vault *vault, const struct tk_id *domain, struct tk_store_state *out, struct tk_err *err)
{
	struct tk_store_point *points = NULL;
	struct tk_genesis genesis;
	size_t count = 0;
	enum tk_rc rc = tk_vread_genesis(vault, domain, &genesis, err);

	if (!rc)
		rc = points_from_files(vault, domain, &points, &count, err);
	for (size_t i = 0; i < count; i++)
		if (!points[i].expired)
			out->head = points[i].at;
	free(points);
	out->domain_known = !rc;
	out->promised_epoch = out->head.epoch;
	return rc == TK_ENOENT ? TK_OK : rc;
}

static enum tk_rc
state_served(struct tk_vault *vault, const struct tk_id *domain_id, struct tk_store_state *out, struct tk_err *err)
{
	TK_AUTO(tk_vdomain_leave) struct tk_vdomain *domain = NULL;
	struct tk_err why;
	enum tk_rc rc = tk_vdomain_enter(vault, domain_id, &domain, &why);

	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	out->domain_known = true;
	out->promised_epoch = domain->promised_epoch;
	out->promised_grant = domain->promised_grant;
	out->head = domain->head;
	return TK_OK;
}

/* A reader can neither look for its promises nor keep others'. */
static enum tk_rc
look_at_known(struct tk_vault *vault, const struct tk_id *domain, const struct tk_buf *known, bool domain_known, struct tk_err *err)
{
	TK_AUTO(tk_marks_free) struct tk_marks *marks = NULL;
	enum tk_rc rc;

	if (!known || vault->mode != TK_VAULT_SERVE)
		return TK_OK;
	marks = malloc(sizeof(*marks));
	if (!marks)
		return tk_err_set(err, TK_ENOMEM, "no memory for marks");
	rc = tk_marks_decode(known->data, known->len_bytes, marks, err);
	if (!rc)
		rc = tk_vmarks_shown(vault, domain, marks, domain_known, err);
	return rc;
}

enum tk_rc
tk_vault_state(struct tk_vault *vault, const struct tk_id *domain, const struct tk_buf *known, struct tk_store_state *out, struct tk_err *err)
{
	uint64_t total_bytes;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	out->site_id = vault->site.site_id;
	memcpy(out->site_key, vault->site.site_key, sizeof(out->site_key));
	rc = vault->index ? state_served(vault, domain, out, err) : state_from_files(vault, domain, out, err);
	if (!rc)
		rc = look_at_known(vault, domain, known, out->domain_known, err);
	if (!rc)
		rc = vault->driver->ops->room(vault->driver, &out->free_bytes, &total_bytes, err);
	(void)pthread_mutex_lock(&vault->counter_lock);
	out->vault_incarnation = vault->incarnation;
	out->receipt_counter = vault->counter;
	out->read_only = vault->behind;
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return rc;
}
