/* nearest.h -- "did you mean": the known word nearest to a mistyped one. Pure; any thread. */
#ifndef TK_POLICIES_NEAREST_H
#define TK_POLICIES_NEAREST_H

#include <stddef.h>

struct tk_nearest {
	const char *word;      /* borrowed */
	const char *best;      /* borrowed from the candidates; NULL while none is near */
	size_t best_distance;
};

void tk_nearest_init(struct tk_nearest *nearest, const char *word);
/* Takes the candidate if it is nearer than the best so far, by edits of single letters, and near enough to be meant. */
void tk_nearest_offer(struct tk_nearest *nearest, const char *candidate);

#endif
