/* Random histories: whatever a tree goes through, and whatever befalls the runs, every version comes back from its point, into nothing and over anything.
 *
 * A round is a seed: its settings, tree, changes and troubles. TK_HISTORY_SEED says where to begin, TK_HISTORY_VERSIONS how many versions are made in all, TK_HISTORY_ROUND
 * how many of them in a round: one that failed runs alone with the values that it prints. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job/verify.h"
#include "tests/unit/file_edit.h"
#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define ROUND_VERSIONS 16u
#define LARGE_VERSIONS 4u
#define CHANGES_MAX 14u
#define STEPS 14u
/* Holes may lose this much at their ends: chunks that are part of them, of which large files have larger ones. In a long round that adds up. */
#define HOLE_SLACK_BYTES (1u << 20)
#define LARGE_HOLE_SLACK_BYTES (16u << 20)
#define HOLE_VERSIONS_MAX 32u

struct version {
	struct tk_head at;
	struct tk_digest tree;
	char *listing;
	uint64_t allocated_bytes;
};

struct history {
	struct job_box *box;
	struct dice dice;
	struct version *versions;
	size_t count;
	uint64_t copied_bytes, rewritten_bytes;
	uint64_t hole_slack_bytes;
};

/* ---- settings of a round ---- */

static void
small_segments(struct tk_backup_opts *opts)
{
	opts->segment_bytes = 4096;
	opts->pack_plain_bytes = 9000;
}

static void
rolling_signatures(struct tk_backup_opts *opts)
{
	opts->signature = TK_SIGNATURE_ROLLING;
	opts->block_bytes = 128;
}

static void
whole_files(struct tk_backup_opts *opts)
{
	opts->signature = TK_SIGNATURE_NEVER;
	opts->segment_bytes = 65536;
	opts->codec = TK_CODEC_LZ4;
}

/* The borders that real runs have: only small files meet some of them. */
static void
real_sizes(struct tk_backup_opts *opts)
{
	opts->segment_bytes = 0;
	opts->pack_plain_bytes = 0;
	opts->chunk_min_bytes = opts->chunk_avg_bytes = opts->chunk_max_bytes = 0;
	opts->delta_min_bytes = 4096;
	opts->block_bytes = 0;
}

static void
reread_often(struct tk_backup_opts *opts)
{
	opts->reread_period_s = 1;
}

static void (*const settings[])(struct tk_backup_opts *opts) = {small_segments, rolling_signatures, whole_files, real_sizes, reread_often};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* ---- checks ---- */

/* Into `name` below the scratch directory, made or there, from one site (0: all); it must be exactly the version then. The first restore of a version tells its
 * tree digest. */
static void
restore_version(struct history *history, struct version *version, const char *name, size_t only_site)
{
	char target[128], what[96];
	struct job_restore how = {.target = target, .delete_extra = true, .only_site = only_site};
	struct tk_restore_result result;
	struct tk_digest none = {0};
	uint64_t allocated_bytes;
	struct tk_err err;
	char *found;

	(void)scratch_path(history->box->scratch, name, target, sizeof(target));
	(void)snprintf(what, sizeof(what), "version %zu in \"%s\"", (size_t)(version - history->versions), name);
	if (job_restore(history->box, &version->at, &how, &result, &err))
		fail_msg("%s: %s", what, err.text);
	if (!result.verified)
		fail_msg("%s: not verified, %llu faults: %s", what, (unsigned long long)result.faults, history->box->fault);
	found = tree_list(target, 1);
	assert_same_tree(version->listing, found, what);
	free(found);
	allocated_bytes = tree_allocated_bytes(target);
	if (history->count <= HOLE_VERSIONS_MAX && allocated_bytes > version->allocated_bytes + history->hole_slack_bytes)
		fail_msg("%s: %llu bytes are allocated, %llu were", what, (unsigned long long)allocated_bytes, (unsigned long long)version->allocated_bytes);
	if (memcmp(&version->tree, &none, sizeof(none)) == 0)
		version->tree = result.tree;
	assert_memory_equal(&version->tree, &result.tree, sizeof(result.tree));
}

static void
check_empty(struct history *history, struct version *version, size_t only_site)
{
	restore_version(history, version, "empty", only_site);
	job_shell(history->box, "rm -rf \"$4/empty\"");
}

/* Over what an earlier restore left, some of it changed meanwhile. */
static void
check_over(struct history *history, struct version *version)
{
	char target[128];

	(void)scratch_path(history->box->scratch, "over", target, sizeof(target));
	if (access(target, F_OK) == 0)
		tree_edit(target, &history->dice, 5);
	restore_version(history, version, "over", 0);
}

/* As a tar stream, unpacked by another program. */
static void
check_tar(struct history *history, const struct version *version)
{
	char target[128], command[300], *found;
	struct job_restore how = {0};
	struct tk_restore_result result;
	struct tk_err err;
	FILE *pipe;

	(void)scratch_path(history->box->scratch, "untar", target, sizeof(target));
	(void)snprintf(command, sizeof(command), "mkdir '%s' && bsdtar -xpf - -C '%s'", target, target);
	pipe = popen(command, "w");
	assert_non_null(pipe);
	how.tar_fd = fileno(pipe);
	if (job_restore(history->box, &version->at, &how, &result, &err))
		fail_msg("tar: %s", err.text);
	assert_int_equal(pclose(pipe), 0);
	assert_true(result.verified);
	found = tree_list(target, 0);
	/* Not the root: its metadata is not in the archive. */
	assert_same_tree(strchr(version->listing, '\n') + 1, found, "unpacked");
	free(found);
	job_shell(history->box, "rm -rf \"$4/untar\"");
}

static struct version *
any_version(struct history *history)
{
	return &history->versions[dice_below(&history->dice, history->count)];
}

/* Every byte that is used is there, and named in the clear by who uses it. */
static void
check_site(struct job_box *box, size_t site)
{
	struct tk_verify_opts opts = {.site = &box->handles[site], .domain = &box->domain, .keys = tk_keyring_domain(&box->ring, &box->domain),
		.data_percent = 100};
	TK_AUTO(tk_verify_result_release) struct tk_verify_result result = {0};
	struct tk_err err;

	job_open(box);
	if (tk_verify_site(&opts, &result, &err))
		fail_msg("verify: %s", err.text);
	if (result.damaged_total)
		fail_msg("verify: %s", result.damaged[0].text);
}

/* ---- runs ---- */

static void
remember(struct history *history)
{
	struct job_box *box = history->box;
	struct version *version = &history->versions[history->count];

	version->at = box->result.point;
	version->listing = tree_list(box->tree, 1);
	version->allocated_bytes = tree_allocated_bytes(box->tree);
	history->copied_bytes += box->result.copied_bytes;
	history->rewritten_bytes += box->result.rewritten_bytes;
	if (history->count > 0)
		assert_true(tk_head_compare(&version->at, &version[-1].at) > 0);
	history->count++;
	check_empty(history, version, 0);
}

struct brake {
	atomic_bool flag;
	size_t steps_left;
};

static void
on_step(void *ctx, const char *name)
{
	struct brake *brake = ctx;

	(void)name;
	if (brake->steps_left-- == 0)
		atomic_store(&brake->flag, true);
}

/* Told to stop after a number of steps. False: it did. */
static bool
stopped_at_a_step(struct job_box *box, size_t steps)
{
	struct brake brake = {.steps_left = steps};
	struct tk_err err;
	enum tk_rc rc;

	box->opts.cancel = &brake.flag;
	box->opts.on_step = on_step;
	box->opts.step_ctx = &brake;
	rc = job_backup(box, &err);
	box->opts.cancel = NULL;
	box->opts.on_step = NULL;
	if (rc != TK_OK && rc != TK_ECANCELLED)
		fail_msg("stopped after %zu steps: %s", steps, err.text);
	return rc == TK_OK;
}

/* A run that may not come to its end; what it left is the next one's to settle, over the same tree or another. */
static void
interrupt(struct history *history)
{
	struct dice *dice = &history->dice;
	bool done = dice_below(dice, 2) ? stopped_at_a_step(history->box, dice_below(dice, STEPS))
					: job_backup_interrupted(history->box, (unsigned)dice_below(dice, 20000));

	if (done)
		remember(history);
	if (dice_below(dice, 2))
		tree_edit(history->box->tree, dice, 3);
}

/* A run that one of the sites has no part in: it gets what it lacks in the next. */
static void
leave_out_a_site(struct history *history)
{
	struct job_box *box = history->box;
	size_t away = dice_below(&history->dice, box->site_count);
	struct tk_err err;

	atomic_store(&box->sites[away].plan.open_rc, TK_EUNREACH);
	if (job_backup(box, &err))
		fail_msg("with site %zu away: %s", away, err.text);
	assert_true(box->result.ack_met && !box->result.sites[away].has_receipt);
	remember(history);
	atomic_store(&box->sites[away].plan.open_rc, TK_OK);
	tree_edit(box->tree, &history->dice, 3);
}

static void
lose(struct history *history)
{
	static const char *const losses[] = {"rm -rf \"$2\"", "rm -f \"$3/current\"", "rm -rf \"$3/bundles\"", "rm -rf \"$3/dedup\"", "rm -rf \"$3/sig\"",
		"rm -rf \"$3/meta\"", "rm -f \"$2\"/catalog.db*", "rm -f \"$4\"/s0/index.db*"};

	job_close(history->box);
	job_shell(history->box, losses[dice_below(&history->dice, sizeof(losses) / sizeof(losses[0]))]);
}

static void
next_version(struct history *history)
{
	struct dice *dice = &history->dice;
	size_t trouble = dice_below(dice, 10);

	if (history->count > 0)
		tree_edit(history->box->tree, dice, dice_below(dice, CHANGES_MAX));
	if (dice_below(dice, 4))
		job_settle();
	if (trouble < 3)
		interrupt(history);
	else if (trouble == 3)
		lose(history);
	else if (trouble == 4 && history->count > 0)
		leave_out_a_site(history);
	job_backup_ok(history->box);
	remember(history);
}

static void
run_versions(struct history *history, size_t versions)
{
	/* The last step may make two. */
	history->versions = calloc(versions + 1, sizeof(*history->versions));
	assert_non_null(history->versions);
	while (history->count < versions) {
		next_version(history);
		if (history->count % 3 == 0) {
			check_empty(history, any_version(history), 0);
			check_over(history, any_version(history));
		}
	}
	for (size_t v = 0; v < history->count; v++)
		check_empty(history, &history->versions[v], 1 + v % history->box->site_count);
	check_tar(history, any_version(history));
	for (size_t site = 0; site < history->box->site_count; site++)
		check_site(history->box, site);
	for (size_t v = 0; v < history->count; v++)
		free(history->versions[v].listing);
	free(history->versions);
}

static size_t
from_environment(const char *name, size_t otherwise)
{
	const char *text = getenv(name);

	return text ? (size_t)strtoul(text, NULL, 10) : otherwise;
}

/* Two sites, of which one may be away. */
static int
history_setup(void **state)
{
	struct job_box *box;

	if (job_setup(state))
		return -1;
	box = *state;
	job_add_sites(box, 2);
	box->receipts_wanted = 1;
	return 0;
}

/* Adds how many bytes were copied from the version before, and how many of them were stored anew. */
static void
run_round(void **state, uint64_t seed, size_t versions, uint64_t *copied_bytes, uint64_t *rewritten_bytes)
{
	struct job_box *box = *state;
	struct history history = {.box = box, .dice = {seed}, .hole_slack_bytes = HOLE_SLACK_BYTES};

	print_message("TK_HISTORY_SEED=%llu TK_HISTORY_VERSIONS=%zu TK_HISTORY_ROUND=%zu\n", (unsigned long long)seed, versions, versions);
	box->opts.threads = 1 + (unsigned)dice_below(&history.dice, 4);
	/* Now and then nothing is stored anew, or little. */
	box->opts.rewrite_percent = 100 * (unsigned)dice_below(&history.dice, 4) / 2;
	box->opts.rewrite_crumbs_min = 1 + dice_below(&history.dice, 3);
	box->opts.rewrite_blob_bytes = 512u << dice_below(&history.dice, 6);
	settings[seed % SETTINGS](&box->opts);
	tree_fill(box->tree, &history.dice);
	run_versions(&history, versions);
	*copied_bytes += history.copied_bytes;
	*rewritten_bytes += history.rewritten_bytes;
}

static void
every_version_of_any_history_comes_back(void **state)
{
	size_t versions = from_environment("TK_HISTORY_VERSIONS", SETTINGS * ROUND_VERSIONS);
	size_t most = from_environment("TK_HISTORY_ROUND", ROUND_VERSIONS);
	uint64_t seed = from_environment("TK_HISTORY_SEED", 1), copied_bytes = 0, rewritten_bytes = 0;

	for (size_t left = versions, round; left > 0; left -= round) {
		if (left < versions) {
			assert_int_equal(job_teardown(state), 0);
			assert_int_equal(history_setup(state), 0);
		}
		round = left < most ? left : most;
		run_round(state, seed++, round, &copied_bytes, &rewritten_bytes);
	}
	/* Some of the settings make deltas, and some of these leave blobs. */
	assert_true(versions / most < SETTINGS || (copied_bytes > 0 && rewritten_bytes > 0));
}

/* Real limits, and files that reach over them: one of two segments, most of it a hole. */
static void
every_version_of_large_files_comes_back(void **state)
{
	struct job_box *box = *state;
	struct history history = {.box = box, .dice = {from_environment("TK_HISTORY_SEED", 1)},
				  .hole_slack_bytes = LARGE_HOLE_SLACK_BYTES};
	char path[128];

	real_sizes(&box->opts);
	box->opts.delta_min_bytes = 0;
	box->opts.signature = history.dice.state % 2 ? TK_SIGNATURE_TAGS : TK_SIGNATURE_ROLLING;
	tree_write(scratch_path(box->scratch, "tree/database", path, sizeof(path)), &history.dice, (5u << 20) + 17);
	tree_write(scratch_path(box->scratch, "tree/dump", path, sizeof(path)), &history.dice, 700000);
	tree_write(scratch_path(box->scratch, "tree/image", path, sizeof(path)), &history.dice, 1u << 20);
	assert_int_equal(truncate(path, 62 << 20), 0);
	file_write_at(path, &history.dice, (63 << 20) + 5, 3u << 20, 0);
	run_versions(&history, LARGE_VERSIONS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_version_of_any_history_comes_back, history_setup, job_teardown),
		cmocka_unit_test_setup_teardown(every_version_of_large_files_comes_back, history_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
