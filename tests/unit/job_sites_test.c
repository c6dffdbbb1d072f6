/* Runs over several sites of which one is away, full, slow, new, or lies. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

struct past {
	struct tk_head at[60];
	char *listing[60];
	size_t count;
};

static int
two_sites(void **state)
{
	struct dice dice = {11};
	struct job_box *box;

	if (job_setup(state))
		return -1;
	box = *state;
	job_add_sites(box, 2);
	box->receipts_wanted = 1;
	box->opts.spool_max_bytes = 1;
	tree_fill(box->tree, &dice);
	return 0;
}

/* A run that must succeed, with a receipt of each site for which `receipts` has its bit. */
static void
run(struct job_box *box, struct past *past, unsigned receipts)
{
	struct tk_err err;

	past->listing[past->count] = tree_list(box->tree, 1);
	if (job_backup(box, &err))
		fail_msg("backup: %s", err.text);
	past->at[past->count++] = box->result.point;
	for (size_t i = 0; i < box->site_count; i++)
		if (box->result.sites[i].has_receipt != ((receipts >> i & 1) == 1))
			fail_msg("site %zu: receipt %d: %s", i, box->result.sites[i].has_receipt, box->result.sites[i].failure.text);
}

/* Site `site` (1 ...) alone gives back every point. */
static void
check_all(struct job_box *box, const struct past *past, size_t site)
{
	size_t count = 0;

	free(job_points(box, site - 1, &count));
	assert_int_equal(count, past->count);
	for (size_t i = 0; i < past->count; i++)
		job_check_point(box, &past->at[i], past->listing[i], site);
}

static void
forget(struct past *past)
{
	for (size_t i = 0; i < past->count; i++)
		free(past->listing[i]);
}

static void
a_site_that_comes_late_gets_all_points_from_the_others(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {1};
	struct past past = {0};

	/* Two of three are wanted for the first epoch's votes. */
	job_add_sites(box, 3);
	atomic_store(&box->sites[1].plan.open_rc, TK_EUNREACH);
	for (int i = 0; i < 3; i++) {
		run(box, &past, 5);
		assert_true(box->result.ack_met);
		tree_edit(box->tree, &dice, 6);
	}
	atomic_store(&box->sites[1].plan.open_rc, TK_OK);
	run(box, &past, 7);
	check_all(box, &past, 2);
	forget(&past);
}

static void
two_late_sites_catch_up_side_by_side(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {2};
	struct past past = {0};

	job_add_sites(box, 3);
	atomic_store(&box->sites[1].plan.open_rc, TK_EUNREACH);
	/* Two of three are wanted for the first epoch's votes. */
	atomic_store(&box->sites[2].plan.put_rc, TK_ENOSPC);
	for (int i = 0; i < 3; i++) {
		run(box, &past, 1);
		tree_edit(box->tree, &dice, 6);
	}
	atomic_store(&box->sites[1].plan.open_rc, TK_OK);
	atomic_store(&box->sites[2].plan.put_rc, TK_OK);
	run(box, &past, 7);
	check_all(box, &past, 2);
	check_all(box, &past, 3);
	forget(&past);
}

/* The first site asked for a pack does not have it either. */
static void
a_site_gets_what_only_the_last_of_the_others_has(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {3};
	struct past past = {0};

	job_add_sites(box, 3);
	for (size_t i = 0; i < 2; i++)
		atomic_store(&box->sites[i].plan.put_rc, TK_ENOSPC);
	for (int i = 0; i < 3; i++) {
		run(box, &past, 4);
		tree_edit(box->tree, &dice, 6);
	}
	atomic_store(&box->sites[0].plan.put_rc, TK_OK);
	run(box, &past, 5);
	check_all(box, &past, 1);
	forget(&past);
}

static void
sites_that_lack_the_last_point_hold_up_no_run(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {8};
	struct past past = {0};

	job_add_sites(box, 3);
	run(box, &past, 7);
	/* Only the first site gets the second point, and then it is away. */
	for (size_t i = 1; i < 3; i++)
		atomic_store(&box->sites[i].plan.open_rc, TK_EUNREACH);
	tree_edit(box->tree, &dice, 6);
	run(box, &past, 1);
	for (size_t i = 0; i < 3; i++)
		atomic_store(&box->sites[i].plan.open_rc, i == 0 ? TK_EUNREACH : TK_OK);
	tree_edit(box->tree, &dice, 6);
	run(box, &past, 6);
	job_check_point(box, &past.at[2], past.listing[2], 2);
	job_check_point(box, &past.at[2], past.listing[2], 3);
	atomic_store(&box->sites[0].plan.open_rc, TK_OK);
	tree_edit(box->tree, &dice, 6);
	run(box, &past, 7);
	check_all(box, &past, 1);
	forget(&past);
}

static void
one_site_failing_in_any_way_leaves_the_run_to_the_other(void **state)
{
	static const enum tk_rc failures[] = {TK_ENOSPC, TK_EUNREACH, TK_ETIMEOUT, TK_EIO, TK_ECORRUPT, TK_EDENIED};
	struct job_box *box = *state;
	struct fault_plan *plan = &box->sites[0].plan;
	struct dice dice = {3};
	struct past past = {0};

	box->opts.pack_plain_bytes = 6000;
	run(box, &past, 3);
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		/* Bytes that no point has: several packs. */
		job_shell(box, "head -c 30000 /dev/urandom >\"$1/fresh\"");
		if (i % 2) {
			atomic_store(&plan->publish_rc, failures[i]);
		} else {
			atomic_store(&plan->put_after, atomic_load(&plan->puts) + (unsigned)i / 2);
			atomic_store(&plan->put_rc, failures[i]);
		}
		run(box, &past, 2);
		assert_int_equal(box->result.sites[0].failure.rc, failures[i]);
		atomic_store(&plan->put_rc, TK_OK);
		atomic_store(&plan->publish_rc, TK_OK);
		tree_edit(box->tree, &dice, 3);
		run(box, &past, 3);
	}
	check_all(box, &past, 1);
	check_all(box, &past, 2);
	forget(&past);
}

static void
with_no_site_taking_it_nothing_is_claimed_and_nothing_forks(void **state)
{
	static const enum tk_rc failures[] = {TK_ENOSPC, TK_EUNREACH, TK_ECORRUPT};
	struct job_box *box = *state;
	struct dice dice = {4};
	struct past past = {0};

	run(box, &past, 3);
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct tk_err err;
		size_t count = 0;

		tree_write(scratch_path(box->scratch, "tree/fresh", (char[128]){0}, 128), &dice, 30000 + i);
		for (size_t k = 0; k < 2; k++)
			atomic_store(&box->sites[k].plan.publish_rc, failures[i]);
		assert_int_not_equal(job_backup(box, &err), TK_OK);
		assert_false(box->result.ack_met);
		for (size_t k = 0; k < 2; k++)
			atomic_store(&box->sites[k].plan.publish_rc, TK_OK);
		past.listing[past.count] = tree_list(box->tree, 1);
		past.at[past.count++] = box->result.point;
		tree_edit(box->tree, &dice, 3);
		/* What was journaled goes out first, then the new point. */
		run(box, &past, 3);
		free(job_points(box, 0, &count));
		assert_int_equal(count, past.count);
	}
	check_all(box, &past, 1);
	check_all(box, &past, 2);
	forget(&past);
}

/* Whichever call finds the connection broken, and whether the site still did what it was asked or not, the run goes on with that site over a new one. */
static void
a_connection_that_breaks_costs_the_run_no_site(void **state)
{
	struct job_box *box = *state;
	struct fault_plan *plan = &box->sites[1].plan;
	struct dice dice = {6};
	struct past past = {0};
	unsigned broken = 0;

	box->opts.reconnect_ms = 20000;
	box->receipts_wanted = 2;
	run(box, &past, 3);
	for (int late = 0; late < 2; late++) {
		atomic_store(&plan->break_late, late == 1);
		/* The first call is that of the opening: who does not answer then is away. */
		for (unsigned at = 2;; at++) {
			tree_edit(box->tree, &dice, 6);
			atomic_store(&plan->calls, 0);
			atomic_store(&plan->break_at, at);
			run(box, &past, 3);
			assert_true(box->result.ack_met);
			if (atomic_load(&plan->calls) < at)
				break;
			broken++;
		}
	}
	/* A pack, a flush and a publish at least, and that the promise still stands, each before and after. */
	assert_true(broken >= 8);
	check_all(box, &past, 2);
	forget(&past);
}

static void
without_reconnecting_a_connection_that_breaks_costs_the_site(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {7};
	struct past past = {0};

	run(box, &past, 3);
	tree_edit(box->tree, &dice, 6);
	atomic_store(&box->sites[1].plan.calls, 0);
	atomic_store(&box->sites[1].plan.break_at, 3);
	run(box, &past, 1);
	assert_int_equal(box->result.sites[1].failure.rc, TK_EUNREACH);
	atomic_store(&box->sites[1].plan.break_at, 0);
	run(box, &past, 3);
	forget(&past);
}

static void
a_receipt_signed_by_another_key_does_not_count(void **state)
{
	struct job_box *box = *state;
	struct past past = {0};

	atomic_store(&box->sites[0].plan.forge, true);
	run(box, &past, 2);
	assert_int_equal(box->result.sites[0].failure.rc, TK_EDENIED);
	atomic_store(&box->sites[0].plan.forge, false);
	run(box, &past, 3);
	forget(&past);
}

static void
a_slow_site_is_not_waited_for_once_the_rule_is_met(void **state)
{
	struct job_box *box = *state;
	struct past past = {0};

	box->opts.linger_ms = 1;
	box->opts.spool_grace_ms = 1;
	atomic_store(&box->sites[1].plan.delay_ms, 400);
	run(box, &past, 1);
	assert_true(box->result.elapsed_ns < 4000000000);
	atomic_store(&box->sites[1].plan.delay_ms, 0);
	box->opts.linger_ms = 20000;
	run(box, &past, 3);
	check_all(box, &past, 2);
	forget(&past);
}

static void
a_vault_made_anew_is_not_taken_for_the_old_one(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {5};
	struct past past = {0};

	run(box, &past, 3);
	job_close(box);
	job_shell(box, "rm -rf \"$4/s1\"");
	assert_int_equal(tk_vault_create(box->sites[1].path, "s1", NULL), TK_OK);
	tree_edit(box->tree, &dice, 4);
	run(box, &past, 1);
	assert_int_equal(box->result.sites[1].failure.rc, TK_EDENIED);
	check_all(box, &past, 1);
	forget(&past);
}

static void
a_restore_goes_on_with_the_other_site(void **state)
{
	struct job_box *box = *state;
	struct past past = {0};

	run(box, &past, 3);
	atomic_store(&box->sites[0].plan.flip, true);
	job_check_point(box, &past.at[0], past.listing[0], 0);
	atomic_store(&box->sites[0].plan.flip, false);
	atomic_store(&box->sites[1].plan.get_rc, TK_EUNREACH);
	job_check_point(box, &past.at[0], past.listing[0], 0);
	atomic_store(&box->sites[1].plan.get_rc, TK_EMISSING);
	job_check_point(box, &past.at[0], past.listing[0], 0);
	forget(&past);
}

/* Restores the point with so much delay before each read at the two sites; how many reads each got. */
static void
count_gets(struct job_box *box, const struct past *past, const unsigned delay_ms[2], unsigned gets[2])
{
	for (size_t i = 0; i < 2; i++) {
		atomic_store(&box->sites[i].plan.get_delay_ms, delay_ms[i]);
		atomic_store(&box->sites[i].plan.gets, 0);
	}
	job_check_point(box, &past->at[0], past->listing[0], 0);
	for (size_t i = 0; i < 2; i++)
		gets[i] = atomic_load(&box->sites[i].plan.gets);
}

static void
reads_are_shared_by_how_fast_each_site_answers(void **state)
{
	struct job_box *box = *state;
	struct dice dice = {12};
	struct past past = {0};
	unsigned gets[2];
	char path[160];

	/* Many packs: the first reads of all threads go out before any site has shown how fast it is. */
	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(path, sizeof(path), "%s/more%u", box->tree, i);
		tree_write(path, &dice, 60000);
	}
	run(box, &past, 3);
	count_gets(box, &past, (const unsigned[]){20, 20}, gets);
	assert_true(gets[0] > 0 && gets[1] > 0);
	count_gets(box, &past, (const unsigned[]){2, 200}, gets);
	assert_in_range(gets[1], 1, gets[0] / 2);
	count_gets(box, &past, (const unsigned[]){200, 2}, gets);
	assert_in_range(gets[0], 1, gets[1] / 2);
	forget(&past);
}

static void
damaged_bytes_are_never_restored(void **state)
{
	struct job_box *box = *state;
	struct past past = {0};
	char target[128];
	struct job_restore how = {.target = scratch_path(box->scratch, "bad", target, sizeof(target)), .only_site = 1};
	struct tk_restore_result result;
	struct tk_err err;
	enum tk_rc rc;

	run(box, &past, 3);
	atomic_store(&box->sites[0].plan.flip, true);
	rc = job_restore(box, &past.at[0], &how, &result, &err);
	assert_true(rc == TK_ECORRUPT || (!rc && !result.verified && result.damaged));
	forget(&past);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_site_that_comes_late_gets_all_points_from_the_others, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(two_late_sites_catch_up_side_by_side, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_site_gets_what_only_the_last_of_the_others_has, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(sites_that_lack_the_last_point_hold_up_no_run, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(one_site_failing_in_any_way_leaves_the_run_to_the_other, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(with_no_site_taking_it_nothing_is_claimed_and_nothing_forks, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_breaks_costs_the_run_no_site, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(without_reconnecting_a_connection_that_breaks_costs_the_site, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_receipt_signed_by_another_key_does_not_count, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_slow_site_is_not_waited_for_once_the_rule_is_met, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_vault_made_anew_is_not_taken_for_the_old_one, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(a_restore_goes_on_with_the_other_site, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(reads_are_shared_by_how_fast_each_site_answers, two_sites, job_teardown),
		cmocka_unit_test_setup_teardown(damaged_bytes_are_never_restored, two_sites, job_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
