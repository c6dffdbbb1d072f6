/* The ack rule: when is a run protected, and when is a takeover clean? */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/vault/opening.h"
#include "policies/ack.h"

#define SITES_MAX 5

/* "L" a local site, "r" a remote one; '*' after it: marked. */
static size_t
sites_from(const char *text, struct tk_ack_site sites[SITES_MAX])
{
	size_t count = 0;

	for (; *text; text++)
		if (*text == '*')
			sites[count - 1].marked = true;
		else
			sites[count++] = (struct tk_ack_site){.name = "s", .local = *text == 'L'};
	return count;
}

static void
a_rule_is_met_by_the_receipts_it_names(void **state)
{
	static const struct {
		const char *sites;
		enum tk_ack_rule rule;
		bool met, safe;
		size_t missing;
	} rows[] = {
		{"", TK_ACK_ANY, false, false, 0},
		{"", TK_ACK_ALL, false, false, 0},
		{"L", TK_ACK_ALL_LOCAL, false, false, 1},
		{"L*", TK_ACK_ALL_LOCAL, true, true, 0},
		{"LLr", TK_ACK_ANY, false, false, 3},
		{"LLr*", TK_ACK_ANY, true, true, 0},
		{"L*Lr", TK_ACK_QUORUM, false, false, 2},
		{"L*Lr*", TK_ACK_QUORUM, true, true, 0},
		{"L*Lrr*", TK_ACK_QUORUM, false, true, 2},
		{"L*Lr", TK_ACK_ALL_LOCAL, false, false, 1},
		{"L*L*r", TK_ACK_ALL_LOCAL, true, true, 0},
		{"L*Lr*", TK_ACK_ALL_LOCAL, false, true, 1},
		{"LLr*", TK_ACK_ALL_LOCAL, false, false, 2},
		{"rr*", TK_ACK_ALL_LOCAL, false, true, 0},
		{"L*L*r", TK_ACK_ALL, false, true, 1},
		{"L*Lr", TK_ACK_ALL, false, false, 2},
		{"L*L*r*", TK_ACK_ALL, true, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tk_ack_site sites[SITES_MAX];
		size_t missing[SITES_MAX], count = sites_from(rows[i].sites, sites);

		assert_int_equal(tk_ack_is_met(rows[i].rule, sites, count), rows[i].met);
		assert_int_equal(tk_ack_is_safe(rows[i].rule, sites, count), rows[i].safe);
		assert_int_equal(tk_ack_missing(rows[i].rule, sites, count, missing), rows[i].missing);
	}
}

static void
a_takeover_is_clean_only_if_no_acknowledged_run_can_hide_from_it(void **state)
{
	static const struct {
		const char *fenced;
		enum tk_ack_rule rule;
		bool clean;
	} rows[] = {
		{"L*L*r", TK_ACK_ANY, false},
		{"L*L*r*", TK_ACK_ANY, true},
		{"LL*r*", TK_ACK_QUORUM, true},
		{"LLr*", TK_ACK_QUORUM, false},
		{"LL*r*", TK_ACK_ALL_LOCAL, true},
		{"LLr*", TK_ACK_ALL_LOCAL, false},  /* the city is lost: always forced */
		{"LLr*r*r*", TK_ACK_ALL_LOCAL, false},
		{"LL*r*", TK_ACK_ALL, true},
		{"LL*r", TK_ACK_ALL, false},        /* no majority */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tk_ack_site sites[SITES_MAX];
		size_t count = sites_from(rows[i].fenced, sites);

		assert_int_equal(tk_ack_takeover_is_clean(rows[i].rule, sites, count), rows[i].clean);
	}
}

/* For every set of up to five sites, every rule, every set of receipts R and fenced sites F. */
static void
what_was_acknowledged_is_seen_by_every_clean_takeover(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= SITES_MAX; n++)
		for (unsigned locals = 0; locals < 1u << n; locals++)
			for (unsigned receipts = 0; receipts < 1u << n; receipts++)
				for (unsigned fenced = 0; fenced < 1u << n; fenced++)
					for (int rule = TK_ACK_ANY; rule <= TK_ACK_ALL; rule++) {
						struct tk_ack_site got[SITES_MAX], shut[SITES_MAX];
						bool met, safe, clean;

						for (unsigned i = 0; i < n; i++) {
							got[i] = (struct tk_ack_site){"s", (locals >> i) & 1, (receipts >> i) & 1};
							shut[i] = (struct tk_ack_site){"s", (locals >> i) & 1, (fenced >> i) & 1};
						}
						met = tk_ack_is_met((enum tk_ack_rule)rule, got, n);
						safe = tk_ack_is_safe((enum tk_ack_rule)rule, got, n);
						clean = tk_ack_takeover_is_clean((enum tk_ack_rule)rule, shut, n);
						assert_true(!met || safe);
						assert_true(!safe || !clean || (receipts & fenced));
					}
}

/* The engine, which knows no rules, says the same of a set by its numbers. */
static void
compare_sets(enum tk_ack_rule rule, unsigned n, unsigned locals, unsigned chosen)
{
	struct tk_site_set set = {.count = n};
	struct tk_ack_site sites[SITES_MAX];
	bool of_set[SITES_MAX];
	struct tk_ack_fence fence;

	for (unsigned i = 0; i < n; i++) {
		of_set[i] = (chosen >> i) & 1;
		sites[i] = (struct tk_ack_site){"s", (locals >> i) & 1, of_set[i]};
	}
	fence = tk_ack_fence(rule, sites, n);
	set.least = fence.least;
	for (unsigned i = 0; i < n; i++)
		set.sites[i].counts = sites[i].local || !fence.locals_count;
	assert_int_equal(tk_site_set_suffices(&set, of_set), tk_ack_takeover_is_clean(rule, sites, n));
	assert_int_equal(tk_site_set_leaves_nothing(&set, of_set), tk_ack_asked_enough(rule, sites, n));
}

/* A fenced set is clean exactly when it is a majority, and the sites outside of it could not meet the rule. */
static void
a_fence_says_in_numbers_what_a_clean_takeover_needs(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= SITES_MAX; n++)
		for (unsigned locals = 0; locals < 1u << n; locals++)
			for (unsigned fenced = 0; fenced < 1u << n; fenced++)
				for (int rule = TK_ACK_ANY; rule <= TK_ACK_ALL; rule++) {
					struct tk_ack_site others[SITES_MAX];
					struct tk_ack_fence fence;
					size_t votes = 0, counting = 0;

					for (unsigned i = 0; i < n; i++) {
						others[i] = (struct tk_ack_site){"s", (locals >> i) & 1, !((fenced >> i) & 1)};
						votes += (fenced >> i) & 1;
					}
					fence = tk_ack_fence((enum tk_ack_rule)rule, others, n);
					for (unsigned i = 0; i < n; i++)
						counting += ((fenced >> i) & 1) && (others[i].local || !fence.locals_count);
					assert_int_equal(votes * 2 > n && counting >= fence.least,
							 votes * 2 > n && !tk_ack_is_met((enum tk_ack_rule)rule, others, n));
					compare_sets((enum tk_ack_rule)rule, n, locals, fenced);
				}
}

static void
missing_names_the_sites_that_would_help(void **state)
{
	struct tk_ack_site sites[SITES_MAX];
	size_t missing[SITES_MAX], count = sites_from("L*Lr", sites);

	(void)state;
	assert_int_equal(tk_ack_missing(TK_ACK_ALL_LOCAL, sites, count, missing), 1);
	assert_int_equal(missing[0], 1);
	assert_string_equal(tk_ack_rule_name(TK_ACK_ALL_LOCAL), "all-local");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_is_met_by_the_receipts_it_names),
		cmocka_unit_test(a_takeover_is_clean_only_if_no_acknowledged_run_can_hide_from_it),
		cmocka_unit_test(what_was_acknowledged_is_seen_by_every_clean_takeover),
		cmocka_unit_test(a_fence_says_in_numbers_what_a_clean_takeover_needs),
		cmocka_unit_test(missing_names_the_sites_that_would_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
