/* identity.h -- who this home is: the writer incarnation, bound to the machine and to the place of the home.
 *
 * A copy of a home (cp, a restored backup of it, a second machine) has the same keys and must not write the same history: its binding
 * does not fit, and it says so. A home whose state was rolled back in place (a machine snapshot) has a fitting binding: that is noticed by
 * the sites being ahead of the journal (engine/job/epoch.h). */
#ifndef TK_CATALOG_IDENTITY_H
#define TK_CATALOG_IDENTITY_H

#include "engine/vault/ids.h"

/* Makes a new incarnation in keys_dirfd/identity, bound to this machine and file; replaces what is there. Durable on return. */
TK_MUST_CHECK enum tk_rc tk_identity_create(int keys_dirfd, struct tk_id *incarnation, struct tk_err *err);
/* Reads it and checks the binding (machine id, inode and birth time of the file itself). TK_EFENCED: this home is a copy. TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_identity_read(int keys_dirfd, struct tk_id *incarnation, struct tk_err *err);

#endif
