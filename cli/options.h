/* options.h -- verbs, options, exit statuses, environment and files: one table each, from which parsing, --help, the man
 * pages and the completion are made. All of it is static; any thread. */
#ifndef TK_CLI_OPTIONS_H
#define TK_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_cli;

/* A verb's work: returns the exit status. It reports faults itself, with tk_out_fail(cli->out, ...). */
typedef int tk_verb_fn(const struct tk_cli *cli);

enum tk_opt {
	/* of every verb */
	TK_OPT_HOME,
	TK_OPT_JSON,
	TK_OPT_PROGRESS,
	TK_OPT_VERBOSE,
	TK_OPT_QUIET,
	TK_OPT_PASSPHRASE_FILE,
	TK_OPT_HELP,
	/* of some */
	TK_OPT_SITE,         /* NAME */
	TK_OPT_SITE_NEW,     /* NAME=URL: init */
	TK_OPT_SITE_URL,     /* URL: recover */
	TK_OPT_DATASET_NEW,  /* NAME=PATH[,PATH...]: init */
	TK_OPT_DATASET,      /* NAME: key add */
	TK_OPT_POLICY,
	TK_OPT_SUITE,
	TK_OPT_DRY_RUN,
	TK_OPT_TARGET,
	TK_OPT_PATH,
	TK_OPT_DELETE,
	TK_OPT_TAR,
	TK_OPT_STRIP,
	TK_OPT_DATA,
	TK_OPT_SAMPLE,
	TK_OPT_REPORT,
	TK_OPT_EXPECT,
	TK_OPT_HISTORY,
	TK_OPT_NEW_PASSPHRASE_FILE,
	TK_OPT_OUTPUT,
	TK_OPT_LISTEN,
	TK_OPT_VAULT,
	TK_OPT_FORCE,
	TK_OPT_COUNT,
};

#define TK_OPT_BIT(opt) (UINT64_C(1) << (opt))
#define TK_OPT_COMMON (TK_OPT_BIT(TK_OPT_SITE) - 1)

struct tk_option {
	const char *name;     /* without the dashes */
	char short_name;      /* 0: none */
	const char *arg;      /* of its value, for people; NULL: takes none */
	const char *choices;  /* "auto|never|json"; NULL: any value */
	bool repeats;         /* may be given more than once; else the last one counts */
	bool commas;          /* its value may be several, with commas */
	const char *help;
};

struct tk_verb {
	const char *name;     /* one word, or two: "config check" */
	const char *operands; /* "DATASET[@POINT] [PATH]"; "" : none */
	const char *summary;  /* half a sentence */
	const char *text;     /* paragraphs, apart by an empty line; NULL: none */
	uint64_t options;     /* TK_OPT_BITs beside the common ones */
	uint64_t required;    /* those of them that must be given */
	int operands_min;
	int operands_max;     /* -1: any number */
	bool reserved;        /* the name is taken for a later release */
	tk_verb_fn *run;      /* NULL: this build has no such verb */
};

struct tk_exit_status {
	int status;
	const char *text;
};

struct tk_named_text {
	const char *name, *text;
};

/* In the order of documents. */
extern const struct tk_option tk_options[TK_OPT_COUNT];
extern const struct tk_verb tk_verbs[];
extern const size_t tk_verb_count;
extern const struct tk_exit_status tk_exit_statuses[];
extern const size_t tk_exit_status_count;
extern const struct tk_named_text tk_environment[];
extern const size_t tk_environment_count;
extern const struct tk_named_text tk_files[];
extern const size_t tk_file_count;

/* The values of one option, in the order given. Strings are borrowed from argv or owned by the cli. */
struct tk_values {
	const char **items;
	size_t count;
};

/* What a command line says. Strings are borrowed from argv. */
struct tk_command {
	const struct tk_verb *verb;   /* NULL: only --help or --version was asked for */
	bool help, version;
	const char *group;            /* --help of a first word with several verbs ("site"); else NULL */
	struct tk_values values[TK_OPT_COUNT];
	char **operands;              /* in argv; NULL at the end */
	int operand_count;
	char **split;                 /* owned copies of values with commas */
	size_t split_count;
};

/* Reads argv; not thread-safe (getopt). Release *command whatever the result; after an error it still knows --json.
 * Errors: TK_EUSAGE, with the nearest word that exists; TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_command_parse(int argc, char **argv, struct tk_command *command, struct tk_err *err);
void tk_command_release(struct tk_command *command);

/* Does the verb have the option? */
bool tk_verb_has(const struct tk_verb *verb, enum tk_opt opt);

#endif
