/* From argv to a tk_command, by the tables of options.c. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "policies/nearest.h"

/* getopt's value of a long option is this and its place in the table; short ones are letters. */
#define LONG_BASE 256
#define VERSION_VALUE (LONG_BASE + TK_OPT_COUNT)

struct getopt_form {
	struct option longs[TK_OPT_COUNT + 2];
	char shorts[2 * TK_OPT_COUNT + 4];
};

/* `prefix` is "+:" to stop at the first operand, ":" to go on behind it. */
static void
form_make(struct getopt_form *form, uint64_t options, const char *prefix)
{
	size_t count = 0, letters = strlen(prefix);

	memset(form, 0, sizeof(*form));
	memcpy(form->shorts, prefix, letters);
	for (int i = 0; i < TK_OPT_COUNT; i++) {
		const struct tk_option *option = &tk_options[i];

		if (!(options & TK_OPT_BIT(i)))
			continue;
		form->longs[count++] = (struct option){option->name, option->arg ? required_argument : no_argument, NULL, LONG_BASE + i};
		if (option->short_name)
			form->shorts[letters++] = option->short_name;
		if (option->short_name && option->arg)
			form->shorts[letters++] = ':';
	}
	form->longs[count] = (struct option){"version", no_argument, NULL, VERSION_VALUE};
}

static enum tk_rc
no_memory(struct tk_err *err)
{
	return tk_err_set(err, TK_ENOMEM, "out of memory");
}

static enum tk_rc
value_add(struct tk_values *values, const char *text, struct tk_err *err)
{
	const char **grown = realloc(values->items, (values->count + 1) * sizeof(*grown));

	if (!grown)
		return no_memory(err);
	values->items = grown;
	grown[values->count++] = text;
	return TK_OK;
}

static enum tk_rc
value_add_split(struct tk_command *command, struct tk_values *values, const char *text, struct tk_err *err)
{
	char **grown = realloc(command->split, (command->split_count + 1) * sizeof(*grown));
	char *copy = strdup(text), *rest = copy, *part;
	enum tk_rc rc = TK_OK;

	if (grown)
		command->split = grown;
	if (!grown || !copy) {
		free(copy);
		return no_memory(err);
	}
	grown[command->split_count++] = copy;
	while (!rc && (part = strsep(&rest, ",")))
		rc = value_add(values, part, err);
	return rc;
}

static bool
choice_is_one(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
		if (strcspn(at, "|") == len && strncmp(at, text, len) == 0)
			return true;
	return false;
}

static enum tk_rc
option_take(struct tk_command *command, enum tk_opt opt, const char *value, struct tk_err *err)
{
	const struct tk_option *option = &tk_options[opt];

	if (opt == TK_OPT_HELP)
		command->help = true;
	if (option->choices && !choice_is_one(option->choices, value))
		return tk_err_set(err, TK_EUSAGE, "--%s cannot be \"%s\": write one of %s", option->name, value, option->choices);
	if (option->arg && !*value)
		return tk_err_set(err, TK_EUSAGE, "--%s has an empty value: write --%s %s", option->name, option->name, option->arg);
	if (option->commas)
		return value_add_split(command, &command->values[opt], value, err);
	return value_add(&command->values[opt], value ? value : "", err);
}

static enum tk_opt
opt_of(int value, uint64_t options)
{
	if (value >= LONG_BASE)
		return (enum tk_opt)(value - LONG_BASE);
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if ((options & TK_OPT_BIT(i)) && tk_options[i].short_name == value)
			return (enum tk_opt)i;
	return TK_OPT_COUNT;
}

static const char *
help_of(const struct tk_command *command)
{
	return command->verb ? command->verb->name : "";
}

static enum tk_rc
unknown_option(const struct tk_command *command, const char *word, const struct getopt_form *form, struct tk_err *err)
{
	struct tk_nearest nearest;
	char name[64];
	const char *space = command->verb ? " " : "";

	if (strncmp(word, "--", 2) != 0)
		return tk_err_set(err, TK_EUSAGE, "there is no option -%c: see twinkeep%s%s --help", optopt, space, help_of(command));
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	tk_nearest_init(&nearest, name);
	for (const struct option *at = form->longs; at->name; at++)
		tk_nearest_offer(&nearest, at->name);
	if (nearest.best)
		return tk_err_set(err, TK_EUSAGE, "there is no option --%s: the nearest is --%s", name, nearest.best);
	return tk_err_set(err, TK_EUSAGE, "there is no option --%s: see twinkeep%s%s --help", name, space, help_of(command));
}

/* Takes the options in argv[from..]; afterwards optind is at the first operand. */
static enum tk_rc
options_take(int argc, char **argv, uint64_t options, const char *prefix, struct tk_command *command, struct tk_err *err)
{
	struct getopt_form form;
	enum tk_rc rc = TK_OK;
	int value;

	form_make(&form, options, prefix);
	opterr = 0;
	optind = 0; /* GNU: forget everything, also where the last scan stood in a group of letters */
	while (!rc && (value = getopt_long(argc, argv, form.shorts, form.longs, NULL)) != -1) {
		if (value == '?' && optopt >= LONG_BASE)
			rc = tk_err_set(err, TK_EUSAGE, "%.*s takes no value: leave it out", (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
		else if (value == '?')
			rc = unknown_option(command, argv[optind - 1], &form, err);
		else if (value == ':')
			rc = tk_err_set(err, TK_EUSAGE, "%s wants a value: write %s %s", argv[optind - 1], argv[optind - 1],
				tk_options[opt_of(optopt, options)].arg);
		else if (value == VERSION_VALUE)
			command->version = true;
		else
			rc = option_take(command, opt_of(value, options), optarg, err);
	}
	return rc;
}

static bool
is_group(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < tk_verb_count; i++)
		if (strncmp(tk_verbs[i].name, word, len) == 0 && tk_verbs[i].name[len] == ' ')
			return true;
	return false;
}

/* The verb of the first word or two; *used is how many words it took. */
static const struct tk_verb *
verb_find(const char *first, const char *second, int *used)
{
	char both[64];

	(void)snprintf(both, sizeof(both), "%s %s", first, second ? second : "");
	for (size_t i = 0; i < tk_verb_count; i++) {
		bool two = strchr(tk_verbs[i].name, ' ') != NULL;

		if (strcmp(tk_verbs[i].name, two ? both : first) == 0) {
			*used = two ? 2 : 1;
			return &tk_verbs[i];
		}
	}
	return NULL;
}

/* The verb nearest to a word, or to two in a group; of "config check" a lone first word is compared with the first. */
static const char *
verb_nearest(const char *word, bool two)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < tk_verb_count; i++) {
		struct tk_nearest nearest;
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", two ? 63 : (int)strcspn(tk_verbs[i].name, " "), tk_verbs[i].name);
		tk_nearest_init(&nearest, word);
		tk_nearest_offer(&nearest, name);
		if (nearest.best && nearest.best_distance < best_distance) {
			best = tk_verbs[i].name;
			best_distance = nearest.best_distance;
		}
	}
	return best;
}

static enum tk_rc
unknown_verb(const char *first, const char *second, struct tk_err *err)
{
	bool group = is_group(first);
	const char *nearest;
	char word[64];

	if (group && !second)
		return tk_err_set(err, TK_EUSAGE, "%s wants a second word: see twinkeep %s --help", first, first);
	(void)snprintf(word, sizeof(word), "%s%s%s", first, group ? " " : "", group ? second : "");
	nearest = verb_nearest(word, group);
	if (nearest)
		return tk_err_set(err, TK_EUSAGE, "there is no verb \"%s\": the nearest is \"%s\"", word, nearest);
	return tk_err_set(err, TK_EUSAGE, "there is no verb \"%s\": see twinkeep --help", word);
}

static enum tk_rc
operands_check(const struct tk_command *command, struct tk_err *err)
{
	const struct tk_verb *verb = command->verb;

	if (command->operand_count < verb->operands_min)
		return tk_err_set(err, TK_EUSAGE, "%s wants more: write twinkeep %s %s", verb->name, verb->name, verb->operands);
	if (verb->operands_max >= 0 && command->operand_count > verb->operands_max)
		return tk_err_set(err, TK_EUSAGE, "%s does not know what to do with \"%s\": write twinkeep %s%s%s", verb->name,
			command->operands[verb->operands_max], verb->name, *verb->operands ? " " : "", verb->operands);
	for (int i = 0; i < TK_OPT_COUNT; i++)
		if ((verb->required & TK_OPT_BIT(i)) && command->values[i].count == 0)
			return tk_err_set(err, TK_EUSAGE, "%s wants --%s: write --%s %s", verb->name, tk_options[i].name, tk_options[i].name,
				tk_options[i].arg);
	return TK_OK;
}

static enum tk_rc
command_parse(int argc, char **argv, struct tk_command *command, struct tk_err *err)
{
	enum tk_rc rc;
	int at, used = 0;

	rc = options_take(argc, argv, TK_OPT_COMMON, "+:", command, err);
	if (rc)
		return rc;
	at = optind;
	if (at < argc && strcmp(argv[at], "help") == 0) {
		command->help = true;
		at++;
	}
	if (at >= argc)
		return command->help || command->version ? TK_OK : tk_err_set(err, TK_EUSAGE, "no verb is given: see twinkeep --help");
	command->verb = verb_find(argv[at], argv[at + 1], &used);
	if (!command->verb && is_group(argv[at]) && (command->help || (argv[at + 1] && strcmp(argv[at + 1], "--help") == 0))) {
		command->help = true;
		command->group = argv[at];
		return TK_OK;
	}
	if (!command->verb)
		return unknown_verb(argv[at], argv[at + 1], err);
	/* The last word of the verb takes the place of the program's name for the second scan. */
	at += used - 1;
	rc = options_take(argc - at, argv + at, command->verb->options | TK_OPT_COMMON, ":", command, err);
	if (rc)
		return rc;
	command->operands = argv + at + optind;
	command->operand_count = argc - at - optind;
	return command->help || command->version || command->verb->reserved ? TK_OK : operands_check(command, err);
}

enum tk_rc
tk_command_parse(int argc, char **argv, struct tk_command *command, struct tk_err *err)
{
	enum tk_rc rc;

	memset(command, 0, sizeof(*command));
	rc = command_parse(argc, argv, command, err);
	/* A fault of usage is told in the form asked for, also if that stands behind the fault. */
	for (int i = 1; rc && i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0 && value_add(&command->values[TK_OPT_JSON], "", NULL))
			break;
	return rc;
}

void
tk_command_release(struct tk_command *command)
{
	for (int i = 0; i < TK_OPT_COUNT; i++)
		free(command->values[i].items);
	for (size_t i = 0; i < command->split_count; i++)
		free(command->split[i]);
	free(command->split);
	memset(command, 0, sizeof(*command));
}
