/* The delta search: its operations make exactly the new bytes, and what did not change is copied. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/delta/delta.h"
#include "engine/delta/delta_hint.h"
#include "engine/delta/delta_stream.h"
#include "engine/delta/signature.h"

#define FILE_MAX 65536u
#define SEGMENTS_MAX 64u

/* A file version in memory, with room for edits. */
struct version {
	uint8_t data[FILE_MAX];
	size_t len;
};

struct setup {
	size_t segment_bytes;
	size_t block_bytes;
	size_t neighbours;    /* old segments on either side that are searched too */
	uint64_t miss_limit;
};

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static size_t
pick(uint64_t *seed, size_t below)
{
	return below ? (size_t)((next_random(seed) >> 16) % below) : 0;
}

static void
fill(uint8_t *dst, size_t len, uint64_t *seed, unsigned alphabet)
{
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)pick(seed, alphabet);
}

/* Makes room for len bytes at `at`, or takes them away. */
static void
version_insert(struct version *v, size_t at, size_t len, uint64_t *seed)
{
	len = len < FILE_MAX - v->len ? len : FILE_MAX - v->len;
	memmove(v->data + at + len, v->data + at, v->len - at);
	fill(v->data + at, len, seed, 256);
	v->len += len;
}

static void
version_delete(struct version *v, size_t at, size_t len)
{
	len = len < v->len - at ? len : v->len - at;
	memmove(v->data + at, v->data + at + len, v->len - at - len);
	v->len -= len;
}

static void
version_move(struct version *v, size_t from, size_t len, size_t to)
{
	uint8_t *held = malloc(FILE_MAX);

	assert_non_null(held);
	len = len < v->len - from ? len : v->len - from;
	memcpy(held, v->data + from, len);
	version_delete(v, from, len);
	to = to < v->len ? to : v->len;
	memmove(v->data + to + len, v->data + to, v->len - to);
	memcpy(v->data + to, held, len);
	v->len += len;
	free(held);
}

static void
version_duplicate(struct version *v, size_t from, size_t len)
{
	len = len < v->len - from ? len : v->len - from;
	len = len < FILE_MAX - v->len ? len : FILE_MAX - v->len;
	memcpy(v->data + v->len, v->data + from, len);
	v->len += len;
}

static void
edit_once(struct version *v, uint64_t *seed)
{
	size_t at = pick(seed, v->len + 1);
	size_t len = pick(seed, pick(seed, 4) ? 100 : 6000);
	size_t left = v->len - at;

	switch (pick(seed, 8)) {
	case 0:
		fill(v->data + at, len < left ? len : left, seed, 256);
		break;
	case 1:
		version_insert(v, at, len, seed);
		break;
	case 2:
		version_delete(v, at, len);
		break;
	case 3:
		version_move(v, at, len, pick(seed, v->len + 1));
		break;
	case 4:
		v->len = at;
		break;
	case 5:
		version_insert(v, v->len, len, seed);
		break;
	case 6:
		version_duplicate(v, at, len);
		break;
	default:
		version_move(v, v->len / 2, v->len, 0);
		break;
	}
}

static enum tk_rc
read_version(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	const struct version *v = ctx;

	(void)err;
	assert_true(off_bytes <= v->len && len_bytes <= v->len - off_bytes);
	memcpy(dst, v->data + off_bytes, len_bytes);
	return TK_OK;
}

/* The old version's segments with their signatures. */
struct old_segments {
	struct tk_delta_old rows[SEGMENTS_MAX];
	struct tk_buf signatures[SEGMENTS_MAX];
	size_t count;
};

static void
old_segments_init(struct old_segments *olds, const struct version *v, const struct setup *setup)
{
	size_t len;

	olds->count = 0;
	for (size_t at = 0; at < v->len; at += setup->segment_bytes) {
		struct tk_buf *buf = &olds->signatures[olds->count];

		len = v->len - at < setup->segment_bytes ? v->len - at : setup->segment_bytes;
		tk_buf_init(buf, 0);
		assert_int_equal(tk_signature_build(v->data + at, len, setup->block_bytes, 16, buf, NULL), TK_OK);
		olds->rows[olds->count++] = (struct tk_delta_old){at, len, buf->data, buf->len_bytes, NULL};
	}
}

static void
old_segments_release(struct old_segments *olds)
{
	for (size_t i = 0; i < olds->count; i++)
		tk_buf_release(&olds->signatures[i]);
}

/* Same place first, then ever farther neighbours. */
static size_t
choose_olds(const struct old_segments *olds, size_t place, size_t neighbours, struct tk_delta_old *chosen)
{
	size_t count = 0;

	if (place < olds->count)
		chosen[count++] = olds->rows[place];
	for (size_t d = 1; d <= neighbours; d++) {
		if (place >= d && place - d < olds->count)
			chosen[count++] = olds->rows[place - d];
		if (place + d < olds->count)
			chosen[count++] = olds->rows[place + d];
	}
	return count;
}

static void
search_segment(const struct old_segments *olds, struct version *new, size_t at, const struct setup *setup,
	struct tk_delta_ops *ops)
{
	struct tk_delta_old chosen[SEGMENTS_MAX];
	struct tk_delta_request request = {
		.source = {read_version, new},
		.off_bytes = at,
		.len_bytes = new->len - at < setup->segment_bytes ? new->len - at : setup->segment_bytes,
		.olds = chosen,
		.miss_limit_bytes = setup->miss_limit,
	};

	request.old_count = choose_olds(olds, at / setup->segment_bytes, setup->neighbours, chosen);
	assert_int_equal(tk_delta_search(&request, ops, NULL), TK_OK);
}

static void
assert_ops_make(const struct tk_delta_ops *ops, const struct version *old, const struct version *new)
{
	uint64_t at = 0, copied = 0;

	for (size_t i = 0; i < ops->count; i++) {
		const struct tk_delta_op *op = &ops->rows[i];

		assert_true(op->len_bytes > 0 && op->len_bytes <= new->len - at);
		if (op->kind == TK_DELTA_COPY) {
			assert_true(op->old_off_bytes <= old->len && op->len_bytes <= old->len - op->old_off_bytes);
			assert_memory_equal(new->data + at, old->data + op->old_off_bytes, (size_t)op->len_bytes);
			copied += op->len_bytes;
		} else if (i > 0) {
			assert_true(ops->rows[i - 1].kind == TK_DELTA_COPY);
		}
		at += op->len_bytes;
	}
	assert_int_equal(at, new->len);
	assert_int_equal(ops->copy_bytes, copied);
	assert_int_equal(ops->literal_bytes, new->len - copied);
}

/* Searches the whole new version, checks the result, and returns how many bytes are literal. */
static size_t
delta_of(const struct version *old, struct version *new, const struct setup *setup)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	struct old_segments *olds = malloc(sizeof(*olds));

	assert_non_null(olds);
	old_segments_init(olds, old, setup);
	for (size_t at = 0; at < new->len; at += setup->segment_bytes)
		search_segment(olds, new, at, setup, &ops);
	assert_ops_make(&ops, old, new);
	old_segments_release(olds);
	free(olds);
	return (size_t)ops.literal_bytes;
}

struct pair {
	struct version old;
	struct version new;
};

static int
pair_new(void **state)
{
	*state = calloc(1, sizeof(struct pair));
	return *state ? 0 : -1;
}

static int
pair_free(void **state)
{
	free(*state);
	return 0;
}

static void
pair_fill(struct pair *pair, size_t len, uint64_t seed)
{
	pair->old.len = len;
	fill(pair->old.data, len, &seed, 256);
	memcpy(&pair->new, &pair->old, sizeof(pair->new));
}

static const struct setup usual = {4096, 64, 1, 0};

static void
any_script_of_edits_is_reproduced_exactly(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 20261124;

	for (int round = 0; round < 6000; round++) {
		struct setup setup = {
			.segment_bytes = pick(&seed, 2) ? 4096 : 1000 + pick(&seed, 3000),
			.block_bytes = pick(&seed, 2) ? 64 : 128,
			.neighbours = pick(&seed, 4),
			.miss_limit = pick(&seed, 4) ? 0 : 1 + pick(&seed, 3000),
		};

		pair->old.len = pick(&seed, pick(&seed, 8) ? 12000 : 200);
		fill(pair->old.data, pair->old.len, &seed, pick(&seed, 3) ? 256 : 1 + (unsigned)pick(&seed, 2));
		memcpy(&pair->new, &pair->old, sizeof(pair->new));
		for (size_t edits = pick(&seed, 6); edits; edits--)
			edit_once(&pair->new, &seed);
		(void)delta_of(&pair->old, &pair->new, &setup);
	}
}

static void
unchanged_bytes_cost_nothing(void **state)
{
	static const size_t lengths[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 40001};
	struct pair *pair = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		pair_fill(pair, lengths[i], 3);
		assert_int_equal(delta_of(&pair->old, &pair->new, &usual), 0);
	}
}

static void
a_small_overwrite_costs_the_blocks_it_touches(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 4;

	for (int round = 0; round < 300; round++) {
		pair_fill(pair, 30000, seed);
		fill(pair->new.data + pick(&seed, 29900), 1 + pick(&seed, 60), &seed, 256);
		assert_true(delta_of(&pair->old, &pair->new, &usual) <= 2 * usual.block_bytes);
	}
}

static void
a_small_shift_costs_a_few_blocks_a_segment(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 5;
	size_t segments;

	for (int round = 0; round < 300; round++) {
		pair_fill(pair, 30000, seed);
		if (pick(&seed, 2))
			version_insert(&pair->new, pick(&seed, 29000), 1 + pick(&seed, 50), &seed);
		else
			version_delete(&pair->new, pick(&seed, 29000), 1 + pick(&seed, 50));
		segments = pair->new.len / usual.segment_bytes + 1;
		assert_true(delta_of(&pair->old, &pair->new, &usual) <= (2 * segments + 4) * usual.block_bytes);
	}
}

static void
a_shift_of_a_whole_segment_is_found_in_the_neighbour(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 106;

	pair_fill(pair, 5 * 4096, 6);
	version_insert(&pair->new, 0, 4096, &seed);
	assert_int_equal(delta_of(&pair->old, &pair->new, &usual), 4096);
}

static void
growth_and_truncation_cost_only_what_is_new(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 107;

	pair_fill(pair, 10 * 64 + 20, 7);
	version_insert(&pair->new, pair->new.len, 500, &seed);
	assert_true(delta_of(&pair->old, &pair->new, &usual) <= 500 + 20);
	pair_fill(pair, 10000, 7);
	pair->new.len = 5003;
	assert_true(delta_of(&pair->old, &pair->new, &usual) < 64);
}

static void
the_short_block_at_the_old_end_is_found_at_the_new_end(void **state)
{
	struct pair *pair = *state;
	uint64_t seed = 108;

	pair_fill(pair, 1000, 8);
	version_insert(&pair->new, 0, 10, &seed);
	/* 15 whole blocks and the last 40 bytes */
	assert_int_equal(delta_of(&pair->old, &pair->new, &usual), 10);
}

static void
with_no_old_bytes_all_is_literal_and_with_no_new_bytes_there_is_nothing(void **state)
{
	struct pair *pair = *state;

	pair_fill(pair, 9000, 9);
	pair->old.len = 0;
	assert_int_equal(delta_of(&pair->old, &pair->new, &usual), 9000);
	pair_fill(pair, 9000, 9);
	pair->new.len = 0;
	assert_int_equal(delta_of(&pair->old, &pair->new, &usual), 0);
}

static void
a_signature_that_was_loaded_is_searched_again(void **state)
{
	TK_AUTO(tk_signature_cleanup) struct tk_signature *loaded = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	struct pair *pair = *state;
	struct tk_delta_old old;
	struct tk_delta_request request = {.source = {read_version, &pair->new}, .len_bytes = 4000, .olds = &old, .old_count = 1};

	pair_fill(pair, 4000, 13);
	assert_int_equal(tk_signature_build(pair->old.data, 4000, 64, 16, &bytes, NULL), TK_OK);
	old = (struct tk_delta_old){0, 4000, bytes.data, bytes.len_bytes, &loaded};
	for (int i = 0; i < 3; i++) {
		TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
		const struct tk_signature *before = loaded;

		assert_int_equal(tk_delta_search(&request, &ops, NULL), TK_OK);
		assert_int_equal(ops.copy_bytes, 4000);
		assert_non_null(loaded);
		assert_true(i == 0 || loaded == before);
	}
}

static void
a_damaged_signature_is_an_error_and_never_a_wrong_range(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf signature = {0};
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	struct pair *pair = *state;
	struct tk_delta_old old;
	struct tk_delta_request request = {.source = {read_version, &pair->new}, .len_bytes = 4000, .olds = &old, .old_count = 1};

	pair_fill(pair, 4000, 11);
	assert_int_equal(tk_signature_build(pair->old.data, 4000, 64, 16, &signature, NULL), TK_OK);
	old = (struct tk_delta_old){0, 4000, signature.data, signature.len_bytes - 1, NULL};
	assert_int_equal(tk_delta_search(&request, &ops, NULL), TK_ECORRUPT);
	/* Said to be of a shorter segment with as many blocks: the last block would be copied from beyond its end. */
	old = (struct tk_delta_old){0, 3990, signature.data, signature.len_bytes, NULL};
	assert_int_equal(tk_delta_search(&request, &ops, NULL), TK_ECORRUPT);
	assert_int_equal(ops.count, 0);
}

/* A long new range, with a count of what was read of it. */
struct long_new {
	uint8_t *data;
	size_t len;
	size_t read_bytes;
};

static enum tk_rc
read_long(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	struct long_new *new = ctx;

	(void)err;
	assert_true(off_bytes <= new->len && len_bytes <= new->len - off_bytes);
	memcpy(dst, new->data + off_bytes, len_bytes);
	new->read_bytes += len_bytes;
	return TK_OK;
}

#define MIB (1024u * 1024)

/* Fresh bytes before old bytes; returns the literal count. */
static uint64_t
search_after_fresh(struct long_new *new, size_t fresh, size_t kept, uint64_t miss_limit)
{
	TK_AUTO(tk_buf_release) struct tk_buf signature = {0};
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	struct tk_delta_old old = {0};
	struct tk_delta_request request = {.source = {read_long, new}, .olds = &old, .old_count = 1};
	uint64_t seed = 77;

	new->len = fresh + kept;
	new->data = malloc(new->len);
	new->read_bytes = 0;
	assert_non_null(new->data);
	fill(new->data, new->len, &seed, 256);
	assert_int_equal(tk_signature_build(new->data + fresh, kept, 1024, 16, &signature, NULL), TK_OK);
	old = (struct tk_delta_old){0, kept, signature.data, signature.len_bytes, NULL};
	request.len_bytes = new->len;
	request.miss_limit_bytes = miss_limit;
	assert_int_equal(tk_delta_search(&request, &ops, NULL), TK_OK);
	assert_int_equal(ops.copy_bytes + ops.literal_bytes, new->len);
	free(new->data);
	return ops.literal_bytes;
}

static void
a_miss_limit_bounds_the_search_of_new_bytes_and_what_it_hides(void **state)
{
	struct long_new new;
	uint64_t literal;

	(void)state;
	assert_int_equal(search_after_fresh(&new, MIB, 3 * MIB, 0), MIB);
	assert_int_equal(new.read_bytes, 4 * MIB);
	literal = search_after_fresh(&new, MIB, 3 * MIB, 65536);
	assert_true(literal >= MIB && literal <= 2 * MIB + 3 * 65536);
	literal = search_after_fresh(&new, 8 * MIB, 1024, 65536);
	assert_true(literal >= 8 * MIB);
	assert_true(new.read_bytes <= 3 * MIB);
}

static enum tk_rc
read_nothing(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	(void)ctx;
	(void)off_bytes;
	(void)len_bytes;
	(void)dst;
	return tk_err_set(err, TK_EIO, "unreadable");
}

static void
a_read_that_fails_is_passed_on(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf signature = {0};
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};
	struct pair *pair = *state;
	struct tk_delta_old old;
	struct tk_delta_request request = {.source = {read_nothing, NULL}, .len_bytes = 4000, .olds = &old, .old_count = 1};

	pair_fill(pair, 4000, 12);
	assert_int_equal(tk_signature_build(pair->old.data, 4000, 64, 16, &signature, NULL), TK_OK);
	old = (struct tk_delta_old){0, 4000, signature.data, signature.len_bytes, NULL};
	assert_int_equal(tk_delta_search(&request, &ops, NULL), TK_EIO);
}

static enum tk_rc
parse_stream(const char *bytes, size_t len, size_t piece, uint64_t new_len, struct tk_delta_ops *ops)
{
	struct tk_delta_stream stream;
	enum tk_rc rc = TK_OK;
	size_t now;

	tk_delta_ops_release(ops);
	tk_delta_stream_init(&stream, ops, 1000, 100, new_len);
	for (size_t at = 0; at < len && !rc; at += now) {
		now = len - at < piece ? len - at : piece;
		rc = tk_delta_stream_feed(&stream, (const uint8_t *)bytes + at, now, NULL);
	}
	return rc ? rc : tk_delta_stream_end(&stream, NULL);
}

#define MAGIC "rs\x02\x36"
#define PARSE(text, piece, new_len) parse_stream(text, sizeof(text) - 1, piece, new_len, &ops)

static void
the_stream_is_read_the_same_in_any_pieces(void **state)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};

	(void)state;
	for (size_t piece = 1; piece < 40; piece++) {
		assert_int_equal(PARSE(MAGIC "\x02" "ab" "\x42\x00\x03" "cde" "\x45\x0a\x05" "\x4b\x00\x0f\x00\x00\x00\x14"
			"\x54\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x64" "\x00", piece, 130), TK_OK);
		assert_int_equal(ops.count, 3);
		assert_int_equal(ops.rows[0].kind, TK_DELTA_LITERAL);
		assert_int_equal(ops.rows[0].len_bytes, 5);
		assert_int_equal(ops.rows[1].old_off_bytes, 1010);
		assert_int_equal(ops.rows[1].len_bytes, 25);
		assert_int_equal(ops.rows[2].old_off_bytes, 1000);
		assert_int_equal(ops.rows[2].len_bytes, 100);
	}
}

static void
a_stream_that_lies_is_corrupt(void **state)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};

	(void)state;
	assert_int_equal(PARSE("", 1, 0), TK_ECORRUPT);
	assert_int_equal(PARSE("rs\x01\x36\x00", 9, 0), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC, 9, 0), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x00", 9, 0), TK_OK);
	assert_int_equal(PARSE(MAGIC "\x00", 9, 1), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x00\x00", 9, 0), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x02" "ab\x00", 9, 1), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x02" "a", 9, 2), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x41\x00\x00", 9, 0), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x45\x5f\x06\x00", 9, 6), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x45\x65\x01\x00", 9, 1), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x51\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 9, 1), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x48\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", 9, 1), TK_ECORRUPT);
	assert_int_equal(PARSE(MAGIC "\x55", 9, 1), TK_ECORRUPT);
}

static void
files_are_known_by_their_first_bytes(void **state)
{
	static const uint8_t postgresql[24] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 31, 0, 32, 4, 32};
	uint8_t sqlite[100] = "SQLite format 3";
	uint8_t innodb[100] = {0};
	struct tk_delta_guess guess;

	(void)state;
	sqlite[16] = 0x10;
	guess = tk_delta_guess_file(sqlite, sizeof(sqlite), NULL);
	assert_true(guess.file == TK_DELTA_FILE_SQLITE && guess.page_bytes == 4096);
	guess = tk_delta_guess_file(postgresql, sizeof(postgresql), "16384");
	assert_true(guess.file == TK_DELTA_FILE_POSTGRESQL && guess.page_bytes == 8192);
	innodb[25] = 8;
	guess = tk_delta_guess_file(innodb, sizeof(innodb), "t.ibd");
	assert_true(guess.file == TK_DELTA_FILE_INNODB && guess.page_bytes == 16384);
	guess = tk_delta_guess_file(innodb, sizeof(innodb), "t.img");
	assert_true(guess.file == TK_DELTA_FILE_UNKNOWN && guess.page_bytes == 0);
	for (size_t len = 0; len < 18; len++)
		assert_true(tk_delta_guess_file(sqlite, len, NULL).file == TK_DELTA_FILE_UNKNOWN);
}

static enum tk_delta_file
kind_of(const char *first, const char *name)
{
	return tk_delta_guess_file((const uint8_t *)first, strlen(first), name).file;
}

static void
dumps_as_text_are_known_by_their_names_or_beginnings(void **state)
{
	(void)state;
	assert_true(kind_of("INSERT INTO t VALUES (1);", "2026-11-24.sql") == TK_DELTA_FILE_SQL);
	assert_true(kind_of("-- MySQL dump 10.13", "db") == TK_DELTA_FILE_SQL);
	assert_true(kind_of("--\n-- PostgreSQL database dump\n", NULL) == TK_DELTA_FILE_SQL);
	assert_true(kind_of("", "a.sql") == TK_DELTA_FILE_UNKNOWN);
	assert_true(kind_of("text", ".sql") == TK_DELTA_FILE_UNKNOWN);
	assert_true(kind_of("text", "a.sql.txt") == TK_DELTA_FILE_UNKNOWN);
	assert_true(kind_of("\xfd" "7zXZ", "a.sql") == TK_DELTA_FILE_UNKNOWN);
	assert_true(tk_delta_guess_file((const uint8_t *)"a\0b", 3, "a.sql").file == TK_DELTA_FILE_UNKNOWN);
}

static size_t
block_of(uint64_t file_bytes, size_t page_bytes)
{
	return tk_delta_block_bytes(file_bytes, (struct tk_delta_guess){TK_DELTA_FILE_UNKNOWN, page_bytes});
}

static void
blocks_grow_with_the_file_and_follow_a_known_page(void **state)
{
	(void)state;
	assert_int_equal(block_of(0, 0), 2048);
	assert_int_equal(block_of(UINT64_C(2) << 30, 0), 2048);
	assert_int_equal(block_of(UINT64_MAX, 0), 16384);
	assert_int_equal(block_of(UINT64_C(2) << 30, 8192), 1024);
	assert_int_equal(block_of(UINT64_C(2) << 30, 16384), 2048);
	assert_int_equal(block_of(100, 512), 1024);
	assert_int_equal(block_of(100, 65536), 8192);
	assert_int_equal(tk_delta_block_bytes(UINT64_MAX, (struct tk_delta_guess){TK_DELTA_FILE_SQL, 0}), 512);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, pair_new, pair_free)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(any_script_of_edits_is_reproduced_exactly),
		PAIR_TEST(unchanged_bytes_cost_nothing),
		PAIR_TEST(a_small_overwrite_costs_the_blocks_it_touches),
		PAIR_TEST(a_small_shift_costs_a_few_blocks_a_segment),
		PAIR_TEST(a_shift_of_a_whole_segment_is_found_in_the_neighbour),
		PAIR_TEST(growth_and_truncation_cost_only_what_is_new),
		PAIR_TEST(the_short_block_at_the_old_end_is_found_at_the_new_end),
		PAIR_TEST(with_no_old_bytes_all_is_literal_and_with_no_new_bytes_there_is_nothing),
		PAIR_TEST(a_signature_that_was_loaded_is_searched_again),
		PAIR_TEST(a_damaged_signature_is_an_error_and_never_a_wrong_range),
		cmocka_unit_test(a_miss_limit_bounds_the_search_of_new_bytes_and_what_it_hides),
		PAIR_TEST(a_read_that_fails_is_passed_on),
		cmocka_unit_test(the_stream_is_read_the_same_in_any_pieces),
		cmocka_unit_test(a_stream_that_lies_is_corrupt),
		cmocka_unit_test(files_are_known_by_their_first_bytes),
		cmocka_unit_test(dumps_as_text_are_known_by_their_names_or_beginnings),
		cmocka_unit_test(blocks_grow_with_the_file_and_follow_a_known_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
