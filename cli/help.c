#include "cli/help.h"

#include <string.h>

#define COLUMNS 80

/* Fills text between `indent` and the right edge; the cursor is at `column` now. Paragraphs stand apart. */
static void
fill(FILE *to, const char *text, int indent, int column)
{
	while (*text) {
		int len = (int)strcspn(text, " \n");

		if (column > indent && column + 1 + len > COLUMNS) {
			fprintf(to, "\n%*s", indent, "");
			column = indent;
		} else if (column > indent) {
			putc(' ', to);
			column++;
		}
		fprintf(to, "%.*s", len, text);
		column += len;
		text += len;
		if (strncmp(text, "\n\n", 2) == 0) {
			fprintf(to, "\n\n%*s", indent, "");
			column = indent;
		}
		text += strspn(text, " \n");
	}
	putc('\n', to);
}

/* "  head      text", the text on a line of its own if the head is long. */
static void
entry(FILE *to, const char *head, const char *text, int indent)
{
	int used = fprintf(to, "  %s", head);

	if (used + 2 > indent)
		fprintf(to, "\n%*s", indent, "");
	else
		fprintf(to, "%*s", indent - used, "");
	fill(to, text, indent, indent);
}

static void
option_entry(FILE *to, const struct tk_option *option)
{
	char head[64], letter[8] = "";

	if (option->short_name)
		(void)snprintf(letter, sizeof(letter), "-%c, ", option->short_name);
	(void)snprintf(head, sizeof(head), "%s--%s%s%s", letter, option->name, option->arg ? " " : "", option->choices ? option->choices : option->arg ? option->arg : "");
	entry(to, head, option->help, 28);
}

static void
options_print(FILE *to, uint64_t options)
{
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if (options & TK_OPT_BIT(i))
			option_entry(to, &tk_options[i]);
}

static void
verb_line(FILE *to, const struct tk_verb *verb)
{
	fprintf(to, "twinkeep %s", verb->name);
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if (verb->required & TK_OPT_BIT(i))
			fprintf(to, " --%s %s", tk_options[i].name, tk_options[i].arg);
	fprintf(to, " [OPTION...]%s%s\n", *verb->operands ? " " : "", verb->operands);
}

static void
verb_help(FILE *to, const struct tk_verb *verb)
{
	fprintf(to, "Usage: ");
	verb_line(to, verb);
	fprintf(to, "\ntwinkeep %s: %s.\n", verb->name, verb->summary);
	if (verb->reserved)
		fprintf(to, "\nThe name is reserved: it is not in this version.\n");
	if (verb->text) {
		putc('\n', to);
		fill(to, verb->text, 0, 0);
	}
	if (verb->options) {
		fprintf(to, "\nOptions:\n");
		options_print(to, verb->options);
	}
	fprintf(to, "\nOptions of every verb:\n");
	options_print(to, TK_OPT_COMMON);
}

static void
verbs_print(FILE *to, const char *group, bool reserved)
{
	for (size_t i = 0; i < tk_verb_count; i++) {
		const struct tk_verb *verb = &tk_verbs[i];
		char head[80];

		if (verb->reserved != reserved || (group && (strncmp(verb->name, group, strlen(group)) != 0 || verb->name[strlen(group)] != ' ')))
			continue;
		(void)snprintf(head, sizeof(head), "%s%s%s", verb->name, *verb->operands ? " " : "", verb->operands);
		entry(to, head, verb->summary, 34);
	}
}

static void
main_help(FILE *to)
{
	fprintf(to, "Usage: twinkeep VERB [OPTION...] [OPERAND...]\n\n");
	fill(to, "twinkeep backs data up to several sites at once, sealed so that a site cannot read it, and proves that it can be restored.", 0, 0);
	fprintf(to, "\nVerbs:\n");
	verbs_print(to, NULL, false);
	fprintf(to, "\nReserved for a later release:\n");
	verbs_print(to, NULL, true);
	fprintf(to, "\nOptions of every verb:\n");
	options_print(to, TK_OPT_COMMON);
	fprintf(to, "\nExit status:\n");
	for (size_t i = 0; i < tk_exit_status_count; i++) {
		char head[16];

		(void)snprintf(head, sizeof(head), "%2d", tk_exit_statuses[i].status);
		entry(to, head, tk_exit_statuses[i].text, 6);
	}
	fprintf(to, "\nEnvironment:\n");
	for (size_t i = 0; i < tk_environment_count; i++)
		entry(to, tk_environment[i].name, tk_environment[i].text, 28);
	fprintf(to, "\ntwinkeep VERB --help tells more about one of them.\n");
}

void
tk_help_print(FILE *to, const struct tk_command *command)
{
	if (command->verb) {
		verb_help(to, command->verb);
	} else if (command->group) {
		fprintf(to, "Usage: twinkeep %s WORD [OPTION...]\n\n", command->group);
		verbs_print(to, command->group, false);
		verbs_print(to, command->group, true);
	} else {
		main_help(to);
	}
}
