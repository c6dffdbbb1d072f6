#include "tests/unit/dice.h"

#include <string.h>

uint64_t
dice_roll(struct dice *dice)
{
	uint64_t x = dice->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

size_t
dice_below(struct dice *dice, size_t below)
{
	return below ? (size_t)(dice_roll(dice) % below) : 0;
}

void
dice_bytes(struct dice *dice, uint8_t *data, size_t len_bytes)
{
	static const char text[] = "the quick brown fox ";
	size_t kind = dice_below(dice, 8), period = sizeof(text) - 1;

	if (kind == 0) {
		memset(data, 0, len_bytes);
		return;
	}
	for (size_t i = 0; i < len_bytes; i += sizeof(uint64_t)) {
		uint64_t roll = dice_roll(dice);
		size_t left = len_bytes - i;

		if (kind >= 3)
			memcpy(data + i, &roll, left < sizeof(roll) ? left : sizeof(roll));
		else
			for (size_t k = i; k < len_bytes && k < i + sizeof(roll); k++)
				data[k] = (uint8_t)(text[k % period] + (k / period % 7 == 0 ? (int)(roll >> (k - i)) & 1 : 0));
	}
}
