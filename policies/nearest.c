#include "policies/nearest.h"

#include <string.h>

#define WORD_MAX 40

/* Levenshtein's distance, with one row; a swap of neighbours costs two, which is near enough. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], len_a = strlen(a), len_b = strlen(b);

	if (len_a > WORD_MAX || len_b > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			if (change < row[j])
				row[j] = change;
		}
	}
	return row[len_b];
}

void
tk_nearest_init(struct tk_nearest *nearest, const char *word)
{
	nearest->word = word;
	nearest->best = NULL;
	/* Less than half of the word, and never more than three letters. */
	nearest->best_distance = (strlen(word) + 1) / 2;
	if (nearest->best_distance < 2)
		nearest->best_distance = 2;
	if (nearest->best_distance > 4)
		nearest->best_distance = 4;
}

void
tk_nearest_offer(struct tk_nearest *nearest, const char *candidate)
{
	size_t found = distance(nearest->word, candidate);

	if (found < nearest->best_distance && found < strlen(candidate)) {
		nearest->best = candidate;
		nearest->best_distance = found;
	}
}
