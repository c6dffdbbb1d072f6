/* Linked into a program, this kills it before the Nth of its steps on the disk (a rename or a removal of a file): TK_KILL_STEP=N in the environment. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
step(void)
{
	static atomic_long done;
	const char *last = getenv("TK_KILL_STEP");

	if (last && atomic_fetch_add(&done, 1) + 1 == strtol(last, NULL, 10))
		(void)kill(getpid(), SIGKILL);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	step();
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	step();
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int
unlinkat(int dir, const char *name, int flags)
{
	step();
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}
