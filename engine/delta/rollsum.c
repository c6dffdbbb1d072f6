#include "engine/delta/rollsum.h"

#define LANES 16u

struct tk_rollsum
tk_rollsum_of(const uint8_t *data, size_t len_bytes)
{
	uint32_t a[LANES] = {0}, b[LANES] = {0};
	size_t rows = len_bytes / LANES;
	struct tk_rollsum sum = {0, 0};

	/* Lane by lane, so that the compiler makes vectors of it: lane j sums the bytes j, j + 16, ... and counts them by rows. */
	for (size_t row = 0; row < rows; row++, data += LANES)
		for (size_t j = 0; j < LANES; j++) {
			b[j] += a[j];
			a[j] += data[j];
		}
	for (uint32_t j = 0; j < LANES; j++) {
		sum.a += a[j];
		sum.b += LANES * b[j] + (LANES - j) * a[j];
	}
	for (size_t i = 0; i < len_bytes % LANES; i++) {
		sum.a += data[i];
		sum.b += sum.a;
	}
	return sum;
}
