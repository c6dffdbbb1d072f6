/* trust.h -- what of the point before is believed of a file without reading it. Pure decisions over stat, manifest entry and sidecar.
 *
 * Any thread. */
#ifndef TK_JOB_TRUST_H
#define TK_JOB_TRUST_H

#include "engine/catalog/catalog.h"
#include "engine/fsio/fstat.h"
#include "engine/vault/entry.h"

struct tk_trust {
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
/* What to remember of an inode that was looked at now. */
struct tk_sidecar tk_trust_sidecar(const struct tk_trust *trust, const struct tk_stat *st);

#endif
