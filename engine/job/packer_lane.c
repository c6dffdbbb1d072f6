/* Lanes: blobs that one thread fills alone, numbered when they are handed over. */
#include <stdlib.h>
#include <string.h>

#include "engine/job/packer_core.h"

struct tk_lane {
	struct tk_packer *packer;
	enum tk_lane_kind kind;
	uint32_t tag;
	size_t max_bytes;
	struct tk_buf stage;
	bool ended;                           /* rows are of what was handed over last */
	struct tk_lane_row *rows;
	size_t row_count, row_cap;
};

enum tk_rc
tk_lane_new(struct tk_packer *packer, enum tk_lane_kind kind, uint32_t tag, struct tk_lane **out, struct tk_err *err)
{
	struct tk_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return tk_err_set(err, TK_ENOMEM, "no memory for a lane");
	lane->packer = packer;
	lane->kind = kind;
	lane->tag = tag;
	lane->max_bytes = packer->opts.blob_plain_bytes;
	if (kind == TK_LANE_LITERALS && lane->max_bytes > TK_LITERAL_BLOB_BYTES)
		lane->max_bytes = TK_LITERAL_BLOB_BYTES;
	/* As the jobs' buffers, with which it changes places. */
	tk_buf_init(&lane->stage, TK_BLOB_META_MAX);
	*out = lane;
	return TK_OK;
}

void
tk_lane_cleanup(struct tk_lane **lane)
{
	if (!*lane)
		return;
	tk_buf_release(&(*lane)->stage);
	free((*lane)->rows);
	free(*lane);
	*lane = NULL;
}

void
tk_lane_clear(struct tk_lane *lane)
{
	tk_buf_clear(&lane->stage);
	lane->row_count = 0;
}

size_t
tk_lane_max_bytes(const struct tk_lane *lane)
{
	return lane->max_bytes;
}

bool
tk_lane_has_room(const struct tk_lane *lane, size_t len_bytes)
{
	return len_bytes <= lane->max_bytes - lane->stage.len_bytes;
}

static enum tk_rc
add_row(struct tk_lane *lane, const struct tk_extent *extent, const uint8_t *chunk_id, struct tk_err *err)
{
	if (lane->row_count == lane->row_cap) {
		size_t cap = lane->row_cap ? lane->row_cap * 2 : 32;
		struct tk_lane_row *grown = realloc(lane->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for a lane");
		lane->rows = grown;
		lane->row_cap = cap;
	}
	lane->rows[lane->row_count] = (struct tk_lane_row){extent->offset_bytes, extent->length_bytes, {0}};
	memcpy(lane->rows[lane->row_count++].id, chunk_id, sizeof(lane->rows->id));
	return TK_OK;
}

enum tk_rc
tk_lane_put(struct tk_lane *lane, const void *data, size_t len_bytes, const uint8_t *chunk_id, struct tk_extent *extent, struct tk_err *err)
{
	enum tk_rc rc;

	if (len_bytes == 0 || !tk_lane_has_room(lane, len_bytes))
		return tk_err_set(err, TK_EINVAL, "%zu bytes do not fit a lane", len_bytes);
	if (lane->ended)
		lane->row_count = 0;
	lane->ended = false;
	*extent = (struct tk_extent){{TK_PACK_STAGED, lane->tag}, (uint32_t)lane->stage.len_bytes, (uint32_t)len_bytes};
	if ((rc = tk_buf_put(&lane->stage, data, len_bytes, err)) || !chunk_id)
		return rc;
	return add_row(lane, extent, chunk_id, err);
}

bool
tk_lane_find(const struct tk_lane *lane, const uint8_t id[16], size_t len_bytes, struct tk_extent *extent)
{
	for (size_t i = 0; i < lane->row_count && !lane->ended; i++) {
		const struct tk_lane_row *row = &lane->rows[i];

		if (row->length_bytes != len_bytes || memcmp(row->id, id, sizeof(row->id)) != 0)
			continue;
		*extent = (struct tk_extent){{TK_PACK_STAGED, lane->tag}, row->offset_bytes, row->length_bytes};
		return true;
	}
	return false;
}

/* The chunks become rows of the pack's contents, for which there is room. */
static void
tell_rows(const struct tk_lane *lane, struct tk_pack_out *pack, const struct tk_lane_place *place)
{
	for (size_t i = 0; i < lane->row_count; i++) {
		struct tk_content_row *row = &pack->rows[pack->row_count++];

		row->blob = place->ref.blob;
		row->offset_bytes = place->offset_bytes + lane->rows[i].offset_bytes;
		row->length_bytes = lane->rows[i].length_bytes;
		memcpy(row->id, lane->rows[i].id, sizeof(row->id));
	}
}

/* What is staged moves into the solid blob as a whole: its extents stay what they are, at another offset. */
static enum tk_rc
spill(struct tk_lane *lane, struct tk_lane_place *place, struct tk_err *err)
{
	struct tk_packer *packer = lane->packer;
	struct tk_blob_job *job;
	enum tk_rc rc = tk_packer_need_solid(packer, lane->stage.len_bytes, err);

	if (rc)
		return rc;
	job = packer->solid;
	place->ref = (struct tk_blob_ref){job->pack->number, job->blob};
	place->offset_bytes = (uint32_t)job->plain.len_bytes;
	if ((rc = tk_pack_rows_reserve(job->pack, lane->row_count, err)) ||
	    (rc = tk_buf_put(&job->plain, lane->stage.data, lane->stage.len_bytes, err)))
		return rc;
	tell_rows(lane, job->pack, place);
	return TK_OK;
}

/* The job carries what is staged: it becomes a blob of its own. */
static enum tk_rc
hand_over(struct tk_lane *lane, struct tk_blob_job *job, struct tk_lane_place *place, struct tk_err *err)
{
	struct tk_packer *packer = lane->packer;
	struct tk_buf empty = job->plain;
	struct tk_pack_out *pack;
	enum tk_rc rc = tk_packer_need_data_pack(packer, err);

	if (rc)
		return rc;
	pack = packer->data_pack;
	if ((rc = tk_pack_rows_reserve(pack, lane->row_count, err)))
		return rc;
	job->plain = lane->stage;
	lane->stage = empty;
	place->ref = (struct tk_blob_ref){pack->number, pack->next_blob};
	tell_rows(lane, pack, place);
	tk_packer_number(packer, pack, job);
	return TK_OK;
}

enum tk_rc
tk_lane_end(struct tk_lane *lane, struct tk_lane_place *place, struct tk_err *err)
{
	struct tk_packer *packer = lane->packer;
	bool small = lane->kind == TK_LANE_CHUNKS && lane->stage.len_bytes < lane->max_bytes / 2;
	struct tk_blob_job *job = NULL;
	enum tk_rc rc;

	*place = (struct tk_lane_place){.ref = {TK_PACK_NONE, 0}};
	if (lane->stage.len_bytes == 0)
		return tk_packer_check(packer, err);
	/* Waited for before the lock, not under it. */
	if (!small && (rc = tk_packer_take_job(packer, &job, err)))
		return rc;
	pthread_mutex_lock(&packer->numbering);
	rc = small ? spill(lane, place, err) : hand_over(lane, job, place, err);
	pthread_mutex_unlock(&packer->numbering);
	if (rc) {
		if (job)
			(void)!tk_queue_push(packer->free_jobs, job);
		return rc;
	}
	tk_buf_clear(&lane->stage);
	lane->ended = true;
	place->rows = lane->rows;
	place->row_count = lane->row_count;
	return TK_OK;
}

void
tk_lane_settle(const struct tk_lane *lane, const struct tk_lane_place *place, struct tk_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (extents[i].ref.pack != TK_PACK_STAGED || extents[i].ref.blob != lane->tag)
			continue;
		extents[i].ref = place->ref;
		extents[i].offset_bytes += place->offset_bytes;
	}
}
