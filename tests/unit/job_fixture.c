#include "tests/unit/unit.h"

#include "tests/unit/job_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/crypto/sign.h"
#include "engine/job/fetch.h"
#include "engine/job/rebuild.h"
#include "engine/vault/vault_store.h"
#include "tests/unit/tree_kit.h"

#define RACY_MS 20

static enum tk_rc
open_site(const struct tk_site *site, struct tk_store **out, struct tk_err *err)
{
	struct job_site *self = site->ctx;
	enum tk_rc rc = atomic_load(&self->plan.open_rc);

	if (rc || !self->vault)
		return tk_err_set(err, rc ? rc : TK_EUNREACH, "site %s is away", self->name);
	if ((rc = tk_vault_store_new(self->vault, out, err)))
		return rc;
	fault_store_wrap(&self->plan, out);
	return TK_OK;
}

static void
judge(void *ctx, const bool *has_receipt, size_t count, bool *met, bool *safe)
{
	const struct job_box *box = ctx;
	size_t have = 0;

	for (size_t i = 0; i < count; i++)
		have += has_receipt[i];
	*met = *safe = have >= (box->receipts_wanted ? box->receipts_wanted : count);
}

static void
on_note(void *ctx, enum tk_scan_note note, const char *path, const struct tk_err *err)
{
	struct job_box *box = ctx;

	(void)path;
	(void)err;
	box->notes[note]++;
}

static void
make_records(struct job_box *box)
{
	struct tk_genesis genesis = {.suite = TK_SUITE_AES, .domain = box->domain, .source = box->ring.source, .incarnation = box->incarnation,
		.source_name = "source", .created_ns = 1};
	struct tk_grant grant = {.suite = TK_SUITE_AES, .domain = box->domain, .incarnation = box->incarnation, .epoch = 1, .created_ns = 1};

	assert_int_equal(tk_sign_public(TK_SUITE_AES, box->ring.writer_seed, genesis.writer_key, NULL), TK_OK);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, box->ring.operator_seed, genesis.operator_key, NULL), TK_OK);
	memcpy(grant.writer_key, genesis.writer_key, sizeof(grant.writer_key));
	assert_int_equal(tk_genesis_seal(&genesis, box->ring.operator_seed, &box->genesis, NULL), TK_OK);
	assert_int_equal(tk_grant_seal(&grant, box->ring.operator_seed, &box->grant, NULL), TK_OK);
}

static void
set_opts(struct job_box *box)
{
	box->opts = (struct tk_backup_opts){
		.dataset_name = "data", .source_name = "source", .state_dir = box->state, .ring = &box->ring, .domain = box->domain,
		.incarnation = box->incarnation, .genesis = &box->genesis, .first_grant = &box->grant, .roots = box->roots, .root_count = 1,
		.sites = box->handles, .open_timeout_ms = 20000, .linger_ms = 20000, .codec = TK_CODEC_ZSTD, .level = 1, .threads = 2,
		.signature = TK_SIGNATURE_TAGS, .block_bytes = 64, .delta_min_bytes = 2048, .rewrite_percent = 2, .retries = 1, .segment_bytes = 16384,
		.pack_plain_bytes = 40000, .chunk_min_bytes = 64, .chunk_avg_bytes = 256, .chunk_max_bytes = 1024, .racy_ms = RACY_MS,
		.judge = judge, .judge_ctx = box, .voters.list = box->voters, .on_note = on_note, .note_ctx = box, .log = &box->log,
	};
}

int
job_setup(void **state)
{
	struct job_box *box = calloc(1, sizeof(*box));
	void *scratch = NULL;

	assert_non_null(box);
	if (scratch_setup_fast(&scratch))
		return -1;
	box->scratch = scratch;
	(void)scratch_path(box->scratch, "tree", box->tree, sizeof(box->tree));
	(void)scratch_path(box->scratch, "state", box->state, sizeof(box->state));
	(void)scratch_path(box->scratch, "log", box->log_path, sizeof(box->log_path));
	scratch_dir(box->scratch, "tree");
	box->roots[0] = box->tree;
	box->log.level = TK_LOG_DEBUG;
	box->log.fd = open(box->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &box->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&box->ring, &box->domain, NULL), TK_OK);
	memset(&box->incarnation, 7, sizeof(box->incarnation));
	make_records(box);
	set_opts(box);
	job_add_sites(box, 1);
	*state = box;
	return 0;
}

int
job_teardown(void **state)
{
	struct job_box *box = *state;
	void *scratch = box->scratch;

	job_close(box);
	tk_backup_result_release(&box->result);
	tk_buf_release(&box->genesis);
	tk_buf_release(&box->grant);
	tk_keyring_release(&box->ring);
	close(box->log.fd);
	free(box);
	return scratch_teardown(&scratch);
}

void
job_add_sites(struct job_box *box, size_t count)
{
	assert_true(count <= JOB_SITES_MAX);
	for (; box->site_count < count; box->site_count++) {
		struct job_site *site = &box->sites[box->site_count];

		(void)snprintf(site->name, sizeof(site->name), "s%zu", box->site_count);
		(void)scratch_path(box->scratch, site->name, site->path, sizeof(site->path));
		assert_int_equal(tk_vault_create(site->path, site->name, NULL), TK_OK);
		box->handles[box->site_count] = (struct tk_site){.name = site->name, .is_local = true, .is_remote = box->site_count > 0,
								.ctx = site, .open = open_site};
		box->voters[box->site_count].name = site->name;
	}
	box->opts.site_count = box->opts.voters.count = box->site_count;
}

void
job_open(struct job_box *box)
{
	struct tk_err err;

	for (size_t i = 0; i < box->site_count; i++)
		if (!box->sites[i].vault && tk_vault_open(box->sites[i].path, TK_VAULT_SERVE, NULL, &box->sites[i].vault, &err))
			fail_msg("opening site %zu: %s", i, err.text);
}

void
job_close(struct job_box *box)
{
	for (size_t i = 0; i < box->site_count; i++)
		tk_vault_cleanup(&box->sites[i].vault);
}

void
job_shell(const struct job_box *box, const char *command)
{
	char hex[2 * TK_ID_BYTES + 1], domain[256];
	int status = -1;
	pid_t pid;

	tk_hex_encode(box->domain.b, sizeof(box->domain.b), hex);
	(void)snprintf(domain, sizeof(domain), "%s/domains/%s", box->state, hex);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-ec", command, "sh", box->tree, box->state, domain, box->scratch->path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("shell: %s", command);
}

void
job_settle(void)
{
	struct timespec time = {0, (RACY_MS + 15) * 1000000L};

	(void)nanosleep(&time, NULL);
}

enum tk_rc
job_backup(struct job_box *box, struct tk_err *err)
{
	job_open(box);
	tk_backup_result_release(&box->result);
	memset(box->notes, 0, sizeof(box->notes));
	return tk_backup_run(&box->opts, &box->result, err);
}

void
job_backup_ok(struct job_box *box)
{
	struct tk_err err;

	if (job_backup(box, &err))
		fail_msg("backup: %s", err.text);
	for (size_t i = 0; i < box->site_count; i++)
		if (!box->result.sites[i].has_receipt)
			fail_msg("no receipt of site %zu: %s", i, box->result.sites[i].failure.text);
	assert_true(box->result.ack_met);
}

struct canceller {
	atomic_bool flag;
	unsigned after_us;
};

static void *
cancel_main(void *arg)
{
	struct canceller *canceller = arg;
	struct timespec time = {0, (long)canceller->after_us * 1000L};

	(void)nanosleep(&time, NULL);
	atomic_store(&canceller->flag, true);
	return NULL;
}

bool
job_backup_interrupted(struct job_box *box, unsigned after_us)
{
	struct canceller canceller = {.after_us = after_us};
	pthread_t thread;
	struct tk_err err;
	enum tk_rc rc;

	job_open(box);
	box->opts.cancel = &canceller.flag;
	assert_int_equal(pthread_create(&thread, NULL, cancel_main, &canceller), 0);
	rc = job_backup(box, &err);
	pthread_join(thread, NULL);
	box->opts.cancel = NULL;
	if (rc != TK_OK && rc != TK_ECANCELLED)
		fail_msg("interrupted: %s", err.text);
	return rc == TK_OK;
}

static void
on_fault(void *ctx, const char *path, const struct tk_err *err)
{
	struct job_box *box = ctx;

	(void)snprintf(box->fault, sizeof(box->fault), "%.100s: %s", path, err->text);
}

static enum tk_rc
restore_point(struct job_box *box, struct tk_fetch *fetch, struct tk_packtab *packs, const struct tk_head *at, const struct job_restore *how,
	      struct tk_restore_result *result, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_point_body_release) struct tk_point_body body = {0};
	struct tk_restore_opts opts = {.fetch = fetch, .packs = packs, .point = &point, .body = &body, .target = how->target,
		.tar_fd = how->tar_fd ? how->tar_fd : -1, .paths = &how->path, .path_count = how->path ? 1 : 0, .strip = !how->whole_path,
		.delete_extra = how->delete_extra, .threads = 3, .on_fault = on_fault,
		.ctx = box};
	enum tk_rc rc = tk_fetch_point(fetch, &box->domain, at, tk_keyring_domain(&box->ring, &box->domain), &record, &point, &body, err);

	return rc ? rc : tk_restore_run(&opts, result, err);
}

enum tk_rc
job_restore(struct job_box *box, const struct tk_head *at, const struct job_restore *how, struct tk_restore_result *result, struct tk_err *err)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_fetch_cleanup) struct tk_fetch *fetch = NULL;
	struct tk_fetch_opts opts = {.sites = box->handles, .site_count = box->site_count, .keys = tk_keyring_domain(&box->ring, &box->domain)};
	enum tk_rc rc;

	job_open(box);
	memset(result, 0, sizeof(*result));
	if (how->only_site) {
		opts.sites = &box->handles[how->only_site - 1];
		opts.site_count = 1;
	}
	if ((rc = tk_packtab_new(&packs, err)))
		return rc;
	opts.packs = packs;
	if ((rc = tk_fetch_new(&opts, &fetch, err)))
		return rc;
	rc = restore_point(box, fetch, packs, at, how, result, err);
	box->fetched_bytes = tk_fetch_bytes(fetch);
	return rc;
}

void
job_check_point(struct job_box *box, const struct tk_head *at, const char *listing, size_t only_site)
{
	char target[128], what[64];
	struct job_restore how = {.target = target, .only_site = only_site};
	struct tk_restore_result result;
	struct tk_err err;
	char *found;

	(void)scratch_path(box->scratch, "restored", target, sizeof(target));
	(void)snprintf(what, sizeof(what), "point %llu-%llu", (unsigned long long)at->epoch, (unsigned long long)at->sequence);
	if (job_restore(box, at, &how, &result, &err))
		fail_msg("restoring %s: %s", what, err.text);
	if (!result.verified)
		fail_msg("restoring %s: not verified, %llu faults: %s", what, (unsigned long long)result.faults, box->fault);
	found = tree_list(target, 1);
	assert_same_tree(listing, found, what);
	free(found);
	job_shell(box, "rm -rf \"$4/restored\"");
}

void
job_backup_exactly(struct job_box *box)
{
	char *listing;

	job_settle();
	job_backup_ok(box);
	listing = tree_list(box->tree, 1);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
}

struct tk_store_point *
job_points(struct job_box *box, size_t site, size_t *count)
{
	struct tk_store_point *points = NULL;

	job_open(box);
	*count = 0;
	assert_int_equal(tk_vault_list_points(box->sites[site].vault, &box->domain, &points, count, NULL), TK_OK);
	return points;
}
