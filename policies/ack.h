/* ack.h -- when is a run protected? The ack rule over receipts, and what a takeover must fence. Pure; any thread. */
#ifndef TK_POLICIES_ACK_H
#define TK_POLICIES_ACK_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

/* Which receipts make a run count as protected. */
enum tk_ack_rule {
	TK_ACK_ANY,       /* of one site */
	TK_ACK_QUORUM,    /* of more than half of the sites */
	TK_ACK_ALL_LOCAL, /* of every site in the writer's city; never met when there is none */
	TK_ACK_ALL,
};

/* "any", "quorum", "all-local", "all". Static. */
const char *tk_ack_rule_name(enum tk_ack_rule rule);

/* One site of the dataset's site set, whether it was reached or not. */
struct tk_ack_site {
	const char *name;   /* borrowed */
	bool local;
	bool marked;        /* has given a valid receipt; or, for a takeover, was read and fenced */
};

/* True when the marked sites meet the rule. False for no sites. */
bool tk_ack_is_met(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count);

/*
 * True when a takeover that read and fenced the marked sites is clean: they are more than half of the sites, and
 * at least one of them is in every set of sites that could have met the rule. So whatever was acknowledged is
 * among what it read (docs/ARCHITECTURE.md, takeover).
 */
bool tk_ack_takeover_is_clean(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count);

/* The same as numbers, for those who know no rules: more than half of all sites, and `least` of those that count: the local ones, or all. */
struct tk_ack_fence {
	size_t least;
	bool locals_count;  /* only the local sites do */
};
struct tk_ack_fence tk_ack_fence(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count);

/* Who asked the marked sites knows of every point that could have been acknowledged, and of every writer that could have been elected by a clean takeover: the others alone
 * could do neither. */
bool tk_ack_asked_enough(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count);

/* True when every clean takeover reads at least one marked site: the sites without a mark cannot make one among
 * themselves. A met rule is always safe; an unmet one may be. */
bool tk_ack_is_safe(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count);

/* Writes the indexes of the sites whose receipt would help to meet the rule to missing[count], returns how many;
 * 0 when the rule is met. */
size_t tk_ack_missing(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count, size_t *missing);

#endif
