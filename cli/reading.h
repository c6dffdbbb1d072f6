/* reading.h -- a point of a dataset, found at the sites and opened for reading: what ls, cat, diff, restore and verify begin with. */
#ifndef TK_CLI_READING_H
#define TK_CLI_READING_H

#include "cli/home.h"
#include "engine/job/fetch.h"
#include "engine/vault/records.h"
#include "engine/vault/treewalk.h"

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
	bool *answered;                       /* owned; site i did; NULL until the sites were asked */
	struct tk_err *why;                   /* owned; of a site that did not: why not */
	size_t sites_answered;
};

/* Asks every site for its points, all at the same time: one that is down takes its time for connecting and no longer. Release whatever the result. Errors: TK_EUNREACH: no site answers;
 * TK_ECONFIG: the home has no keys of the dataset. much: data will be read too (tk_fetch_open_more). */
TK_MUST_CHECK enum tk_rc tk_reading_open(struct tk_home *home, const struct tk_config_dataset *dataset, bool much, struct tk_reading *reading, struct tk_err *err);
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
/* The pages of an opened point; the root is checked against the point's tree digest. The loader must not outlive the reading. Release *root whatever the
 * result. Errors: TK_ECORRUPT, TK_EMISSING, TK_EUNREACH ... */
TK_MUST_CHECK enum tk_rc tk_reading_tree(struct tk_reading *reading, const struct tk_opened_point *point, struct tk_page_loader **loader,
					 struct tk_page_info *root, struct tk_err *err);
/* Adds a point that no site lists now, as another source of knowledge tells of it; one that is listed stays as it is. */
TK_MUST_CHECK enum tk_rc tk_reading_add_point(struct tk_reading *reading, const struct tk_head *at, int64_t time_ns, struct tk_err *err);
/* A path as a user writes it ("/srv/a/", "srv/a") becomes one of the manifest; the caller frees *out. Errors: TK_EUSAGE. */
TK_MUST_CHECK enum tk_rc tk_reading_path(const char *text, char **out, struct tk_err *err);
/* Names of the sites that hold the point, as JSON. */
json_t *tk_reading_holders(const struct tk_reading *reading, size_t index);

/* 64 hexadecimal digits of a point's id. */
json_t *tk_json_digest(const struct tk_digest *digest);

#endif
