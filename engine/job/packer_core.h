/* packer_core.h -- what the parts of the packer share; for engine/job/packer*.c only.
 *
 * Jobs travel in a circle: free -> (filled, numbered) -> to_seal -> to_write -> free. Their number bounds the packer's memory. */
#ifndef TK_JOB_PACKER_CORE_H
#define TK_JOB_PACKER_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/queue.h"
#include "engine/job/packer.h"

/* A pack on its way. The upper part is guarded by `numbering`, the lower belongs to the writer thread. */
struct tk_pack_out {
	struct tk_pack_head head;
	uint32_t number;                      /* in the packtab */
	uint32_t next_blob;
	uint64_t plain_bytes;
	struct tk_content_row *rows;          /* in any order until the pack ends */
	size_t row_count, row_cap;

	int fd;
	struct tk_pack_file *file;
	uint32_t next_write;
	struct tk_blob_job *waiting;          /* list of jobs that came before their turn */
	struct tk_pack_out *next;
};

enum tk_job_kind { TK_JOB_BLOB, TK_JOB_END_OF_PACK };

/* Owned by one thread at a time: by who took it out of a queue. */
struct tk_blob_job {
	enum tk_job_kind kind;
	struct tk_pack_out *pack;
	uint32_t blob;
	enum tk_blob_type type;
	struct tk_buf plain;
	struct tk_buf sealed;
	struct tk_blob_info info;
	struct tk_blob_ref *refs;
	size_t ref_count, ref_cap;
	struct tk_blob_job *next;
};

struct tk_packer {
	struct tk_packer_opts opts;

	pthread_mutex_t numbering;            /* guards what follows: who gets which number in which pack */
	struct tk_pack_out *data_pack, *meta_pack; /* NULL: none open; the first data pack is mixed */
	struct tk_pack_out *placed;           /* named by tk_packer_place: stays open until tk_packer_put. NULL: none */
	bool first_pack;
	struct tk_blob_job *solid;            /* the data blob that tk_packer_add fills, numbered already; NULL: none open */
	struct tk_pack_out *all_packs;

	struct tk_queue *free_jobs, *to_seal, *to_write;
	struct tk_blob_job *pool;
	size_t pool_count;
	pthread_t *seal_threads;
	unsigned seal_count;
	atomic_uint sealing;                  /* seal threads still running */
	pthread_t writer;
	bool writer_started;

	pthread_mutex_t lock;                 /* guards what follows; never held together with another */
	pthread_cond_t idle;
	size_t open_packs;                    /* not yet complete */
	struct tk_pack_ident *idents;
	size_t ident_count, ident_cap;
	struct tk_err failure;
	atomic_bool failed;
};

/* packer_threads.c: the pool of jobs, and the threads that seal and write. */
TK_MUST_CHECK enum tk_rc tk_packer_start(struct tk_packer *packer, struct tk_err *err);
void tk_packer_stop(struct tk_packer *packer);
/* The packer is of no use any more; the first failure is what all later calls return. */
void tk_packer_fail(struct tk_packer *packer, const struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_packer_check(struct tk_packer *packer, struct tk_err *err);
/* Waits for a free job, which comes empty. Errors: the packer's failure. */
TK_MUST_CHECK enum tk_rc tk_packer_take_job(struct tk_packer *packer, struct tk_blob_job **out, struct tk_err *err);

/* packer.c; all with `numbering` held. */
/* Makes sure that a data pack with room is open. */
TK_MUST_CHECK enum tk_rc tk_packer_need_data_pack(struct tk_packer *packer, struct tk_err *err);
/* The job becomes the pack's next blob and goes to the seal threads. */
void tk_packer_number(struct tk_packer *packer, struct tk_pack_out *pack, struct tk_blob_job *job);
/* Makes sure that the solid blob is open and has room. */
TK_MUST_CHECK enum tk_rc tk_packer_need_solid(struct tk_packer *packer, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_pack_rows_reserve(struct tk_pack_out *pack, size_t more, struct tk_err *err);

#endif
