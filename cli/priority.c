#include "cli/priority.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ioprio_set(2) has no wrapper, and kernel headers of old systems do not name its numbers. */
#define IO_WHO_THREAD 1
#define IO_CLASS_SHIFT 13
#define IO_CLASS_BEST_EFFORT 2
#define IO_CLASS_IDLE 3
#define IO_LOWEST 7

/* Higher yields more. "none" (class 0) stands for best effort by the CPU's nice value. */
static int
io_rank(int io)
{
	int class_of = io >> IO_CLASS_SHIFT;

	return (class_of == 0 ? IO_CLASS_BEST_EFFORT : class_of) << IO_CLASS_SHIFT | (io & ((1 << IO_CLASS_SHIFT) - 1));
}

static int
io_wanted(enum tk_io_class io_class)
{
	if (io_class == TK_IO_IDLE)
		return IO_CLASS_IDLE << IO_CLASS_SHIFT;
	return io_class == TK_IO_BEST_EFFORT ? IO_CLASS_BEST_EFFORT << IO_CLASS_SHIFT | IO_LOWEST : 0;
}

void
tk_priority_lower(const struct tk_config_policy *policy, struct tk_priority *before)
{
	int io = io_wanted(policy->io_class);

	errno = 0;
	before->nice = getpriority(PRIO_PROCESS, 0);
	before->io = (int)syscall(SYS_ioprio_get, IO_WHO_THREAD, 0);
	if (before->io < 0)
		before->io = 0;
	if ((int)policy->nice > before->nice)
		(void)setpriority(PRIO_PROCESS, 0, (int)policy->nice);
	if (io_rank(io) > io_rank(before->io))
		(void)syscall(SYS_ioprio_set, IO_WHO_THREAD, 0, io);
}

void
tk_priority_restore(const struct tk_priority *before)
{
	(void)setpriority(PRIO_PROCESS, 0, before->nice);
	(void)syscall(SYS_ioprio_set, IO_WHO_THREAD, 0, before->io);
}
