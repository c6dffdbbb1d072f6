/* twinkeep: reads the command line, sets up what every verb has, runs the verb. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/progress_bar.h"
#include "cli/signals.h"
#include "cli/verbs.h"
#include "engine/crypto/memory.h"

static const char *
home_of(const struct tk_cli *cli)
{
	const char *home = tk_cli_value(cli, TK_OPT_HOME);

	if (!home)
		home = getenv("TWINKEEP_HOME");
	return home && *home ? home : TK_HOME_DEFAULT;
}

static enum tk_log_level
log_level_of(const struct tk_cli *cli)
{
	size_t more = cli->command.values[TK_OPT_VERBOSE].count;

	if (tk_cli_flag(cli, TK_OPT_QUIET))
		return TK_LOG_ERROR;
	return more == 0 ? TK_LOG_WARN : more == 1 ? TK_LOG_INFO : TK_LOG_DEBUG;
}

static int
verb_refuse(const struct tk_verb *verb, struct tk_output *out)
{
	struct tk_err err;

	(void)tk_err_set(&err, TK_EUSAGE, "\"%s\" (%s) is not in this version: see twinkeep --help for what is", verb->name, verb->summary);
	return tk_out_fail(out, &err);
}

static int
verb_run(struct tk_cli *cli)
{
	const struct tk_verb *verb = cli->command.verb;
	struct tk_log log = {STDERR_FILENO, log_level_of(cli)};
	struct tk_bar bar;
	struct tk_err err;
	int status;

	if (!verb->run)
		return verb_refuse(verb, cli->out);
	tk_err_clear(&err);
	if (tk_signals_install(&err))
		return tk_out_fail(cli->out, &err);
	tk_bar_init(&bar, tk_bar_mode_of(tk_cli_value(cli, TK_OPT_PROGRESS), stderr, tk_cli_flag(cli, TK_OPT_QUIET)), stderr);
	cli->out->bar = &bar;
	cli->home = home_of(cli);
	cli->log = &log;
	cli->cancel = tk_signals_cancel();
	cli->progress = bar.mode == TK_BAR_NONE ? NULL : &bar.sink;
	status = verb->run(cli);
	cli->out->bar = NULL;
	tk_bar_release(&bar);
	return status;
}

static int
command_run(struct tk_cli *cli)
{
	if (cli->command.help) {
		tk_help_print(stdout, &cli->command);
		return 0;
	}
	return cli->command.version ? tk_verb_version(cli) : verb_run(cli);
}

int
main(int argc, char **argv)
{
	struct tk_cli cli = {.home = NULL};
	struct tk_output out;
	struct tk_err err;
	enum tk_rc rc;
	int status;

	(void)setlocale(LC_CTYPE, "");
	(void)tk_crypto_memory_begin();
	tk_err_clear(&err);
	rc = tk_command_parse(argc, argv, &cli.command, &err);
	tk_out_init(&out, stdout, stderr, tk_cli_flag(&cli, TK_OPT_JSON) && !cli.command.help, tk_cli_flag(&cli, TK_OPT_QUIET));
	cli.out = &out;
	status = rc ? tk_out_fail(&out, &err) : command_run(&cli);
	status = tk_out_finish(&out, status);
	tk_command_release(&cli.command);
	return status;
}
