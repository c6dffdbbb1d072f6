/* dir_core.h -- what the parts of the directory driver share; for engine/vault/dir_*.c only.
 *
 * A pack under 1 MiB is a file in packs/small until there are many; then they become one container in packs/merged, as they are. Where each of them lies is in
 * memory. Any other pack is packs/xx/<name>.
 * For one name a file in packs/small comes first, then the container with the highest number, unless packs/merged/gone names it. So a crash anywhere in a
 * merge leaves every pack in one of its places, whole. */
#ifndef TK_VAULT_DIR_CORE_H
#define TK_VAULT_DIR_CORE_H

#include <pthread.h>
#include <time.h>

#include "engine/base/hex.h"
#include "engine/vault/container_file.h"
#include "engine/vault/driver.h"
#include "engine/vault/places.h"

#define TK_DIR_SHARDS 257                /* packs/00 to packs/ff, and packs/small */
#define TK_DIR_SMALL_SHARD 256
#define TK_DIR_HEX_MAX (2 * TK_DIGEST_BYTES + 1)
#define TK_DIR_SMALL_BYTES (1u << 20)    /* packs under this are merged */
#define TK_DIR_GONE_NAME "gone"

struct dir_driver {
	struct tk_driver base;
	bool only_writer;              /* nobody else changes the directory: what is not in `places` is not there */
	int packs_fd;
	int small_fd, merged_fd;       /* -1: not there (an older vault, opened for reading) */
	pthread_mutex_t sync_lock;     /* one sync at a time: who waited finds the other's work done, not begun */
	pthread_mutex_t lock;          /* over what follows */
	bool made_shard;               /* packs/ itself has names that are not synced */
	bool unsynced[TK_DIR_SHARDS];

	pthread_mutex_t merge_lock;    /* one merge at a time; taken before places_lock */
	pthread_rwlock_t places_lock;  /* over what follows */
	struct tk_places places;
	struct dir_container {
		uint64_t number;
		size_t row_count;      /* 0: its tables are damaged */
		uint64_t file_bytes;
	} *containers;                 /* owned; in no order */
	size_t container_count, container_cap;
	uint64_t last_container;       /* the highest number */
	struct timespec small_seen, merged_seen; /* the directories' mtimes when they were read */
};

/* ---- dir_driver.c ---- */

/* "<shard>/<hex>" below packs/. */
#define TK_DIR_PATH_MAX (TK_DIR_HEX_MAX + 8)
void tk_dir_pack_path(unsigned shard, const struct tk_pack_name *name, char path[TK_DIR_PATH_MAX]);
/* After a name in the shard changed: a sync that runs between the two would take an earlier mark away without the name. */
void tk_dir_mark_unsynced(struct dir_driver *self, unsigned shard);

/* ---- dir_places.c ---- */

/* Reads the places anew. A container whose tables are both damaged is passed over, and kept: its packs are not there until they are sent again. Needs places_lock. */
TK_MUST_CHECK enum tk_rc tk_dir_load(struct dir_driver *self, struct tk_err *err);
/* A container came or went. Need places_lock; note: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dir_note_container(struct dir_driver *self, uint64_t number, size_t row_count, uint64_t file_bytes,
					       struct tk_err *err);
void tk_dir_forget_container(struct dir_driver *self, uint64_t number);
/* The names in `gone`, sorted; malloc'ed. */
struct tk_dir_gone {
	struct tk_pack_name *names;
	size_t count;
};
TK_MUST_CHECK enum tk_rc tk_dir_gone_read(const struct dir_driver *self, struct tk_dir_gone *out, struct tk_err *err);
bool tk_dir_gone_has(const struct tk_dir_gone *gone, const struct tk_pack_name *name);
void tk_dir_gone_release(struct tk_dir_gone *gone);
/* Adds a name, durably. */
TK_MUST_CHECK enum tk_rc tk_dir_gone_add(struct dir_driver *self, const struct tk_pack_name *name, struct tk_err *err);

/* ---- dir_merge.c: the driver's tidy ---- */

TK_MUST_CHECK enum tk_rc tk_dir_tidy(struct tk_driver *driver, struct tk_err *err);

#endif
