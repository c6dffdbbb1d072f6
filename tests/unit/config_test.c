/* The configuration: what is read, and how mistakes are named. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policies/settings.h"

#define GOOD_SITE "site a { url = \"dir:/vault\"\n local = true }\n"
#define GOOD_DATASET "dataset d { paths = { \"/data\" } }\n"

static enum tk_rc
parse(const char *text, struct tk_config **cfg, struct tk_mistakes *mistakes, struct tk_err *err)
{
	tk_err_clear(err);
	return tk_config_parse(text, strlen(text), "/home/twinkeep.conf", cfg, mistakes, err);
}

static void
a_full_configuration_is_read(void **state)
{
	static const char text[] =
		"# a comment\nsource = city-a /* another */\nspool_max = 10G\nlog_level = debug\n"
		"site a { url = \"tk://[::1]:7443\"\n city = \"East\" local = yes io_timeout = 2min }\n"
		"site b { url = 'dir:/srv/vault' enabled = false }\n"
		"policy fast { ack = any level = 1 window = \"22:00-06:00\" keep { daily = 5 min_age = \"2 weeks\" } }\n"
		"dataset d { id = 000102030405060708090a0b0c0d0e0f paths = { /a, \"/b c/\" }\n policy = fast sites = { a } exclude = {\"*.o\"} }\n"
		"dataset e { paths = {/e} }\n";
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_err err;

	(void)state;
	if (parse(text, &cfg, NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(cfg->source, "city-a");
	assert_string_equal(cfg->state_dir, "/home/state");
	assert_true(cfg->spool_max_bytes == UINT64_C(10) << 30);
	assert_int_equal(cfg->log_level, TK_LOG_DEBUG);
	assert_int_equal(cfg->site_count, 2);
	assert_int_equal(cfg->sites[0].url.kind, TK_SITE_DAEMON);
	assert_string_equal(cfg->sites[0].url.host, "::1");
	assert_int_equal(cfg->sites[0].url.port, 7443);
	assert_true(cfg->sites[0].io_timeout_ms == 120000);
	assert_true(cfg->sites[0].local && cfg->sites[0].enabled && !cfg->sites[1].enabled);
	assert_string_equal(cfg->sites[1].url.path, "/srv/vault");
	assert_int_equal(cfg->datasets[0].paths.count, 2);
	assert_string_equal(cfg->datasets[0].paths.items[1], "/b c");
	assert_int_equal(cfg->datasets[0].domain_id[15], 15);
	assert_int_equal(cfg->datasets[0].sites.count, 1);
	assert_int_equal(cfg->datasets[0].policy->ack, TK_ACK_ANY);
	assert_int_equal(cfg->datasets[0].policy->window.start_minute, 22 * 60);
	assert_int_equal(cfg->datasets[0].policy->keep.daily, 5);
	assert_int_equal(cfg->datasets[0].policy->keep.monthly, 12);
	assert_true(cfg->datasets[0].policy->keep.min_age_ms == INT64_C(14) * 86400 * 1000);
	assert_string_equal(cfg->datasets[1].policy->name, "default");
	assert_int_equal(cfg->datasets[1].sites.count, 2);
	assert_int_equal(cfg->datasets[1].policy->keep.daily, 14);
	assert_true(cfg->datasets[1].policy->rpo_ms == INT64_C(86400) * 1000);
}

static void
every_mistake_names_its_line_and_what_to_write(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *part;
	} rows[] = {
		{GOOD_SITE GOOD_DATASET "spool_max = 10G apples", 4, "\"apples\" is not a key here; remove it"},
		{GOOD_SITE GOOD_DATASET "spool_max = 10X", 4, "\"10X\" is not a size; write a whole number with K, M, G or T"},
		{GOOD_SITE GOOD_DATASET "spool_max = 1K", 4, "too small; write more, such as 20G"},
		{GOOD_SITE GOOD_DATASET "spol_max = 10G", 4, "\"spol_max\" is not a key here; write spool_max"},
		{GOOD_SITE GOOD_DATASET "polcy p { }", 4, "write policy"},
		{GOOD_SITE GOOD_DATASET "policy p {\n ack = most\n}", 5, "ack cannot be \"most\"; write one of any|quorum|all-local|all"},
		{GOOD_SITE GOOD_DATASET "policy p {\n rpo = 5\n}", 5, "rpo: \"5\" is not a duration; write a number and a unit"},
		{GOOD_SITE GOOD_DATASET "policy p {\n level = 3\n\n level = 4\n}", 7, "level is given twice, first in line 5; keep one"},
		{GOOD_SITE GOOD_DATASET "policy p {\n acck = any\n}", 5, "\"acck\" is not a key of policy; write ack"},
		{GOOD_SITE GOOD_DATASET GOOD_DATASET, 4, "a second section has the name \"d\"; give each its own"},
		{GOOD_SITE "dataset d { paths = { \"data\" } }", 3, "paths: \"data\" is a relative path; write it from the root"},
		{GOOD_SITE "dataset d { paths = { \"/a/../b\" } }", 3, "has an empty part, . or .."},
		{GOOD_SITE "dataset d { paths = { /a, /a/b } }", 3, "/a/b is inside /a; keep the outer path only"},
		{GOOD_SITE "\ndataset d {\n}", 5, "dataset d has no paths; write paths = "},
		{GOOD_SITE "dataset d {\n paths = { /a }\n policy = gold\n}", 5, "there is no policy \"gold\"; define it"},
		{GOOD_SITE "policy gold { }\ndataset d {\n paths = { /a }\n policy = golf\n}", 6, "there is no policy \"golf\"; write gold"},
		{GOOD_SITE "dataset d {\n paths = { /a }\n sites = { a, bb }\n}", 5, "there is no site \"bb\""},
		{"site a { url = \"http://x\" }\n" GOOD_DATASET, 1, "is not a site: it begins with neither dir: nor tk://; write"},
		{"site a { url = \"tk://host\" }\n" GOOD_DATASET, 1, "it has no port; write"},
		{"site a { url = \"tk://::1:70\" }\n" GOOD_DATASET, 1, "an IPv6 address stands in brackets; write"},
		{"site a { url = \"tk://h:70000\" }\n" GOOD_DATASET, 1, "the port is not a number from 1 to 65535"},
		{"site a { url = \"dir:vault\" }\n" GOOD_DATASET, 1, "the path is not absolute"},
		{"site a { local = true }\n" GOOD_DATASET, 1, "site a has no url; write"},
		{GOOD_SITE "site b { url = \"dir:/vault\" }\n" GOOD_DATASET, 3, "site b has the url of site a"},
		{"site \"a b\" { url = \"dir:/v\" local = true }\n" GOOD_DATASET, 1, "\"a b\" is not a name; write letters"},
		{"source = x\n" GOOD_DATASET, 1, "there is no site; write site NAME"},
		{GOOD_SITE, 1, "there is no dataset; write dataset NAME"},
		{"site a { url = \"dir:/vault\" }\n" GOOD_DATASET, 2, "wants ack = all-local (policy default), but none of its sites is local; write local = true"},
		{GOOD_SITE GOOD_DATASET "include(\"nowhere.conf\")", 4, "nowhere.conf: No such file or directory; name a file beside this one"},
		{GOOD_SITE GOOD_DATASET "policy p { level = 3", 4, "the file ends inside a policy section; write } where"},
		{"# one\n// two\n/* three\n * four */ # five\n" GOOD_SITE GOOD_DATASET "# it's\npassphrase_command = \"a # /* b\" # c\npolcy p { }", 10, "write policy"},
		{GOOD_SITE GOOD_DATASET "/* x", 4, "a comment is not closed"},
		{GOOD_SITE GOOD_DATASET "source = \"x", 4, "premature end of file; close every"},
		{GOOD_SITE GOOD_DATASET "source = 'x", 4, "unterminated string constant; close every quote"},
		{GOOD_SITE GOOD_DATASET "}", 4, "unexpected closing brace; remove it"},
		{GOOD_SITE GOOD_DATASET "source city", 4, "missing equal sign after option 'source'; write KEY = VALUE"},
		{GOOD_SITE "dataset d { paths = { /a } id = 12 }\n", 3, "id cannot be \"12\"; write the 32 hexadecimal digits"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
		struct tk_mistakes mistakes;
		struct tk_err err;
		char begin[64];

		if (parse(rows[i].text, &cfg, &mistakes, &err) != TK_ECONFIG)
			fail_msg("row %zu was taken for good", i);
		snprintf(begin, sizeof(begin), "/home/twinkeep.conf:%u: ", rows[i].line);
		if (strncmp(err.text, begin, strlen(begin)) != 0 || !strstr(err.text, rows[i].part))
			fail_msg("row %zu: wanted \"%s...%s\", got \"%s\"", i, begin, rows[i].part, err.text);
		assert_true(strchr(err.text, ';') != NULL);
		tk_mistakes_release(&mistakes);
	}
}

static void
several_mistakes_are_found_in_one_reading(void **state)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_mistakes mistakes;
	struct tk_err err;

	(void)state;
	assert_int_equal(parse("threads = many\nspool_max = 1Q\nsite a { url = x }\n" GOOD_DATASET, &cfg, &mistakes, &err), TK_ECONFIG);
	assert_int_equal(mistakes.count, 4);
	assert_int_equal(mistakes.items[1].line, 2);
	assert_non_null(strstr(err.text, "(and 3 more)"));
	assert_null(cfg);
	tk_mistakes_release(&mistakes);
}

static void
unknown_keys_and_sections_hide_no_other_mistake(void **state)
{
	static const char text[] = "thread = 4\nsorce = { \"a } b\", 'c' }\n# spol_max\n" GOOD_SITE
		"polcy p {\n ack = any\n keep { daily = 1 }\n}\n"
		"policy q {\n keep {\n  dayly = 3\n  weekly = x\n }\n site a { url = x }\n acck += all\n include(\"x\")\n}\n"
		GOOD_DATASET "includ(\"x\", y)\nthreads = 0x\ndataset e { paths = { /e } policy = none }\n";
	static const struct {
		unsigned line;
		const char *part;
	} wanted[] = {
		{1, "\"thread\" is not a key here; write threads"}, {2, "\"sorce\" is not a key here; write source"}, {6, "\"polcy\" is not a key here; write policy"},
		{12, "\"dayly\" is not a key of keep; write daily"}, {13, "weekly cannot be"}, {15, "\"site\" is not a key of policy"},
		{16, "\"acck\" is not a key of policy; write ack"}, {17, "\"include\" is not a key of policy"}, {20, "\"includ\" is not a key here; write include"},
		{21, "threads cannot be"}, {22, "there is no policy \"none\""},
	};
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_mistakes mistakes;
	struct tk_err err;

	(void)state;
	assert_int_equal(parse(text, &cfg, &mistakes, &err), TK_ECONFIG);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (i >= mistakes.count || mistakes.items[i].line != wanted[i].line || !strstr(mistakes.items[i].text, wanted[i].part))
			fail_msg("mistake %zu of %zu: wanted line %u: %s, got line %u: %s", i, mistakes.count, wanted[i].line, wanted[i].part,
				 i < mistakes.count ? mistakes.items[i].line : 0, i < mistakes.count ? mistakes.items[i].text : "none");
	}
	assert_int_equal(mistakes.count, sizeof(wanted) / sizeof(wanted[0]));
	tk_mistakes_release(&mistakes);
}

/* The scanner of the library is one for the process. */
static void
a_broken_file_does_not_spoil_the_next_reading(void **state)
{
	static const char *const broken[] = {"source = \"x", "source = 'x", "/* x", "site a {", "include(\"/dev/null\")}"};
	struct tk_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL, *good = NULL;

		assert_int_equal(parse(broken[i], &cfg, NULL, &err), TK_ECONFIG);
		if (parse(GOOD_SITE GOOD_DATASET, &good, NULL, &err))
			fail_msg("after %zu: %s", i, err.text);
	}
}

static void
file_put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static void
an_include_is_relative_to_the_file_it_stands_in(void **state)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	char dir[] = "/tmp/config_test.XXXXXX", sub[64], command[128];
	struct tk_mistakes mistakes;
	struct tk_err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	file_put(dir, TK_CONFIG_FILE, GOOD_SITE "include(\"sub/one.conf\")\ndataset d { paths = { /d } policy = p }\n");
	file_put(sub, "one.conf", "include('two.conf')\n");
	file_put(sub, "two.conf", "policy p {\n ack = any }\n");
	if (tk_config_load(dir, NULL, &cfg, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(cfg->files.count, 3);
	assert_int_equal(cfg->datasets[0].policy->ack, TK_ACK_ANY);
	assert_non_null(strstr(cfg->datasets[0].policy->where.file, "/sub/two.conf"));

	/* A mistake after the include still has the outer file's line. */
	file_put(sub, "two.conf", "policy p {\n\n ack = yes }\n");
	file_put(dir, TK_CONFIG_FILE, GOOD_SITE "include(\"sub/one.conf\")\nthreads = x\ndataset d { paths = { /d } policy = p }\n");
	tk_config_cleanup(&cfg);
	assert_int_equal(tk_config_load(dir, NULL, &cfg, &mistakes, &err), TK_ECONFIG);
	assert_int_equal(mistakes.count, 2);
	assert_non_null(strstr(mistakes.items[0].file, "/sub/two.conf"));
	assert_int_equal(mistakes.items[0].line, 3);
	assert_non_null(strstr(mistakes.items[1].file, TK_CONFIG_FILE));
	assert_int_equal(mistakes.items[1].line, 4);
	tk_mistakes_release(&mistakes);

	/* A file that includes itself, and a directory, are mistakes like any other. */
	file_put(sub, "two.conf", "include('two.conf')\n");
	assert_int_equal(tk_config_load(dir, NULL, &cfg, NULL, &err), TK_ECONFIG);
	assert_non_null(strstr(err.text, "too many includes"));
	file_put(sub, "two.conf", "include('../sub')\n");
	assert_int_equal(tk_config_load(dir, NULL, &cfg, NULL, &err), TK_ECONFIG);
	assert_non_null(strstr(err.text, "not a regular file"));
	snprintf(command, sizeof(command), "%s/%s", dir, TK_CONFIG_FILE);
	unlink(command);
	assert_int_equal(tk_config_load(dir, NULL, &cfg, NULL, &err), TK_ENOENT);
	snprintf(command, sizeof(command), "%s/sub/one.conf", dir);
	unlink(command);
	snprintf(command, sizeof(command), "%s/sub/two.conf", dir);
	unlink(command);
	rmdir(sub);
	rmdir(dir);
}

static void
the_ready_made_policies_are_without_mistake(void **state)
{
	static const char *const names[] = {"population", "legal-persons", "geospatial", "e-certificates", "credit", "documents", "dumps",
		"images", "append-only"};
	struct tk_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[512], *found, *name;

		snprintf(path, sizeof(path), "%s/%s.conf", TEST_READY_DIR, names[i]);
		if (tk_config_policy_file(path, &found, &name, &err))
			fail_msg("%s", err.text);
		assert_string_equal(name, names[i]);
		free(found);
		free(name);
	}
	{
		char *found, *name;

		assert_int_equal(tk_config_policy_file("no-such", &found, &name, &err), TK_ENOENT);
	}
}

static void
what_init_writes_can_be_read(void **state)
{
	static char path_one[] = "/srv/da\"ta${HOME}\\", *paths[] = {path_one};
	const struct tk_strings list = {paths, 1};
	const struct tk_config_init_site site = {"a", "dir:/srv/vault", true};
	const struct tk_config_init_dataset dataset = {"d", &list, {0xab}};
	struct tk_config_init init = {.source = "node", .sites = &site, .site_count = 1, .datasets = &dataset, .dataset_count = 1};
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_err err;
	char *text;

	(void)state;
	assert_int_equal(tk_config_write(&init, &text, &err), TK_OK);
	if (parse(text, &cfg, NULL, &err))
		fail_msg("%s in\n%s", err.text, text);
	assert_string_equal(cfg->datasets[0].paths.items[0], path_one);
	assert_int_equal(cfg->datasets[0].domain_id[0], 0xab);
	assert_string_equal(cfg->sites[0].url.path, "/srv/vault");
	free(text);
	init.source = "two words";
	assert_int_equal(tk_config_write(&init, &text, &err), TK_EINVAL);
}

static void
a_site_has_a_daemon_section_and_needs_no_dataset(void **state)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_err err;

	(void)state;
	if (parse("daemon { vault = /srv/vault/ keep { last = 9 } }\nsite peer { url = \"tk://b:1\" }\n", &cfg, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(cfg->daemon.present);
	assert_string_equal(cfg->daemon.vault, "/srv/vault");
	assert_string_equal(cfg->daemon.listen.items[0], ":7443");
	assert_int_equal(cfg->daemon.keep.last, 9);
	assert_int_equal(cfg->daemon.keep.weekly, 8);
}

static void
sizes_and_durations_have_units(void **state)
{
	uint64_t bytes;
	int64_t ms;

	(void)state;
	assert_int_equal(tk_size_parse("512KiB", &bytes, NULL), TK_OK);
	assert_true(bytes == 512 * 1024);
	assert_int_equal(tk_size_parse("64 m", &bytes, NULL), TK_OK);
	assert_true(bytes == 64 << 20);
	assert_int_equal(tk_size_parse("99999999999999999999", &bytes, NULL), TK_EINVAL);
	assert_int_equal(tk_size_parse("9999999P", &bytes, NULL), TK_EINVAL);
	assert_int_equal(tk_size_parse("-1", &bytes, NULL), TK_EINVAL);
	assert_int_equal(tk_size_parse("", &bytes, NULL), TK_EINVAL);
	assert_int_equal(tk_duration_parse("1h30min", &ms, NULL), TK_OK);
	assert_true(ms == 5400000);
	assert_int_equal(tk_duration_parse("2 weeks 500ms", &ms, NULL), TK_OK);
	assert_true(ms == INT64_C(1209600500));
	assert_int_equal(tk_duration_parse("5", &ms, NULL), TK_EINVAL);
	assert_int_equal(tk_duration_parse("5m", &ms, NULL), TK_EINVAL);
	assert_int_equal(tk_duration_parse("999999999999y", &ms, NULL), TK_EINVAL);
}

static void
a_window_may_pass_midnight(void **state)
{
	struct tk_window window;

	(void)state;
	assert_int_equal(tk_window_parse("08:00-18:00", &window, NULL), TK_OK);
	assert_true(tk_window_contains(&window, 8 * 60));
	assert_false(tk_window_contains(&window, 18 * 60));
	assert_false(tk_window_contains(&window, 0));
	assert_int_equal(tk_window_parse("22:00-06:00", &window, NULL), TK_OK);
	assert_true(tk_window_contains(&window, 23 * 60));
	assert_true(tk_window_contains(&window, 5 * 60 + 59));
	assert_false(tk_window_contains(&window, 6 * 60));
	assert_int_equal(tk_window_parse("", &window, NULL), TK_OK);
	assert_true(tk_window_contains(&window, 12 * 60));
}

static void
put_id(const char *text, const char *dataset, const char *want)
{
	static const uint8_t id[16] = {0xab};
	TK_AUTO(tk_buf_release) struct tk_buf out = {0};
	struct tk_err err;

	if (!want) {
		assert_int_equal(tk_config_put_id(text, strlen(text), dataset, id, &out, &err), TK_ENOENT);
		return;
	}
	assert_int_equal(tk_config_put_id(text, strlen(text), dataset, id, &out, &err), TK_OK);
	assert_int_equal(out.len_bytes, strlen(want));
	assert_memory_equal(out.data, want, strlen(want));
}

#define ID "ab000000000000000000000000000000"

static void
an_id_is_put_into_the_section_of_its_dataset_and_all_else_stays(void **state)
{
	(void)state;
	put_id("dataset d {\n\tpaths = { /d }\n}\n", "d", "dataset d {\n\tid = " ID "\n\tpaths = { /d }\n}\n");
	put_id("dataset d { paths = {/d} }", "d", "dataset d { id = " ID " paths = {/d} }");
	put_id("dataset \"d\"\n{ # why\n paths = /d }", "d", "dataset \"d\"\n{ # why\n\tid = " ID "\n paths = /d }");
	put_id("dataset d { /* why\n */ paths = /d }", "d", "dataset d {\n\tid = " ID " /* why\n */ paths = /d }");
	/* Not in a comment, in a value, in another section, nor in a dataset whose name only begins so. */
	put_id("# dataset d {\ncity = \"dataset d {\"\nsite d { city = {dataset, d} }\ndataset d2 {}\n/* dataset d { */dataset d {}", "d",
	       "# dataset d {\ncity = \"dataset d {\"\nsite d { city = {dataset, d} }\ndataset d2 {}\n/* dataset d { */dataset d { id = " ID "}");
	put_id("dataset e {}\n", "d", NULL);
	put_id("policy p { keep { dataset d { } } }", "d", NULL);
	put_id("dataset d", "d", NULL);
	put_id("dataset e { dataset d {", "d", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_configuration_is_read),
		cmocka_unit_test(every_mistake_names_its_line_and_what_to_write),
		cmocka_unit_test(several_mistakes_are_found_in_one_reading),
		cmocka_unit_test(unknown_keys_and_sections_hide_no_other_mistake),
		cmocka_unit_test(a_broken_file_does_not_spoil_the_next_reading),
		cmocka_unit_test(an_include_is_relative_to_the_file_it_stands_in),
		cmocka_unit_test(the_ready_made_policies_are_without_mistake),
		cmocka_unit_test(what_init_writes_can_be_read),
		cmocka_unit_test(a_site_has_a_daemon_section_and_needs_no_dataset),
		cmocka_unit_test(sizes_and_durations_have_units),
		cmocka_unit_test(an_id_is_put_into_the_section_of_its_dataset_and_all_else_stays),
		cmocka_unit_test(a_window_may_pass_midnight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
