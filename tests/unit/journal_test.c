/* The journal: what a source remembers of its points, epochs, receipts and runs. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/catalog/journal.h"
#include "tests/unit/scratch.h"

static const struct tk_id domain = {"dddddddddddddddd"};
static const struct tk_id other_domain = {"eeeeeeeeeeeeeeee"};

static struct tk_journal *
journal_of(const struct scratch *scratch)
{
	struct tk_journal *journal = NULL;
	char path[128];

	assert_int_equal(tk_journal_open(scratch_path(scratch, "state/deep", path, sizeof(path)), &journal, NULL), TK_OK);
	return journal;
}

static struct tk_head
head(uint64_t epoch, uint64_t sequence, uint8_t fill)
{
	struct tk_head at = {.epoch = epoch, .sequence = sequence};

	memset(&at.point, fill, sizeof(at.point));
	return at;
}

static void
add(struct tk_journal *journal, struct tk_head at, const char *record)
{
	assert_int_equal(tk_journal_add_point(journal, &domain, &at, record, strlen(record), TK_POINT_JOURNALED, NULL), TK_OK);
}

static void
points_come_back_in_order_after_a_restart(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_journal_point *points = NULL;
	struct tk_head first = head(1, 2, 12), last = head(2, 3, 23);
	struct tk_buf record;
	size_t count;

	add(journal, last, "last");
	add(journal, first, "first");
	assert_int_equal(tk_journal_set_state(journal, &domain, &first, TK_POINT_STORED, NULL), TK_OK);
	tk_journal_cleanup(&journal);
	journal = journal_of(*state);
	assert_int_equal(tk_journal_points(journal, &domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_memory_equal(&points[0].at, &first, sizeof(first));
	assert_int_equal(points[0].state, TK_POINT_STORED);
	assert_memory_equal(&points[1].at, &last, sizeof(last));
	assert_int_equal(points[1].state, TK_POINT_JOURNALED);
	free(points);
	assert_int_equal(tk_journal_points(journal, &other_domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	free(points);
	tk_buf_init(&record, 0);
	assert_int_equal(tk_journal_get_point(journal, &domain, &last, &record, NULL), TK_OK);
	assert_int_equal(record.len_bytes, 4);
	assert_memory_equal(record.data, "last", 4);
	tk_buf_release(&record);
	tk_journal_cleanup(&journal);
}

static void
a_number_is_never_given_to_two_points(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_head mine = head(1, 1, 1), second = head(1, 1, 2);
	struct tk_buf record;

	add(journal, mine, "mine");
	add(journal, mine, "mine");
	assert_int_equal(tk_journal_add_point(journal, &domain, &second, "x", 1, TK_POINT_JOURNALED, NULL), TK_ECONFLICT);
	assert_int_equal(tk_journal_set_state(journal, &domain, &second, TK_POINT_STORED, NULL), TK_ECONFLICT);
	tk_buf_init(&record, 0);
	assert_int_equal(tk_journal_get_point(journal, &domain, &second, &record, NULL), TK_ECONFLICT);
	assert_int_equal(tk_journal_get_point(journal, &other_domain, &mine, &record, NULL), TK_ENOENT);
	tk_buf_release(&record);
	tk_journal_cleanup(&journal);
}

static void
a_settled_point_does_not_become_pending_again(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_head at = head(1, 1, 1), unknown = head(1, 2, 1);

	add(journal, at, "x");
	assert_int_equal(tk_journal_set_state(journal, &domain, &at, TK_POINT_ABANDONED, NULL), TK_OK);
	assert_int_equal(tk_journal_set_state(journal, &domain, &at, TK_POINT_JOURNALED, NULL), TK_EINVAL);
	assert_int_equal(tk_journal_set_state(journal, &domain, &at, TK_POINT_STORED, NULL), TK_OK);
	assert_int_equal(tk_journal_set_state(journal, &domain, &unknown, TK_POINT_STORED, NULL), TK_ENOENT);
	tk_journal_cleanup(&journal);
}

static void
an_epoch_is_kept_with_the_votes_that_opened_it(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_epoch epoch = {.epoch = 7, .opened = true, .parent = {.epoch = 6, .sequence = 40}}, got;

	assert_int_equal(tk_journal_get_epoch(journal, &domain, &got, NULL), TK_ENOENT);
	assert_int_equal(tk_journal_set_epoch(journal, &domain, &epoch, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&epoch.grant, "grant", 5, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&epoch.opening, "votes", 5, NULL), TK_OK);
	epoch.epoch = 8;
	memset(&epoch.grant_digest, 9, sizeof(epoch.grant_digest));
	assert_int_equal(tk_journal_set_epoch(journal, &domain, &epoch, NULL), TK_OK);
	tk_journal_cleanup(&journal);
	journal = journal_of(*state);
	assert_int_equal(tk_journal_get_epoch(journal, &domain, &got, NULL), TK_OK);
	assert_int_equal(got.epoch, 8);
	assert_true(got.opened);
	assert_memory_equal(&got.grant_digest, &epoch.grant_digest, sizeof(got.grant_digest));
	assert_memory_equal(&got.parent, &epoch.parent, sizeof(got.parent));
	assert_int_equal(got.opening.len_bytes, 5);
	assert_memory_equal(got.grant.data, "grant", 5);
	tk_epoch_release(&got);
	tk_epoch_release(&epoch);
	tk_journal_cleanup(&journal);
}

static void
receipt(struct tk_journal *journal, struct tk_head at, const char *site, uint8_t incarnation, uint64_t counter)
{
	struct tk_journal_number number = {.counter = counter};
	uint8_t record = (uint8_t)counter;

	memset(&number.vault_incarnation, incarnation, sizeof(number.vault_incarnation));
	assert_int_equal(tk_journal_add_receipt(journal, &domain, &at, site, &number, (int64_t)counter, &record, 1, NULL), TK_OK);
}

static void
expect_mark(struct tk_journal *journal, uint8_t record)
{
	struct tk_buf mark = {0};

	assert_int_equal(tk_journal_site_mark(journal, "a", &mark, NULL), TK_OK);
	assert_int_equal(mark.len_bytes, 1);
	assert_int_equal(mark.data[0], record);
	tk_buf_release(&mark);
}

static void
a_mark_only_rises_within_an_incarnation(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_journal_number vote = {{{1}}, 6};
	struct tk_buf mark = {0};

	memset(&vote.vault_incarnation, 1, sizeof(vote.vault_incarnation));
	assert_int_equal(tk_journal_site_mark(journal, "a", &mark, NULL), TK_ENOENT);
	receipt(journal, head(1, 1, 1), "a", 1, 5);
	receipt(journal, head(1, 2, 1), "a", 1, 4);
	expect_mark(journal, 5);
	assert_int_equal(tk_journal_add_vote(journal, "a", &vote, 6, "v", 1, NULL), TK_OK);
	expect_mark(journal, 'v');
	receipt(journal, head(1, 3, 1), "a", 2, 7);
	expect_mark(journal, 7);
	/* Given again by the new incarnation: what the old one signed. */
	receipt(journal, head(1, 1, 1), "a", 1, 5);
	expect_mark(journal, 7);
	tk_journal_cleanup(&journal);
}

static void
receipts_are_listed_by_point_and_site(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_journal_receipt *rows = NULL;
	char longest[65];
	struct tk_journal_number number = {0};
	struct tk_head at = head(1, 1, 1);
	size_t count;

	receipt(journal, head(1, 2, 1), "a", 1, 3);
	receipt(journal, at, "b", 1, 2);
	receipt(journal, at, "a", 1, 1);
	receipt(journal, at, "a", 1, 4);
	assert_int_equal(tk_journal_receipts(journal, &domain, &rows, &count, NULL), TK_OK);
	assert_int_equal(count, 3);
	assert_string_equal(rows[0].site, "a");
	assert_int_equal(rows[0].time_ns, 4);
	assert_string_equal(rows[1].site, "b");
	assert_int_equal(rows[2].at.sequence, 2);
	free(rows);
	memset(longest, 's', 64);
	longest[64] = '\0';
	assert_int_equal(tk_journal_add_receipt(journal, &domain, &at, longest, &number, 0, "r", 1, NULL), TK_EINVAL);
	tk_journal_cleanup(&journal);
}

static void
a_sites_key_is_pinned_at_first_sight(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_id id = {"site"}, got_id;
	uint8_t key[TK_KEY_BYTES] = {1}, got[TK_KEY_BYTES];

	assert_int_equal(tk_journal_site_key(journal, "a", &got_id, got, NULL), TK_ENOENT);
	assert_int_equal(tk_journal_pin_site(journal, "a", &id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_pin_site(journal, "a", &id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_site_key(journal, "a", &got_id, got, NULL), TK_OK);
	assert_memory_equal(got, key, sizeof(key));
	assert_memory_equal(&got_id, &id, sizeof(id));
	key[0] = 2;
	assert_int_equal(tk_journal_pin_site(journal, "a", &id, key, NULL), TK_ECONFLICT);
	tk_journal_cleanup(&journal);
}

static void
a_site_whose_vault_was_made_anew_is_pinned_again(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_head at = head(1, 1, 11);
	struct tk_journal_number number = {{"old"}, 7};
	struct tk_buf mark = {0};
	struct tk_id id = {"site"}, got_id;
	uint8_t key[TK_KEY_BYTES] = {1}, got[TK_KEY_BYTES];
	uint64_t line = 0;

	assert_int_equal(tk_journal_forget_site(journal, "a", NULL), TK_ENOENT);
	assert_int_equal(tk_journal_pin_site(journal, "a", &id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_pin_site(journal, "b", &id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_add_receipt(journal, &domain, &at, "a", &number, 1, "r", 1, NULL), TK_OK);
	assert_int_equal(tk_journal_set_line(journal, "a", &domain, 2, NULL), TK_OK);
	assert_int_equal(tk_journal_set_line(journal, "a", &domain, 3, NULL), TK_OK);
	assert_int_equal(tk_journal_get_line(journal, "a", &domain, &line, NULL), TK_OK);
	assert_int_equal(line, 3);
	assert_int_equal(tk_journal_forget_site(journal, "a", NULL), TK_OK);
	assert_int_equal(tk_journal_get_line(journal, "a", &domain, &line, NULL), TK_OK);
	assert_int_equal(line, 0);
	assert_int_equal(tk_journal_site_mark(journal, "a", &mark, NULL), TK_ENOENT);
	key[0] = 2;
	assert_int_equal(tk_journal_pin_site(journal, "a", &id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_site_key(journal, "b", &got_id, got, NULL), TK_OK);
	assert_int_equal(got[0], 1);
	tk_journal_cleanup(&journal);
}

static void
the_last_run_of_a_kind_is_found(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_run_row row = {.kind = "verify", .site = "a", .start_ns = 1, .end_ns = 2, .text = "fine"}, got;

	assert_int_equal(tk_journal_last_run(journal, &domain, "verify", NULL, false, &got, NULL), TK_ENOENT);
	assert_int_equal(tk_journal_add_run(journal, &domain, &row, NULL), TK_OK);
	row.exit_status = 5;
	row.end_ns = 3;
	(void)snprintf(row.site, sizeof(row.site), "b");
	assert_int_equal(tk_journal_add_run(journal, &domain, &row, NULL), TK_OK);
	assert_int_equal(tk_journal_last_run(journal, &domain, "verify", NULL, false, &got, NULL), TK_OK);
	assert_int_equal(got.exit_status, 5);
	assert_string_equal(got.site, "b");
	assert_int_equal(tk_journal_last_run(journal, &domain, "verify", NULL, true, &got, NULL), TK_OK);
	assert_int_equal(got.end_ns, 2);
	assert_string_equal(got.text, "fine");
	assert_int_equal(tk_journal_last_run(journal, &domain, "verify", "b", true, &got, NULL), TK_ENOENT);
	assert_int_equal(tk_journal_last_run(journal, &domain, "drill", NULL, false, &got, NULL), TK_ENOENT);
	tk_journal_cleanup(&journal);
}

static void
a_verification_says_what_it_covered_until_its_site_is_forgotten(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	struct tk_run_row row = {.kind = "verify", .site = "a", .at = head(2, 7, 1), .covers = TK_COVERS_UP_TO, .depth = TK_DEPTH_DATA, .end_ns = 1};
	struct tk_run_row *rows = NULL;
	struct tk_id site_id = {{1}};
	uint8_t key[TK_KEY_BYTES] = {1};
	size_t count = 0;

	assert_int_equal(tk_journal_pin_site(journal, "a", &site_id, key, NULL), TK_OK);
	assert_int_equal(tk_journal_add_run(journal, &domain, &row, NULL), TK_OK);
	row.exit_status = 7;
	assert_int_equal(tk_journal_add_run(journal, &domain, &row, NULL), TK_OK);
	row.exit_status = 5;
	row.covers = TK_COVERS_POINT;
	(void)snprintf(row.site, sizeof(row.site), "b");
	assert_int_equal(tk_journal_add_run(journal, &domain, &row, NULL), TK_OK);
	assert_int_equal(tk_journal_verifications(journal, &domain, &rows, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_int_equal(rows[0].exit_status, 5);
	assert_int_equal(rows[0].covers, TK_COVERS_POINT);
	assert_int_equal(rows[1].covers, TK_COVERS_UP_TO);
	assert_int_equal(rows[1].depth, TK_DEPTH_DATA);
	assert_int_equal(rows[1].at.sequence, 7);
	free(rows);
	assert_int_equal(tk_journal_forget_site(journal, "a", NULL), TK_OK);
	assert_int_equal(tk_journal_verifications(journal, &domain, &rows, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_string_equal(rows[0].site, "b");
	free(rows);
	tk_journal_cleanup(&journal);
}

static void
what_is_no_database_is_corrupt(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_journal *journal = NULL;

	scratch_file(scratch, "catalog.db", "this is not a database, and it is long enough to be looked at by anyone who wants to know what it is");
	assert_int_equal(tk_journal_open(scratch->path, &journal, NULL), TK_ECORRUPT);
	assert_null(journal);
}

/* Pages of rubbish behind a sound first page: found at open, not in the middle of a run. */
static void
a_damaged_page_is_found_when_the_journal_is_opened(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_journal *journal = journal_of(*state);
	char path[128], dir[128], rubbish[2 * 4096];
	FILE *file;

	add(journal, head(1, 1, 1), "x");
	tk_journal_cleanup(&journal);
	memset(rubbish, 0xa5, sizeof(rubbish));
	file = fopen(scratch_path(scratch, "state/deep/catalog.db", path, sizeof(path)), "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
	assert_int_equal(fwrite(rubbish, 1, sizeof(rubbish), file), sizeof(rubbish));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(tk_journal_open(scratch_path(scratch, "state/deep", dir, sizeof(dir)), &journal, NULL), TK_ECORRUPT);
	assert_null(journal);
}

/* A process that dies at once after a call returned has lost nothing; one that never ran to its end has left the old state. */
static void
what_was_returned_survives_the_death_of_the_process(void **state)
{
	struct tk_journal_point *points = NULL;
	struct tk_journal *journal = NULL;
	size_t count;
	pid_t child = fork();

	if (child == 0) {
		journal = journal_of(*state);
		add(journal, head(1, 1, 1), "x");
		_exit(0);
	}
	assert_true(child > 0);
	while (waitpid(child, NULL, 0) < 0)
		;
	journal = journal_of(*state);
	assert_int_equal(tk_journal_points(journal, &domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	free(points);
	tk_journal_cleanup(&journal);
}

static void *
add_many(void *arg)
{
	for (uint64_t i = 1; i <= 20; i++) {
		struct tk_head at = {.epoch = 1, .sequence = i};
		struct tk_journal_number number = {.counter = i};

		if (tk_journal_add_point(arg, &domain, &at, "r", 1, TK_POINT_JOURNALED, NULL) ||
		    tk_journal_add_receipt(arg, &domain, &at, "a", &number, 0, "r", 1, NULL))
			return arg;
	}
	return NULL;
}

static void
threads_may_share_a_journal(void **state)
{
	struct tk_journal *journal = journal_of(*state);
	pthread_t threads[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, journal), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	tk_journal_cleanup(&journal);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(points_come_back_in_order_after_a_restart, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_number_is_never_given_to_two_points, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_settled_point_does_not_become_pending_again, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(an_epoch_is_kept_with_the_votes_that_opened_it, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_mark_only_rises_within_an_incarnation, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(receipts_are_listed_by_point_and_site, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_sites_key_is_pinned_at_first_sight, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_site_whose_vault_was_made_anew_is_pinned_again, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_last_run_of_a_kind_is_found, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_verification_says_what_it_covered_until_its_site_is_forgotten, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_no_database_is_corrupt, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_page_is_found_when_the_journal_is_opened, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_was_returned_survives_the_death_of_the_process, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(threads_may_share_a_journal, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
