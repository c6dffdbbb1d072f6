/* reading.h -- a point of a dataset, found at the sites and opened for reading: what ls, cat, diff, restore and verify begin with. */
#ifndef TK_CLI_READING_H
#define TK_CLI_READING_H

#include "cli/home.h"
#include "engine/job/fetch.h"
#include "engine/vault/records.h"

/* A point as the sites list it. held[i]: site i of the reading has it. */
struct tk_listed_point {
	struct tk_head at;
	int64_t received_ns;                  /* the earliest site's clock */
	bool *held;                           /* owned */
};

struct tk_reading {
	struct tk_home *home;                 /* borrowed */
	const struct tk_config_dataset *dataset;
	struct tk_id domain;
	const struct tk_domain_keys *keys;
	struct tk_site *sites;                /* owned */
	size_t site_count;
	struct tk_packtab *packs;
	struct tk_fetch *fetch;
	struct tk_listed_point *points;       /* owned; in order of (epoch, sequence) */
	size_t point_count;
	size_t sites_answered;
};

/* Asks every site for its points. Release whatever the result. Errors: TK_EUNREACH: no site answers. */
TK_MUST_CHECK enum tk_rc tk_reading_open(struct tk_home *home, const struct tk_config_dataset *dataset, const struct tk_id *domain,
					 struct tk_reading *reading, struct tk_err *err);
void tk_reading_release(struct tk_reading *reading);

/* One point with its record and body. */
struct tk_opened_point {
	size_t index;                         /* in reading->points */
	struct tk_buf record;
	struct tk_point point;
	struct tk_point_body body;
};
/* text: NULL or "latest", an id prefix, a time. Errors: TK_ENOENT, TK_EUSAGE. */
TK_MUST_CHECK enum tk_rc tk_reading_point(struct tk_reading *reading, const char *text, struct tk_opened_point *out, struct tk_err *err);
/* The point at a place of the list. */
TK_MUST_CHECK enum tk_rc tk_reading_open_index(struct tk_reading *reading, size_t index, struct tk_opened_point *out, struct tk_err *err);
void tk_opened_point_release(struct tk_opened_point *point);
/* Names of the sites that hold the point, as JSON. */
json_t *tk_reading_holders(const struct tk_reading *reading, size_t index);

/* 64 hexadecimal digits of a point's id. */
json_t *tk_json_digest(const struct tk_digest *digest);

#endif
