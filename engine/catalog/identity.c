#include "engine/catalog/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

/* The file: magic[8], incarnation[16], binding[32], digest[32] of what is before. Local, and made anew by recover: always SHA-256. */
#define FILE_NAME "identity"
#define MAGIC "TWKIDEN1"
#define MAGIC_BYTES 8
#define BODY_BYTES (MAGIC_BYTES + TK_ID_BYTES + TK_DIGEST_BYTES)
#define FILE_BYTES (BODY_BYTES + TK_HASH_BYTES)
#define MACHINE_ID_MAX 256

/* What this machine is called; empty where it has no id. */
static enum tk_rc
read_machine_id(char dst[MACHINE_ID_MAX], size_t *len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	enum tk_rc rc;

	*len_bytes = 0;
	if (fd < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "opening /etc/machine-id");
	if ((rc = tk_read_full(fd, dst, MACHINE_ID_MAX, len_bytes, "/etc/machine-id", err)))
		return rc;
	while (*len_bytes > 0 && dst[*len_bytes - 1] == '\n')
		--*len_bytes;
	return TK_OK;
}

/* Inode and birth time survive a rename of any directory above, and no copy has them. The device number is left out: it changes over a
 * restart. */
static enum tk_rc
bind_to_file(int fd, const struct tk_id *incarnation, uint8_t binding[TK_HASH_BYTES], struct tk_err *err)
{
	char machine[MACHINE_ID_MAX];
	uint8_t place[20] = {0};
	struct tk_bytes parts[4] = {{"twinkeep home", 13}, {incarnation->b, sizeof(incarnation->b)}, {place, sizeof(place)}, {machine, 0}};
	struct statx stx;
	enum tk_rc rc;

	if ((rc = read_machine_id(machine, &parts[3].len_bytes, err)))
		return rc;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &stx) < 0)
		return tk_err_errno(err, TK_EIO, "looking at the identity file");
	tk_store_u64(place, stx.stx_ino);
	if (stx.stx_mask & STATX_BTIME) {
		tk_store_u64(place + 8, (uint64_t)stx.stx_btime.tv_sec);
		tk_store_u32(place + 16, stx.stx_btime.tv_nsec);
	}
	return tk_hash_parts(TK_SUITE_AES, parts, 4, binding, err);
}

enum tk_rc
tk_identity_create(int keys_dirfd, struct tk_id *incarnation, struct tk_err *err)
{
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;
	uint8_t bytes[FILE_BYTES];
	struct tk_id id;
	enum tk_rc rc;

	if ((rc = tk_random_bytes(id.b, sizeof(id.b), err)) || (rc = tk_publish_begin(keys_dirfd, 0600, &txn, err)))
		return tk_err_context(err, rc, "making an identity");
	memcpy(bytes, MAGIC, MAGIC_BYTES);
	memcpy(bytes + MAGIC_BYTES, id.b, sizeof(id.b));
	if ((rc = bind_to_file(tk_publish_fd(txn), &id, bytes + MAGIC_BYTES + TK_ID_BYTES, err)) ||
	    (rc = tk_hash(TK_SUITE_AES, bytes, BODY_BYTES, bytes + BODY_BYTES, err)) ||
	    (rc = tk_write_full(tk_publish_fd(txn), bytes, sizeof(bytes), FILE_NAME, err)) || (rc = tk_publish_commit(txn, FILE_NAME, true, err)))
		return tk_err_context(err, rc, "making an identity");
	*incarnation = id;
	return TK_OK;
}

enum tk_rc
tk_identity_read(int keys_dirfd, struct tk_id *incarnation, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = tk_open_quiet(keys_dirfd, FILE_NAME, false);
	uint8_t bytes[FILE_BYTES + 1];
	uint8_t digest[TK_HASH_BYTES];
	struct tk_id id;
	size_t got;
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening the identity file");
	if ((rc = tk_read_full(fd, bytes, sizeof(bytes), &got, "the identity file", err)) ||
	    (rc = tk_hash(TK_SUITE_AES, bytes, got == FILE_BYTES ? BODY_BYTES : 0, digest, err)))
		return rc;
	if (got != FILE_BYTES || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0 || memcmp(digest, bytes + BODY_BYTES, sizeof(digest)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "the identity file is damaged: run `twinkeep recover --home DIR --site URL` with the passphrase");
	memcpy(id.b, bytes + MAGIC_BYTES, sizeof(id.b));
	if ((rc = bind_to_file(fd, &id, digest, err)))
		return rc;
	if (memcmp(digest, bytes + MAGIC_BYTES + TK_ID_BYTES, sizeof(digest)) != 0)
		return tk_err_set(err, TK_EFENCED, "this home is a copy of another one: to make it the writer, run "
				  "`twinkeep recover --home DIR --site URL` with the passphrase");
	*incarnation = id;
	return TK_OK;
}
