/* sites.pml -- sets of sites, and what the ack rule makes of them (policies/ack.c). Included by the models.
 *
 * Three sites: 0, 1, 2. A set is a bit mask. LOCALS is the writer's city. */
#define ALL 7
#define BIT(s) (1 << (s))
#define IN(s, set) (((set) >> (s)) & 1)
#define SIZE(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define OTHERS(set) (ALL & ~(set))

#ifndef LOCALS
#define LOCALS 3
#endif
#ifndef ACK
#define ACK QUORUM
#endif
#define ANY 1
#define QUORUM 2
#define ALL_LOCAL 3
#define EVERY 4

/* The receipts of this set meet the rule; `locals` is the city that counts. */
#if ACK == ANY
#define MET_BY(set, locals) ((set) != 0)
#elif ACK == QUORUM
#define MET_BY(set, locals) (SIZE(set) * 2 > 3)
#elif ACK == ALL_LOCAL
#define MET_BY(set, locals) (((set) & (locals)) == (locals))
#else
#define MET_BY(set, locals) ((set) == ALL)
#endif
#define MET(set) MET_BY(set, LOCALS)

/* The votes of this set are enough: a majority, and a member of every set that could have met the rule. */
#ifdef MAJORITY_ONLY
#define CLEAN(set) (SIZE(set) * 2 > 3)
#elif defined(TAKER_LABELS)
#define CLEAN(set) (SIZE(set) * 2 > 3 && !MET_BY(OTHERS(set), OTHERS(LOCALS)))
#elif defined(NO_MAJORITY)
#define CLEAN(set) (!MET(OTHERS(set)))
#else
#define CLEAN(set) (SIZE(set) * 2 > 3 && !MET(OTHERS(set)))
#endif

/* Those not in the set can neither have acknowledged a point nor have elected a writer among themselves: who asked the set knows of both. */
#define ASKED_ENOUGH(set) (!MET(OTHERS(set)) && !CLEAN(OTHERS(set)))

inline any_site(s)
{
	if
	:: s = 0
	:: s = 1
	:: s = 2
	fi
}
