/* scratch.h -- a temporary directory for one test, removed afterwards with all that is in it. */
#ifndef TK_TESTS_SCRATCH_H
#define TK_TESTS_SCRATCH_H

#include <stddef.h>

struct scratch {
	char path[64];
	int fd;
};

/* A setup and a teardown of cmocka; *state is the struct scratch. */
int scratch_setup(void **state);
/* The same on a file system in memory, where there is one: for tests that make many things durable. */
int scratch_setup_fast(void **state);
int scratch_teardown(void **state);

/* Below the scratch directory; parents must exist. They assert that it works. */
void scratch_file(const struct scratch *scratch, const char *name, const char *text);
void scratch_dir(const struct scratch *scratch, const char *name);
/* The content of a small file, in buf; "" when it is not there. */
const char *scratch_read(const struct scratch *scratch, const char *name, char *buf, size_t size);
/* Absolute path, in buf. */
const char *scratch_path(const struct scratch *scratch, const char *name, char *buf, size_t size);

#endif
