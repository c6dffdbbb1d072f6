#include "policies/settings_keys.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "policies/nearest.h"

#define SECOND_MS UINT64_C(1000)
#define HOUR_MS (3600 * SECOND_MS)
#define DAY_MS (24 * HOUR_MS)
#define KIB(n) (UINT64_C(n) << 10)
#define GIB(n) (UINT64_C(n) << 30)

/* For keys that are settled and checked, but that nothing reads yet. */
#define NO_EFFECT "No effect in this version. "

#define ROW(section, member, type, kind, strct, fallback, min, max, help) \
	{{section, #member, type, fallback, help}, kind, offsetof(strct, member), min, max}
#define ROW_AS(section, name, member, type, kind, strct, fallback, min, max, help) \
	{{section, name, type, fallback, help}, kind, offsetof(strct, member), min, max}

#define TOP(name, member, type, kind, fallback, min, max, help) \
	ROW_AS(TK_SECTION_TOP, name, member, type, kind, struct tk_config, fallback, min, max, help)
#define SITE(name, member, type, kind, fallback, min, max, help) \
	ROW_AS(TK_SECTION_SITE, name, member, type, kind, struct tk_config_site, fallback, min, max, help)
#define DATASET(name, member, type, kind, fallback, min, max, help) \
	ROW_AS(TK_SECTION_DATASET, name, member, type, kind, struct tk_config_dataset, fallback, min, max, help)
#define POLICY(name, member, type, kind, fallback, min, max, help) \
	ROW_AS(TK_SECTION_POLICY, name, member, type, kind, struct tk_config_policy, fallback, min, max, help)
#define DAEMON(name, member, type, kind, fallback, min, max, help) \
	ROW_AS(TK_SECTION_DAEMON, name, member, type, kind, struct tk_config_daemon, fallback, min, max, help)
#define KEEP(member, help, fallback) \
	ROW(TK_SECTION_KEEP, member, "number", TK_KEY_NUMBER, struct tk_config_keep, fallback, 0, 100000, help)

const struct tk_config_key tk_config_key_table[] = {
	TOP("source", source, "name", TK_KEY_NAME, "source", 0, 0,
		"The name of this node, as sites and reports show it."),
	TOP("passphrase_command", passphrase_command, "command", TK_KEY_COMMAND, "", 0, 0,
		"A shell command whose first line of output is the passphrase, for restore, recover, verify and key."),
	TOP("state", state_dir, "directory", TK_KEY_DIR, "", 0, 0,
		"Where catalog, journal and spool are kept. Empty: /var/lib/twinkeep for the home /etc/twinkeep, else the directory state below the home."),
	TOP("spool_max", spool_max_bytes, "size", TK_KEY_SIZE, "20G", KIB(65536), INT64_MAX,
		"How much the spool of a dataset may hold, in a run and after it; or half of what its disk has room for, if that is less. When it is full, what enough sites "
		"hold leaves it, and a site that is slow or away catches up from the others; a run waits for the sites that its ack rule needs."),
	TOP("log_level", log_level, "error|warn|info|debug", TK_KEY_CHOICE, "info", 0, 0,
		"What is logged."),
	TOP("threads", threads, "number", TK_KEY_NUMBER, "0", 0, 1024,
		"Worker threads; 0: one for each core that the process may use, at most 16. Each takes 4 to 9 MiB of memory."),

	SITE("url", url, "url", TK_KEY_URL, NULL, 0, 0,
		"\"dir:/path\" is a vault in a directory, used without a daemon; \"tk://host:port\" is a twinkeepd. An IPv6 address stands in brackets."),
	SITE("local", local, "true|false", TK_KEY_BOOL, "false", 0, 0,
		"Is the site in the city of the writing node? It counts for ack = all-local then."),
	SITE("city", city, "text", TK_KEY_STRING, "", 0, 0,
		"Where it stands, for reports."),
	SITE("connect_timeout", connect_timeout_ms, "duration", TK_KEY_DURATION, "10s", SECOND_MS, HOUR_MS,
		"How long to wait for a connection."),
	SITE("io_timeout", io_timeout_ms, "duration", TK_KEY_DURATION, "60s", SECOND_MS, 24 * HOUR_MS,
		"How long a connection may stand still before it is given up."),
	SITE("enabled", enabled, "true|false", TK_KEY_BOOL, "true", 0, 0,
		"false: nothing is sent to it and nothing read from it, but the ack rule still counts it."),

	DATASET("paths", paths, "list of paths", TK_KEY_PATHS, NULL, 0, 0,
		"The absolute paths to protect."),
	DATASET("policy", policy_name, "name", TK_KEY_NAME, "default", 0, 0,
		"The policy section that holds for it. The policy named default is built in, with the values shown in this page."),
	DATASET("exclude", exclude, "list of patterns", TK_KEY_LIST, "", 0, 0,
		"Patterns of what is left out, after those of the policy, much as in gitignore: * and ? within a name, ** across directories, a slash at the beginning for the root, one at the end for directories only, ! takes back. The last one that matches decides."),
	DATASET("sites", sites, "list of names", TK_KEY_LIST, "", 0, 0,
		"The sites that get it. Empty: all."),
	DATASET("id", domain_id, "32 hexadecimal digits", TK_KEY_DOMAIN, "", 0, 0,
		"The identity of its keys and its history, written by init or by key add --dataset. Never change it."),

	POLICY("ack", ack, "any|quorum|all-local|all", TK_KEY_CHOICE, "all-local", 0, 0,
		"Whose receipts make a run count as protected: any site, more than half of the sites, every local site, every site. With any, a run that does not reach every site "
		"cannot know whether another node writes now: it warns, and status raises an alarm, but it counts."),
	POLICY("reconnect", reconnect_ms, "duration", TK_KEY_DURATION, "1min", 0, DAY_MS,
		"How long a run tries to reach a site again whose connection broke, as when its daemon is started anew; 0: not at all, it gets the point with the next run."),
	POLICY("linger", linger_ms, "duration", TK_KEY_DURATION, "15min", 0, 30 * DAY_MS,
		"How long a run goes on, once its ack rule is met, for the sites that do not have the point yet; what they still lack then goes out with the next run."),
	POLICY("compression", compression, "zstd|lz4|none", TK_KEY_CHOICE, "zstd", 0, 0,
		"How data is compressed; what does not shrink is stored as it is."),
	POLICY("level", level, "number", TK_KEY_NUMBER, "1", 1, 22,
		"The level of zstd: 1 is fastest, 19 is small and slow."),
	POLICY("exclude", exclude, "list of patterns", TK_KEY_LIST, "", 0, 0,
		"Patterns of what is left out of every dataset under the policy; see exclude of a dataset."),
	POLICY("one_file_system", one_file_system, "true|false", TK_KEY_BOOL, "true", 0, 0,
		"Do not enter other file systems mounted below a path."),
	POLICY("cachedir_tag", cachedir_tag, "true|false", TK_KEY_BOOL, "true", 0, 0,
		"Leave out what stands beside a CACHEDIR.TAG file."),
	POLICY("nodump", nodump, "true|false", TK_KEY_BOOL, "false", 0, 0,
		"Leave out files with the nodump flag (chattr +d)."),
	POLICY("numeric_ids", numeric_ids, "true|false", TK_KEY_BOOL, "false", 0, 0,
		"Restore owners by number, not by name."),
	POLICY("append_only", append_only, "true|false", TK_KEY_BOOL, "false", 0, 0,
		"Files only grow: of one that did, the segments (64 MiB) that were full before stand, but for one leaf (32 KiB) of each, drawn anew in every run; the rest is read. A leaf that changed, another inode or a shorter file means that the whole file is read, and the first is told. A change that the sample misses is found when the file's turn comes (reread_days)."),
	POLICY("block_size", block_size_bytes, "size", TK_KEY_SIZE, "auto", 0, KIB(64),
		"The block of the delta. auto: by the file's kind and size; 512 bytes for SQL dumps, an eighth of a database's page. Each block costs 20 bytes in the state directory; less than 256 bytes counts as 256."),
	POLICY("delta_min_size", delta_min_size_bytes, "size", TK_KEY_SIZE, "64K", 0, GIB(1024),
		"Changed files below this size are stored anew instead of as a delta."),
	POLICY("signature", signature, "tags|rolling|never", TK_KEY_CHOICE, "tags", 0, 0,
		"What is remembered of files over half a megabyte, so that a change costs what changed. tags: a keyed tag and a rolling sum of each block, from the first run on. rolling: librsync's signatures too, made at 300 MB/s a core and searched where the tags find nothing. never: nothing; changed files are cut into chunks."),
	POLICY("trust", trust, "ctime|moves|mtime", TK_KEY_CHOICE, "ctime", 0, 0,
		"When a file with the inode, size and mtime of before is not read. ctime: its ctime is the one of before too, as for all files of a directory that moved. moves: also when its own name, its directory or its number of links is new. mtime: whatever its ctime, also after chmod or chown. What the last two take for unchanged although a program wrote to it and set the mtime back is found when reread_days are over."),
	POLICY("reread_days", reread_days, "number", TK_KEY_NUMBER, "30", 0, 3650,
		"Every file is read again within so many days, whatever its times say; 0: never."),
	POLICY("read_retries", read_retries, "number", TK_KEY_NUMBER, "3", 0, 100,
		"How often a file that changes while it is read is read again before it is stored and marked inconsistent."),
	POLICY("rewrite_percent", rewrite_percent, "number", TK_KEY_NUMBER, "2", 0, 100,
		"How much of the data's bytes a run may store anew, so that restores stay fast: of large files that are edited in place again and again, what lies in many small pieces or in blobs that are mostly dead. At least 1 MiB, unless it is 0: then nothing is, and a file's restore reads ever more blobs."),
	POLICY("rpo", rpo_ms, "duration", TK_KEY_DURATION, "24h", 0, 3650 * DAY_MS,
		"How much work may be lost at most; status and drill measure against it. 0: no promise."),
	POLICY("rto", rto_ms, "duration", TK_KEY_DURATION, "4h", 0, 3650 * DAY_MS,
		NO_EFFECT "How long a restore may take at most; drill measures against it. 0: no promise."),
	POLICY("check_command", check_command, "command", TK_KEY_COMMAND, "", 0, 0,
		NO_EFFECT "A shell command that a drill runs in the restored tree; it passes when the exit status is 0."),
	POLICY("check_network", check_network, "true|false", TK_KEY_BOOL, "false", 0, 0,
		NO_EFFECT "May the check command reach the network? A restored database must not call home."),
	POLICY("bandwidth", bandwidth_bytes, "size", TK_KEY_SIZE, "0", 0, INT64_MAX,
		"The most bytes a second to send to one twinkeepd; 0: no limit."),
	POLICY("window", window, "times of day", TK_KEY_WINDOW, "", 0, 0,
		"When the bandwidth limit holds, such as \"08:00-18:00\"; empty: always."),
	POLICY("nice", nice, "number", TK_KEY_NUMBER, "0", 0, 19,
		"The CPU priority of a run: 19 yields to everything else. Several datasets in one command: a later one keeps a lower priority that the user may not raise."),
	POLICY("io_class", io_class, "normal|best-effort|idle", TK_KEY_CHOICE, "normal", 0, 0,
		"The disk priority of a run."),

	DAEMON("listen", listen, "list of addresses", TK_KEY_LIST, ":7443", 0, 0,
		"Where twinkeepd listens: \"host:port\", an IPv6 address in brackets; \":port\" is every address, IPv4 and IPv6."),
	DAEMON("vault", vault, "directory", TK_KEY_DIR, NULL, 0, 0,
		"The directory of the vault."),
	DAEMON("max_clients", max_clients, "number", TK_KEY_NUMBER, "64", 1, 10000,
		"Sessions of peers at the same time. Connections that have not shown yet who they are count apart, and one too many takes the place of another such."),
	DAEMON("sync_every", sync_every_ms, "duration", TK_KEY_DURATION, "5min", SECOND_MS, 365 * DAY_MS,
		NO_EFFECT "How often peers are asked for what is missing here."),
	DAEMON("scrub_every", scrub_every_ms, "duration", TK_KEY_DURATION, "30d", HOUR_MS, 3650 * DAY_MS,
		NO_EFFECT "Every byte is read and checked within this time."),
	DAEMON("expire_every", expire_every_ms, "duration", TK_KEY_DURATION, "1h", SECOND_MS, 365 * DAY_MS,
		NO_EFFECT "How often the keep rules are applied."),
	DAEMON("min_free", min_free_bytes, "size", TK_KEY_SIZE, "1G", 0, INT64_MAX,
		NO_EFFECT "Below this much free space the site takes nothing new."),
	DAEMON("bandwidth", bandwidth_bytes, "size", TK_KEY_SIZE, "0", 0, INT64_MAX,
		NO_EFFECT "The most bytes a second to pull from peers; 0: no limit."),

	KEEP(last, "The newest points.", "3"),
	KEEP(daily, "The last point of each of so many days.", "14"),
	KEEP(weekly, "The last point of each of so many weeks.", "8"),
	KEEP(monthly, "The last point of each of so many months.", "12"),
	KEEP(yearly, "The last point of each of so many years.", "3"),
	ROW_AS(TK_SECTION_KEEP, "min_age", min_age_ms, "duration", TK_KEY_DURATION, struct tk_config_keep, "7d", 0, 36500 * DAY_MS,
		"Nothing younger than this is dropped, whatever the counts say."),
};

const size_t tk_config_key_count = sizeof(tk_config_key_table) / sizeof(tk_config_key_table[0]);

static const struct {
	const char *title, *help;
} sections[TK_SECTION_COUNT] = {
	[TK_SECTION_TOP] = {"Top level", "Keys outside any section."},
	[TK_SECTION_SITE] = {"site NAME { ... }", "A node that stores recovery points; one section for each."},
	[TK_SECTION_DATASET] = {"dataset NAME { ... }", "A named set of paths; one section for each."},
	[TK_SECTION_POLICY] = {"policy NAME { ... }", "How datasets are protected. Ready-made ones are brought in with include()."},
	[TK_SECTION_DAEMON] = {"daemon { ... }", "Read by twinkeepd, on a node that is a site; its site sections are its peers."},
	[TK_SECTION_KEEP] = {"keep { ... }", NO_EFFECT "Inside a policy: which points the sites should keep. Inside daemon: what this site keeps at least. A point stays while any rule wants it."},
};

const char *
tk_config_section_title(enum tk_config_section section)
{
	return sections[section].title;
}

const char *
tk_config_section_help(enum tk_config_section section)
{
	return sections[section].help;
}

const struct tk_config_key *
tk_config_key_find(enum tk_config_section section, const char *name)
{
	for (size_t i = 0; i < tk_config_key_count; i++)
		if (tk_config_key_table[i].info.section == section && strcmp(tk_config_key_table[i].info.name, name) == 0)
			return &tk_config_key_table[i];
	return NULL;
}

const char *
tk_config_key_nearest(enum tk_config_section section, const char *name)
{
	static const char *const top_words[] = {"site", "dataset", "policy", "daemon", "include"};
	struct tk_nearest nearest;

	tk_nearest_init(&nearest, name);
	for (size_t i = 0; i < tk_config_key_count; i++)
		if (tk_config_key_table[i].info.section == section)
			tk_nearest_offer(&nearest, tk_config_key_table[i].info.name);
	if (section == TK_SECTION_TOP)
		for (size_t i = 0; i < sizeof(top_words) / sizeof(top_words[0]); i++)
			tk_nearest_offer(&nearest, top_words[i]);
	if (section == TK_SECTION_POLICY || section == TK_SECTION_DAEMON)
		tk_nearest_offer(&nearest, "keep");
	return nearest.best;
}
