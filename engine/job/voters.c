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

bool
tk_voters_suffice(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count)
{
	bool voted[TK_SITE_SET_MAX] = {false};
	struct tk_site_set set;

	if (check_count(voters, NULL))
		return false;
	fill(voters, &set);
	for (size_t i = 0; i < voters->count; i++)
		for (size_t k = 0; k < count; k++)
			voted[i] |= chosen[k] && strcmp(sites[k].name, voters->list[i].name) == 0;
	return tk_site_set_suffices(&set, voted);
}
