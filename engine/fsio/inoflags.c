#include "engine/fsio/inoflags.h"

#include <errno.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>

static const struct flag_row {
	uint32_t ours;
	unsigned kernel;
} flag_rows[] = {
	{TK_INO_IMMUTABLE, FS_IMMUTABLE_FL},
	{TK_INO_APPEND, FS_APPEND_FL},
	{TK_INO_NODUMP, FS_NODUMP_FL},
	{TK_INO_NOATIME, FS_NOATIME_FL},
	{TK_INO_SYNC, FS_SYNC_FL},
	{TK_INO_DIRSYNC, FS_DIRSYNC_FL},
	{TK_INO_COMPRESS, FS_COMPR_FL},
	{TK_INO_NOCOW, FS_NOCOW_FL},
	{TK_INO_JOURNAL_DATA, FS_JOURNAL_DATA_FL},
	{TK_INO_TOPDIR, FS_TOPDIR_FL},
};

#define FLAG_ROWS (sizeof(flag_rows) / sizeof(flag_rows[0]))

uint32_t
tk_inoflags_from_kernel(unsigned kernel)
{
	uint32_t flags = 0;

	for (size_t i = 0; i < FLAG_ROWS; i++)
		if (kernel & flag_rows[i].kernel)
			flags |= flag_rows[i].ours;
	return flags;
}

unsigned
tk_inoflags_to_kernel(uint32_t flags)
{
	unsigned kernel = 0;

	for (size_t i = 0; i < FLAG_ROWS; i++)
		if (flags & flag_rows[i].ours)
			kernel |= flag_rows[i].kernel;
	return kernel;
}

/* The kernel reads and writes an int, whatever the type in the ioctl's number says. */
static int
kernel_get(int fd, unsigned *flags)
{
	int value = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &value) < 0)
		return -1;
	*flags = (unsigned)value;
	return 0;
}

static int
kernel_set(int fd, unsigned flags)
{
	int value = (int)flags;

	return ioctl(fd, FS_IOC_SETFLAGS, &value);
}

enum tk_rc
tk_inoflags_get(int fd, uint32_t *flags, struct tk_err *err)
{
	unsigned kernel;

	*flags = 0;
	if (kernel_get(fd, &kernel) < 0) {
		if (errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)
			return TK_OK;
		return tk_err_errno(err, TK_EIO, "reading inode flags");
	}
	*flags = tk_inoflags_from_kernel(kernel);
	return TK_OK;
}

void
tk_inoflags_set(int fd, uint32_t flags, bool *applied)
{
	unsigned now, want;

	*applied = flags == 0;
	if (kernel_get(fd, &now) < 0)
		return;
	want = (now & ~tk_inoflags_to_kernel(UINT32_MAX)) | tk_inoflags_to_kernel(flags);
	*applied = true;
	if (want == now || kernel_set(fd, want) == 0)
		return;

	/* One unknown bit makes the kernel refuse them all. Immutable comes first in the table and would lock
	 * the rest out, so the table is gone through backwards. */
	for (size_t i = FLAG_ROWS; i-- > 0;) {
		unsigned bit = flag_rows[i].kernel;

		if ((want & bit) == (now & bit))
			continue;
		if (kernel_set(fd, now ^ bit) == 0)
			now ^= bit;
		else
			*applied = false;
	}
}

bool
tk_inoflags_unlock(int fd)
{
	unsigned now;

	if (kernel_get(fd, &now) < 0 || !(now & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return false;
	return kernel_set(fd, now & ~(unsigned)(FS_IMMUTABLE_FL | FS_APPEND_FL)) == 0;
}
