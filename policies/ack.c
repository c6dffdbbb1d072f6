#include "policies/ack.h"

struct tally {
	size_t sites, marked, locals, marked_locals;
};

static struct tally
tally_of(const struct tk_ack_site *sites, size_t count)
{
	struct tally sum = {.sites = count};

	for (size_t i = 0; i < count; i++) {
		sum.marked += sites[i].marked;
		sum.locals += sites[i].local;
		sum.marked_locals += sites[i].local && sites[i].marked;
	}
	return sum;
}

const char *
tk_ack_rule_name(enum tk_ack_rule rule)
{
	switch (rule) {
	case TK_ACK_ANY:
		return "any";
	case TK_ACK_QUORUM:
		return "quorum";
	case TK_ACK_ALL_LOCAL:
		return "all-local";
	case TK_ACK_ALL:
		return "all";
	}
	return "unknown";
}

static bool
met(enum tk_ack_rule rule, struct tally sum)
{
	switch (rule) {
	case TK_ACK_ANY:
		return sum.marked > 0;
	case TK_ACK_QUORUM:
		return sum.marked * 2 > sum.sites;
	case TK_ACK_ALL_LOCAL:
		return sum.locals > 0 && sum.marked_locals == sum.locals;
	case TK_ACK_ALL:
		return sum.sites > 0 && sum.marked == sum.sites;
	}
	return false;
}

/* A set of sites touches every set that could meet the rule exactly when the others alone could not meet it. */
static struct tk_ack_fence
fence(enum tk_ack_rule rule, struct tally sum)
{
	switch (rule) {
	case TK_ACK_ANY:
		return (struct tk_ack_fence){.least = sum.sites};
	case TK_ACK_QUORUM:
		return (struct tk_ack_fence){.least = (sum.sites + 1) / 2};
	case TK_ACK_ALL_LOCAL:
		return (struct tk_ack_fence){.least = sum.locals > 0, .locals_count = true};
	case TK_ACK_ALL:
		return (struct tk_ack_fence){.least = 1};
	}
	return (struct tk_ack_fence){.least = sum.sites};
}

static bool
clean(enum tk_ack_rule rule, struct tally sum)
{
	struct tk_ack_fence want = fence(rule, sum);

	return sum.marked * 2 > sum.sites && (want.locals_count ? sum.marked_locals : sum.marked) >= want.least;
}

bool
tk_ack_is_met(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count)
{
	return met(rule, tally_of(sites, count));
}

bool
tk_ack_takeover_is_clean(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count)
{
	return clean(rule, tally_of(sites, count));
}

struct tk_ack_fence
tk_ack_fence(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count)
{
	return fence(rule, tally_of(sites, count));
}

static struct tally
others_of(struct tally sum)
{
	struct tally others = sum;

	others.marked = sum.sites - sum.marked;
	others.marked_locals = sum.locals - sum.marked_locals;
	return others;
}

bool
tk_ack_asked_enough(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count)
{
	struct tally others = others_of(tally_of(sites, count));

	return !met(rule, others) && !clean(rule, others);
}

bool
tk_ack_is_safe(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count)
{
	struct tally sum = tally_of(sites, count);

	return sum.marked > 0 && !clean(rule, others_of(sum));
}

size_t
tk_ack_missing(enum tk_ack_rule rule, const struct tk_ack_site *sites, size_t count, size_t *missing)
{
	size_t found = 0;

	if (tk_ack_is_met(rule, sites, count))
		return 0;
	for (size_t i = 0; i < count; i++)
		if (!sites[i].marked && (rule != TK_ACK_ALL_LOCAL || sites[i].local))
			missing[found++] = i;
	return found;
}
