#include "tests/fault/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS_MAX = 200 };

void
steps_arm(unsigned at, const char *action)
{
	char plan[64];

	(void)snprintf(plan, sizeof(plan), "*@%u=%s", at, action);
	(void)setenv("TWINKEEP_FAULT", plan, 1);
}

struct steps_end
steps_run_child(void (*child)(void *work, unsigned at, const char *action), void *work, unsigned at, const char *action)
{
	struct steps_end end;
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		child(work, at, action);
		_exit(CHILD_GAVE_UP);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	end.killed = WIFSIGNALED(status);
	end.reached = end.killed || WEXITSTATUS(status) == CHILD_SAW_FAULTS;
	assert_true(end.reached || WEXITSTATUS(status) == CHILD_CLEAN);
	return end;
}

void
steps_run_all(bool (*once)(unsigned at, const char *action), const char *action, unsigned least)
{
	unsigned at = 1;

	while (once(at, action)) {
		at++;
		assert_true(at < STEPS_MAX);
	}
	assert_true(at > least);
}
