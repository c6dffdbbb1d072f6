/* What was backed up comes back, exactly, from every point, whatever happened to the tree between. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define VERSIONS_MAX 64

struct version {
	struct tk_head at;
	char *listing;
};

struct history {
	struct version versions[VERSIONS_MAX];
	size_t count;
};

static void
remember(struct job_box *box, struct history *history)
{
	struct version *version = &history->versions[history->count++];

	assert_true(history->count <= VERSIONS_MAX);
	version->at = box->result.point;
	version->listing = tree_list(box->tree, 1);
}

static void
forget(struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		free(history->versions[i].listing);
}

/* Over what an earlier restore left, some of it changed meanwhile. */
static void
restore_over(struct job_box *box, const struct version *version, struct dice *dice)
{
	char target[128];
	struct job_restore how = {.target = target, .delete_extra = true};
	struct tk_restore_result result;
	struct tk_err err;
	char *found;

	(void)scratch_path(box->scratch, "over", target, sizeof(target));
	if (access(target, F_OK) == 0)
		tree_edit(target, dice, 5);
	if (job_restore(box, &version->at, &how, &result, &err))
		fail_msg("restoring over a tree: %s", err.text);
	if (!result.verified)
		fail_msg("restoring over a tree: %s", box->fault);
	found = tree_list(target, 1);
	assert_same_tree(version->listing, found, "restored over a tree");
	free(found);
}

static void
run_versions(struct job_box *box, uint64_t seed, size_t versions, size_t changes)
{
	struct dice dice = {seed};
	struct history *history = calloc(1, sizeof(*history));

	assert_non_null(history);
	tree_fill(box->tree, &dice);
	for (size_t v = 0; v < versions; v++) {
		if (v > 0)
			tree_edit(box->tree, &dice, dice_below(&dice, changes));
		if (dice_below(&dice, 4))
			job_settle();
		job_backup_ok(box);
		remember(box, history);
		job_check_point(box, &box->result.point, history->versions[v].listing, 0);
		if (v % 3 == 2) {
			const struct version *old = &history->versions[dice_below(&dice, v)];

			job_check_point(box, &old->at, old->listing, 0);
			restore_over(box, &history->versions[dice_below(&dice, v + 1)], &dice);
		}
	}
	for (size_t v = 0; v < versions; v++)
		job_check_point(box, &history->versions[v].at, history->versions[v].listing, 0);
	forget(history);
	free(history);
}

/* More of it with TK_ROUNDS in the environment. */
static size_t
rounds(void)
{
	const char *text = getenv("TK_ROUNDS");

	return text ? (size_t)strtoul(text, NULL, 10) : 1;
}

static void
over(void **state, void (*set)(struct tk_backup_opts *opts), uint64_t seed)
{
	for (size_t i = 0; i < rounds(); i++) {
		if (i > 0) {
			assert_int_equal(job_teardown(state), 0);
			assert_int_equal(job_setup(state), 0);
		}
		set(&((struct job_box *)*state)->opts);
		run_versions(*state, seed + i, 20, 14);
	}
}

static void
small_segments(struct tk_backup_opts *opts)
{
	opts->segment_bytes = 4096;
	opts->pack_plain_bytes = 9000;
}

static void
signed_at_once(struct tk_backup_opts *opts)
{
	opts->signature = TK_SIGNATURE_AT_ONCE;
	opts->block_bytes = 128;
}

static void
whole_files(struct tk_backup_opts *opts)
{
	opts->signature = TK_SIGNATURE_NEVER;
	opts->segment_bytes = 65536;
	opts->codec = TK_CODEC_LZ4;
	opts->threads = 1;
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
	opts->signature = TK_SIGNATURE_AT_ONCE;
}

static void
every_version_comes_back(void **state)
{
	over(state, small_segments, 1);
}

static void
every_version_comes_back_with_signatures_made_at_once(void **state)
{
	over(state, signed_at_once, 1000);
}

static void
every_version_comes_back_without_deltas(void **state)
{
	over(state, whole_files, 2000);
}

static void
every_version_comes_back_with_real_sizes(void **state)
{
	over(state, real_sizes, 3000);
}

static void
every_version_comes_back_while_files_are_read_again(void **state)
{
	over(state, reread_often, 4000);
}

static void
restore_check(struct job_box *box, const struct job_restore *how, const char *listing, const char *where)
{
	struct tk_restore_result result;
	struct tk_err err;
	char *found;

	if (job_restore(box, &box->result.point, how, &result, &err))
		fail_msg("restore: %s", err.text);
	assert_true(result.verified);
	found = tree_list(where, 0);
	assert_same_tree(listing, found, where);
	free(found);
}

static void
a_path_comes_back_alone(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {7};
	char target[128], where[256], path[256], *listing;
	struct job_restore how = {.target = target, .path = path, .whole_path = true};

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	(void)scratch_path(box->scratch, "one", target, sizeof(target));
	(void)snprintf(path, sizeof(path), "%s/d2", box->tree);
	(void)snprintf(where, sizeof(where), "%s%s/d2", target, box->tree);
	listing = tree_list(path, 0);
	restore_check(box, &how, listing, where);
	free(listing);
	(void)snprintf(where, sizeof(where), "%s%s/d1", target, box->tree);
	assert_int_not_equal(access(where, F_OK), 0);
}

static void
a_whole_point_comes_back_at_its_full_path(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {8};
	char target[128], where[256], *listing;
	struct job_restore how = {.target = target, .whole_path = true, .delete_extra = true};

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	(void)scratch_path(box->scratch, "full", target, sizeof(target));
	(void)snprintf(where, sizeof(where), "%s%s", target, box->tree);
	listing = tree_list(box->tree, 0);
	restore_check(box, &how, listing, where);
	restore_check(box, &how, listing, where);
	free(listing);
}

static void
a_tar_of_a_point_unpacks_to_the_same_tree(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {9};
	char target[128], command[512], *listing, *found;
	struct job_restore how = {.tar_fd = 0};
	struct tk_restore_result result;
	struct tk_err err;
	FILE *pipe;

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	listing = tree_list(box->tree, 0);
	(void)scratch_path(box->scratch, "untar", target, sizeof(target));
	assert_int_equal(mkdir(target, 0755), 0);
	(void)snprintf(command, sizeof(command), "bsdtar -xpf - -C '%s'", target);
	pipe = popen(command, "w");
	assert_non_null(pipe);
	how.tar_fd = fileno(pipe);
	if (job_restore(box, &box->result.point, &how, &result, &err))
		fail_msg("tar: %s", err.text);
	assert_int_equal(pclose(pipe), 0);
	assert_true(result.verified);
	found = tree_list(target, 0);
	assert_same_tree(listing, found, "unpacked");
	free(listing);
	free(found);
}

static void
an_unchanged_tree_costs_nearly_nothing(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {10};

	job_shell(box, "i=0; while [ $i -lt 600 ]; do echo $i >\"$1/f$i\"; i=$((i+1)); done");
	tree_fill(box->tree, &dice);
	job_backup_ok(box);
	job_settle();
	/* The second run looks again at what was too near to the first one's start; from the third on all is settled. */
	for (int i = 0; i < 3; i++) {
		job_backup_ok(box);
		assert_int_equal(box->result.scan.files_changed + box->result.scan.files_new, 0);
		assert_true(box->result.literal_bytes == 0);
		assert_true(box->result.stored_bytes < 1500);
		if (i > 0)
			assert_true(box->result.read_bytes == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_version_comes_back, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(every_version_comes_back_with_signatures_made_at_once, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(every_version_comes_back_without_deltas, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(every_version_comes_back_with_real_sizes, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(every_version_comes_back_while_files_are_read_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_path_comes_back_alone, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_whole_point_comes_back_at_its_full_path, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_tar_of_a_point_unpacks_to_the_same_tree, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(an_unchanged_tree_costs_nearly_nothing, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
