/* priority.h -- how much a run yields to everything else on the machine: policy keys nice and io_class. Linux. */
#ifndef TK_CLI_PRIORITY_H
#define TK_CLI_PRIORITY_H

#include "policies/settings.h"

/* The priorities of a thread, as the system tells them. */
struct tk_priority {
	int nice;
	int io;
};

/*
 * Gives the calling thread, and so every thread that it makes from now on, the policy's priorities; *before receives those that it had. A policy asks to yield: a
 * priority that is lower already is kept. What the system refuses is left as it was: it is a courtesy, never a reason to fail.
 */
void tk_priority_lower(const struct tk_config_policy *policy, struct tk_priority *before);
/* Back to *before, as far as the system allows it (raising a priority wants the right to). */
void tk_priority_restore(const struct tk_priority *before);

#endif
