#include "engine/base/fault.h"

/* Without --enable-faults this unit holds declarations only. */
#ifdef TK_FAULTS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one place of the engine with state of its own: it exists in test builds only. */
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long fault_hits;

static int
fault_matches(const char *plan, const char *name, unsigned long *at)
{
	size_t name_bytes = strcspn(plan, "@=");

	*at = plan[name_bytes] == '@' ? strtoul(plan + name_bytes + 1, NULL, 10) : 1;
	if (name_bytes == 1 && plan[0] == '*')
		return 1;
	return strlen(name) == name_bytes && strncmp(plan, name, name_bytes) == 0;
}

enum tk_rc
tk_fault_point(const char *name, struct tk_err *err)
{
	const char *plan = getenv("TWINKEEP_FAULT");
	const char *action = plan ? strchr(plan, '=') : NULL;
	unsigned long at;
	int due;

	if (!action || !fault_matches(plan, name, &at))
		return TK_OK;
	(void)pthread_mutex_lock(&fault_lock);
	due = ++fault_hits == at;
	(void)pthread_mutex_unlock(&fault_lock);
	if (!due)
		return TK_OK;
	if (strcmp(action, "=kill") == 0)
		(void)kill(getpid(), SIGKILL);
	errno = strcmp(action, "=enospc") == 0 ? ENOSPC : EIO;
	return tk_err_errno(err, TK_EIO, "fault asked for at %s", name);
}

#endif
