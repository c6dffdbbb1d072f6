/* Exclude patterns: what matches, what decides, what is refused. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/fsio/exclude.h"

static bool
excluded(const char *pattern, const char *path, bool is_dir)
{
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *ex = NULL;

	assert_int_equal(tk_exclude_new(&pattern, 1, &ex, NULL), TK_OK);
	return tk_exclude_match(ex, path, is_dir);
}

static void
a_bare_name_matches_at_any_depth(void **state)
{
	(void)state;
	assert_true(excluded("*.tmp", "a.tmp", false));
	assert_true(excluded("*.tmp", "srv/x/a.tmp", false));
	assert_false(excluded("*.tmp", "srv/a.tmp/x", false));
	assert_false(excluded("*.tmp", "a.tmpx", false));
	assert_true(excluded("core", "var/core", false));
	assert_false(excluded("core", "var/core2", false));
}

static void
a_leading_slash_anchors_and_an_inner_slash_does_not(void **state)
{
	(void)state;
	assert_true(excluded("/srv/tmp", "srv/tmp", true));
	assert_false(excluded("/srv/tmp", "x/srv/tmp", true));
	assert_true(excluded("cache/tmp", "srv/cache/tmp", true));
	assert_true(excluded("cache/tmp", "cache/tmp", true));
	assert_false(excluded("cache/tmp", "srv/mycache/tmp", true));
}

static void
stars_stay_within_a_component_and_double_stars_do_not(void **state)
{
	(void)state;
	assert_true(excluded("/a/*/c", "a/b/c", false));
	assert_false(excluded("/a/*/c", "a/b/b/c", false));
	assert_true(excluded("/a/**/c", "a/c", false));
	assert_true(excluded("/a/**/c", "a/b/b/c", false));
	assert_true(excluded("/a/**", "a/b", false));
	assert_false(excluded("/a/**", "a", true));
	assert_true(excluded("/a**b/c", "axxb/c", false));
	assert_false(excluded("/a**b/c", "ax/xb/c", false));
	assert_true(excluded("/**/x*y/**/z?", "q/xay/xby/k/z1", false));
	assert_true(excluded("/a/**/b*c/d", "a/bc/x/bxc/d", false));
}

static void
classes_and_escapes_mean_what_they_say(void **state)
{
	(void)state;
	assert_true(excluded("[a-c]x", "bx", false));
	assert_false(excluded("[!a-c]x", "bx", false));
	assert_true(excluded("[]x]y", "]y", false));
	assert_true(excluded("[\\]]y", "]y", false));
	assert_true(excluded("\\*x", "*x", false));
	assert_false(excluded("\\*x", "ax", false));
	assert_true(excluded("\\!x", "!x", false));
	assert_true(excluded("?", "\xff", false));
	assert_false(excluded("/a[!b]c", "a/c", false));
}

static void
the_last_match_decides_and_directories_can_be_meant_alone(void **state)
{
	static const char *const patterns[] = {"# a comment", "", "*.log", "!keep.log", "build/"};
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *ex = NULL;

	(void)state;
	assert_int_equal(tk_exclude_new(patterns, 5, &ex, NULL), TK_OK);
	assert_true(tk_exclude_match(ex, "var/x.log", false));
	assert_false(tk_exclude_match(ex, "var/keep.log", false));
	assert_true(tk_exclude_match(ex, "src/build", true));
	assert_false(tk_exclude_match(ex, "src/build", false));
	assert_false(tk_exclude_match(NULL, "x", false));
}

static void
many_stars_cost_no_exponential_time(void **state)
{
	char path[4096];

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_false(excluded("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", path, false));
	for (size_t i = 1; i < sizeof(path) - 1; i += 2)
		path[i] = '/';
	assert_false(excluded("/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", path, false));
}

static void
malformed_patterns_are_named(void **state)
{
	static const char *const bad[] = {"[abc", "x\\", "/", "!", "[", "[a-", "[\\"};
	struct tk_exclude *ex;
	struct tk_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tk_exclude_new(&bad[i], 1, &ex, &err), TK_ECONFIG);
		assert_null(ex);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bare_name_matches_at_any_depth),
		cmocka_unit_test(a_leading_slash_anchors_and_an_inner_slash_does_not),
		cmocka_unit_test(stars_stay_within_a_component_and_double_stars_do_not),
		cmocka_unit_test(classes_and_escapes_mean_what_they_say),
		cmocka_unit_test(the_last_match_decides_and_directories_can_be_meant_alone),
		cmocka_unit_test(many_stars_cost_no_exponential_time),
		cmocka_unit_test(malformed_patterns_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
