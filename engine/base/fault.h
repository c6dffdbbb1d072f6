/* fault.h -- named places where a test may kill or fail the process: one before and after each durable step.
 *
 * Nothing of it is compiled in unless configure was given --enable-faults. Then the environment variable TWINKEEP_FAULT
 * says `NAME[@N]=ACTION`: at the Nth (default: first) time the point NAME is reached (`*`: any point), do ACTION:
 * `kill` (SIGKILL to this process), `eio`, `enospc` (the step fails with that error). Any thread. */
#ifndef TK_BASE_FAULT_H
#define TK_BASE_FAULT_H

#include "engine/base/err.h"

#ifdef TK_FAULTS
/* TK_OK, or the error that was asked for. */
TK_MUST_CHECK enum tk_rc tk_fault_point(const char *name, struct tk_err *err);
#else
TK_MUST_CHECK static inline enum tk_rc
tk_fault_point(const char *name, struct tk_err *err)
{
	(void)name;
	(void)err;
	return TK_OK;
}
#endif

#endif
