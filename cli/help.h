/* help.h -- --help, from the tables. */
#ifndef TK_CLI_HELP_H
#define TK_CLI_HELP_H

#include <stdio.h>

#include "cli/options.h"

/* Help of the command: of its verb, of its group of verbs, or of everything. */
void tk_help_print(FILE *to, const struct tk_command *command);

#endif
