/* damaged.h -- packs in which a verification found damage, at whichever site: the next run reads all files and builds on nothing in them, so that its point is whole again.
 *
 * state_dir/domains/<hex>/damaged: magic[8]; per pack u8 settled, name[32]; digest[32] of what is before. A pack is new until a point was stored that does not need it; it is
 * settled then, and no later index of chunks has it. A file that is lost costs nothing: the next verification finds the same.
 *
 * Any thread. Who adds (verify) and who settles (the run that holds the domain's lock) may meet: one of the two is lost then, and comes again with the next verification. */
#ifndef TK_CATALOG_DAMAGED_H
#define TK_CATALOG_DAMAGED_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"
#include "engine/vault/ids.h"

struct tk_damaged {
	struct tk_damaged_pack {
		struct tk_pack_name name;
		bool settled;
	} *rows;                              /* owned */
	size_t count;
};

/* What is noted; nothing where there is no file that can be read. Errors: TK_EIO, TK_ENOMEM, TK_EDENIED. */
TK_MUST_CHECK enum tk_rc tk_damaged_read(const char *state_dir, const struct tk_id *domain, struct tk_damaged *out, struct tk_err *err);
void tk_damaged_release(struct tk_damaged *damaged);
bool tk_damaged_has(const struct tk_damaged *damaged, const struct tk_pack_name *name);
/* Is there one that no run has dealt with? */
bool tk_damaged_any_new(const struct tk_damaged *damaged);

/* Durable on return; one that is noted already stays as it is, and so does a list that is full. Errors: tk_damaged_read's, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_damaged_add(const char *state_dir, const struct tk_id *domain, const struct tk_pack_name *name, struct tk_err *err);
/* Those that were read are settled: a point is stored that needs none of them. Errors: as for add. */
TK_MUST_CHECK enum tk_rc tk_damaged_settle(const char *state_dir, const struct tk_id *domain, const struct tk_damaged *read, struct tk_err *err);

#endif
