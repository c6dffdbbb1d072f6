/* idmap.h -- user and group names and numbers, looked up once each.
 *
 * One owner, one thread at a time: give each worker its own. Looks into the system's user database
 * (getpwuid_r(3) and friends); a name service that fails counts as "unknown" and is not asked again. */
#ifndef TK_FSIO_IDMAP_H
#define TK_FSIO_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

enum tk_id_kind { TK_ID_USER, TK_ID_GROUP };

struct tk_idmap;

/* On TK_OK the caller owns *out. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_idmap_new(struct tk_idmap **out, struct tk_err *err);
void tk_idmap_free(struct tk_idmap *map);
void tk_idmap_cleanup(struct tk_idmap **map);

/* *name is borrowed until the map is freed; NULL when the id has no name here. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_idmap_name(struct tk_idmap *map, enum tk_id_kind kind, uint32_t id, const char **name, struct tk_err *err);
/* *known is false when the name does not exist here; *id is then untouched. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_idmap_id(struct tk_idmap *map, enum tk_id_kind kind, const char *name, bool *known, uint32_t *id, struct tk_err *err);

#endif
