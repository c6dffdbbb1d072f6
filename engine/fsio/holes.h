/* holes.h -- the runs of data and holes of an open file (lseek SEEK_DATA, SEEK_HOLE).
 *
 * One owner; moves the descriptor's file offset, so nobody may read(2) from it meanwhile (pread is fine).
 * A file system that does not know about holes gives one run of data. A hole reads as zeros; zeros need not be a hole. */
#ifndef TK_FSIO_HOLES_H
#define TK_FSIO_HOLES_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_run {
	uint64_t offset_bytes;
	uint64_t len_bytes;
	bool is_hole;
};

struct tk_holes {
	int fd;                  /* borrowed */
	uint64_t size_bytes;
	uint64_t pos_bytes;
};

/* Iterates over the first size_bytes of fd: a fixed size, however the file changes meanwhile. */
void tk_holes_init(struct tk_holes *it, int fd, uint64_t size_bytes);
/* The next run, in order, without gaps; false at the end. A file that was cut meanwhile ends in a hole. */
bool tk_holes_next(struct tk_holes *it, struct tk_run *run);

#endif
