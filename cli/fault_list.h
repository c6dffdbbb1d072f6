/* fault_list.h -- the files that could not be restored, told by cause: a lost pack is one line, however many files it takes with it.
 *
 * With --json each file is in "errors", with -v each has a line of the log. One thread at a time; memory is bounded. */
#ifndef TK_CLI_FAULT_LIST_H
#define TK_CLI_FAULT_LIST_H

#include "cli/cli.h"

struct tk_fault_cause;

struct tk_fault_list {
	const struct tk_cli *cli;             /* borrowed */
	struct tk_fault_cause *causes;
	size_t count;
	uint64_t files;                       /* that were noted */
	uint64_t untold;                      /* of these, whose cause is not among them */
};

/* Notes one file, by its path in the manifest. */
void tk_fault_list_note(struct tk_fault_list *list, const char *path, const struct tk_err *err);
/* One line of standard error a cause, and releases. */
void tk_fault_list_tell(struct tk_fault_list *list);

#endif
