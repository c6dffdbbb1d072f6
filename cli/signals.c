#include "cli/signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A handler has no argument: the one mutable global of the program. */
static atomic_bool cancelled;

static void
on_signal(int number)
{
	if (atomic_exchange(&cancelled, true))
		_exit(128 + number);
}

enum tk_rc
tk_signals_install(struct tk_err *err)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	/* No SA_RESTART: a read that waits for a person or a site ends. */
	if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
		return tk_err_errno(err, TK_EIO, "signal handlers");
	action.sa_handler = SIG_IGN;
	if (sigaction(SIGPIPE, &action, NULL) < 0)
		return tk_err_errno(err, TK_EIO, "signal handlers");
	return TK_OK;
}

const atomic_bool *
tk_signals_cancel(void)
{
	return &cancelled;
}

bool
tk_signals_cancelled(void)
{
	return atomic_load(&cancelled);
}
