/* mkman -- makes the man pages, the bash completion and docs/CONFIGURATION.md from the tables that the programs use.
 *
 * usage: mkman man DIR | mkman completion | mkman configuration */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "policies/settings.h"

/* Text for roff: a backslash, a hyphen, and a dot at the beginning of a line mean something there. */
static void
put(FILE *to, const char *text)
{
	bool fresh = true;

	for (; *text; text++) {
		if (strncmp(text, "\n\n", 2) == 0) {
			fputs("\n.PP\n", to);
			text++;
			fresh = true;
			continue;
		}
		if (fresh && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		if (*text == '\\')
			fputs("\\e", to);
		else if (*text == '-')
			fputs("\\-", to);
		else if (*text == '~')
			fputs("\\(ti", to);
		else if (*text == '^')
			fputs("\\(ha", to);
		else if (*text == '\'')
			fputs("\\(aq", to);
		else
			putc(*text, to);
		fresh = *text == '\n';
	}
}

static void
line(FILE *to, const char *text)
{
	put(to, text);
	putc('\n', to);
}

static void
head(FILE *to, const char *name, const char *section, const char *summary)
{
	fprintf(to, ".\\\" Made by mkman from the tables of the program.\n.TH \"");
	for (const char *at = name; *at; at++)
		putc(toupper((unsigned char)*at), to);
	/* Not justified: a long path cannot be broken. */
	fprintf(to, "\" \"%s\" \"\" \"twinkeep %s\" \"twinkeep\"\n.ad l\n.SH NAME\n", section, PACKAGE_VERSION);
	put(to, name);
	fputs(" \\- ", to);
	line(to, summary);
}

/* ".TP", the term in bold, its text. */
static void
entry(FILE *to, const char *term, const char *text)
{
	fputs(".TP\n\\fB", to);
	put(to, term);
	fputs("\\fR\n", to);
	line(to, text);
}

static void
options_put(FILE *to, uint64_t options)
{
	for (int i = 0; i < TK_OPT_COUNT; i++) {
		const struct tk_option *option = &tk_options[i];

		if (!(options & TK_OPT_BIT(i)))
			continue;
		fputs(".TP\n", to);
		if (option->short_name)
			fprintf(to, "\\fB\\-%c\\fR, ", option->short_name);
		fputs("\\fB\\-\\-", to);
		put(to, option->name);
		fputs("\\fR", to);
		if (option->arg) {
			fputs(" \\fI", to);
			put(to, option->choices ? option->choices : option->arg);
			fputs("\\fR", to);
		}
		putc('\n', to);
		line(to, option->help);
	}
}

static void
statuses_put(FILE *to)
{
	fputs(".SH EXIT STATUS\n", to);
	for (size_t i = 0; i < tk_exit_status_count; i++) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%d", tk_exit_statuses[i].status);
		entry(to, number, tk_exit_statuses[i].text);
	}
}

static void
synopsis_put(FILE *to, const struct tk_verb *verb)
{
	fputs(".br\n\\fBtwinkeep ", to);
	put(to, verb->name);
	fputs("\\fR", to);
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if (verb->required & TK_OPT_BIT(i)) {
			fputs(" \\fB\\-\\-", to);
			put(to, tk_options[i].name);
			fputs("\\fR \\fI", to);
			put(to, tk_options[i].arg);
			fputs("\\fR", to);
		}
	fputs(" [\\fIOPTION\\fR...]", to);
	if (*verb->operands) {
		fputs(" \\fI", to);
		put(to, verb->operands);
		fputs("\\fR", to);
	}
	putc('\n', to);
}

/* The length of the first word: "site" of "site list". Verbs that share it share a page. */
static size_t
first_word(const struct tk_verb *verb)
{
	return strcspn(verb->name, " ");
}

static bool
same_page(const struct tk_verb *a, const struct tk_verb *b)
{
	return first_word(a) == first_word(b) && strncmp(a->name, b->name, first_word(a)) == 0;
}

static bool
begins_page(size_t index)
{
	return index == 0 || !same_page(&tk_verbs[index - 1], &tk_verbs[index]);
}

static void
verb_page(FILE *to, size_t first)
{
	char name[80], summary[160];
	const struct tk_verb *verb = &tk_verbs[first];
	bool group = verb->name[first_word(verb)] != '\0' && first + 1 < tk_verb_count && same_page(verb, &tk_verbs[first + 1]);

	(void)snprintf(name, sizeof(name), "twinkeep-%.*s", (int)first_word(verb), verb->name);
	(void)snprintf(summary, sizeof(summary), "%s%s", verb->summary, group ? ", and more of that kind" : "");
	head(to, name, "1", summary);
	fputs(".SH SYNOPSIS\n", to);
	for (size_t i = first; i < tk_verb_count && same_page(verb, &tk_verbs[i]); i++)
		synopsis_put(to, &tk_verbs[i]);
	fputs(".SH DESCRIPTION\n", to);
	for (size_t i = first; i < tk_verb_count && same_page(verb, &tk_verbs[i]); i++) {
		fputs(".PP\n\\fBtwinkeep ", to);
		put(to, tk_verbs[i].name);
		fputs("\\fR: ", to);
		put(to, tk_verbs[i].summary);
		fputs(".\n", to);
		if (tk_verbs[i].text) {
			fputs(".PP\n", to);
			line(to, tk_verbs[i].text);
		}
		if (tk_verbs[i].options)
			options_put(to, tk_verbs[i].options);
	}
	fputs(".SH OPTIONS OF EVERY VERB\n", to);
	options_put(to, TK_OPT_COMMON);
	statuses_put(to);
	fputs(".SH SEE ALSO\n.BR twinkeep (1),\n.BR twinkeep.conf (5)\n", to);
}

static void
named_texts_put(FILE *to, const char *title, const struct tk_named_text *rows, size_t count)
{
	fprintf(to, ".SH %s\n", title);
	for (size_t i = 0; i < count; i++)
		entry(to, rows[i].name, rows[i].text);
}

static void
main_page(FILE *to)
{
	const char *separator = " ";

	head(to, "twinkeep", "1", "disaster recovery to several sites at once");
	fputs(".SH SYNOPSIS\n\\fBtwinkeep\\fR \\fIVERB\\fR [\\fIOPTION\\fR...] [\\fIOPERAND\\fR...]\n.SH DESCRIPTION\n", to);
	line(to, "twinkeep finds what changed in a dataset, ships only the difference, to every site at once, sealed so that a site cannot read "
		"it, and proves that it can be restored.");
	fputs(".SH VERBS\n", to);
	for (size_t i = 0; i < tk_verb_count; i++) {
		char term[160];

		if (tk_verbs[i].reserved)
			continue;
		(void)snprintf(term, sizeof(term), "%s %s", tk_verbs[i].name, tk_verbs[i].operands);
		entry(to, term, tk_verbs[i].summary);
	}
	fputs(".PP\nReserved for a later release:", to);
	for (size_t i = 0; i < tk_verb_count; i++)
		if (tk_verbs[i].reserved) {
			fputs(separator, to);
			put(to, tk_verbs[i].name);
			separator = ", ";
		}
	fputs(".\n.SH OPTIONS OF EVERY VERB\n", to);
	options_put(to, TK_OPT_COMMON);
	statuses_put(to);
	named_texts_put(to, "ENVIRONMENT", tk_environment, tk_environment_count);
	named_texts_put(to, "FILES", tk_files, tk_file_count);
	fputs(".SH SEE ALSO\n.BR twinkeepd (8),\n.BR twinkeep.conf (5)\n", to);
}

static void
daemon_page(FILE *to)
{
	static const char *const uses[] = {
		"[--home DIR] [--foreground] [-v] [-q]",
		"init [--home DIR] --invite FILE [--listen ADDRESS:PORT]... [--vault DIR]",
		"accept [--home DIR] --invite FILE",
		"peers [--home DIR]",
		"revoke [--home DIR] NAME",
	};

	head(to, "twinkeepd", "8", "the daemon of a site");
	fputs(".SH SYNOPSIS\n", to);
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		fputs(i ? ".br\n\\fBtwinkeepd\\fR " : "\\fBtwinkeepd\\fR ", to);
		put(to, uses[i]);
		putc('\n', to);
	}
	fputs(".SH DESCRIPTION\n", to);
	line(to, "twinkeepd stores recovery points in a vault, gives signed receipts for them, and serves them to the sources and operators that "
		"are registered. It cannot read what it stores. It is configured by the daemon section of twinkeepd.conf in its home, or of "
		"twinkeep.conf when the former is not there. SIGHUP reloads certificates and peers and closes the sessions of revoked ones; "
		"SIGTERM lets what is in flight come to its end. twinkeepd.pid and twinkeepd.addr in the home say who runs and where it listens.\n\n"
		"init makes the home of a new site from the invitation that \"twinkeep site invite\" wrote; accept lets a further source in; "
		"peers lists who is registered; revoke takes a peer's rights away. Delete invitations after use: they hold a private key.\n\n"
		"Exit status 0: stopped on request; 2: usage or configuration; 9: another process serves the vault; 1: other faults.");
	fputs(".SH SEE ALSO\n.BR twinkeep (1),\n.BR twinkeep.conf (5)\n", to);
}

static void
syntax_put(FILE *to)
{
	line(to, "The file is a list of keys and sections: KEY = VALUE, and SECTION NAME { ... }. Anything but a plain word stands in quotes. In "
		"double quotes a backslash begins an escape and ${NAME} or ${NAME:-WORD} is a variable of the environment; single quotes take "
		"everything as it is. A list is { \"one\", \"two\" }. Comments begin with # or //, or stand between /* and */.\n\n"
		"include(\"FILE\") reads another file; a relative name is looked for beside the file that includes it, then among the ready-made "
		"policies.\n\n"
		"Sizes are whole numbers with K, M, G, T or P (also KiB, MiB ...), all powers of 1024: 512K, 64M, 10G. Durations are numbers "
		"with ms, s, min, h, d, weeks, months (30 d) or years (365 d): 5min, 24h, 30d, \"2 weeks\", 1h30min.\n\n"
		"twinkeep config check names every mistake with file and line.");
}

static void
configuration_page(FILE *to)
{
	const struct tk_config_key_info *key;

	head(to, "twinkeep.conf", "5", "the configuration of twinkeep");
	fputs(".SH DESCRIPTION\n", to);
	syntax_put(to);
	for (unsigned s = 0; s < TK_SECTION_COUNT; s++) {
		enum tk_config_section section = (enum tk_config_section)s;

		fputs(".SH \"", to);
		put(to, tk_config_section_title(section));
		fputs("\"\n", to);
		line(to, tk_config_section_help(section));
		for (size_t i = 0; (key = tk_config_key_info(i)); i++) {
			if (key->section != section)
				continue;
			fputs(".TP\n\\fB", to);
			put(to, key->name);
			fputs("\\fR = \\fI", to);
			put(to, key->type);
			fputs("\\fR", to);
			if (!key->fallback)
				fputs(" (must be given)", to);
			else if (*key->fallback) {
				fputs(" (default ", to);
				put(to, key->fallback);
				fputs(")", to);
			}
			putc('\n', to);
			line(to, key->help);
		}
	}
	named_texts_put(to, "FILES", tk_files, tk_file_count);
	fputs(".SH SEE ALSO\n.BR twinkeep (1),\n.BR twinkeepd (8)\n", to);
}

static int
page_write(const char *dir, const char *name, void (*fill)(FILE *to))
{
	char path[4096];
	FILE *to;
	int bad;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	to = fopen(path, "w");
	if (!to) {
		perror(path);
		return 1;
	}
	fill(to);
	bad = ferror(to);
	if (fclose(to) != 0 || bad) {
		perror(path);
		return 1;
	}
	return 0;
}

static int
verb_pages_write(const char *dir)
{
	for (size_t i = 0; i < tk_verb_count; i++) {
		char path[4096];
		FILE *to;
		int bad;

		if (tk_verbs[i].reserved || !begins_page(i))
			continue;
		(void)snprintf(path, sizeof(path), "%s/twinkeep-%.*s.1", dir, (int)first_word(&tk_verbs[i]), tk_verbs[i].name);
		to = fopen(path, "w");
		if (!to) {
			perror(path);
			return 1;
		}
		verb_page(to, i);
		bad = ferror(to);
		if (fclose(to) != 0 || bad)
			return 1;
	}
	return 0;
}

static void
option_words(uint64_t options)
{
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if (options & TK_OPT_BIT(i))
			printf(" --%s", tk_options[i].name);
}

static void
completion_print(void)
{
	printf("# bash completion for twinkeep; made by mkman from the tables of the program\n_twinkeep()\n{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=\n"
		"\tcase $prev in\n");
	for (int i = 0; i < TK_OPT_COUNT; i++) {
		const char *arg = tk_options[i].arg;

		if (tk_options[i].choices) {
			printf("\t--%s) COMPREPLY=($(compgen -W \"", tk_options[i].name);
			for (const char *at = tk_options[i].choices; *at; at++)
				putchar(*at == '|' ? ' ' : *at);
			printf("\" -- \"$cur\")); return ;;\n");
		} else if (arg && (strcmp(arg, "DIR") == 0 || strcmp(arg, "FILE") == 0)) {
			printf("\t--%s) COMPREPLY=($(compgen -%c -- \"$cur\")); return ;;\n", tk_options[i].name, *arg == 'D' ? 'd' : 'f');
		}
	}
	printf("\tesac\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"");
	for (size_t i = 0; i < tk_verb_count; i++)
		if (begins_page(i) && !tk_verbs[i].reserved)
			printf("%.*s ", (int)first_word(&tk_verbs[i]), tk_verbs[i].name);
	printf("--help --version\"\n\telse\n\t\tcase $verb in\n");
	for (size_t i = 0; i < tk_verb_count; i++) {
		uint64_t options = 0;
		const struct tk_verb *verb = &tk_verbs[i];

		if (!begins_page(i) || verb->reserved)
			continue;
		printf("\t\t%.*s) words=\"", (int)first_word(verb), verb->name);
		for (size_t j = i; j < tk_verb_count && same_page(verb, &tk_verbs[j]); j++) {
			options |= tk_verbs[j].options;
			printf("%s ", tk_verbs[j].name + first_word(verb) + (tk_verbs[j].name[first_word(verb)] == ' '));
		}
		option_words(options | TK_OPT_COMMON);
		printf("\" ;;\n");
	}
	printf("\t\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _twinkeep twinkeep\n");
}

static void
configuration_print(void)
{
	const struct tk_config_key_info *key;

	printf("# The configuration\n\nMade by `mkman configuration` from the table that the program reads with; the same text is in twinkeep.conf(5), with\n"
		"the syntax. `twinkeep config check` names file, line and mistake.\n");
	for (unsigned s = 0; s < TK_SECTION_COUNT; s++) {
		enum tk_config_section section = (enum tk_config_section)s;

		printf("\n## %s\n%s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", tk_config_section_title(section),
			tk_config_section_help(section));
		for (size_t i = 0; (key = tk_config_key_info(i)); i++) {
			if (key->section != section)
				continue;
			printf("| `%s` | ", key->name);
			for (const char *at = key->type; *at; at++)
				fputs(*at == '|' ? ", " : (char[2]){*at, '\0'}, stdout);
			printf(" | %s%s%s | %s |\n", key->fallback && *key->fallback ? "`" : "", key->fallback ? key->fallback : "must be given",
				key->fallback && *key->fallback ? "`" : "", key->help);
		}
	}
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "man") == 0)
		return page_write(argv[2], "twinkeep.1", main_page) || page_write(argv[2], "twinkeepd.8", daemon_page) ||
			page_write(argv[2], "twinkeep.conf.5", configuration_page) || verb_pages_write(argv[2]);
	if (argc == 2 && strcmp(argv[1], "completion") == 0)
		completion_print();
	else if (argc == 2 && strcmp(argv[1], "configuration") == 0)
		configuration_print();
	else {
		fprintf(stderr, "usage: mkman man DIR | completion | configuration\n");
		return 2;
	}
	return fflush(stdout) != 0 || ferror(stdout);
}
