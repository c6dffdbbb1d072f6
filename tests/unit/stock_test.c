/* What may leave a full spool, and when a run that waits for it gives up. */
#include "tests/unit/unit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job/stock.h"
#include "tests/unit/scratch.h"

#define SITES 3
#define PACK_BYTES 1000

struct bench {
	struct tk_spool *spool;
	struct tk_stock *stock;
	struct tk_site sites[SITES];
	size_t rule;                          /* sites that the ack rule wants */
	size_t presses;
	struct tk_err failure;
};

static void
judge(void *ctx, const bool *has, size_t count, bool *met, bool *safe)
{
	const struct bench *bench = ctx;
	size_t have = 0;

	for (size_t i = 0; i < count; i++)
		have += has[i];
	*met = *safe = have >= bench->rule;
}

static void
press(void *ctx)
{
	struct bench *bench = ctx;

	bench->presses++;
}

static struct bench
begin(const struct scratch *scratch, size_t rule)
{
	static const char *const names[SITES] = {"a", "b", "c"};
	struct bench bench = {.rule = rule};
	struct tk_id domain = {{1}};

	for (size_t i = 0; i < SITES; i++)
		bench.sites[i].name = names[i];
	(void)tk_err_set(&bench.failure, TK_EUNREACH, "it is gone");
	assert_int_equal(tk_spool_open(scratch->path, &domain, &bench.spool, NULL), TK_OK);
	return bench;
}

/* Apart from begin: the stock borrows what is in the bench. */
static void
open_stock(struct bench *bench, uint64_t max_bytes)
{
	struct tk_stock_opts opts = {.sites = bench->sites, .site_count = SITES, .spool = bench->spool, .max_bytes = max_bytes, .grace_ms = 20, .wait_ms = 60,
				     .judge = judge, .judge_ctx = bench, .press = press, .press_ctx = bench};

	assert_int_equal(tk_stock_new(&opts, &bench->stock, NULL), TK_OK);
	for (size_t i = 0; i < SITES; i++)
		tk_stock_site_up(bench->stock, i);
}

static void
end(struct bench *bench)
{
	tk_stock_cleanup(&bench->stock);
	tk_spool_cleanup(&bench->spool);
}

static size_t
put(struct bench *bench, enum tk_stock_kind kind, uint8_t number)
{
	static const char bytes[PACK_BYTES];
	struct tk_pack_name name = {{number}};
	size_t item = SIZE_MAX;
	int fd = -1;

	assert_int_equal(tk_spool_create(bench->spool, &name, &fd, NULL), TK_OK);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), PACK_BYTES);
	assert_int_equal(tk_spool_complete(bench->spool, &name, fd, NULL), TK_OK);
	close(fd);
	assert_int_equal(tk_stock_add(bench->stock, kind, &name, PACK_BYTES, &item, NULL), TK_OK);
	return item;
}

static bool
is_here(struct bench *bench, size_t item)
{
	struct tk_pack_name name;
	uint64_t len;
	int fd = -1;
	bool here = tk_stock_is_here(bench->stock, item, &name), there = tk_spool_read(bench->spool, &name, &fd, &len, NULL) == TK_OK;

	if (fd >= 0)
		close(fd);
	assert_int_equal(here, there);
	return here;
}

static void
hold(struct bench *bench, size_t item, const char *sites)
{
	for (; *sites; sites++)
		tk_stock_held(bench->stock, (size_t)(*sites - 'a'), &item, 1);
}

static void
nothing_leaves_a_spool_that_is_not_full(void **state)
{
	struct bench bench = begin(*state, 1);
	size_t item;

	open_stock(&bench, 2 * PACK_BYTES);
	item = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, item, "abc");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	(void)put(&bench, TK_STOCK_NEW, 2);
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_true(is_here(&bench, item));
	assert_int_equal(bench.presses, 0);
	end(&bench);
}

static void
the_oldest_that_all_hold_leaves_first_and_is_noted(void **state)
{
	struct bench bench = begin(*state, 1);
	struct tk_pack_name *away = NULL;
	size_t item[3], count = 0;

	open_stock(&bench, 2 * PACK_BYTES);
	for (uint8_t i = 0; i < 3; i++)
		item[i] = put(&bench, TK_STOCK_NEW, i);
	hold(&bench, item[1], "abc");
	hold(&bench, item[2], "abc");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_true(is_here(&bench, item[0]) && !is_here(&bench, item[1]) && is_here(&bench, item[2]));
	assert_int_equal(tk_spool_list_away(bench.spool, &away, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_int_equal(away[0].b[0], 1);
	free(away);
	end(&bench);
}

static void
a_pack_that_too_few_hold_stays_and_the_wait_names_the_site(void **state)
{
	struct bench bench = begin(*state, 2);
	struct tk_err err;
	size_t item;

	open_stock(&bench, 1);
	item = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, item, "a");
	assert_int_equal(tk_stock_wait_room(bench.stock, &err), TK_ETIMEOUT);
	assert_non_null(strstr(err.text, "waited for site b, c;"));
	assert_true(is_here(&bench, item));
	assert_int_equal(bench.presses, 1);
	end(&bench);
}

static void
a_slow_site_is_left_behind_once_the_rule_is_met_and_not_waited_for_again(void **state)
{
	struct bench bench = begin(*state, 2);
	size_t first, second;

	open_stock(&bench, 1);
	first = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, first, "ab");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_false(is_here(&bench, first));
	assert_int_equal(bench.presses, 1);
	second = put(&bench, TK_STOCK_NEW, 2);
	hold(&bench, second, "ab");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_false(is_here(&bench, second));
	assert_int_equal(bench.presses, 1);
	end(&bench);
}

static void
when_the_rule_is_out_of_reach_every_site_in_reach_must_hold_a_pack(void **state)
{
	struct bench bench = begin(*state, 3);
	size_t item;

	open_stock(&bench, 1);
	tk_stock_site_down(bench.stock, 2, &bench.failure);
	item = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, item, "a");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_ETIMEOUT);
	hold(&bench, item, "b");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_false(is_here(&bench, item));
	end(&bench);
}

static void
what_only_failed_sites_hold_does_not_leave(void **state)
{
	struct bench bench = begin(*state, 1);
	size_t item;

	open_stock(&bench, 1);
	item = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, item, "a");
	tk_stock_site_down(bench.stock, 0, &bench.failure);
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_ETIMEOUT);
	assert_true(is_here(&bench, item));
	assert_int_equal(tk_stock_check(bench.stock, NULL), TK_OK);
	end(&bench);
}

static void
the_failure_of_the_last_holder_of_a_pack_ends_the_run(void **state)
{
	struct bench bench = begin(*state, 1);
	struct tk_err err;
	size_t item;

	open_stock(&bench, 1);
	item = put(&bench, TK_STOCK_NEW, 1);
	hold(&bench, item, "ab");
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	tk_stock_site_down(bench.stock, 0, &bench.failure);
	assert_int_equal(tk_stock_check(bench.stock, NULL), TK_OK);
	tk_stock_site_down(bench.stock, 1, &bench.failure);
	assert_int_equal(tk_stock_check(bench.stock, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "site b: it is gone"));
	(void)put(&bench, TK_STOCK_NEW, 2);
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_EUNREACH);
	end(&bench);
}

static void
without_any_site_a_full_spool_ends_the_run_at_once(void **state)
{
	struct bench bench = begin(*state, 1);
	struct tk_err err;

	open_stock(&bench, 1);
	(void)put(&bench, TK_STOCK_NEW, 1);
	for (size_t i = 0; i < SITES; i++)
		tk_stock_site_down(bench.stock, i, &bench.failure);
	assert_int_equal(tk_stock_wait_room(bench.stock, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "no site is left to send to: site c: it is gone"));
	end(&bench);
}

static void
packs_of_stored_points_leave_before_any_of_this_run(void **state)
{
	struct bench bench = begin(*state, 1);
	size_t kept, fresh, old;

	open_stock(&bench, 2 * PACK_BYTES);
	kept = put(&bench, TK_STOCK_KEPT, 1);
	fresh = put(&bench, TK_STOCK_NEW, 2);
	hold(&bench, fresh, "abc");
	old = put(&bench, TK_STOCK_OLD, 3);
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_true(is_here(&bench, kept) && is_here(&bench, fresh) && !is_here(&bench, old));
	tk_stock_set_kind(bench.stock, kept, TK_STOCK_OLD);
	tk_stock_trim(bench.stock, PACK_BYTES + 1);
	assert_false(is_here(&bench, kept));
	end(&bench);
}

static void
a_leftover_is_sent_once_used_or_when_room_is_needed(void **state)
{
	struct bench bench = begin(*state, 1);
	size_t used, unused, found = SIZE_MAX;

	open_stock(&bench, 0);
	used = put(&bench, TK_STOCK_KEPT, 1);
	unused = put(&bench, TK_STOCK_KEPT, 2);
	assert_false(tk_stock_next_unsent(bench.stock, &found));
	tk_stock_set_kind(bench.stock, used, TK_STOCK_LEFT);
	tk_stock_set_kind(bench.stock, unused, TK_STOCK_LEFT);
	assert_true(tk_stock_use(bench.stock, used));
	assert_false(tk_stock_use(bench.stock, used));
	assert_true(tk_stock_next_unsent(bench.stock, &found));
	assert_int_equal(found, unused);
	assert_false(tk_stock_next_unsent(bench.stock, &found));
	assert_true(tk_stock_is_used(bench.stock, used) && !tk_stock_is_used(bench.stock, unused));
	end(&bench);
}

static void
a_pack_at_sites_is_built_on_only_if_enough_hold_it(void **state)
{
	struct bench bench = begin(*state, 2);
	struct tk_pack_name name = {{9}};
	const bool one[SITES] = {true}, two[SITES] = {true, false, true};
	size_t item = SIZE_MAX;

	open_stock(&bench, 0);
	assert_int_equal(tk_stock_add_away(bench.stock, &name, 5, one, &item, NULL), TK_EMISSING);
	assert_int_equal(tk_stock_add_away(bench.stock, &name, 5, two, &item, NULL), TK_OK);
	tk_stock_site_down(bench.stock, 0, &bench.failure);
	tk_stock_site_down(bench.stock, 2, &bench.failure);
	assert_int_equal(tk_stock_check(bench.stock, NULL), TK_OK);
	assert_false(tk_stock_use(bench.stock, item));
	assert_int_equal(tk_stock_check(bench.stock, NULL), TK_EUNREACH);
	end(&bench);
}

static void
a_full_disk_lowers_the_bound_until_nothing_is_left(void **state)
{
	struct bench bench = begin(*state, 1);
	size_t first, second;

	open_stock(&bench, 0);
	first = put(&bench, TK_STOCK_NEW, 1);
	second = put(&bench, TK_STOCK_NEW, 2);
	hold(&bench, first, "abc");
	hold(&bench, second, "abc");
	assert_int_equal(tk_stock_wait_less(bench.stock, NULL), TK_OK);
	assert_true(!is_here(&bench, first) && is_here(&bench, second));
	assert_int_equal(tk_stock_wait_room(bench.stock, NULL), TK_OK);
	assert_true(is_here(&bench, second));
	assert_int_equal(tk_stock_wait_less(bench.stock, NULL), TK_OK);
	assert_int_equal(tk_stock_wait_less(bench.stock, NULL), TK_ENOSPC);
	end(&bench);
}

static void
sites_flush_in_pieces_once_the_spool_is_half_full(void **state)
{
	struct bench bench = begin(*state, 1);

	open_stock(&bench, 8 * PACK_BYTES);
	for (uint8_t i = 0; i < 4; i++)
		(void)put(&bench, TK_STOCK_NEW, i);
	assert_false(tk_stock_wants_flush(bench.stock, 4 * PACK_BYTES));
	(void)put(&bench, TK_STOCK_NEW, 4);
	assert_true(tk_stock_wants_flush(bench.stock, PACK_BYTES));
	assert_false(tk_stock_wants_flush(bench.stock, PACK_BYTES - 1));
	end(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_leaves_a_spool_that_is_not_full, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_oldest_that_all_hold_leaves_first_and_is_noted, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_pack_that_too_few_hold_stays_and_the_wait_names_the_site, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_slow_site_is_left_behind_once_the_rule_is_met_and_not_waited_for_again, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(when_the_rule_is_out_of_reach_every_site_in_reach_must_hold_a_pack, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_only_failed_sites_hold_does_not_leave, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_failure_of_the_last_holder_of_a_pack_ends_the_run, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(without_any_site_a_full_spool_ends_the_run_at_once, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(packs_of_stored_points_leave_before_any_of_this_run, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_leftover_is_sent_once_used_or_when_room_is_needed, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_pack_at_sites_is_built_on_only_if_enough_hold_it, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_lowers_the_bound_until_nothing_is_left, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(sites_flush_in_pieces_once_the_spool_is_half_full, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
