#include "tests/unit/unit.h"

#include "tests/unit/file_edit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What edits make larger stays below this; what is larger grows by a little at a time. */
#define SMALL_MAX_BYTES 200000u
#define GROWTH_BYTES 300000u

void
file_write_at(const char *path, struct dice *dice, off_t offset, size_t len_bytes, int flags)
{
	uint8_t *data = malloc(len_bytes + 1);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	assert_true(fd >= 0);
	assert_non_null(data);
	dice_bytes(dice, data, len_bytes);
	assert_int_equal(pwrite(fd, data, len_bytes, offset), len_bytes);
	close(fd);
	free(data);
}

/* ---- where and how much ---- */

/* A place in a file: anywhere, or at a border that something has, or beside it. */
static size_t
some_place(struct dice *dice, size_t size_bytes)
{
	static const size_t grains[] = {64, 512, 4096, 16384, 65536, 1u << 20};
	size_t at = dice_below(dice, size_bytes + 1), grain = grains[dice_below(dice, sizeof(grains) / sizeof(grains[0]))];

	switch (dice_below(dice, 4)) {
	case 0:
		return at / grain * grain;
	case 1:
		at = at / grain * grain + dice_below(dice, 3);
		return at > 0 && at - 1 < size_bytes ? at - 1 : 0;
	default:
		return at;
	}
}

/* Mostly a little, now and then much, within limit_bytes. */
static size_t
some_length(struct dice *dice, size_t limit_bytes)
{
	static const size_t most[] = {16, 300, 4096, 20000, SIZE_MAX};
	size_t max = most[dice_below(dice, sizeof(most) / sizeof(most[0]))];

	max = max < limit_bytes ? max : limit_bytes;
	return dice_below(dice, 3) ? dice_below(dice, max + 1) : max;
}

static size_t
growth(struct dice *dice, size_t size_bytes)
{
	return some_length(dice, size_bytes < SMALL_MAX_BYTES ? SMALL_MAX_BYTES - size_bytes : GROWTH_BYTES);
}

/* ---- in memory ---- */

/* A file's bytes with room to grow. */
struct text {
	uint8_t *data;
	size_t len_bytes;
};

static void
cut(struct text *text, size_t at, size_t len_bytes)
{
	memmove(text->data + at, text->data + at + len_bytes, text->len_bytes - at - len_bytes);
	text->len_bytes -= len_bytes;
}

static void
insert(struct text *text, size_t at, const uint8_t *data, size_t len_bytes)
{
	memmove(text->data + at + len_bytes, text->data + at, text->len_bytes - at);
	memcpy(text->data + at, data, len_bytes);
	text->len_bytes += len_bytes;
}

enum shuffle { SHUFFLE_INSERT, SHUFFLE_CUT, SHUFFLE_MOVE, SHUFFLE_DOUBLE, SHUFFLE_SWAP, SHUFFLES };

static void
shuffle_text(struct text *text, struct dice *dice, enum shuffle how)
{
	size_t at = some_place(dice, text->len_bytes), len = some_length(dice, text->len_bytes - at), to;
	uint8_t *part;

	if (how == SHUFFLE_INSERT || how == SHUFFLE_DOUBLE) {
		size_t room = growth(dice, text->len_bytes);

		len = how == SHUFFLE_INSERT || room < len ? room : len;
	}
	part = malloc(len + 1);
	assert_non_null(part);
	if (how == SHUFFLE_INSERT)
		dice_bytes(dice, part, len);
	else
		memcpy(part, text->data + at, len);
	if (how == SHUFFLE_CUT || how == SHUFFLE_MOVE)
		cut(text, at, len);
	to = how == SHUFFLE_INSERT ? at : some_place(dice, text->len_bytes);
	if (how == SHUFFLE_SWAP) {
		len = len < text->len_bytes - to ? len : text->len_bytes - to;
		memmove(text->data + at, text->data + to, len);
		memcpy(text->data + to, part, len);
	} else if (how != SHUFFLE_CUT) {
		insert(text, to, part, len);
	}
	free(part);
}

/* From the first byte that differs on: what is before it is not written, and stays a hole if it is one. */
static void
write_back(int fd, const struct text *now, const uint8_t *before, size_t before_bytes)
{
	size_t same = 0;

	while (same < now->len_bytes && same < before_bytes && now->data[same] == before[same])
		same++;
	assert_int_equal(pwrite(fd, now->data + same, now->len_bytes - same, (off_t)same), now->len_bytes - same);
	assert_int_equal(ftruncate(fd, (off_t)now->len_bytes), 0);
}

static void
shuffle(const char *path, struct dice *dice, enum shuffle how)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct text text = {0};
	uint8_t *before;
	struct stat st;
	size_t size;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	size = text.len_bytes = (size_t)st.st_size;
	text.data = malloc(size + SMALL_MAX_BYTES + GROWTH_BYTES);
	before = malloc(size + 1);
	assert_true(text.data && before);
	assert_int_equal(pread(fd, text.data, size, 0), size);
	memcpy(before, text.data, size);
	shuffle_text(&text, dice, how);
	write_back(fd, &text, before, size);
	close(fd);
	free(text.data);
	free(before);
}

/* ---- in place ---- */

static void
zero_range(const char *path, struct dice *dice, size_t size_bytes, bool punched)
{
	static const uint8_t zeros[65536];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t at = some_place(dice, size_bytes), len = some_length(dice, size_bytes - at);

	assert_true(fd >= 0);
	if (punched)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len + 1);
	for (size_t done = 0, piece; !punched && done < len; done += piece) {
		piece = len - done < sizeof(zeros) ? len - done : sizeof(zeros);
		assert_int_equal(pwrite(fd, zeros, piece, (off_t)(at + done)), piece);
	}
	close(fd);
}

/* Overwrites a byte and puts the time back: only the ctime tells. */
static void
change_quietly(const char *path, struct dice *dice, const struct stat *st)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, st->st_mtim};

	if (st->st_size == 0)
		return;
	file_write_at(path, dice, (off_t)dice_below(dice, (size_t)st->st_size), 1, 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* As editors do: the new content under another name, renamed over the old. */
static void
replace(const char *path, struct dice *dice, size_t size_bytes)
{
	char fresh[600];

	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	file_write_at(fresh, dice, 0, some_length(dice, size_bytes + 1), O_EXCL);
	assert_int_equal(rename(fresh, path), 0);
}

void
file_edit(const char *path, struct dice *dice)
{
	struct stat st;
	size_t size, kind = dice_below(dice, 12 + SHUFFLES);

	assert_int_equal(stat(path, &st), 0);
	size = (size_t)st.st_size;
	switch (kind) {
	case 0:
	case 1:
	case 2: {
		size_t at = some_place(dice, size);

		file_write_at(path, dice, (off_t)at, some_length(dice, size - at), 0);
		break;
	}
	case 3:
		assert_int_equal(truncate(path, (off_t)some_place(dice, size)), 0);
		break;
	case 4:
		zero_range(path, dice, size, false);
		break;
	case 5:
	case 6:
		zero_range(path, dice, size, true);
		break;
	case 7:
	case 8:
		file_write_at(path, dice, st.st_size, growth(dice, size), 0);
		break;
	case 9:
		assert_int_equal(truncate(path, st.st_size + (off_t)growth(dice, size)), 0);
		break;
	case 10:
		change_quietly(path, dice, &st);
		break;
	case 11:
		replace(path, dice, size);
		break;
	default:
		shuffle(path, dice, (enum shuffle)(kind - 12));
	}
}
