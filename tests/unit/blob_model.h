/* blob_model.h -- what a test knows of a vault in which points come, expire and are dropped: every blob, and where each refers to. What must be counted, condemned and served
 * is found by a look at everything, and compared with what the vault says. */
#ifndef TK_TESTS_BLOB_MODEL_H
#define TK_TESTS_BLOB_MODEL_H

#include "tests/unit/dice.h"
#include "tests/unit/vault_fixture.h"

enum { MODEL_PACKS_MAX = 400, MODEL_BLOBS_MAX = 12, MODEL_POINTS_MAX = 400, MODEL_REFS_MAX = 4 };

struct place {
	size_t pack, blob;
};
struct model_blob {
	enum tk_blob_type type;
	struct place refs[MODEL_REFS_MAX];
	size_t ref_count;
	bool used;                         /* by a point, since it was stored last */
	bool dropped;
	bool live;                         /* by look() */
	uint32_t count;                    /* likewise */
};
struct model_pack {
	struct made_pack made;
	struct model_blob blobs[MODEL_BLOBS_MAX];
	size_t blob_count;
	bool used;
	bool live;                         /* by look(): a blob of it is */
};
struct model_point {
	struct tk_head at;
	struct place root;
	bool expired;
};
struct model {
	struct vault_box *box;
	struct dice dice;
	struct model_pack packs[MODEL_PACKS_MAX];
	size_t pack_count;
	struct model_point points[MODEL_POINTS_MAX];
	size_t point_count;
};

/* Of an empty vault; the box stays the caller's. */
struct model *model_new(struct vault_box *box, uint64_t seed);
void model_free(struct model *model);

/* A point over a new pack with random pages, or over a page that is there. */
void model_publish_any(struct model *model);
/* A point over what is condemned, if that is all there still. */
void model_publish_condemned(struct model *model);
/* One of the two: of what was dropped nothing is referred to. */
void model_publish_new_or_condemned(struct model *model);
/* adds: the root's pack is one that the point adds. */
void model_publish_root(struct model *model, struct place root, bool adds);

/* Any point but the newest; one that expired before, too. */
size_t model_choose_point(struct model *model);
/* One that did not expire yet. */
size_t model_choose_unexpired(struct model *model);
/* Expires points by their places in model->points. */
struct tk_vault_expiry model_expire(struct model *model, const size_t *which, size_t count);
/* Drops a random part of what the vault says may go. */
void model_drop_some(struct model *model, size_t one_in);

/* The vault's counts and marks are what a look at everything finds. garbage_known: it condemned all that it could. */
void model_expect_marks(struct model *model, bool garbage_known);
/* Every blob that a point needs is there, and of the others what was not dropped. */
void model_expect_served(struct model *model);

#endif
