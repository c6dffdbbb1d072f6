/* expire_points: expires points of a vault, each for itself, and tells what that costs: every second one of each domain but the newest, or those that are named.
 * --drop: what is condemned then goes, too. Processor time, user and system, of the expiry. The vault is changed: give it a copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "engine/vault/vault.h"

struct totals {
	size_t points;
	unsigned long long blobs, sealed_bytes, packs_read, refs_followed;
};

static double
processor_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool
is_named(const struct tk_head *at, char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strtoull(names[i], NULL, 10) == at->sequence)
			return true;
	return false;
}

static enum tk_rc
expire_some(struct tk_vault *vault, const struct tk_id *domain, char *const *names, int name_count, struct totals *totals, struct tk_err *err)
{
	struct tk_store_point *points = NULL;
	struct tk_vault_expiry expiry;
	size_t count = 0;
	enum tk_rc rc = tk_vault_list_points(vault, domain, &points, &count, err);

	for (size_t i = 0; !rc && i + 1 < count; i++) {
		if (points[i].expired || (name_count > 0 ? !is_named(&points[i].at, names, name_count) : i % 2 != 0))
			continue;
		rc = tk_vault_expire(vault, domain, &points[i].at, 1, &expiry, err);
		totals->points += expiry.points;
		totals->blobs += expiry.blobs;
		totals->sealed_bytes += expiry.sealed_bytes;
		totals->packs_read += expiry.packs_read;
		totals->refs_followed += expiry.refs_followed;
	}
	free(points);
	return rc;
}

static enum tk_rc
drop_condemned(struct tk_vault *vault, struct tk_err *err)
{
	struct tk_pack_name at = {{0}};
	struct tk_vault_blob *blobs = NULL;
	size_t count;
	enum tk_rc rc;

	while (!(rc = tk_vault_next_condemned(vault, &at, &blobs, &count, err)) && count > 0) {
		rc = tk_vault_drop(vault, blobs, count, NULL, err);
		free(blobs);
		blobs = NULL;
		if (rc)
			break;
	}
	free(blobs);
	return rc;
}

static enum tk_rc
expire_all(const char *path, bool drop, char *const *names, int name_count, struct totals *totals, double *seconds, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	struct tk_id *domains = NULL;
	size_t count = 0;
	double before;
	enum tk_rc rc = tk_vault_open(path, TK_VAULT_SERVE, NULL, &vault, err);

	if (!rc)
		rc = tk_vault_list_domains(vault, &domains, &count, err);
	before = processor_seconds();
	for (size_t i = 0; i < count && !rc; i++)
		rc = expire_some(vault, &domains[i], names, name_count, totals, err);
	*seconds = processor_seconds() - before;
	if (!rc && drop)
		rc = drop_condemned(vault, err);
	free(domains);
	return rc;
}

int
main(int argc, char **argv)
{
	struct totals totals = {0};
	struct tk_err err;
	double seconds;
	bool drop = argc > 1 && strcmp(argv[1], "--drop") == 0;

	argc -= drop;
	argv += drop;
	if (argc < 2) {
		(void)fprintf(stderr, "usage: expire_points [--drop] VAULT [SEQUENCE...]\n");
		return 2;
	}
	if (expire_all(argv[1], drop, argv + 2, argc - 2, &totals, &seconds, &err)) {
		(void)fprintf(stderr, "expire_points: %s\n", err.text);
		return 1;
	}
	return printf("{\"points\": %zu, \"seconds_a_point\": %.6f, \"blobs\": %llu, \"sealed_bytes\": %llu, \"packs_read\": %llu, \"refs_followed\": %llu}\n", totals.points,
		      totals.points ? seconds / (double)totals.points : 0, totals.blobs, totals.sealed_bytes, totals.packs_read, totals.refs_followed) < 0;
}
