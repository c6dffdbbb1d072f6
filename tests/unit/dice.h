/* dice.h -- a generator with a fixed seed: the same seed makes the same test. */
#ifndef TK_TESTS_DICE_H
#define TK_TESTS_DICE_H

#include <stddef.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

uint64_t dice_roll(struct dice *dice);
/* 0 .. below - 1; 0 of 0. */
size_t dice_below(struct dice *dice, size_t below);
/* Random bytes, text, or zeros. */
void dice_bytes(struct dice *dice, uint8_t *data, size_t len_bytes);

#endif
