/* cores.h -- how many threads are worth starting. */
#ifndef TK_BASE_CORES_H
#define TK_BASE_CORES_H

/* Cores that this process may use (its affinity, as taskset or a container's cpuset set it); at least 1. */
unsigned tk_cores_usable(void);

#endif
