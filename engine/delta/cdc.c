#include "engine/delta/cdc.h"

#define WINDOW_BYTES 64 /* after 64 shifts a byte has left the 64-bit hash */
#define NORMALISATION_BITS 2

static uint64_t
load_u64(const uint8_t *src)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | src[i];
	return value;
}

static uint64_t
splitmix64_finalise(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t
rotate_left(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t
xoshiro256ss_next(uint64_t s[4])
{
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

static int
log2_exact(size_t value)
{
	int bits = 0;

	while (value >> bits > 1)
		bits++;
	return (size_t)1 << bits == value ? bits : -1;
}

enum tk_rc
tk_cdc_init(struct tk_cdc *cdc, const uint8_t key[TK_CDC_KEY_BYTES], size_t min_bytes, size_t avg_bytes, size_t max_bytes,
	struct tk_err *err)
{
	uint64_t state[4];
	int bits;

	if (min_bytes < 1 || min_bytes >= avg_bytes || avg_bytes >= max_bytes || avg_bytes < 16 || avg_bytes > 1u << 30)
		return tk_err_set(err, TK_EINVAL, "chunk sizes %zu/%zu/%zu are out of range", min_bytes, avg_bytes, max_bytes);
	bits = log2_exact(avg_bytes);
	if (bits < 0)
		return tk_err_set(err, TK_EINVAL, "the average chunk size %zu is not a power of two", avg_bytes);
	cdc->min_bytes = min_bytes;
	cdc->avg_bytes = avg_bytes;
	cdc->max_bytes = max_bytes;
	/* "The top n bits are zero" is one comparison; the top bits are those that every byte of the window reaches. */
	cdc->limit_before_avg = UINT64_C(1) << (64 - (bits + NORMALISATION_BITS));
	cdc->limit_after_avg = UINT64_C(1) << (64 - (bits - NORMALISATION_BITS));
	for (size_t i = 0; i < 4; i++)
		state[i] = splitmix64_finalise(load_u64(key + 8 * i) + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
	for (size_t i = 0; i < 256; i++)
		cdc->gear[i] = xoshiro256ss_next(state);
	return TK_OK;
}

/* Rolls *hash over data[from..to); the index of the first byte that makes it fall below the limit, or `to`. */
static size_t
roll(const uint64_t *gear, const uint8_t *data, size_t from, size_t to, uint64_t limit, uint64_t *hash)
{
	uint64_t h = *hash;
	size_t i = from;

	for (; i + 4 <= to; i += 4) {
		h = (h << 1) + gear[data[i]];
		if (h < limit)
			return i;
		h = (h << 1) + gear[data[i + 1]];
		if (h < limit)
			return i + 1;
		h = (h << 1) + gear[data[i + 2]];
		if (h < limit)
			return i + 2;
		h = (h << 1) + gear[data[i + 3]];
		if (h < limit)
			return i + 3;
	}
	for (; i < to; i++) {
		h = (h << 1) + gear[data[i]];
		if (h < limit)
			return i;
	}
	*hash = h;
	return to;
}

/* Rolls the search on to `to`; the length of the chunk when it was cut before. */
static size_t
roll_on(const struct tk_cdc *cdc, struct tk_cdc_search *search, const uint8_t *data, size_t to, uint64_t limit)
{
	size_t at;

	if (search->at_bytes >= to)
		return 0;
	at = roll(cdc->gear, data, search->at_bytes, to, limit, &search->hash);
	search->at_bytes = at;
	return at < to ? at + 1 : 0;
}

size_t
tk_cdc_go_on(const struct tk_cdc *cdc, struct tk_cdc_search *search, const uint8_t *data, size_t len_bytes, bool at_end)
{
	size_t end = len_bytes < cdc->max_bytes ? len_bytes : cdc->max_bytes;
	size_t warm = cdc->min_bytes > WINDOW_BYTES ? cdc->min_bytes - WINDOW_BYTES : 0;
	size_t cut = 0;

	if (end > cdc->min_bytes) {
		if (search->at_bytes < cdc->min_bytes) {
			(void)roll(cdc->gear, data, warm, cdc->min_bytes, 0, &search->hash);
			search->at_bytes = cdc->min_bytes;
		}
		cut = roll_on(cdc, search, data, end < cdc->avg_bytes ? end : cdc->avg_bytes, cdc->limit_before_avg);
		if (cut == 0)
			cut = roll_on(cdc, search, data, end, cdc->limit_after_avg);
	}
	if (cut == 0 && (at_end || end == cdc->max_bytes))
		cut = end;
	if (cut > 0)
		*search = (struct tk_cdc_search){0};
	return cut;
}

size_t
tk_cdc_cut(const struct tk_cdc *cdc, const uint8_t *data, size_t len_bytes, bool at_end)
{
	struct tk_cdc_search search = {0};

	return tk_cdc_go_on(cdc, &search, data, len_bytes, at_end);
}
