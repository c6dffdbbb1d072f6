/* Making additions durable, and merging runs so that there are few. */
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/dedup_core.h"
#include "engine/fsio/publish.h"

#define RUNS_MAX 12u

/* One ascending stream of rows: a run, or the additions. */
struct source {
	struct tk_dedup_run *run;             /* NULL: the additions */
	const struct tk_dedup_rows *rows;
	size_t at, count;
	struct tk_dedup_row row;              /* the one at `at` */
};

/* The first run that goes into the new one. A run that is not at least twice as long as all that is newer is merged with it: so there are
 * few runs, and a row is rewritten about log2 times. */
static size_t
first_to_merge(const struct tk_dedup *dedup)
{
	size_t total = dedup->added.count;
	size_t first = dedup->run_count;

	while (first > 0 && (first >= RUNS_MAX || total >= dedup->runs[first - 1].row_count / 2))
		total += dedup->runs[--first].row_count;
	return first;
}

/* Merging must not give damaged rows a good digest. */
static enum tk_rc
check_run(struct tk_dedup *dedup, struct tk_dedup_run *run, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t block = 0; block < run->block_count && !rc; block++)
		rc = tk_dedup_run_check_block(run, dedup->hash, block, err);
	return rc;
}

/* Chooses the runs to merge, all of them whole; the damaged ones are dropped. */
static enum tk_rc
choose(struct tk_dedup *dedup, size_t *first, struct tk_err *err)
{
	size_t i;
	enum tk_rc rc;

	*first = first_to_merge(dedup);
	for (i = *first; i < dedup->run_count;) {
		rc = check_run(dedup, &dedup->runs[i], err);
		if (rc == TK_ECORRUPT)
			tk_dedup_drop_run(dedup, i);
		else if (rc)
			return rc;
		else
			i++;
	}
	return TK_OK;
}

static enum tk_rc
load(struct tk_dedup *dedup, struct source *source, struct tk_err *err)
{
	if (source->at == source->count)
		return TK_OK;
	if (source->run)
		return tk_dedup_run_row(source->run, dedup->packs, source->at, &source->row, err);
	source->row = source->rows->rows[source->at];
	return TK_OK;
}

/* The source whose row comes next: of equal ids the oldest. NULL at the end. */
static struct source *
pick(struct source *sources, size_t count)
{
	struct source *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (sources[i].at < sources[i].count && (!best || memcmp(sources[i].row.id, best->row.id, TK_DEDUP_ID_BYTES) < 0))
			best = &sources[i];
	return best;
}

static enum tk_rc
merge(struct tk_dedup *dedup, struct source *sources, size_t count, struct tk_dedup_out *out, struct tk_err *err)
{
	uint8_t last[TK_DEDUP_ID_BYTES] = {0};
	struct source *next;
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++)
		if ((rc = load(dedup, &sources[i], err)))
			return rc;
	while ((next = pick(sources, count))) {
		if (out->row_count == 0 || memcmp(last, next->row.id, sizeof(last)) != 0) {
			memcpy(last, next->row.id, sizeof(last));
			if ((rc = tk_dedup_out_row(out, &next->row, err)))
				return rc;
		}
		next->at++;
		if ((rc = load(dedup, next, err)))
			return rc;
	}
	return tk_dedup_out_finish(out, err);
}

static void
free_sources(struct source **sources)
{
	free(*sources);
}

/* Writes the new run; durable on return. */
static enum tk_rc
write_run(struct tk_dedup *dedup, size_t first, uint64_t number, struct tk_err *err)
{
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;
	TK_AUTO(tk_dedup_out_release) struct tk_dedup_out out = {0};
	TK_AUTO(free_sources) struct source *sources = calloc(dedup->run_count + 1, sizeof(*sources));
	char name[TK_DEDUP_FILE_NAME_BYTES];
	size_t count = 0;
	enum tk_rc rc;

	if (!sources)
		return tk_err_set(err, TK_ENOMEM, "no memory for merging the dedup index");
	for (size_t i = first; i < dedup->run_count; i++)
		sources[count++] = (struct source){.run = &dedup->runs[i], .count = dedup->runs[i].row_count};
	sources[count++] = (struct source){.rows = &dedup->added, .count = dedup->added.count};
	if ((rc = tk_publish_begin(dedup->dirfd, 0600, &txn, err)))
		return rc;
	tk_dedup_out_init(&out, tk_publish_fd(txn), dedup->hash, dedup->packs);
	if ((rc = merge(dedup, sources, count, &out, err)))
		return rc;
	tk_dedup_file_name(number, name);
	return tk_publish_commit(txn, name, false, err);
}

enum tk_rc
tk_dedup_commit(struct tk_dedup *dedup, struct tk_err *err)
{
	uint64_t number;
	size_t first, last;
	enum tk_rc rc;

	/* An index of nothing is an index all the same: without a run it would count as lost, and be made anew from all points in every run. */
	if (dedup->added.count == 0 && dedup->run_count > 0)
		return TK_OK;
	/* A number is used once, also when it failed: the file may be there. */
	number = dedup->next_number++;
	tk_dedup_rows_sort(&dedup->added);
	if ((rc = choose(dedup, &first, err)) || (rc = write_run(dedup, first, number, err)) || (rc = tk_dedup_load_run(dedup, number, err)))
		return tk_err_context(err, rc, "writing the dedup index");
	tk_dedup_rows_release(&dedup->added);
	/* The inputs go last. Those that a crash leaves here are found again, and hold the same rows: harmless. */
	for (last = dedup->run_count - 1; last > first; last--)
		tk_dedup_drop_run(dedup, last - 1);
	return TK_OK;
}
