/* Packs of which a part came before their connection broke: the next attempt goes on from there. They lie in tmp/ until the vault is opened anew; their bytes count for nothing until the
 * whole pack is checked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/vault/vault_core.h"

/* Less is soon sent again. */
#define PART_MIN_BYTES (1u << 20)
/* A source sends one or two packs at once; what nobody comes back for goes when others do. */
#define PARTS_MAX 8u
#define PREFIX "part-"
#define NAME_BYTES (sizeof(PREFIX) + 2 * TK_DIGEST_BYTES)

static void
part_name(const struct tk_pack_name *name, char dst[NAME_BYTES])
{
	memcpy(dst, PREFIX, sizeof(PREFIX));
	tk_hex_encode(name->b, sizeof(name->b), dst + sizeof(PREFIX) - 1);
}

uint64_t
tk_vparts_take(int tmp_fd, const struct tk_pack_name *name, const char *tmp_name, uint64_t max_bytes, int *fd)
{
	char part[NAME_BYTES];
	struct stat st;

	part_name(name, part);
	/* Of two who want it one gets it. */
	if (renameat(tmp_fd, part, tmp_fd, tmp_name) < 0)
		return 0;
	*fd = openat(tmp_fd, tmp_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < max_bytes)
		return (uint64_t)st.st_size;
	tk_fd_cleanup(fd);
	(void)unlinkat(tmp_fd, tmp_name, 0);
	return 0;
}

/* The oldest part beyond `keep` of them goes, with each call. False: none did. */
static bool
drop_oldest(struct tk_vault *vault, int tmp_fd, size_t keep)
{
	struct tk_vfile_list list;
	struct timespec oldest = {0, 0};
	const char *victim = NULL;
	size_t count = 0;
	bool dropped;

	if (tk_vfile_list(vault->root_fd, "tmp", &list, NULL))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		struct stat st;

		if (strncmp(list.names[i], PREFIX, strlen(PREFIX)) != 0 || fstatat(tmp_fd, list.names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		count++;
		if (victim && (st.st_mtim.tv_sec > oldest.tv_sec || (st.st_mtim.tv_sec == oldest.tv_sec && st.st_mtim.tv_nsec >= oldest.tv_nsec)))
			continue;
		victim = list.names[i];
		oldest = st.st_mtim;
	}
	dropped = count > keep && unlinkat(tmp_fd, victim, 0) == 0;
	tk_vfile_list_release(&list);
	return dropped;
}

bool
tk_vparts_keep(struct tk_vault *vault, int tmp_fd, const struct tk_pack_name *name, const char *tmp_name, int fd, uint64_t len_bytes)
{
	char part[NAME_BYTES];

	part_name(name, part);
	if (len_bytes < PART_MIN_BYTES || ftruncate(fd, (off_t)len_bytes) < 0 || fdatasync(fd) < 0 || renameat(tmp_fd, tmp_name, tmp_fd, part) < 0)
		return false;
	while (drop_oldest(vault, tmp_fd, PARTS_MAX))
		;
	return true;
}

void
tk_vparts_drop(struct tk_vault *vault, int tmp_fd)
{
	while (drop_oldest(vault, tmp_fd, 0))
		;
}
