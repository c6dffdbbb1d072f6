/* trust.h -- what of the point before is believed of a file without reading it. Pure decisions over stat, manifest entry, sidecar and clock.
 *
 * Any thread. */
#ifndef TK_JOB_TRUST_H
#define TK_JOB_TRUST_H

#include "engine/catalog/catalog.h"
#include "engine/fsio/fstat.h"
#include "engine/vault/entry.h"

/* What of a file with the inode, size and mtime of before is taken for unchanged without reading it. The manifest knows nothing of it: it may differ from run to run. */
enum tk_trust_rule {
	TK_TRUST_CTIME,                       /* the ctime of before */
	TK_TRUST_MOVES,                       /* or a new one that another name or number of links explains */
	TK_TRUST_MTIME,                       /* whatever its ctime */
};

struct tk_trust {
	enum tk_trust_rule rule;
	int64_t scan_start_ns;
	int64_t racy_ns;                      /* a change this near to the scan could be followed by another in the same clock tick */
	int64_t last_scan_ns;                 /* of the point before; 0: none */
	int64_t reread_period_s;              /* every carried-over file is read again within this time; 0: never */
};

/* Each path has its own moment within the period at which it is read again although nothing says that it changed. */
bool tk_trust_reread_due(const struct tk_trust *trust, const char *path, size_t path_bytes);
/* Does the entry of this very path stand, content and metadata? All of inode, ctime, mtime, size, type, mode and owner are as they were, and were so for long
 * enough before that scan. A reread that is due is not looked at. */
bool tk_trust_stands(const struct tk_entry *was, const struct tk_sidecar *side, const struct tk_stat *st);
/*
 * May the content that `was` tells of this inode be taken unread? relinked: its name, its directory or its number of links is not the one of before. born_ns: when the inode
 * was made; INT64_MAX: not known. An inode that may be younger than the scan before is never taken for an old one, unless its ctime says that it is the same: a
 * number is used again.
 */
bool tk_trust_content(const struct tk_trust *trust, const struct tk_entry *was, const struct tk_sidecar *side, const struct tk_stat *st, bool relinked,
		      int64_t born_ns);
bool tk_trust_same_ctime(const struct tk_sidecar *side, const struct tk_stat *st);
/* Was the inode there before the last scan? For born_ns as above. */
bool tk_trust_is_old(const struct tk_trust *trust, int64_t born_ns);
/* What to remember of an inode that was looked at now. */
struct tk_sidecar tk_trust_sidecar(const struct tk_trust *trust, const struct tk_stat *st);

#endif
