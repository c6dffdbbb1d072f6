/* job_fixture.h -- a source with keys, a tree, a state directory and a few `dir:` sites, and runs over them with tiny sizes. */
#ifndef TK_TESTS_JOB_FIXTURE_H
#define TK_TESTS_JOB_FIXTURE_H

#include "tests/unit/fault_store.h"
#include "tests/unit/scratch.h"

#include "engine/job/backup.h"
#include "engine/job/restore.h"
#include "engine/vault/vault.h"

#define JOB_SITES_MAX 3

struct job_site {
	char name[32];
	char path[96];
	struct tk_vault *vault;            /* open between job_open and job_close */
	struct fault_plan plan;
};

struct job_box {
	struct scratch *scratch;
	char tree[96], state[96], log_path[96];
	struct tk_keyring ring;
	struct tk_id domain, incarnation;
	struct tk_buf genesis, grant;
	struct job_site sites[JOB_SITES_MAX];
	struct tk_site handles[JOB_SITES_MAX];
	struct tk_voter voters[JOB_SITES_MAX];  /* all sites */
	size_t site_count;
	size_t receipts_wanted;            /* by the judge; 0: all */
	const char *roots[1];
	struct tk_log log;
	struct tk_backup_opts opts;        /* a test changes what it likes */
	struct tk_backup_result result;    /* of the last run */
	char fault[1200];                  /* the last thing that a restore could not do */
	uint64_t fetched_bytes;            /* by the last restore */
	unsigned notes[8];                 /* by enum tk_scan_note, of the last run */
};

/* *state is the struct job_box: one site, vaults closed. */
int job_setup(void **state);
int job_teardown(void **state);
/* Makes the vaults up to `count` sites. */
void job_add_sites(struct job_box *box, size_t count);
void job_open(struct job_box *box);
void job_close(struct job_box *box);
/* Runs a shell command with $1 = tree, $2 = state, $3 = the domain's directory in it, $4 = the scratch directory; it must succeed. */
void job_shell(const struct job_box *box, const char *command);
/* Sleeps until a change made before is no longer too near to the scan. */
void job_settle(void);

/* One run; the result is in the box. */
enum tk_rc job_backup(struct job_box *box, struct tk_err *err);
/* It must succeed, with every site's receipt. */
void job_backup_ok(struct job_box *box);
/* One that is told to stop after a time (below a second). False: it did. */
bool job_backup_interrupted(struct job_box *box, unsigned after_us);

struct job_restore {
	const char *target;                /* NULL with tar_fd */
	int tar_fd;                        /* 0: none */
	const char *path;                  /* one --path, or NULL */
	bool whole_path;                   /* no --strip */
	bool delete_extra;
	size_t only_site;                  /* 1, 2 ...: from this one alone; 0: all */
};
enum tk_rc job_restore(struct job_box *box, const struct tk_head *at, const struct job_restore *how, struct tk_restore_result *result,
		       struct tk_err *err);
/* A fresh directory below the scratch directory gets the point, which must be exactly `listing`; then it is removed. */
void job_check_point(struct job_box *box, const struct tk_head *at, const char *listing, size_t only_site);
/* job_settle, job_backup_ok, and the point must be exactly what is in the tree now. */
void job_backup_exactly(struct job_box *box);
/* Every point that a site lists in its order; malloc'ed. */
struct tk_store_point *job_points(struct job_box *box, size_t site, size_t *count);

#endif
