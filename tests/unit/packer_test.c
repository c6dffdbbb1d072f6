/* The packer: lanes are numbered when they are handed over, nobody waits for a slow one, and every byte is where its extent says. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/job/packer.h"
#include "tests/unit/scratch.h"

#define BLOB_BYTES 4096u
#define PACK_BYTES 20000u
#define THREADS 4u
#define PIECES 300u

struct fixture {
	struct scratch *scratch;
	struct tk_keyring ring;
	struct tk_id domain;
	struct tk_packtab *packs;
	struct tk_spool *spool;
	struct tk_packer *packer;
	atomic_uint complete;                 /* packs told of */
};

static enum tk_rc
on_pack(void *ctx, const struct tk_pack_ident *ident, struct tk_err *err)
{
	struct fixture *fx = ctx;

	(void)err;
	assert_true(ident->len_bytes > 0);
	atomic_fetch_add(&fx->complete, 1);
	return TK_OK;
}

static int
setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct tk_packer_opts opts = {.suite = TK_SUITE_AES, .codec = TK_CODEC_LZ4, .level = 1, .threads = 2, .pack_plain_bytes = PACK_BYTES,
				      .blob_plain_bytes = BLOB_BYTES, .on_pack = on_pack, .ctx = fx};
	void *scratch = NULL;

	assert_non_null(fx);
	if (scratch_setup_fast(&scratch))
		return -1;
	fx->scratch = scratch;
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &fx->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&fx->ring, &fx->domain, NULL), TK_OK);
	assert_int_equal(tk_packtab_new(&fx->packs, NULL), TK_OK);
	assert_int_equal(tk_spool_open(fx->scratch->path, &fx->domain, &fx->spool, NULL), TK_OK);
	opts.keys = tk_keyring_domain(&fx->ring, &fx->domain);
	opts.packs = fx->packs;
	opts.spool = fx->spool;
	assert_int_equal(tk_packer_new(&opts, &fx->packer, NULL), TK_OK);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fx = *state;
	void *scratch = fx->scratch;

	tk_packer_cleanup(&fx->packer);
	tk_spool_cleanup(&fx->spool);
	tk_packtab_cleanup(&fx->packs);
	tk_keyring_release(&fx->ring);
	free(fx);
	return scratch_teardown(&scratch);
}

/* Piece `index` of a thread: its bytes, its id. */
static size_t
piece_of(unsigned thread, unsigned index, uint8_t bytes[BLOB_BYTES], uint8_t id[16])
{
	size_t len = 1 + (thread * 977 + index * 131) % 1500;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(thread * 31 + index * 7 + i);
	memset(id, 0, 16);
	id[0] = (uint8_t)thread;
	id[1] = (uint8_t)index;
	id[2] = (uint8_t)(index >> 8);
	return len;
}

static struct tk_lane *
lane_of(struct fixture *fx, enum tk_lane_kind kind)
{
	struct tk_lane *lane = NULL;

	assert_int_equal(tk_lane_new(fx->packer, kind, 1, &lane, NULL), TK_OK);
	return lane;
}

static struct tk_extent
put(struct tk_lane *lane, unsigned thread, unsigned index)
{
	uint8_t bytes[BLOB_BYTES], id[16];
	size_t len = piece_of(thread, index, bytes, id);
	struct tk_extent extent;

	assert_int_equal(tk_lane_put(lane, bytes, len, id, &extent, NULL), TK_OK);
	assert_int_equal(extent.ref.pack, TK_PACK_STAGED);
	assert_int_equal(extent.length_bytes, len);
	return extent;
}

static struct tk_lane_place
end(struct tk_lane *lane)
{
	struct tk_lane_place place;

	assert_int_equal(tk_lane_end(lane, &place, NULL), TK_OK);
	return place;
}

/* A pack of the spool, opened. */
struct pack {
	uint8_t *bytes;
	size_t len;
	struct tk_pack_index *index;
};

static void
open_pack(struct fixture *fx, uint32_t number, struct pack *pack)
{
	struct tk_pack_name name = tk_packtab_name(fx->packs, number);
	uint64_t len = 0;
	int fd = -1;

	assert_int_equal(tk_spool_read(fx->spool, &name, &fd, &len, NULL), TK_OK);
	pack->len = (size_t)len;
	pack->bytes = malloc(pack->len);
	assert_non_null(pack->bytes);
	assert_int_equal(pread(fd, pack->bytes, pack->len, 0), (ssize_t)pack->len);
	close(fd);
	assert_int_equal(tk_pack_index_read(tk_keyring_domain(&fx->ring, &fx->domain), pack->bytes, pack->bytes, pack->len, len, &pack->index, NULL),
			 TK_OK);
}

static void
read_blob(const struct pack *pack, uint32_t blob, struct tk_buf *plain)
{
	const struct tk_blob_info *info = &pack->index->blobs[blob];
	struct tk_opener *opener = NULL;

	assert_true(blob < pack->index->blob_count);
	assert_int_equal(tk_opener_new(&opener, NULL), TK_OK);
	assert_int_equal(tk_open_blob(opener, pack->index, blob, pack->bytes + info->offset_bytes, info->sealed_bytes, plain, NULL), TK_OK);
	tk_opener_cleanup(&opener);
}

static void
close_pack(struct pack *pack)
{
	tk_pack_index_cleanup(&pack->index);
	free(pack->bytes);
}

static void
assert_piece(struct fixture *fx, const struct tk_extent *extent, unsigned thread, unsigned index)
{
	uint8_t bytes[BLOB_BYTES], id[16];
	size_t len = piece_of(thread, index, bytes, id);
	struct tk_buf plain = {0};
	struct pack pack;

	open_pack(fx, extent->ref.pack, &pack);
	read_blob(&pack, extent->ref.blob, &plain);
	assert_int_equal(extent->length_bytes, len);
	assert_true(extent->offset_bytes + len <= plain.len_bytes);
	assert_memory_equal(plain.data + extent->offset_bytes, bytes, len);
	tk_buf_release(&plain);
	close_pack(&pack);
}

static size_t
finish(struct fixture *fx)
{
	const struct tk_pack_ident *idents;
	size_t count;

	assert_int_equal(tk_packer_finish(fx->packer, &idents, &count, NULL), TK_OK);
	return count;
}

static void
what_is_staged_gets_its_place_when_it_is_handed_over(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *lane = lane_of(fx, TK_LANE_CHUNKS);
	struct tk_extent extents[32];
	struct tk_lane_place place;
	size_t count = 0, staged = 0;

	while (staged < BLOB_BYTES / 2) {
		extents[count] = put(lane, 0, (unsigned)count);
		staged += extents[count++].length_bytes;
		assert_true(count < 32);
	}
	place = end(lane);
	assert_int_equal(place.offset_bytes, 0);
	assert_int_equal(place.row_count, count);
	tk_lane_settle(lane, &place, extents, count);
	(void)finish(fx);
	for (unsigned i = 0; i < count; i++)
		assert_piece(fx, &extents[i], 0, i);
	tk_lane_cleanup(&lane);
}

static void
a_small_rest_joins_the_solid_blob(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *lane = lane_of(fx, TK_LANE_CHUNKS);
	struct tk_extent solid, extent, next;
	struct tk_lane_place place;

	assert_int_equal(tk_packer_add(fx->packer, "0123456789", 10, NULL, &solid, NULL), TK_OK);
	extent = put(lane, 0, 0);
	place = end(lane);
	tk_lane_settle(lane, &place, &extent, 1);
	assert_int_equal(tk_packer_add(fx->packer, "0123456789", 10, NULL, &next, NULL), TK_OK);
	assert_memory_equal(&extent.ref, &solid.ref, sizeof(solid.ref));
	assert_int_equal(extent.offset_bytes, 10);
	assert_memory_equal(&next.ref, &solid.ref, sizeof(solid.ref));
	assert_int_equal(next.offset_bytes, 10 + extent.length_bytes);
	(void)finish(fx);
	assert_piece(fx, &extent, 0, 0);
	tk_lane_cleanup(&lane);
}

static void
literals_have_blobs_of_their_own(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *lane = lane_of(fx, TK_LANE_LITERALS);
	struct tk_extent solid, extents[2];

	assert_int_equal(tk_packer_add(fx->packer, "0123456789", 10, NULL, &solid, NULL), TK_OK);
	for (unsigned i = 0; i < 2; i++) {
		struct tk_lane_place place;

		extents[i] = put(lane, 0, i);
		place = end(lane);
		tk_lane_settle(lane, &place, &extents[i], 1);
		assert_int_equal(extents[i].offset_bytes, 0);
		assert_true(extents[i].ref.blob != solid.ref.blob);
	}
	assert_true(extents[0].ref.blob != extents[1].ref.blob);
	(void)finish(fx);
	for (unsigned i = 0; i < 2; i++)
		assert_piece(fx, &extents[i], 0, i);
	tk_lane_cleanup(&lane);
}

static void
a_chunk_is_found_in_its_lane_while_it_is_staged(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *lane = lane_of(fx, TK_LANE_CHUNKS);
	uint8_t bytes[BLOB_BYTES], id[16];
	size_t len = piece_of(0, 1, bytes, id);
	struct tk_extent extent, found;

	(void)put(lane, 0, 0);
	extent = put(lane, 0, 1);
	assert_true(tk_lane_find(lane, id, len, &found));
	assert_memory_equal(&found, &extent, sizeof(found));
	assert_false(tk_lane_find(lane, id, len + 1, &found));
	tk_lane_clear(lane);
	assert_false(tk_lane_find(lane, id, len, &found));
	(void)put(lane, 0, 1);
	(void)end(lane);
	assert_false(tk_lane_find(lane, id, len, &found));
	assert_int_equal(end(lane).ref.pack, TK_PACK_NONE);
	tk_lane_cleanup(&lane);
}

static void
hand_over_packs(struct tk_lane *lane, size_t packs)
{
	uint8_t bytes[BLOB_BYTES] = {0};
	struct tk_extent extent;

	for (size_t i = 0; i < packs * PACK_BYTES / BLOB_BYTES + 2; i++) {
		assert_int_equal(tk_lane_put(lane, bytes, sizeof(bytes), NULL, &extent, NULL), TK_OK);
		(void)end(lane);
	}
}

static void
a_slow_lane_holds_up_nobody(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *slow = lane_of(fx, TK_LANE_CHUNKS), *fast = lane_of(fx, TK_LANE_CHUNKS);
	const struct timespec moment = {0, 10000000};
	struct tk_extent extent = put(slow, 0, 0);
	struct tk_lane_place place;

	hand_over_packs(fast, 20);
	for (int i = 0; i < 1000 && atomic_load(&fx->complete) < 19; i++)
		nanosleep(&moment, NULL);
	assert_true(atomic_load(&fx->complete) >= 19);
	place = end(slow);
	tk_lane_settle(slow, &place, &extent, 1);
	(void)finish(fx);
	assert_piece(fx, &extent, 0, 0);
	tk_lane_cleanup(&slow);
	tk_lane_cleanup(&fast);
}

static void
the_pack_that_was_placed_stays_open(void **state)
{
	struct fixture *fx = *state;
	struct tk_lane *lane = lane_of(fx, TK_LANE_CHUNKS);
	struct tk_blob_ref ref;
	uint32_t pack;

	assert_int_equal(tk_packer_place(fx->packer, &pack, NULL), TK_OK);
	hand_over_packs(lane, 3);
	assert_int_equal(tk_packer_put(fx->packer, TK_BLOB_LEAF, "a page", 6, NULL, 0, &ref, NULL), TK_OK);
	assert_int_equal(ref.pack, pack);
	assert_int_equal(atomic_load(&fx->complete), 0);
	hand_over_packs(lane, 1);
	assert_true(finish(fx) >= 2);
	tk_lane_cleanup(&lane);
}

struct filler {
	struct fixture *fx;
	pthread_t thread;
	unsigned number;
	struct tk_extent extents[PIECES];
};

static void *
fill_main(void *arg)
{
	struct filler *filler = arg;
	struct tk_lane *lane = lane_of(filler->fx, TK_LANE_CHUNKS);
	unsigned settled = 0;

	for (unsigned i = 0; i < PIECES; i++) {
		uint8_t bytes[BLOB_BYTES], id[16];
		size_t len = piece_of(filler->number, i, bytes, id);

		if (i % 7 == 0) {
			assert_int_equal(tk_packer_add(filler->fx->packer, bytes, len, id, &filler->extents[i], NULL), TK_OK);
			continue;
		}
		if (!tk_lane_has_room(lane, len) || i % 50 == 0) {
			struct tk_lane_place place = end(lane);

			tk_lane_settle(lane, &place, filler->extents + settled, i - settled);
			settled = i;
		}
		filler->extents[i] = put(lane, filler->number, i);
	}
	{
		struct tk_lane_place place = end(lane);

		tk_lane_settle(lane, &place, filler->extents + settled, PIECES - settled);
	}
	tk_lane_cleanup(&lane);
	return NULL;
}

/* Counts the rows that the packs' contents blobs hold; they are in order, or would not decode. */
static size_t
count_rows(struct fixture *fx)
{
	size_t total = 0;

	for (uint32_t number = 0; number < tk_packtab_count(fx->packs); number++) {
		struct tk_content_row *rows = NULL;
		struct tk_buf plain = {0};
		struct pack pack;
		size_t count = 0;

		open_pack(fx, number, &pack);
		read_blob(&pack, pack.index->blob_count - 1, &plain);
		assert_int_equal(pack.index->blobs[pack.index->blob_count - 1].type, TK_BLOB_CONTENTS);
		assert_int_equal(tk_contents_decode(plain.data, plain.len_bytes, &rows, &count, NULL), TK_OK);
		total += count;
		free(rows);
		tk_buf_release(&plain);
		close_pack(&pack);
	}
	return total;
}

static void
many_threads_fill_lanes_and_every_byte_is_where_its_extent_says(void **state)
{
	struct fixture *fx = *state;
	struct filler *fillers = calloc(THREADS, sizeof(*fillers));

	assert_non_null(fillers);
	for (unsigned i = 0; i < THREADS; i++) {
		fillers[i].fx = fx;
		fillers[i].number = i;
		assert_int_equal(pthread_create(&fillers[i].thread, NULL, fill_main, &fillers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(fillers[i].thread, NULL);
	(void)finish(fx);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned k = 0; k < PIECES; k++)
			assert_piece(fx, &fillers[i].extents[k], i, k);
	assert_int_equal(count_rows(fx), THREADS * PIECES);
	free(fillers);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_staged_gets_its_place_when_it_is_handed_over),
		TEST(a_small_rest_joins_the_solid_blob),
		TEST(literals_have_blobs_of_their_own),
		TEST(a_chunk_is_found_in_its_lane_while_it_is_staged),
		TEST(a_slow_lane_holds_up_nobody),
		TEST(the_pack_that_was_placed_stays_open),
		TEST(many_threads_fill_lanes_and_every_byte_is_where_its_extent_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
