#include "engine/fsio/holes.h"

#include <errno.h>
#include <unistd.h>

void
tk_holes_init(struct tk_holes *it, int fd, uint64_t size_bytes)
{
	*it = (struct tk_holes){.fd = fd, .size_bytes = size_bytes};
}

/* Where what `whence` asks for begins, at or behind pos; `otherwise` when the file system does not say. */
static uint64_t
seek_to(const struct tk_holes *it, int whence, uint64_t otherwise)
{
	off_t at = lseek(it->fd, (off_t)it->pos_bytes, whence);

	if (at < 0)
		/* ENXIO: nothing of the kind up to the end of the file. */
		return errno == ENXIO ? it->size_bytes : otherwise;
	return (uint64_t)at < it->size_bytes ? (uint64_t)at : it->size_bytes;
}

bool
tk_holes_next(struct tk_holes *it, struct tk_run *run)
{
	uint64_t data, end;

	if (it->pos_bytes >= it->size_bytes)
		return false;
	data = seek_to(it, SEEK_DATA, it->pos_bytes);
	end = data > it->pos_bytes ? data : seek_to(it, SEEK_HOLE, it->size_bytes);
	/* A hole was punched between the two calls: call it data, it reads as zeros. */
	if (end <= it->pos_bytes)
		end = it->size_bytes;
	*run = (struct tk_run){it->pos_bytes, end - it->pos_bytes, data > it->pos_bytes};
	it->pos_bytes = end;
	return true;
}
