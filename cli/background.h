/* background.h -- leaving the terminal: the parent stays until the daemon is ready, and ends with its status. */
#ifndef TK_CLI_BACKGROUND_H
#define TK_CLI_BACKGROUND_H

#include "engine/base/err.h"

/*
 * Forks, before there is any thread. In the parent it does not return: it exits with 0 at the child's tk_background_ready, or with the child's status
 * when that ends first (1 if it was killed). In the child it returns TK_OK in a session of its own; *ready_fd is for tk_background_ready.
 */
TK_MUST_CHECK enum tk_rc tk_background_begin(int *ready_fd, struct tk_err *err);
/* Lets the parent go; standard input becomes /dev/null, output and error become log_fd. ready_fd < 0: does nothing. */
void tk_background_ready(int *ready_fd, int log_fd);

#endif
