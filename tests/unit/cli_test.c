/* The command line's parts: reading argv, what is printed, the progress line, where a passphrase comes from. */
#include "tests/unit/unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress_bar.h"
#include "cli/secret.h"

#define ARGS_MAX 12

/* Splits a line at its blanks and reads it as a command line. */
static enum tk_rc
parse(char *line, struct tk_command *command, struct tk_err *err)
{
	static char program[] = "twinkeep";
	static char *argv[ARGS_MAX + 1]; /* the command borrows from it */
	int argc = 1;

	argv[0] = program;
	for (char *word; argc < ARGS_MAX && (word = strsep(&line, " "));)
		argv[argc++] = word;
	argv[argc] = NULL;
	tk_err_clear(err);
	return tk_command_parse(argc, argv, command, err);
}

static void
options_stand_before_and_behind_the_verb(void **state)
{
	char line[] = "--home /h backup one --site a,b two --site c -vv --json";
	struct tk_command command;
	struct tk_err err;

	(void)state;
	if (parse(line, &command, &err))
		fail_msg("%s", err.text);
	assert_string_equal(command.verb->name, "backup");
	assert_string_equal(command.values[TK_OPT_HOME].items[0], "/h");
	assert_int_equal(command.operand_count, 2);
	assert_string_equal(command.operands[1], "two");
	assert_int_equal(command.values[TK_OPT_SITE].count, 3);
	assert_string_equal(command.values[TK_OPT_SITE].items[1], "b");
	assert_int_equal(command.values[TK_OPT_VERBOSE].count, 2);
	assert_int_equal(command.values[TK_OPT_JSON].count, 1);
	tk_command_release(&command);
}

static void
what_follows_two_dashes_is_an_operand(void **state)
{
	char line[] = "cat d -- --json";
	struct tk_command command;
	struct tk_err err;

	(void)state;
	if (parse(line, &command, &err))
		fail_msg("%s", err.text);
	assert_int_equal(command.operand_count, 2);
	assert_string_equal(command.operands[1], "--json");
	assert_int_equal(command.values[TK_OPT_JSON].count, 0);
	tk_command_release(&command);
}

static void
the_same_word_is_another_option_for_another_verb(void **state)
{
	char first[] = "init --site a=dir:/x,y --dataset d=/p --site b=tk://h:1", second[] = "recover --site dir:/x";
	struct tk_command command;
	struct tk_err err;

	(void)state;
	if (parse(first, &command, &err))
		fail_msg("%s", err.text);
	assert_int_equal(command.values[TK_OPT_SITE_NEW].count, 2);
	assert_string_equal(command.values[TK_OPT_SITE_NEW].items[0], "a=dir:/x,y");
	tk_command_release(&command);
	if (parse(second, &command, &err))
		fail_msg("%s", err.text);
	assert_int_equal(command.values[TK_OPT_SITE_URL].count, 1);
	tk_command_release(&command);
}

static void
every_row_of_the_tables_is_complete(void **state)
{
	(void)state;
	for (int i = 0; i < TK_OPT_COUNT; i++) {
		assert_non_null(tk_options[i].name);
		assert_non_null(tk_options[i].help);
		assert_true(!tk_options[i].choices || tk_options[i].arg);
	}
	for (size_t i = 0; i < tk_verb_count; i++) {
		const struct tk_verb *verb = &tk_verbs[i];

		assert_true((verb->required & ~verb->options) == 0);
		assert_true((verb->options & TK_OPT_COMMON) == 0);
		assert_true(verb->operands_max < 0 || verb->operands_min <= verb->operands_max);
		/* No verb may have two options of one name. */
		for (int a = 0; a < TK_OPT_COUNT; a++)
			for (int b = 0; b < a; b++)
				if (tk_verb_has(verb, (enum tk_opt)a) && tk_verb_has(verb, (enum tk_opt)b))
					assert_string_not_equal(tk_options[a].name, tk_options[b].name);
	}
	/* Every code's status is in the table of statuses. */
	for (int rc = TK_ENOTSAFE; rc <= TK_OK; rc++) {
		bool known = false;

		for (size_t i = 0; i < tk_exit_status_count; i++)
			known = known || tk_exit_statuses[i].status == tk_rc_exit_status((enum tk_rc)rc);
		assert_true(known);
	}
}

static void
numbers_are_printed_as_people_read_them(void **state)
{
	char text[TK_FORMAT_MAX];

	(void)state;
	assert_string_equal(tk_format_size(0, text), "0 B");
	assert_string_equal(tk_format_size(1023, text), "1023 B");
	assert_string_equal(tk_format_size(1536, text), "1.5 KiB");
	assert_string_equal(tk_format_size(UINT64_MAX, text), "16.0 EiB");
	assert_string_equal(tk_format_duration(350, text), "350 ms");
	assert_string_equal(tk_format_duration(12400, text), "12.4 s");
	assert_string_equal(tk_format_duration(185000, text), "3 min 05 s");
	assert_string_equal(tk_format_duration(7800000, text), "2 h 10 min");
	setenv("TZ", "CST-8", 1);
	assert_string_equal(tk_format_time(INT64_C(1795460458) * 1000000000, text), "2026-11-24T03:00:58+08:00");
}

static void
names_of_any_bytes_are_safe_to_print(void **state)
{
	char text[64];
	json_t *value;

	(void)state;
	assert_string_equal(tk_format_name("a\x1b[1m\n\xff/\xe5\x9f\x8e", text, sizeof(text)), "a\\x1b[1m\\x0a\\xff/\xe5\x9f\x8e");
	assert_string_equal(tk_format_name("\xed\xa0\x80\xc0\xaf\xe2\x80\xae", text, sizeof(text)), "\\xed\\xa0\\x80\\xc0\\xaf\\xe2\\x80\\xae");
	assert_string_equal(tk_format_name("\xe5\x9f\x8e\xe5\x9f\x8e", text, 5), "\xe5\x9f\x8e");
	value = tk_json_text("caf\xe9");
	assert_string_equal(json_string_value(value), "caf\\xe9");
	json_decref(value);
}

static void
a_fault_is_one_line_and_an_entry_in_errors(void **state)
{
	char *said = NULL, *document = NULL;
	size_t said_len = 0, document_len = 0;
	FILE *faults = open_memstream(&said, &said_len), *to = open_memstream(&document, &document_len);
	struct tk_output out;
	struct tk_err err;
	json_t *root;

	(void)state;
	tk_out_init(&out, to, faults, true, false);
	(void)tk_err_set(&err, TK_EUNREACH, "site b does not answer");
	assert_int_equal(tk_out_fail(&out, &err), 7);
	tk_out_text(&out, "not with --json\n");
	tk_out_set(&out, "dataset", json_string("d"));
	assert_int_equal(tk_out_finish(&out, 7), 7);
	fclose(faults);
	fclose(to);
	assert_string_equal(said, "twinkeep: site b does not answer: check the network, the site's url and that twinkeepd runs there\n");
	root = json_loads(document, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(root, "errors"), 0), "code")), "unreachable");
	assert_string_equal(json_string_value(json_object_get(root, "dataset")), "d");
	json_decref(root);
	free(said);
	free(document);
}

static void
a_table_is_aligned_by_what_the_terminal_shows(void **state)
{
	char *said = NULL;
	size_t said_len = 0;
	FILE *to = open_memstream(&said, &said_len);
	struct tk_output out;
	struct tk_table table;

	(void)state;
	tk_out_init(&out, to, stderr, false, false);
	tk_table_init(&table, "NAME|>SIZE|NOTE");
	tk_table_cell(&table, "\xe5\x9f\x8e\xe5\xb8\x82");
	tk_table_cell(&table, "%d", 1000000);
	tk_table_cell(&table, "x");
	tk_table_cell(&table, "a");
	tk_table_cell(&table, "%d", 1);
	tk_table_cell(&table, "y\n");
	tk_table_finish(&table, &out);
	assert_int_equal(tk_out_finish(&out, 0), 0);
	fclose(to);
	if (strcmp(said, "NAME     SIZE  NOTE\n\xe5\x9f\x8e\xe5\xb8\x82  1000000  x\na           1  y\\x0a\n") != 0)
		fail_msg("%s", said);
	free(said);
}

static void
the_progress_line_fits_the_terminal(void **state)
{
	const struct tk_progress_event event = {"send", NULL, 10, 100, 512 << 20, UINT64_C(1) << 30, "/srv/data/\xe5\x9f\x8e\xff/a-long-name-of-a-file.db"};
	char line[512];

	(void)state;
	tk_bar_line(&event, INT64_C(10000000000), 50 << 20, 200, line, sizeof(line));
	assert_string_equal(line, "send  50% [==========>         ] 512.0 MiB 10 files 50.0 MiB/s 10.0 s left "
		"/srv/data/\xe5\x9f\x8e\\xff/a-long-name-of-a-file.db");
	for (size_t columns = 0; columns < 200; columns++) {
		tk_bar_line(&event, INT64_C(10000000000), 50 << 20, columns, line, sizeof(line));
		assert_true(tk_text_width(line) <= columns);
	}
}

static void
the_progress_line_names_what_it_counts_and_goes_by_it_when_bytes_are_not_known(void **state)
{
	const struct tk_progress_event event = {"verify data", "packs", 3, 12, 4096, 0, NULL};
	char line[512];

	(void)state;
	tk_bar_line(&event, INT64_C(30000000000), 0, 200, line, sizeof(line));
	assert_string_equal(line, "verify data  25% [=====>              ] 4.0 KiB 3 packs 1 min 30 s left");
}

static void
progress_as_json_is_one_document_a_line(void **state)
{
	const struct tk_progress_event event = {"scan", NULL, 3, 0, 4096, 0, "\xff"};
	char *said = NULL;
	size_t said_len = 0;
	FILE *to = open_memstream(&said, &said_len);
	struct tk_bar bar;
	json_t *root;

	(void)state;
	tk_bar_init(&bar, TK_BAR_JSON, to);
	tk_progress_report(&bar.sink, &event);
	tk_progress_report(&bar.sink, &event); /* too soon after the first: not shown */
	tk_bar_release(&bar);
	fclose(to);
	assert_ptr_equal(strchr(said, '\n'), said + said_len - 1);
	root = json_loads(said, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(root, "bytes_done")), 4096);
	assert_string_equal(json_string_value(json_object_get(root, "path")), "\\xff");
	json_decref(root);
	free(said);
}

static void
a_passphrase_comes_from_a_file_or_a_command_without_its_newline(void **state)
{
	char path[] = "/tmp/cli_test.XXXXXX";
	int fd = mkstemp(path);
	struct tk_secret secret;
	struct tk_err err;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "two words \nmore\n", 16), 16);
	close(fd);
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.file = path}, &secret, &err), TK_OK);
	assert_string_equal(secret.text, "two words ");
	tk_secret_release(&secret);
	assert_int_equal(secret.text[0], 0);
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.command = "printf 'abc'"}, &secret, &err), TK_OK);
	assert_string_equal(secret.text, "abc");
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.command = "echo x; exit 3"}, &secret, &err), TK_EKEY);
	assert_string_equal(err.text, "passphrase_command failed (status 3)");
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.file = "/dev/null"}, &secret, &err), TK_EKEY);
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.file = "/dev/zero"}, &secret, &err), TK_EKEY);
	assert_int_equal(tk_secret_get(&(struct tk_secret_source){.file = "/nowhere"}, &secret, &err), TK_ENOENT);
	tk_secret_release(&secret);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_before_and_behind_the_verb),
		cmocka_unit_test(what_follows_two_dashes_is_an_operand),
		cmocka_unit_test(the_same_word_is_another_option_for_another_verb),
		cmocka_unit_test(every_row_of_the_tables_is_complete),
		cmocka_unit_test(numbers_are_printed_as_people_read_them),
		cmocka_unit_test(names_of_any_bytes_are_safe_to_print),
		cmocka_unit_test(a_fault_is_one_line_and_an_entry_in_errors),
		cmocka_unit_test(a_table_is_aligned_by_what_the_terminal_shows),
		cmocka_unit_test(the_progress_line_fits_the_terminal),
		cmocka_unit_test(the_progress_line_names_what_it_counts_and_goes_by_it_when_bytes_are_not_known),
		cmocka_unit_test(progress_as_json_is_one_document_a_line),
		cmocka_unit_test(a_passphrase_comes_from_a_file_or_a_command_without_its_newline),
	};

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
