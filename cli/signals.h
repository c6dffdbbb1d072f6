/* signals.h -- SIGINT and SIGTERM ask for an orderly end; a second one ends at once. */
#ifndef TK_CLI_SIGNALS_H
#define TK_CLI_SIGNALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/base/err.h"

/* Installs the handlers and ignores SIGPIPE: a broken pipe or connection is an error of its write. Once, before threads. */
TK_MUST_CHECK enum tk_rc tk_signals_install(struct tk_err *err);
/* The flag that the first signal sets: what the pipelines look at. Static storage. */
const atomic_bool *tk_signals_cancel(void);
bool tk_signals_cancelled(void);

#endif
