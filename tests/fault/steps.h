/* steps.h -- work that is killed, or fails, at each of its durable steps, one after the other. Each time a process of its own does it, and whoever wrote the test looks at what
 * that one left. */
#ifndef TK_TESTS_FAULT_STEPS_H
#define TK_TESTS_FAULT_STEPS_H

#include <stdbool.h>

#include "tests/unit/unit.h"

/* How the child ends. CHILD_GAVE_UP fails the test: what failed once must go the second time. */
enum { CHILD_CLEAN = 0, CHILD_SAW_FAULTS = 10, CHILD_GAVE_UP = 11 };

struct steps_end {
	bool reached;                        /* the fault was met: there may be more steps behind it */
	bool killed;
};

/* In the child: from now on its step number `at`, from 1, ends it or fails. action: "kill", "eio", "enospc". */
void steps_arm(unsigned at, const char *action);
/* Runs child(work, at, action), which ends its process with one of the above. */
struct steps_end steps_run_child(void (*child)(void *work, unsigned at, const char *action), void *work, unsigned at, const char *action);
/* Calls once() for step after step, until one is not reached. Fewer than `least` steps mean that fault points were taken out. */
void steps_run_all(bool (*once)(unsigned at, const char *action), const char *action, unsigned least);

#endif
