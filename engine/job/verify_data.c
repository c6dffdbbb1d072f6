/* The data pass: several threads take a part of a pack each, read it in long runs and check every blob by its tag; the main thread takes their findings in the order of the packs and their parts. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/queue.h"
#include "engine/job/verify_core.h"

/* Few round trips over a network; on a disk near by, still within a core's cache. */
#define RUN_BYTES (2u << 20)
#define RUN_BLOBS_MAX 256u
/* Each has a session of its own, of which a site bears a few dozen for all its sources; so many threads outrun any disk. */
#define THREADS_MAX 16u
/* A pack is as large as 64 MiB: with so many parts, no thread reads the last one alone over a slow line. */
#define PARTS 8u
/* Parts being looked at or waiting to be accounted for, a thread. */
#define UNITS_A_THREAD (2 * PARTS)
/* Reading waits for disks, and longer for networks. */
#define THREADS_MIN 4u
#define THREADS_MIN_REMOTE 12u

struct finding {
	uint32_t blob;                        /* UINT32_MAX: the pack */
	enum tk_rc rc;
	char text[sizeof(((struct tk_damage *)NULL)->text)];
};

struct data_pass {
	struct tk_verify *verify;             /* read by the threads: packs, fetch, seen, draw, opts */
	struct tk_queue *todo;                /* units; NULL at the end */
	atomic_bool stop;                     /* one unit's failure ends the run */
	size_t part_count;
	atomic_uint_fast64_t parts, bytes;    /* done; for the progress */
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;
};

/* A part of a pack and what was found in it. A thread's between todo and done, else the main thread's. */
struct unit {
	struct data_pass *pass;
	struct tk_queue *done;                /* the unit itself, once it was looked at */
	uint32_t pack, part;
	uint64_t draw;                        /* of the sample */
	struct finding *findings;             /* owned */
	size_t count;
	uint64_t blobs, bytes;
	enum tk_rc rc;                        /* why the run has to end */
	struct tk_err err;
};

/* ---- in a thread ---- */

static enum tk_rc
add_finding(struct unit *unit, uint32_t blob, enum tk_rc rc, struct tk_err *err)
{
	struct finding *grown;

	if (!tk_verify_is_damage(rc))
		return rc;
	grown = realloc(unit->findings, (unit->count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of damage");
	unit->findings = grown;
	grown += unit->count++;
	grown->blob = blob;
	grown->rc = rc;
	memcpy(grown->text, err->text, sizeof(grown->text) - 1);
	grown->text[sizeof(grown->text) - 1] = '\0';
	return TK_OK;
}

struct run {
	uint32_t first, count;
	uint64_t end_bytes;                   /* where the next blob must begin */
	uint64_t len_bytes;
	bool used;
};

/* What was not found sound in the run is read once more by itself, which also says what is wrong with it. */
static enum tk_rc
look_closer(struct unit *unit, const struct tk_pack_index *index, uint32_t blob, bool used, struct tk_err *err)
{
	struct tk_blob_ref ref = {unit->pack, blob};
	struct tk_fetched *opened = NULL;
	enum tk_rc rc = tk_fetch_blob(unit->pass->verify->fetch, ref, index->blobs[blob].type, &opened, err);

	tk_fetch_release(unit->pass->verify->fetch, opened);
	if (!used && (rc == TK_EMISSING || rc == TK_ENOENT)) {
		unit->blobs--;
		unit->bytes -= index->blobs[blob].sealed_bytes;
		return TK_OK;
	}
	return rc ? add_finding(unit, blob, rc, err) : TK_OK;
}

static void
tell_progress(struct data_pass *pass)
{
	struct tk_progress_event event = {.phase = "verify data", .unit = "packs", .units_done = atomic_load(&pass->parts) / PARTS, .bytes_done = atomic_load(&pass->bytes),
					  .units_total = pass->part_count / PARTS};

	tk_progress_report(pass->verify->opts->progress, &event);
}

static enum tk_rc
check_run(struct unit *unit, const struct tk_pack_index *index, struct run *run, struct tk_err *err)
{
	struct data_pass *pass = unit->pass;
	bool sound[RUN_BLOBS_MAX] = {false};
	enum tk_rc rc;

	if (run->count == 0)
		return TK_OK;
	if ((rc = tk_verify_go_on(pass->verify, err)) != TK_OK)
		return rc;
	rc = tk_fetch_prove(pass->verify->fetch, index, run->first, run->count, sound, err);
	if (rc && !tk_verify_is_damage(rc))
		return rc;
	unit->blobs += run->count;
	unit->bytes += run->len_bytes;
	(void)atomic_fetch_add(&pass->bytes, run->len_bytes);
	tell_progress(pass);
	rc = TK_OK;
	for (uint32_t i = 0; i < run->count && !rc; i++)
		if (!sound[i])
			rc = look_closer(unit, index, run->first + i, run->used, err);
	run->count = 0;
	return rc;
}

static bool
drawn(struct unit *unit)
{
	unit->draw = unit->draw * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(unit->draw >> 40) / (double)(1 << 24) * 100.0 < unit->pass->verify->opts->data_percent;
}

/* Blobs that lie one behind the other make a run; what no point uses may be gone, and is asked for apart from what must be there. */
static enum tk_rc
check_blobs(struct unit *unit, const struct tk_pack_index *index, struct tk_err *err)
{
	struct run run = {0};
	uint32_t blob = (uint32_t)((uint64_t)index->blob_count * unit->part / PARTS);
	uint32_t end = (uint32_t)((uint64_t)index->blob_count * (unit->part + 1) / PARTS);
	enum tk_rc rc = TK_OK;

	for (; blob < end && !rc; blob++) {
		const struct tk_blob_info *info = &index->blobs[blob];
		bool used = tk_refset_has(&unit->pass->verify->seen, (struct tk_blob_ref){unit->pack, blob});

		/* Pages and maps that are used were opened in the first pass. */
		if (!drawn(unit) || (used && info->type != TK_BLOB_DATA))
			continue;
		if (run.count == RUN_BLOBS_MAX || run.used != used || run.end_bytes != info->offset_bytes || run.len_bytes + info->sealed_bytes > RUN_BYTES)
			rc = check_run(unit, index, &run, err);
		if (run.count == 0)
			run = (struct run){.first = blob, .used = used};
		run.count++;
		run.len_bytes += info->sealed_bytes;
		run.end_bytes = info->offset_bytes + info->sealed_bytes;
	}
	return rc ? rc : check_run(unit, index, &run, err);
}

static enum tk_rc
check_part(struct unit *unit, struct tk_err *err)
{
	struct tk_verify *verify = unit->pass->verify;
	const struct tk_pack_index *index = NULL;
	enum tk_rc rc = tk_fetch_index(verify->fetch, unit->pack, &index, err);

	/* A pack that no point uses any more may be gone. */
	if ((rc == TK_EMISSING || rc == TK_ENOENT) && !tk_refset_has(&verify->seen, (struct tk_blob_ref){unit->pack, UINT32_MAX}))
		return TK_OK;
	/* The pack's first part tells of it for all. */
	if (rc)
		return unit->part == 0 || !tk_verify_is_damage(rc) ? add_finding(unit, UINT32_MAX, rc, err) : TK_OK;
	rc = check_blobs(unit, index, err);
	tk_fetch_index_release(verify->fetch, index);
	return rc;
}

static void *
thread_main(void *arg)
{
	struct data_pass *pass = arg;
	struct unit *unit;

	while ((unit = tk_queue_pop(pass->todo)) != NULL) {
		if (!atomic_load(&pass->stop))
			unit->rc = check_part(unit, &unit->err);
		if (unit->rc)
			atomic_store(&pass->stop, true);
		(void)atomic_fetch_add(&pass->parts, 1);
		/* There is room: a unit has a queue of its own. */
		if (!tk_queue_push(unit->done, unit))
			break;
	}
	return NULL;
}

/* ---- in the main thread ---- */

/* Takes what was found in the part that was given out longest ago. */
static enum tk_rc
take(struct tk_verify *verify, struct unit *unit, struct tk_err *err)
{
	enum tk_rc rc;

	(void)tk_queue_pop(unit->done);
	rc = unit->rc;
	if (rc)
		*err = unit->err;
	verify->result->blobs_checked += unit->blobs;
	verify->result->checked_bytes += unit->bytes;
	for (size_t i = 0; i < unit->count && !rc; i++) {
		const struct finding *finding = &unit->findings[i];

		(void)tk_err_set(err, finding->rc, "%s", finding->text);
		rc = tk_verify_note(verify, finding->rc, (struct tk_blob_ref){unit->pack, finding->blob}, NULL, NULL, err);
	}
	return rc;
}

static void
give(struct data_pass *pass, struct unit *unit, size_t number)
{
	free(unit->findings);
	*unit = (struct unit){.pass = pass, .done = unit->done, .pack = (uint32_t)(number / PARTS), .part = (uint32_t)(number % PARTS),
			      .draw = pass->verify->draw ^ (number + 1) * 0x9e3779b97f4a7c15ull};
	/* Never closed before the end, and as large as there are units. */
	if (!tk_queue_push(pass->todo, unit))
		atomic_store(&pass->stop, true);
}

static enum tk_rc
run_packs(struct data_pass *pass, struct unit *units, size_t unit_count, struct tk_err *err)
{
	size_t given = 0, taken = 0;
	enum tk_rc rc = TK_OK;

	while (taken < given || (given < pass->part_count && !rc)) {
		enum tk_rc one;
		struct tk_err why;

		if (given < pass->part_count && given - taken < unit_count && !rc) {
			give(pass, &units[given % unit_count], given);
			given++;
			continue;
		}
		one = take(pass->verify, &units[taken++ % unit_count], &why);
		if (one && !rc) {
			rc = one;
			*err = why;
			atomic_store(&pass->stop, true);
		}
	}
	return rc;
}

static enum tk_rc
start(struct data_pass *pass, unsigned threads, struct tk_err *err)
{
	for (; pass->thread_count < threads; pass->thread_count++)
		if (pthread_create(&pass->threads[pass->thread_count], NULL, thread_main, pass))
			break;
	return pass->thread_count ? TK_OK : tk_err_set(err, TK_ENOMEM, "no thread to verify with");
}

enum tk_rc
tk_verify_packs(struct tk_verify *verify, struct tk_err *err)
{
	struct data_pass pass = {.verify = verify, .part_count = (size_t)tk_packtab_count(verify->packs) * PARTS};
	unsigned least = tk_fetch_is_remote(verify->fetch) ? THREADS_MIN_REMOTE : THREADS_MIN;
	unsigned threads = verify->opts->threads < least ? least : verify->opts->threads;
	size_t unit_count;
	struct unit *units;
	enum tk_rc rc;

	threads = threads > THREADS_MAX ? THREADS_MAX : threads;
	unit_count = (size_t)threads * UNITS_A_THREAD;
	units = calloc(unit_count, sizeof(*units));
	rc = units ? tk_queue_new(unit_count, &pass.todo, err) : tk_err_set(err, TK_ENOMEM, "no memory to verify with");
	for (size_t i = 0; i < unit_count && !rc; i++)
		rc = tk_queue_new(1, &units[i].done, err);
	if (!rc && !(rc = start(&pass, threads, err)))
		rc = run_packs(&pass, units, unit_count, err);
	if (pass.todo)
		tk_queue_close(pass.todo);
	for (unsigned i = 0; i < pass.thread_count; i++)
		(void)pthread_join(pass.threads[i], NULL);
	for (size_t i = 0; units && i < unit_count; i++) {
		tk_queue_free(units[i].done);
		free(units[i].findings);
	}
	free(units);
	tk_queue_free(pass.todo);
	return rc;
}
