/* Runs that store far more than the spool may hold. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

/* A pack ends with the blob that fills it. */
#define PACK_PLAIN_BYTES (1u << 19)
#define PACK_BYTES (700u << 10)
#define SPOOL_BYTES (8u << 20)
#define FILES 24u
#define FILE_BYTES (1u << 20)

/* Bytes that do not shrink. */
static void
write_random(const char *path, struct dice *dice)
{
	static uint64_t bytes[FILE_BYTES / 8];
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < FILE_BYTES / 8; i++)
		bytes[i] = dice_roll(dice);
	assert_int_equal(fwrite(bytes, 1, FILE_BYTES, file), FILE_BYTES);
	assert_int_equal(fclose(file), 0);
}

static int
small_spool(void **state)
{
	struct dice dice = {21};
	struct job_box *box;
	char path[160];

	if (job_setup(state))
		return -1;
	box = *state;
	job_add_sites(box, 3);
	box->opts.spool_max_bytes = SPOOL_BYTES;
	box->opts.pack_plain_bytes = PACK_PLAIN_BYTES;
	box->opts.chunk_min_bytes = 2048;
	box->opts.chunk_avg_bytes = 4096;
	box->opts.chunk_max_bytes = 8192;
	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/file%u", box->tree, i);
		write_random(path, &dice);
	}
	return 0;
}

/* ---- watching the spool ---- */

struct watch {
	char dir[256];
	atomic_bool stop;
	uint64_t peak_bytes;
	pthread_t thread;
};

static uint64_t
dir_bytes(const char *path, const char *suffix, size_t *count)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	struct stat st;
	uint64_t total = 0;

	*count = 0;
	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name), tail = strlen(suffix);

		if (len < tail || strcmp(entry->d_name + len - tail, suffix) != 0 || fstatat(dirfd(dir), entry->d_name, &st, 0) || !S_ISREG(st.st_mode))
			continue;
		total += (uint64_t)st.st_size;
		(*count)++;
	}
	if (dir)
		closedir(dir);
	return total;
}

static void
spool_dir(const struct job_box *box, char dst[256])
{
	char hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(box->domain.b, sizeof(box->domain.b), hex);
	(void)snprintf(dst, 256, "%s/domains/%s/spool", box->state, hex);
}

static void *
watch_main(void *arg)
{
	struct watch *watch = arg;
	const struct timespec pause = {0, 500000};
	size_t count;

	while (!atomic_load(&watch->stop)) {
		uint64_t bytes = dir_bytes(watch->dir, "", &count);

		watch->peak_bytes = bytes > watch->peak_bytes ? bytes : watch->peak_bytes;
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

static void
watch_begin(struct watch *watch, const struct job_box *box)
{
	memset(watch, 0, sizeof(*watch));
	spool_dir(box, watch->dir);
	assert_int_equal(pthread_create(&watch->thread, NULL, watch_main, watch), 0);
}

static uint64_t
watch_end(struct watch *watch)
{
	atomic_store(&watch->stop, true);
	pthread_join(watch->thread, NULL);
	return watch->peak_bytes;
}

static size_t
count_away(const struct job_box *box)
{
	char dir[256];
	size_t count;

	spool_dir(box, dir);
	(void)dir_bytes(dir, ".away", &count);
	return count;
}

/* Each site alone gives back what the tree is now. */
static void
check_everywhere(struct job_box *box)
{
	char *listing = tree_list(box->tree, 1);

	for (size_t site = 1; site <= box->site_count; site++)
		job_check_point(box, &box->result.point, listing, site);
	free(listing);
}

/* ---- the bound ---- */

static void
a_run_of_many_times_the_spool_stays_within_it(void **state)
{
	struct job_box *box = *state;
	struct watch watch;
	uint64_t peak;
	size_t left;

	watch_begin(&watch, box);
	job_backup_ok(box);
	peak = watch_end(&watch);
	assert_true(box->result.stored_bytes > 2 * SPOOL_BYTES);
	if (peak > SPOOL_BYTES || peak < SPOOL_BYTES / 2)
		fail_msg("the spool held %llu bytes", (unsigned long long)peak);
	check_everywhere(box);
	assert_int_equal(dir_bytes(watch.dir, "", &left), 0);
	assert_int_equal(left, 0);
}

static void
a_site_that_falls_behind_gets_from_the_others_what_has_left_the_spool(void **state)
{
	struct job_box *box = *state;
	struct watch watch;
	uint64_t peak;

	box->receipts_wanted = 2;
	box->opts.spool_grace_ms = 1;
	atomic_store(&box->sites[2].plan.delay_ms, 80);
	watch_begin(&watch, box);
	job_backup_ok(box);
	peak = watch_end(&watch);
	assert_true(box->result.sites[0].sent_bytes < box->result.stored_bytes + PACK_BYTES);
	/* One pack for each sender on top: what is relayed passes through the spool. */
	if (peak > SPOOL_BYTES + 3 * PACK_BYTES)
		fail_msg("the spool held %llu bytes", (unsigned long long)peak);
	assert_true(atomic_load(&box->sites[0].plan.gets) + atomic_load(&box->sites[1].plan.gets) > 0);
	check_everywhere(box);
}

static void
a_site_that_is_away_costs_no_more_spool_and_catches_up_later(void **state)
{
	struct job_box *box = *state;
	struct watch watch;
	struct tk_err err;
	uint64_t peak;

	box->receipts_wanted = 2;
	atomic_store(&box->sites[1].plan.open_rc, TK_EUNREACH);
	watch_begin(&watch, box);
	assert_int_equal(job_backup(box, &err), TK_OK);
	peak = watch_end(&watch);
	assert_true(box->result.ack_met && !box->result.sites[1].has_receipt);
	assert_true(peak <= SPOOL_BYTES);
	atomic_store(&box->sites[1].plan.open_rc, TK_OK);
	watch_begin(&watch, box);
	job_backup_ok(box);
	peak = watch_end(&watch);
	if (peak > SPOOL_BYTES + 3 * PACK_BYTES)
		fail_msg("catching up, the spool held %llu bytes", (unsigned long long)peak);
	check_everywhere(box);
}

/* ---- failures ---- */

static void
a_site_that_fails_midway_leaves_the_run_to_the_others(void **state)
{
	struct job_box *box = *state;
	struct tk_err err;

	atomic_store(&box->sites[0].plan.put_after, 24);
	atomic_store(&box->sites[0].plan.put_rc, TK_EUNREACH);
	if (job_backup(box, &err))
		fail_msg("backup: %s", err.text);
	assert_false(box->result.ack_met);
	assert_true(!box->result.sites[0].has_receipt && box->result.sites[1].has_receipt && box->result.sites[2].has_receipt);
	assert_int_equal(box->result.sites[0].failure.rc, TK_EUNREACH);
	atomic_store(&box->sites[0].plan.put_rc, TK_OK);
	job_backup_ok(box);
	check_everywhere(box);
}

static void
the_failure_of_all_that_hold_a_pack_is_told_and_the_next_run_goes_on(void **state)
{
	struct job_box *box = *state;
	struct tk_err err;
	size_t away;

	for (size_t i = 0; i < 3; i++) {
		atomic_store(&box->sites[i].plan.put_after, 24);
		atomic_store(&box->sites[i].plan.put_rc, TK_EUNREACH);
	}
	assert_int_equal(job_backup(box, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "site s"));
	assert_int_equal(box->result.point.epoch, 0);
	away = count_away(box);
	assert_true(away > 4);
	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.put_rc, TK_OK);
	job_backup_ok(box);
	/* What was away is neither read into packs nor sent again. */
	assert_true(box->result.literal_bytes + away * PACK_BYTES < (uint64_t)FILES * FILE_BYTES + PACK_BYTES);
	assert_true(box->result.sites[0].sent_bytes + (away - 2) * PACK_PLAIN_BYTES < box->result.stored_bytes);
	assert_int_equal(count_away(box), 0);
	check_everywhere(box);
}

static void
what_no_site_has_any_more_is_stored_anew(void **state)
{
	struct job_box *box = *state;
	struct tk_err err;

	for (size_t i = 0; i < 3; i++) {
		atomic_store(&box->sites[i].plan.put_after, 24);
		atomic_store(&box->sites[i].plan.put_rc, TK_EUNREACH);
	}
	assert_int_equal(job_backup(box, &err), TK_EUNREACH);
	assert_true(count_away(box) > 4);
	job_close(box);
	job_shell(box, "rm -rf \"$4\"/s?/packs/* \"$4\"/s?/index.db*");
	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.put_rc, TK_OK);
	job_backup_ok(box);
	check_everywhere(box);
}

static void
a_site_that_stands_still_ends_the_run_with_its_name(void **state)
{
	struct job_box *box = *state;
	struct tk_err err;

	box->opts.spool_grace_ms = 1;
	box->opts.spool_wait_ms = 150;
	atomic_store(&box->sites[1].plan.delay_ms, 600);
	assert_int_equal(job_backup(box, &err), TK_ETIMEOUT);
	assert_non_null(strstr(err.text, "waited for site s1;"));
	atomic_store(&box->sites[1].plan.delay_ms, 0);
	box->opts.spool_wait_ms = 0;
	job_backup_ok(box);
	check_everywhere(box);
}

static void *
cancel_main(void *arg)
{
	const struct timespec time = {0, 100000000};

	(void)nanosleep(&time, NULL);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void
a_run_that_waits_for_room_can_be_interrupted(void **state)
{
	struct job_box *box = *state;
	atomic_bool cancel = false;
	pthread_t thread;
	struct tk_err err;

	box->opts.cancel = &cancel;
	atomic_store(&box->sites[1].plan.delay_ms, 400);
	assert_int_equal(pthread_create(&thread, NULL, cancel_main, &cancel), 0);
	assert_int_equal(job_backup(box, &err), TK_ECANCELLED);
	pthread_join(thread, NULL);
}

/* ---- kills ---- */

/* A run in a process of its own, killed once so many packs have left the spool. */
static void
kill_when_away(struct job_box *box, size_t wanted)
{
	const struct timespec pause = {0, 300000};
	int status = 0;
	pid_t pid;

	job_close(box);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct tk_err err;

		/* Slow enough to be caught. */
		for (size_t i = 0; i < 3; i++)
			atomic_store(&box->sites[i].plan.delay_ms, 5);
		_exit(job_backup(box, &err) ? 1 : 0);
	}
	while (count_away(box) < wanted && waitpid(pid, &status, WNOHANG) == 0)
		(void)nanosleep(&pause, NULL);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
}

static void
a_killed_run_is_gone_on_with_from_what_is_at_the_sites(void **state)
{
	struct job_box *box = *state;
	size_t away;

	kill_when_away(box, 6);
	away = count_away(box);
	assert_true(away >= 6);
	job_backup_ok(box);
	assert_true(box->result.literal_bytes + away * PACK_BYTES < (uint64_t)FILES * FILE_BYTES + PACK_BYTES);
	check_everywhere(box);
	assert_int_equal(count_away(box), 0);
}

static void
runs_that_are_killed_again_and_again_leave_nothing_that_grows(void **state)
{
	struct job_box *box = *state;
	char dir[256];
	size_t count;

	spool_dir(box, dir);
	for (size_t i = 1; i < 5; i++) {
		kill_when_away(box, 3 * i);
		assert_true(dir_bytes(dir, "", &count) <= SPOOL_BYTES);
	}
	job_backup_ok(box);
	assert_int_equal(dir_bytes(dir, "", &count), 0);
	assert_int_equal(count, 0);
	check_everywhere(box);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_run_of_many_times_the_spool_stays_within_it, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_falls_behind_gets_from_the_others_what_has_left_the_spool, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_is_away_costs_no_more_spool_and_catches_up_later, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_fails_midway_leaves_the_run_to_the_others, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(the_failure_of_all_that_hold_a_pack_is_told_and_the_next_run_goes_on, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(what_no_site_has_any_more_is_stored_anew, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_that_stands_still_ends_the_run_with_its_name, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_run_that_waits_for_room_can_be_interrupted, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(a_killed_run_is_gone_on_with_from_what_is_at_the_sites, small_spool, job_teardown),
		cmocka_unit_test_setup_teardown(runs_that_are_killed_again_and_again_leave_nothing_that_grows, small_spool, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
