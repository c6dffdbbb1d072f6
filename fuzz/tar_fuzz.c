/* Any bytes as a tar stream: an error or entries with proper paths. And as the raw ACL of an entry that is written. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/archive/tarin.h"
#include "engine/archive/tarout.h"
#include "engine/fsio/beneath.h"
#include "engine/fsio/openat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_all(int fd)
{
	TK_AUTO(tk_tarin_cleanup) struct tk_tarin *tar = NULL;
	const struct tk_tarin_entry *entry;
	const void *bytes;
	size_t len;
	uint64_t offset;

	if (tk_tarin_new(fd, &tar, NULL) != TK_OK)
		return;
	while (tk_tarin_next(tar, &entry, NULL) == TK_OK && entry) {
		if (tk_beneath_check(entry->path, strlen(entry->path), NULL) != TK_OK && strlen(entry->path) < 256)
			abort();
		while (tk_tarin_data(tar, &bytes, &len, &offset, NULL) == TK_OK && len > 0)
			;
	}
}

static void
write_acl(int fd, const uint8_t *data, size_t size)
{
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *tar = NULL;
	TK_AUTO(tk_meta_release) struct tk_meta meta = {.type = TK_FT_DIR};

	if (tk_meta_put_xattr(&meta, TK_XATTR_ACL_ACCESS, data, size, NULL) != TK_OK || tk_tarout_new(fd, &tar, NULL) != TK_OK)
		return;
	if (tk_tarout_add(tar, "d", &meta, NULL, NULL, 0, NULL) == TK_OK)
		(void)!tk_tarout_end(tar, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_fd_cleanup) int fd = memfd_create("tar", MFD_CLOEXEC);

	if (fd < 0 || tk_write_full(fd, data, size, "tar", NULL) != TK_OK || lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	read_all(fd);
	if (size <= 4096 && ftruncate(fd, 0) == 0)
		write_acl(fd, data, size);
	return 0;
}
