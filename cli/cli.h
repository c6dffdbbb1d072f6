/* cli.h -- what a verb is given.
 *
 * To add a verb: write cli/verb_<name>.c with `int tk_verb_<name>(const struct tk_cli *cli)`, declare it in verbs.h, name it
 * in its row of options.c and in cli.am. Everything else (parsing, help, man page, completion) comes from the row. */
#ifndef TK_CLI_CLI_H
#define TK_CLI_CLI_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/secret.h"
#include "engine/base/log.h"
#include "engine/base/progress.h"
#include "policies/settings.h"

struct tk_cli {
	struct tk_command command;
	const char *home;               /* as given, in the environment, or the default */
	struct tk_output *out;
	const struct tk_progress *progress;
	const struct tk_log *log;       /* stderr: warnings, with -v more, with -q errors */
	const atomic_bool *cancel;      /* set by the first SIGINT or SIGTERM; for the pipelines */
};

static inline bool
tk_cli_flag(const struct tk_cli *cli, enum tk_opt opt)
{
	return cli->command.values[opt].count > 0;
}

/* The last value given, or NULL. */
static inline const char *
tk_cli_value(const struct tk_cli *cli, enum tk_opt opt)
{
	const struct tk_values *values = &cli->command.values[opt];

	return values->count > 0 ? values->items[values->count - 1] : NULL;
}

/* The operand at that place, or NULL. */
static inline const char *
tk_cli_operand(const struct tk_cli *cli, int index)
{
	return index < cli->command.operand_count ? cli->command.operands[index] : NULL;
}

/* Reads the configuration of cli->home; on TK_OK the caller owns *out. `mistakes` may be NULL. Errors as tk_config_load, but
 * TK_ECONFIG when there is no home. */
TK_MUST_CHECK enum tk_rc tk_cli_config_load(const struct tk_cli *cli, struct tk_config **out, struct tk_mistakes *mistakes, struct tk_err *err);
/* Likewise, without a list of the mistakes. */
TK_MUST_CHECK enum tk_rc tk_cli_config(const struct tk_cli *cli, struct tk_config **out, struct tk_err *err);

/* The passphrase: from --passphrase-file, TWINKEEP_PASSPHRASE_FILE, cfg's passphrase_command (cfg may be NULL), or the
 * terminal with `prompt`; is_new: asked twice there. Release *secret whatever the result. Errors as tk_secret_get. */
TK_MUST_CHECK enum tk_rc tk_cli_passphrase(const struct tk_cli *cli, const struct tk_config *cfg, const char *prompt, bool is_new,
	struct tk_secret *secret, struct tk_err *err);

/* The dataset named by text ("NAME", the part before '@' cut off already). With text NULL: the only one there is.
 * Errors: TK_EUSAGE, naming the nearest. */
TK_MUST_CHECK enum tk_rc tk_cli_dataset(const struct tk_config *cfg, const char *text, const struct tk_config_dataset **out, struct tk_err *err);

/* Checks that every --site names one of the configuration. Errors: TK_EUSAGE, naming the nearest. */
TK_MUST_CHECK enum tk_rc tk_cli_sites_check(const struct tk_cli *cli, const struct tk_config *cfg, struct tk_err *err);

#endif
