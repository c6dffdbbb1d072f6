/* settings.h -- what twinkeep.conf says: the configuration as data.
 *
 * A tk_config is read once with tk_config_load(), never changes after that, and may be shared by threads.
 * All strings and arrays in it are owned by it. Every key stands in one table (tk_config_key_info()), from which
 * the reader, the man page and docs/CONFIGURATION.md are made. */
#ifndef TK_POLICIES_SETTINGS_H
#define TK_POLICIES_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/base/log.h"
#include "policies/ack.h"
#include "policies/site_url.h"
#include "policies/units.h"

#define TK_CONFIG_FILE "twinkeep.conf"
#define TK_HOME_DEFAULT "/etc/twinkeep"
#define TK_STATE_DEFAULT "/var/lib/twinkeep"

struct tk_strings {
	char **items;    /* owned, each owned */
	size_t count;
};

/* Where something was written; `file` belongs to the configuration. */
struct tk_config_where {
	const char *file;
	unsigned line;
};

enum tk_compression { TK_COMPRESS_ZSTD, TK_COMPRESS_LZ4, TK_COMPRESS_NONE };
enum tk_trust_choice { TK_TRUST_CHOICE_CTIME, TK_TRUST_CHOICE_MOVES, TK_TRUST_CHOICE_MTIME };
enum tk_signature { TK_SIGN_TAGS, TK_SIGN_ROLLING, TK_SIGN_NEVER };
enum tk_io_class { TK_IO_NORMAL, TK_IO_BEST_EFFORT, TK_IO_IDLE };

/* How many points to keep; a point is kept while any rule wants it. */
struct tk_config_keep {
	uint64_t last, daily, weekly, monthly, yearly;
	int64_t min_age_ms;      /* nothing younger goes, whatever the counts say */
};

struct tk_config_site {
	char *name;
	struct tk_config_where where;
	char *url_text;
	struct tk_site_url url;
	bool local;              /* in the writer's city: counts for ack = all-local */
	char *city;              /* "" when not said */
	int64_t connect_timeout_ms, io_timeout_ms;
	bool enabled;
};

struct tk_config_policy {
	char *name;
	struct tk_config_where where;
	enum tk_ack_rule ack;
	int64_t reconnect_ms;          /* for a site whose connection broke; 0: it is not tried again */
	int64_t linger_ms;             /* for the other sites, once the ack rule is met */
	enum tk_compression compression;
	uint64_t level;
	struct tk_strings exclude;
	bool one_file_system, cachedir_tag, nodump, numeric_ids, append_only;
	uint64_t block_size_bytes;     /* 0: by the file's kind and size */
	uint64_t delta_min_size_bytes; /* smaller files are stored anew when they change */
	enum tk_signature signature;
	enum tk_trust_choice trust;
	uint64_t reread_days;          /* every file is read again within this many days; 0: never */
	uint64_t read_retries;         /* for a file that changes while it is read */
	uint64_t rewrite_percent;      /* budget per run for storing fragmented files anew, of the bytes protected */
	int64_t rpo_ms, rto_ms;        /* 0: no promise */
	char *check_command;           /* "" for none; run by drill with the restored tree as its directory */
	bool check_network;
	uint64_t bandwidth_bytes;      /* per second and site; 0: no limit */
	struct tk_window window;       /* when bandwidth holds; empty: always */
	uint64_t nice;
	enum tk_io_class io_class;
	struct tk_config_keep keep;
};

struct tk_config_dataset {
	char *name;
	struct tk_config_where where;
	struct tk_strings paths;       /* absolute, without a slash at the end, at least one */
	char *policy_name;
	struct tk_config_where policy_where, sites_where; /* line 0 when not written */
	const struct tk_config_policy *policy; /* never NULL after loading; in tk_config.policies */
	struct tk_strings exclude;     /* after those of the policy */
	struct tk_strings sites;       /* names; never empty after loading */
	uint8_t domain_id[16];
	bool has_domain_id;            /* false until its keys are made */
};

/* The side of a node that stores: read by twinkeepd. */
struct tk_config_daemon {
	bool present;                  /* the file has a daemon section */
	struct tk_config_where where;
	struct tk_strings listen;      /* "host:port", "[::]:port" */
	char *vault;                   /* absolute path */
	uint64_t max_clients;
	int64_t sync_every_ms, scrub_every_ms, expire_every_ms;
	uint64_t min_free_bytes;
	uint64_t bandwidth_bytes;      /* of pulls from peers; 0: no limit */
	struct tk_config_keep keep;
};

struct tk_config {
	char *home, *state_dir;        /* absolute */
	char *source;
	char *passphrase_command;      /* "" for none */
	uint64_t spool_max_bytes;
	enum tk_log_level log_level;
	uint64_t threads;              /* 0: as many as cores */
	struct tk_config_site *sites;
	size_t site_count;
	struct tk_config_dataset *datasets;
	size_t dataset_count;
	struct tk_config_policy *policies; /* the last one is "default" if the file defines none of that name */
	size_t policy_count;
	struct tk_config_daemon daemon;
	struct tk_strings files;       /* every file that was read, the main one first */
};

/* One mistake in a configuration: "what is wrong; what to write instead". */
struct tk_mistake {
	char *file;
	unsigned line;
	char *text;
};

#define TK_MISTAKES_MAX 20
struct tk_mistakes {
	struct tk_mistake items[TK_MISTAKES_MAX];
	size_t count;
};

void tk_mistakes_release(struct tk_mistakes *mistakes);

/*
 * Reads `home`/twinkeep.conf and what it includes. On TK_OK the caller owns *out. `state_default` is used when
 * the file names no state directory (NULL: home/state). Every mistake found goes into *mistakes (may be NULL;
 * else initialised by this call, released by the caller, whatever the result); *err has the first one as
 * "FILE:LINE: what is wrong; what to write instead". Not thread-safe: the parser behind it has state.
 * Errors: TK_ECONFIG, TK_ENOENT (no such file), TK_EIO, TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_config_load(const char *home, const char *state_default, struct tk_config **out,
	struct tk_mistakes *mistakes, struct tk_err *err);
/* As tk_config_load, from text that stands for the file at `path`: for tests, and before text is written there. */
TK_MUST_CHECK enum tk_rc tk_config_parse(const char *text, size_t len_bytes, const char *path, struct tk_config **out,
	struct tk_mistakes *mistakes, struct tk_err *err);
void tk_config_free(struct tk_config *cfg);
void tk_config_cleanup(struct tk_config **cfg);

/* The version of the library that reads the syntax. Static. */
const char *tk_config_library_version(void);

/* By name; NULL when there is none. */
const struct tk_config_site *tk_config_site_find(const struct tk_config *cfg, const char *name);
const struct tk_config_dataset *tk_config_dataset_find(const struct tk_config *cfg, const char *name);
const struct tk_config_policy *tk_config_policy_find(const struct tk_config *cfg, const char *name);

/* Where an explicitly named or the default home keeps its state when the file does not say:
 * TK_STATE_DEFAULT for TK_HOME_DEFAULT, NULL (home/state) for any other. */
const char *tk_config_state_default(const char *home);

/* A policy file as people name it: a path, or the name of a shipped one ("population" or "population.conf").
 * *path (absolute) and *name (the first policy it defines) are the caller's to free.
 * Errors: TK_ENOENT, TK_ECONFIG, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_policy_file(const char *text, char **path, char **name, struct tk_err *err);

/* What init knows. All borrowed. */
struct tk_config_init_site {
	const char *name, *url;
	bool local;
};
struct tk_config_init_dataset {
	const char *name;
	const struct tk_strings *paths;
	uint8_t domain_id[16];
};
struct tk_config_init {
	const char *source;             /* the node's name */
	const char *policy_include;     /* what to include; NULL: none */
	const char *policy_name;        /* of the datasets; NULL: default */
	const struct tk_config_init_site *sites;
	size_t site_count;
	const struct tk_config_init_dataset *datasets;
	size_t dataset_count;
};
/* The text of a first, commented twinkeep.conf, for the caller to free. Errors: TK_ENOMEM, TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_config_write(const struct tk_config_init *init, char **text, struct tk_err *err);

/* Appends to *out the text of a configuration file with an id put into the section of one of its datasets, which has none yet. All else stays as it is, to the
 * byte. Errors: TK_ENOENT (no section of that name is to be seen in the text), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_put_id(const char *text, size_t len_bytes, const char *dataset, const uint8_t id[16], struct tk_buf *out, struct tk_err *err);

enum tk_config_section { TK_SECTION_TOP, TK_SECTION_SITE, TK_SECTION_DATASET, TK_SECTION_POLICY, TK_SECTION_DAEMON, TK_SECTION_KEEP, TK_SECTION_COUNT };

/* One key, for documents. All static. */
struct tk_config_key_info {
	enum tk_config_section section;
	const char *name;
	const char *type;     /* "size", "duration", "any|quorum|...", ... */
	const char *fallback; /* as written in the file; NULL: must be given, "" : empty */
	const char *help;
};
/* The keys in the order of documents; NULL after the last. */
const struct tk_config_key_info *tk_config_key_info(size_t index);
/* "site NAME", and what the section is for. Static; index is a tk_config_section. */
const char *tk_config_section_title(enum tk_config_section section);
const char *tk_config_section_help(enum tk_config_section section);

#endif
