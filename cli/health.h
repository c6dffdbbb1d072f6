/* health.h -- how well one dataset is protected now: what the sites hold, what this home's history says, and what is wrong. */
#ifndef TK_CLI_HEALTH_H
#define TK_CLI_HEALTH_H

#include "cli/reading.h"
#include "engine/catalog/journal.h"

struct tk_health_site {
	const char *name;                     /* borrowed from the configuration */
	bool is_local;
	bool reachable;
	bool disabled;                        /* by the configuration: it was not asked, nothing else is set */
	bool refused;                         /* not reachable since it answers and turns this home away, as `why` says */
	bool knows_nothing;                   /* refused since it has nothing of the dataset: it is new, or was made anew */
	char why[200];
	bool behind;                          /* its vault was set back and promises nothing */
	bool has_point;
	struct tk_head last;                  /* the newest that it holds; of a silent site: by its last receipt */
	int64_t created_ns;                   /* its scan end; of a silent site: the time of the receipt */
	uint64_t lag_points;                  /* how many newer ones there are, and by how long they are newer */
	int64_t lag_ns;
	int64_t first_ns;                     /* when it gave its first receipt; 0: none is known */
	struct tk_run_row verify;             /* the one that counts: damage that is not mended, or the last one of all its points; end_ns 0: never */
	struct tk_run_row attempt;            /* the last one, however it ended */
};

/* Critical: points, or the making of points, are not what was promised. Warning: see to it before they are. */
enum tk_severity { TK_WARNING, TK_CRITICAL };

struct tk_alarm {
	const char *kind;                     /* static: "no-point", "rpo", "ack", "lost-point", "unreachable", "set-back", "certificate", "verify", "backup", "spool", "fenced", "possibly-fenced", "clock", "journal", "no-keys", "emptied", "thin", "refused" */
	enum tk_severity severity;
	char text[320];
};
#define TK_ALARMS_MAX 64u

struct tk_health {
	const struct tk_config_dataset *dataset;
	bool has_point;
	struct tk_head newest;
	int64_t scan_start_ns, created_ns;
	uint64_t files;                       /* of the newest point; meaningful with has_body */
	bool has_body;
	bool ack_met;
	struct tk_health_site *sites;         /* owned */
	size_t site_count;
	struct tk_run_row backup, drill;      /* the last ones; end_ns 0: never */
	uint64_t spool_bytes;
	struct tk_alarm alarms[TK_ALARMS_MAX];
	size_t alarm_count;
	bool history_known;                   /* false: the journal cannot be opened, and the runs and verifications here are empty */
	int exit_status;                      /* 0; 5: a site is damaged; 4: not protected by its ack rule, or no point within the policy's rpo; 7: no site answers; 6: fenced */
};

/* Asks the sites, all at the same time. TK_OK also when none answers: that is an alarm. The home must be unlocked. Release whatever the result. */
TK_MUST_CHECK enum tk_rc tk_health_look(struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_health *health, struct tk_err *err);
void tk_health_release(struct tk_health *health);

#endif
