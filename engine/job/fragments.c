#include "engine/job/fragments.h"

#include <stdlib.h>
#include <string.h>

/* A blob as the segment uses it. */
struct used {
	struct tk_blob_ref ref;
	uint64_t live_bytes;
	uint32_t end_bytes;                   /* of what is used of it */
	uint64_t pack_live_bytes;             /* of all blobs of its pack */
	bool left;
};

struct survey {
	struct used *rows;                    /* owned */
	size_t count;
	uint64_t read_bytes;                  /* what a restore reads */
	size_t crumbs;
};

void
tk_fragments_release(struct tk_fragments *fragments)
{
	tk_refset_release(&fragments->blobs);
	fragments->live_bytes = 0;
}

static void
survey_release(struct survey *survey)
{
	free(survey->rows);
}

static int
compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
by_place(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	int order = compare_u64(x->ref.pack, y->ref.pack);

	return order ? order : compare_u64(x->ref.blob, y->ref.blob);
}

/* Crumbs first, the smallest of them first, and what is of one pack together. */
static int
by_pack_live(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	int order = compare_u64(x->pack_live_bytes, y->pack_live_bytes);

	return order ? order : by_place(a, b);
}

static int
by_share(const void *a, const void *b)
{
	const struct used *x = a, *y = b;

	return compare_u64(x->live_bytes * y->end_bytes, y->live_bytes * x->end_bytes);
}

/* One row for each blob, in their order. */
static void
join_blobs(struct survey *survey)
{
	size_t kept = 0;

	qsort(survey->rows, survey->count, sizeof(*survey->rows), by_place);
	for (size_t i = 0; i < survey->count; i++) {
		const struct used *row = &survey->rows[i];
		struct used *last = kept ? &survey->rows[kept - 1] : NULL;

		if (!last || by_place(last, row) != 0) {
			survey->rows[kept++] = *row;
			continue;
		}
		last->live_bytes += row->live_bytes;
		if (row->end_bytes > last->end_bytes)
			last->end_bytes = row->end_bytes;
	}
	survey->count = kept;
}

static void
add_up_packs(struct survey *survey)
{
	for (size_t from = 0, to; from < survey->count; from = to) {
		uint64_t live_bytes = 0;

		for (to = from; to < survey->count && survey->rows[to].ref.pack == survey->rows[from].ref.pack; to++) {
			live_bytes += survey->rows[to].live_bytes;
			survey->read_bytes += survey->rows[to].end_bytes;
		}
		for (size_t i = from; i < to; i++)
			survey->rows[i].pack_live_bytes = live_bytes;
		survey->crumbs += live_bytes <= TK_FRAGMENTS_CRUMB_BYTES;
	}
}

static enum tk_rc
make_survey(struct survey *survey, const struct tk_extent *extents, size_t count, struct tk_err *err)
{
	survey->rows = calloc(count + 1, sizeof(*survey->rows));
	if (!survey->rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu extents", count);
	for (size_t i = 0; i < count; i++)
		if (extents[i].ref.pack != TK_PACK_NONE)
			survey->rows[survey->count++] = (struct used){.ref = extents[i].ref, .live_bytes = extents[i].length_bytes,
								      .end_bytes = extents[i].offset_bytes + extents[i].length_bytes};
	join_blobs(survey);
	add_up_packs(survey);
	return TK_OK;
}

static bool
take_room(struct tk_fragments_budget *budget, uint64_t want_bytes)
{
	uint_fast64_t had = atomic_load(&budget->left_bytes);

	while (had >= want_bytes)
		if (atomic_compare_exchange_weak(&budget->left_bytes, &had, had - want_bytes))
			return true;
	return false;
}

/* Leaves a blob for which there is room. */
static enum tk_rc
leave(struct survey *survey, struct used *row, struct tk_fragments *out, struct tk_err *err)
{
	bool added;

	row->left = true;
	out->live_bytes += row->live_bytes;
	survey->read_bytes += row->live_bytes;
	survey->read_bytes -= row->end_bytes;
	return tk_refset_add(&out->blobs, row->ref, &added, err);
}

static size_t
crumbs_allowed(uint64_t length_bytes, const struct tk_fragments_budget *budget)
{
	uint64_t allowed = length_bytes / TK_FRAGMENTS_BYTES_A_CRUMB;
	size_t least = budget->crumbs_min ? budget->crumbs_min : TK_FRAGMENTS_CRUMBS_MIN;

	return allowed < least ? least : (size_t)allowed;
}

/* A pack is left as a whole, or it would have to be opened all the same. */
static enum tk_rc
leave_crumbs(struct survey *survey, size_t allowed, struct tk_fragments_budget *budget, struct tk_fragments *out, struct tk_err *err)
{
	size_t at = 0;

	if (survey->crumbs <= allowed)
		return TK_OK;
	qsort(survey->rows, survey->count, sizeof(*survey->rows), by_pack_live);
	for (; survey->crumbs > allowed / 2 && take_room(budget, survey->rows[at].pack_live_bytes); survey->crumbs--) {
		uint32_t pack = survey->rows[at].ref.pack;

		for (; at < survey->count && survey->rows[at].ref.pack == pack; at++) {
			enum tk_rc rc = leave(survey, &survey->rows[at], out, err);

			if (rc)
				return rc;
		}
	}
	return TK_OK;
}

static enum tk_rc
leave_dead_blobs(struct survey *survey, uint64_t fair_bytes, struct tk_fragments_budget *budget, struct tk_fragments *out, struct tk_err *err)
{
	if (survey->read_bytes <= TK_FRAGMENTS_READ_MAX * fair_bytes)
		return TK_OK;
	qsort(survey->rows, survey->count, sizeof(*survey->rows), by_share);
	for (size_t i = 0; i < survey->count && survey->read_bytes > TK_FRAGMENTS_READ_MAX / 2 * fair_bytes; i++) {
		struct used *row = &survey->rows[i];
		enum tk_rc rc;

		if (row->left)
			continue;
		if (!take_room(budget, row->live_bytes))
			return TK_OK;
		if ((rc = leave(survey, row, out, err)))
			return rc;
	}
	return TK_OK;
}

enum tk_rc
tk_fragments_choose(const struct tk_extent *extents, size_t count, struct tk_fragments_budget *budget, struct tk_fragments *out, struct tk_err *err)
{
	TK_AUTO(survey_release) struct survey survey = {0};
	uint64_t length_bytes = tk_extents_total_bytes(extents, count);
	uint32_t blob_bytes = budget->blob_bytes ? budget->blob_bytes : TK_BLOB_DATA_MAX;
	uint64_t fair_bytes = length_bytes < blob_bytes ? blob_bytes : length_bytes;
	size_t allowed = crumbs_allowed(length_bytes, budget);
	enum tk_rc rc;

	tk_fragments_release(out);
	/* Most segments are made of a few extents, which cannot be too many. */
	if (count <= allowed && (uint64_t)count * blob_bytes <= TK_FRAGMENTS_READ_MAX * fair_bytes)
		return TK_OK;
	if (atomic_load(&budget->left_bytes) == 0)
		return TK_OK;
	if ((rc = make_survey(&survey, extents, count, err)) || (rc = leave_crumbs(&survey, allowed, budget, out, err)))
		return rc;
	return leave_dead_blobs(&survey, fair_bytes, budget, out, err);
}
