#include "engine/job/voters.h"

#include <string.h>

static enum tk_rc
check_count(const struct tk_voters *voters, struct tk_err *err)
{
	return voters->count <= TK_SITE_SET_MAX ? TK_OK : tk_err_set(err, TK_EINVAL, "a dataset has at most %d sites", TK_SITE_SET_MAX);
}

static void
fill(const struct tk_voters *voters, struct tk_site_set *set)
{
	memset(set, 0, sizeof(*set));
	set->least = voters->least;
	set->count = voters->count;
	for (size_t i = 0; i < voters->count; i++)
		set->sites[i].counts = voters->list[i].counts;
}

enum tk_rc
tk_voters_set(const struct tk_voters *voters, struct tk_journal *journal, struct tk_site_set *out, struct tk_err *err)
{
	enum tk_rc rc = check_count(voters, err);

	if (rc)
		return rc;
	fill(voters, out);
	for (size_t i = 0; i < voters->count && !rc; i++) {
		rc = tk_journal_site_key(journal, voters->list[i].name, &out->sites[i].id, out->sites[i].key, err);
		if (rc == TK_ENOENT)
			rc = TK_OK;
	}
	return rc;
}

/* The set, and which of it are chosen. False: there are too many. */
static bool
choose(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count, struct tk_site_set *set, bool *of_set)
{
	if (check_count(voters, NULL))
		return false;
	fill(voters, set);
	for (size_t i = 0; i < voters->count; i++) {
		of_set[i] = false;
		for (size_t k = 0; k < count; k++)
			of_set[i] |= chosen[k] && strcmp(sites[k].name, voters->list[i].name) == 0;
	}
	return true;
}

bool
tk_voters_suffice(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count)
{
	bool of_set[TK_SITE_SET_MAX];
	struct tk_site_set set;

	return choose(voters, sites, chosen, count, &set, of_set) && tk_site_set_suffices(&set, of_set);
}

bool
tk_voters_asked_enough(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count)
{
	bool of_set[TK_SITE_SET_MAX];
	struct tk_site_set set;

	return choose(voters, sites, chosen, count, &set, of_set) && tk_site_set_leaves_nothing(&set, of_set);
}
