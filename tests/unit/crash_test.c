/* Runs that are killed, interrupted, or find their local state lost or damaged: the next one succeeds, points never fork, what was acknowledged comes back. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define VERSIONS_MAX 200

static const char *const steps[] = {"epoch-settled", "past-settled", "catalog-settled", "packs-complete", "spool-synced", "next-written", "journaled",
	"epoch-opened", "first-receipt", "published", "marked-stored", "catalog-advanced", "dedup-committed", "spool-cleaned"};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* What the tree was at each attempt, and which attempts were acknowledged. */
struct history {
	char *listings[VERSIONS_MAX];
	struct tk_head acknowledged[VERSIONS_MAX]; /* epoch 0: it was not */
	size_t count;
};

static char *
note_tree(struct job_box *box, struct history *history)
{
	assert_true(history->count < VERSIONS_MAX);
	history->listings[history->count] = tree_list(box->tree, 1);
	memset(&history->acknowledged[history->count], 0, sizeof(history->acknowledged[0]));
	return history->listings[history->count++];
}

static void
backup_and_note(struct job_box *box, struct history *history)
{
	char *listing = note_tree(box, history);

	job_backup_ok(box);
	history->acknowledged[history->count - 1] = box->result.point;
	job_check_point(box, &box->result.point, listing, 0);
}

static char *
restored_listing(struct job_box *box, const struct tk_head *at)
{
	char target[128], *listing;
	struct job_restore how = {.target = target};
	struct tk_restore_result result;
	struct tk_err err;

	(void)scratch_path(box->scratch, "some", target, sizeof(target));
	if (job_restore(box, at, &how, &result, &err))
		fail_msg("restoring: %s", err.text);
	assert_true(result.verified);
	listing = tree_list(target, 1);
	job_shell(box, "rm -rf \"$4/some\"");
	return listing;
}

/* Points ascend, none is there twice; each is exactly what the tree was at some attempt; the acknowledged ones are all there. */
static void
check_history(struct job_box *box, struct history *history, size_t site)
{
	size_t count = 0, found = 0, acknowledged = 0;
	struct tk_store_point *points = job_points(box, site, &count);

	for (size_t i = 0; i < count; i++) {
		char *listing = restored_listing(box, &points[i].at);
		bool known = false;

		for (size_t k = 0; k < history->count; k++)
			known |= strcmp(listing, history->listings[k]) == 0;
		assert_true(known);
		free(listing);
		if (i > 0)
			assert_true(points[i].at.sequence > points[i - 1].at.sequence);
		for (size_t k = 0; k < history->count; k++)
			found += history->acknowledged[k].epoch && memcmp(&history->acknowledged[k], &points[i].at, sizeof(points[i].at)) == 0;
	}
	for (size_t k = 0; k < history->count; k++)
		acknowledged += history->acknowledged[k].epoch != 0;
	assert_int_equal(found, acknowledged);
	free(points);
}

static void
forget(struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		free(history->listings[i]);
	free(history);
}

static struct history *
begin(struct job_box *box, struct dice *dice)
{
	struct history *history = calloc(1, sizeof(*history));

	assert_non_null(history);
	tree_fill(box->tree, dice);
	return history;
}

static void
die_at(void *ctx, const char *name)
{
	if (strcmp(ctx, name) == 0)
		(void)kill(getpid(), SIGKILL);
}

/* A run in a process of its own, killed at a step (or, with NULL, after some time, or by its progress). */
static void
killed_backup(struct job_box *box, const char *step, struct dice *dice)
{
	struct timespec time = {0, (long)(dice_below(dice, 60) + 1) * 1000000L};
	int status = 0;
	pid_t pid;

	job_close(box);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct tk_err err;
		char name[32];

		if (step) {
			(void)snprintf(name, sizeof(name), "%s", step);
			box->opts.on_step = die_at;
			box->opts.step_ctx = name;
		}
		_exit(job_backup(box, &err) ? 1 : 0);
	}
	if (!step && !box->opts.progress) {
		(void)nanosleep(&time, NULL);
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void
kill_at_every_step(struct job_box *box, struct history *history, struct dice *dice)
{
	for (size_t i = 0; i < STEPS; i++) {
		tree_edit(box->tree, dice, 4);
		note_tree(box, history);
		killed_backup(box, steps[i], dice);
		if (i % 2)
			tree_edit(box->tree, dice, 4);
		backup_and_note(box, history);
	}
}

static void
a_run_that_was_killed_at_any_step_is_made_good_by_the_next(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {1};
	struct history *history = begin(box, &dice);

	job_add_sites(box, 2);
	killed_backup(box, "journaled", &dice);
	note_tree(box, history);
	kill_at_every_step(box, history, &dice);
	check_history(box, history, 0);
	check_history(box, history, 1);
	forget(history);
}

static void
a_run_that_was_killed_at_any_time_is_made_good_by_the_next(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {2};
	struct history *history = begin(box, &dice);
	const char *rounds = getenv("TK_ROUNDS");

	box->opts.checkpoint_ms = -1;
	for (size_t i = 0; i < (rounds ? 60 : 12); i++) {
		tree_edit(box->tree, &dice, 6);
		note_tree(box, history);
		killed_backup(box, NULL, &dice);
		if (i % 3)
			tree_edit(box->tree, &dice, 3);
		if (i % 4 == 3)
			backup_and_note(box, history);
	}
	backup_and_note(box, history);
	check_history(box, history, 0);
	forget(history);
}

static void
an_interrupted_run_leaves_its_packs_to_the_next(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {3};
	struct history *history = begin(box, &dice);
	size_t cancelled = 0;

	box->opts.pack_plain_bytes = 6000;
	box->opts.checkpoint_ms = -1;
	for (unsigned i = 0; i < 16; i++) {
		bool done;

		tree_edit(box->tree, &dice, 4);
		note_tree(box, history);
		done = job_backup_interrupted(box, i * 4000 + 1);
		cancelled += !done;
		if (done)
			history->acknowledged[history->count - 1] = box->result.point;
		if (i % 4 == 3)
			backup_and_note(box, history);
	}
	assert_true(cancelled > 0);
	check_history(box, history, 0);
	forget(history);
}

static void
complete_packs_of_a_killed_run_are_used_again(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {4};
	char path[160];

	box->opts.chunk_min_bytes = 2048;
	box->opts.chunk_avg_bytes = 4096;
	box->opts.chunk_max_bytes = 8192;
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(path, sizeof(path), "%s/big%u", box->tree, i);
		tree_write(path, &dice, 40000);
	}
	killed_backup(box, "spool-synced", &dice);
	job_backup_ok(box);
	/* Pieces under 2 KiB are not looked up: the end of each of the three segments of a file may be one. */
	assert_true(box->result.literal_bytes < 8 * 3 * 2048);
	assert_true(box->result.stored_bytes > 60000);
}

#define FLIP_UNFINISHED "printf '\\377\\377\\377' | dd of=\"$3/unfinished\" bs=1 seek=30 conv=notrunc 2>/dev/null"

static void
die_after(void *arg, const struct tk_progress_event *event)
{
	const uint64_t *files = arg;

	if (event->units_done >= *files)
		(void)kill(getpid(), SIGKILL);
}

/* Many small files, and a run that is killed when it has read most of them, each of its checkpoints being due at once. */
static void
read_most(struct job_box *box, struct dice *dice)
{
	uint64_t most = 1100;
	const struct tk_progress progress = {die_after, &most};
	char path[160];

	for (unsigned i = 0; i < 1400; i++) {
		(void)snprintf(path, sizeof(path), "%s/file%04u", box->tree, i);
		/* Some are of several segments, each with a map. */
		tree_write(path, dice, i % 100 == 50 ? 50000 + i : 200 + i % 700);
	}
	job_settle();
	box->opts.pack_plain_bytes = 20000;
	box->opts.checkpoint_ms = -1;
	box->opts.progress = &progress;
	killed_backup(box, NULL, dice);
	box->opts.progress = NULL;
}

/* What the next run reads, and that it is right. */
static uint64_t
resumed(struct job_box *box)
{
	char *listing = tree_list(box->tree, 1);

	job_backup_ok(box);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
	job_shell(box, "[ ! -e \"$3/unfinished\" ]");
	return box->result.read_bytes;
}

static void
files_that_a_killed_run_had_read_are_not_read_again(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {9};
	uint64_t whole;

	read_most(box, &dice);
	job_shell(box, "[ -e \"$3/unfinished\" ]");
	/* Others are: one that changed, one whose mtime was set back after that, one that was replaced, one that is gone. */
	job_shell(box, "cd \"$1\"; echo more >>file0100; touch -r file0201 stamp; tr a-z b-za <file0201 >new; cat new >file0201; touch -r stamp file0201; rm stamp; "
		       "mv new file0300; rm file0400");
	job_settle();
	whole = resumed(box);
	assert_true(whole < box->result.scan.total_bytes / 2);
	assert_true(whole > box->result.scan.total_bytes / 8);
	job_backup_ok(box);
	assert_int_equal(box->result.read_bytes, 0);
}

static void
what_of_it_was_lost_is_read_again(void **state)
{
	static const char *const commands[] = {"find \"$2\" -path '*/spool/*' -type f -delete", FLIP_UNFINISHED, "rm -r \"$3/bundles\""};
	struct job_box *box = *state;
	struct dice dice = {10};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		read_most(box, &dice);
		job_shell(box, "[ -e \"$3/unfinished\" ]");
		job_shell(box, commands[i]);
		/* They are new files under the old names: those of a run before tell nothing of them. */
		assert_true(resumed(box) > box->result.scan.total_bytes * 9 / 10);
	}
}

/* A run that goes on from another and is killed in its turn, before it is as far, leaves what that one left. */
static void
the_third_run_goes_on_from_the_first(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {11};
	uint64_t some = 300;
	const struct tk_progress progress = {die_after, &some};

	read_most(box, &dice);
	box->opts.progress = &progress;
	killed_backup(box, NULL, &dice);
	box->opts.progress = NULL;
	assert_true(resumed(box) < box->result.scan.total_bytes / 2);
}

/* ---- lost and damaged state ---- */

static void
lose(struct job_box *box, struct history *history, const char *command, uint64_t epoch, uint64_t stored_max_bytes)
{
	char *listing;

	job_shell(box, command);
	listing = note_tree(box, history);
	job_backup_ok(box);
	history->acknowledged[history->count - 1] = box->result.point;
	assert_int_equal(box->result.point.epoch, epoch);
	assert_true(box->result.stored_bytes < stored_max_bytes);
	job_check_point(box, &box->result.point, listing, 0);
}

static void
lost_state_costs_little_and_loses_nothing(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {5};
	struct history *history = begin(box, &dice);

	backup_and_note(box, history);
	lose(box, history, "rm -rf \"$2\"", 2, 4000);
	assert_true(box->result.rebuilt);
	lose(box, history, "rm \"$3/current\"", 2, 4000);
	lose(box, history, "rm -rf \"$3/bundles\"", 2, 4000);
	lose(box, history, "rm -rf \"$3/dedup\"", 2, 4000);
	lose(box, history, "rm -rf \"$3/sig\" \"$3/meta\"", 2, 4000);
	tree_edit(box->tree, &dice, 10);
	lose(box, history, "rm \"$2\"/catalog.db*", 3, UINT64_MAX);
	tree_edit(box->tree, &dice, 10);
	lose(box, history, "rm -rf \"$2\"", 4, UINT64_MAX);
	tree_edit(box->tree, &dice, 10);
	backup_and_note(box, history);
	check_history(box, history, 0);
	forget(history);
}

#define FLIP "find \"$2\" -type f -path \"*/%s*\" | while read f; do s=$(stat -c %%s \"$f\"); " \
	"printf '\\377\\377\\377' | dd of=\"$f\" bs=1 seek=$((s / 2)) conv=notrunc 2>/dev/null; done"
#define CUT "find \"$2\" -type f -path \"*/%s*\" | while read f; do s=$(stat -c %%s \"$f\"); truncate -s $((s / 2)) \"$f\"; done"

static void
damaged_state_never_makes_a_wrong_point(void **state)
{
	static const char *const parts[] = {"current", "bundles/", "dedup/", "facts/", "sig/", "tagkey", "meta/", "catalog.db"};
	struct job_box *box = *state;
	struct dice dice = {6};
	struct history *history = begin(box, &dice);

	box->opts.signature = TK_SIGNATURE_ROLLING;
	backup_and_note(box, history);
	for (size_t i = 0; i < 2 * sizeof(parts) / sizeof(parts[0]); i++) {
		char command[512];
		struct tk_err err;

		if (i % 2)
			(void)snprintf(command, sizeof(command), CUT, parts[i / 2]);
		else
			(void)snprintf(command, sizeof(command), FLIP, parts[i / 2]);
		tree_edit(box->tree, &dice, 6);
		job_shell(box, command);
		note_tree(box, history);
		if (job_backup(box, &err) == TK_OK) {
			history->acknowledged[history->count - 1] = box->result.point;
			job_check_point(box, &box->result.point, history->listings[history->count - 1], 0);
		} else {
			fail_msg("%s: %s", command, err.text);
		}
	}
	check_history(box, history, 0);
	forget(history);
}

static void
a_damaged_spool_is_not_built_on(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {7};
	struct history *history = begin(box, &dice);
	char command[512];

	(void)snprintf(command, sizeof(command), FLIP, "spool/");
	note_tree(box, history);
	killed_backup(box, "spool-synced", &dice);
	job_shell(box, command);
	backup_and_note(box, history);
	tree_edit(box->tree, &dice, 6);
	note_tree(box, history);
	killed_backup(box, "journaled", &dice);
	job_shell(box, command);
	backup_and_note(box, history);
	check_history(box, history, 0);
	forget(history);
}

/* A restore in a process of its own, killed after some time. */
static void
killed_restore(struct job_box *box, const struct job_restore *how, unsigned after_us)
{
	struct timespec time = {0, (long)after_us * 1000L};
	pid_t pid;

	job_close(box);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct tk_restore_result result;
		struct tk_err err;

		_exit(job_restore(box, &box->result.point, how, &result, &err) ? 1 : 0);
	}
	(void)nanosleep(&time, NULL);
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
a_restore_that_was_killed_is_made_good_by_the_next(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {8};
	char target[128], *listing;
	struct job_restore how = {.target = scratch_path(box->scratch, "back", target, sizeof(target))};

	tree_fill(box->tree, &dice);
	for (unsigned i = 0; i < 16; i++) {
		struct tk_restore_result result;
		struct tk_err err;
		char *found;

		tree_edit(box->tree, &dice, 4);
		job_backup_ok(box);
		if (i % 4 == 0)
			job_shell(box, "rm -rf \"$4/back\"");
		killed_restore(box, &how, 500 + i * 700);
		if (i % 4 != 3)
			continue;
		how.delete_extra = true;
		if (job_restore(box, &box->result.point, &how, &result, &err))
			fail_msg("restore: %s", err.text);
		how.delete_extra = false;
		assert_true(result.verified);
		listing = tree_list(box->tree, 1);
		found = tree_list(target, 1);
		assert_same_tree(listing, found, "back");
		free(listing);
		free(found);
	}
}

/* Files of one piece, long enough for a kill to meet one in its writing. */
static void
fill_with_pieces(struct job_box *box)
{
	struct dice dice = {12};
	char path[160];

	box->opts.segment_bytes = box->opts.pack_plain_bytes = 0;
	box->opts.chunk_min_bytes = 65536;
	box->opts.chunk_avg_bytes = 131072;
	box->opts.chunk_max_bytes = 262144;
	for (unsigned i = 0; i < 400; i++) {
		(void)snprintf(path, sizeof(path), "%s/file%03u", box->tree, i);
		tree_write(path, &dice, i % 4 ? 60000 + i : i);
	}
	job_backup_ok(box);
}

/* What the killed run left under the names of the point: right as far as it goes, and all there where it is as long. */
#define CHECK_LEFT "cd \"$4/back\" || exit 1; for f in file*; do [ -e \"$f\" ] || continue; " \
	"cmp -s -n $(stat -c %s \"$f\") \"$f\" \"$1/$f\" || exit 1; [ $(stat -c %s \"$f\") -le $(stat -c %s \"$1/$f\") ] || exit 1; done"

static void
a_restore_that_was_killed_leaves_no_file_of_full_length_that_is_wrong(void **state)
{
	struct job_box *box = *state;
	char target[128], left[128], *listing, *found;
	struct job_restore how = {.target = scratch_path(box->scratch, "back", target, sizeof(target)), .delete_extra = true};
	struct tk_restore_result result;
	struct tk_err err;
	unsigned met = 0;

	(void)scratch_path(box->scratch, "back/file000", left, sizeof(left));
	fill_with_pieces(box);
	listing = tree_list(box->tree, 1);
	/* Later and later, until some kills came when there was something to look at. */
	for (unsigned after_us = 1000; met < 9; after_us += 900) {
		assert_true(after_us < 500000);
		job_shell(box, "rm -rf \"$4/back\"; mkdir \"$4/back\"");
		killed_restore(box, &how, after_us);
		job_shell(box, CHECK_LEFT);
		if (access(left, F_OK) != 0 || ++met % 3)
			continue;
		if (job_restore(box, &box->result.point, &how, &result, &err))
			fail_msg("restore: %s", err.text);
		assert_true(result.verified);
		found = tree_list(target, 1);
		assert_same_tree(listing, found, "back");
		free(found);
	}
	free(listing);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_run_that_was_killed_at_any_step_is_made_good_by_the_next, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_run_that_was_killed_at_any_time_is_made_good_by_the_next, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(an_interrupted_run_leaves_its_packs_to_the_next, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(complete_packs_of_a_killed_run_are_used_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(files_that_a_killed_run_had_read_are_not_read_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(what_of_it_was_lost_is_read_again, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(the_third_run_goes_on_from_the_first, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(lost_state_costs_little_and_loses_nothing, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(damaged_state_never_makes_a_wrong_point, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_restore_that_was_killed_is_made_good_by_the_next, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_restore_that_was_killed_leaves_no_file_of_full_length_that_is_wrong, job_setup, job_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_spool_is_not_built_on, job_setup, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
