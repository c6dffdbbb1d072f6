#include "engine/vault/opening.h"

#include <string.h>

#include "engine/vault/recordio.h"

/* Is so many of those that count among them that the others could not have met the ack rule? */
static bool
touches_every_ack(const struct tk_site_set *set, const bool *chosen)
{
	size_t counting = 0;

	for (size_t i = 0; i < set->count; i++)
		counting += chosen[i] && set->sites[i].counts;
	return counting >= set->least;
}

bool
tk_site_set_suffices(const struct tk_site_set *set, const bool *voted)
{
	size_t votes = 0;

	for (size_t i = 0; i < set->count; i++)
		votes += voted[i];
	return votes * 2 > set->count && touches_every_ack(set, voted);
}

bool
tk_site_set_leaves_nothing(const struct tk_site_set *set, const bool *asked)
{
	bool others[TK_SITE_SET_MAX];

	for (size_t i = 0; i < set->count; i++)
		others[i] = !asked[i];
	return touches_every_ack(set, asked) && !tk_site_set_suffices(set, others);
}

enum tk_rc
tk_opening_encode(const struct tk_opening *opening, struct tk_buf *out, struct tk_err *err)
{
	const struct tk_site_set *set = &opening->set;
	struct tk_writer w;

	if (opening->vote_count > TK_SITE_SET_MAX || set->count > TK_SITE_SET_MAX)
		return tk_err_set(err, TK_EINVAL, "more than %d sites are too many for an epoch's opening", TK_SITE_SET_MAX);
	tk_writer_begin_plain(&w, out, err);
	tk_writer_bytes(&w, opening->grant.data, opening->grant.len_bytes);
	tk_writer_uv(&w, opening->vote_count);
	for (size_t i = 0; i < opening->vote_count; i++)
		tk_writer_bytes(&w, opening->votes[i].data, opening->votes[i].len_bytes);
	tk_writer_uv(&w, set->least);
	tk_writer_uv(&w, set->count);
	for (size_t i = 0; i < set->count; i++) {
		tk_writer_id(&w, &set->sites[i].id);
		tk_writer_raw(&w, set->sites[i].key, sizeof(set->sites[i].key));
		tk_writer_u8(&w, set->sites[i].counts);
	}
	return tk_writer_end(&w);
}

static void
read_set(struct tk_cursor *cur, struct tk_site_set *set)
{
	set->least = (size_t)tk_cursor_uv_max(cur, TK_SITE_SET_MAX);
	set->count = (size_t)tk_cursor_uv_max(cur, TK_SITE_SET_MAX);
	for (size_t i = 0; i < set->count && tk_cursor_ok(cur); i++) {
		uint8_t counts;

		tk_record_id(cur, &set->sites[i].id);
		tk_cursor_copy(cur, set->sites[i].key, sizeof(set->sites[i].key));
		counts = tk_cursor_u8(cur);
		if (counts > 1)
			tk_cursor_fail(cur, "a flag that is not defined");
		set->sites[i].counts = counts == 1;
	}
}

enum tk_rc
tk_opening_decode(const void *bytes, size_t len_bytes, struct tk_opening *out, struct tk_err *err)
{
	struct tk_cursor cur;

	tk_cursor_init(&cur, bytes, len_bytes);
	out->grant.data = tk_cursor_bytes(&cur, TK_RECORD_MAX, &out->grant.len_bytes);
	out->vote_count = (size_t)tk_cursor_uv_max(&cur, TK_SITE_SET_MAX);
	for (size_t i = 0; i < out->vote_count; i++)
		out->votes[i].data = tk_cursor_bytes(&cur, TK_RECORD_MAX, &out->votes[i].len_bytes);
	read_set(&cur, &out->set);
	return tk_cursor_end(&cur, "epoch opening", err);
}

static bool
is_voter(const struct tk_set_site *site, const struct tk_vote *vote)
{
	/* Anybody could sign under a key of zeros. */
	static const uint8_t not_met[TK_KEY_BYTES];

	return memcmp(site->key, not_met, sizeof(not_met)) != 0 && memcmp(site->key, vote->site_key, sizeof(site->key)) == 0 &&
	       memcmp(&site->id, &vote->site, sizeof(site->id)) == 0;
}

static enum tk_rc
check_vote(const struct tk_opening *opening, const struct tk_grant *grant, size_t index, bool *voted, struct tk_err *err)
{
	const struct tk_site_set *set = &opening->set;
	struct tk_vote vote;
	size_t site = 0;
	enum tk_rc rc = tk_vote_decode(opening->votes[index].data, opening->votes[index].len_bytes, &vote, err);

	if (rc)
		return rc;
	if (memcmp(&vote.domain, &grant->domain, sizeof(vote.domain)) != 0 || vote.epoch != grant->epoch ||
	    memcmp(&vote.grant, &grant->digest, sizeof(vote.grant)) != 0)
		return tk_err_set(err, TK_EDENIED, "it is for another grant");
	while (site < set->count && !is_voter(&set->sites[site], &vote))
		site++;
	if (site == set->count)
		return tk_err_set(err, TK_EDENIED, "no site of the set signed it");
	if (voted[site])
		return tk_err_set(err, TK_EDENIED, "its site has voted already");
	voted[site] = true;
	return TK_OK;
}

enum tk_rc
tk_opening_check(const struct tk_opening *opening, const struct tk_grant *grant, struct tk_err *err)
{
	bool voted[TK_SITE_SET_MAX] = {false};

	for (size_t i = 0; i < opening->vote_count; i++) {
		enum tk_rc rc = check_vote(opening, grant, i, voted, err);

		if (rc)
			return tk_err_context(err, rc, "vote %zu of %zu for epoch %llu", i + 1, opening->vote_count, (unsigned long long)grant->epoch);
	}
	if (!tk_site_set_suffices(&opening->set, voted))
		return tk_err_set(err, TK_EDENIED, "%zu votes of %zu sites are too few to open epoch %llu", opening->vote_count, opening->set.count,
				  (unsigned long long)grant->epoch);
	return TK_OK;
}
