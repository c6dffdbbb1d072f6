#include "engine/base/cores.h"

#include <sched.h>
#include <unistd.h>

unsigned
tk_cores_usable(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	/* Fails where there are more cores than the set has bits for. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
	return online > 0 ? (unsigned)online : 1;
}
