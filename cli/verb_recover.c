/* twinkeep recover */
#include <ctype.h>
#include <string.h>

#include "cli/reading.h"
#include "cli/recovering.h"
#include "cli/verbs.h"
#include "engine/base/hex.h"

#define EXPECT_DIGITS_MIN 8u
#define POINT_HEX (2 * TK_DIGEST_BYTES + 1)

/* What --expect came to. */
struct expectation {
	char prefix[POINT_HEX];               /* lower case; "" : nothing is expected */
	bool is_latest, is_older;
};

static enum tk_rc
read_expectation(const struct tk_cli *cli, struct expectation *expect, struct tk_err *err)
{
	const char *text = tk_cli_value(cli, TK_OPT_EXPECT);
	size_t len = text ? strlen(text) : 0;

	memset(expect, 0, sizeof(*expect));
	if (!text)
		return TK_OK;
	if (len < EXPECT_DIGITS_MIN || len >= POINT_HEX || strspn(text, "0123456789abcdefABCDEF") != len)
		return tk_err_set(err, TK_EUSAGE, "--expect \"%s\" is no id of a point: write its first %u digits or more", text, EXPECT_DIGITS_MIN);
	for (size_t i = 0; i < len; i++)
		expect->prefix[i] = (char)tolower((unsigned char)text[i]);
	return TK_OK;
}

static void
compare_expectation(const struct tk_reading *reading, struct expectation *expect)
{
	size_t len = strlen(expect->prefix);

	for (size_t i = 0; len > 0 && i < reading->point_count; i++) {
		char hex[POINT_HEX];

		tk_hex_encode(reading->points[i].at.point.b, TK_DIGEST_BYTES, hex);
		if (strncmp(hex, expect->prefix, len) != 0)
			continue;
		if (i + 1 == reading->point_count)
			expect->is_latest = true;
		else
			expect->is_older = true;
	}
}

/* What an unmet expectation means depends on where the point is. */
static enum tk_rc
judge_expectation(const struct expectation *expect, bool any_answer, struct tk_err *err)
{
	if (!expect->prefix[0] || expect->is_latest)
		return TK_OK;
	if (!any_answer)
		return tk_err_set(err, TK_EUNREACH, "no site of the configuration answers, so that point %s cannot be looked for", expect->prefix);
	if (expect->is_older)
		return tk_err_set(err, TK_EFENCED, "point %s is there, but it is not the latest: something was written after it was noted down", expect->prefix);
	return tk_err_set(err, TK_ECORRUPT, "no site that answers has point %s: they may have been rolled back", expect->prefix);
}

/* ---- the latest point of each dataset ---- */

static json_t *
head_json(const struct tk_reading *reading, const struct tk_opened_point *opened)
{
	const struct tk_head *at = &opened->point.at;

	return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:I}", "dataset", tk_json_text(reading->dataset->name), "point",
			 tk_json_digest(&at->point), "epoch", (json_int_t)at->epoch, "sequence", (json_int_t)at->sequence, "created",
			 tk_json_time(opened->body.scan_end_ns), "head_confirmed_by", tk_reading_holders(reading, opened->index), "sites_asked",
			 (json_int_t)reading->site_count, "sites_answered", (json_int_t)reading->sites_answered);
}

static void
tell_head(struct tk_output *out, const struct tk_reading *reading, const struct tk_opened_point *opened)
{
	char hex[POINT_HEX], when[TK_FORMAT_MAX];
	size_t holders = 0;

	for (size_t i = 0; i < reading->site_count; i++)
		holders += reading->points[opened->index].held[i];
	tk_hex_encode(opened->point.at.point.b, TK_DIGEST_BYTES, hex);
	tk_out_text(out, "%s: the latest point is %.16s (epoch %llu, sequence %llu) of %s, confirmed by %zu of %zu sites\n", reading->dataset->name, hex,
		    (unsigned long long)opened->point.at.epoch, (unsigned long long)opened->point.at.sequence,
		    tk_format_time(opened->body.scan_end_ns, when), holders, reading->site_count);
}

static enum tk_rc
look_at_dataset(struct tk_home *home, const struct tk_config_dataset *dataset, struct expectation *expect, json_t *heads, bool *answered,
		struct tk_err *err)
{
	TK_AUTO(tk_reading_release) struct tk_reading reading = {0};
	struct tk_opened_point opened;
	enum tk_rc rc = tk_reading_open(home, dataset, false, &reading, err);

	*answered |= reading.sites_answered > 0;
	if (rc)
		return rc;
	compare_expectation(&reading, expect);
	/* Opened: its signature and its digest are checked on the way. */
	rc = tk_reading_point(&reading, NULL, &opened, err);
	if (!rc) {
		tell_head(home->cli->out, &reading, &opened);
		(void)json_array_append_new(heads, head_json(&reading, &opened));
	}
	tk_opened_point_release(&opened);
	return rc;
}

/* A dataset that cannot be looked at now does not keep the home from coming back: that is told, and status says it again. */
static enum tk_rc
look_at_datasets(struct tk_home *home, struct expectation *expect, json_t *heads, struct tk_err *err)
{
	bool answered = false;

	for (size_t i = 0; i < home->cfg->dataset_count; i++) {
		const struct tk_config_dataset *dataset = &home->cfg->datasets[i];
		struct tk_err why;

		tk_err_clear(&why);
		if (look_at_dataset(home, dataset, expect, heads, &answered, &why))
			tk_out_warn(home->cli->out, why.rc, "dataset %s: %s", dataset->name, why.text);
	}
	return judge_expectation(expect, answered, err);
}

/* ---- the verb ---- */

/* The site may have been asked under an address that the configuration does not have. */
static void
tell_address(const struct tk_recovering *recovering, const struct tk_config *cfg)
{
	const struct tk_site_url *url = &recovering->url;

	for (size_t i = 0; i < cfg->site_count; i++) {
		const struct tk_site_url *known = &cfg->sites[i].url;

		if (known->kind == url->kind && strcmp(known->path, url->path) == 0 && strcmp(known->host, url->host) == 0 && known->port == url->port)
			return;
	}
	tk_out_warn(recovering->cli->out, TK_ECONFIG, "no site of %s/%s has the url %s: change it there if the site has moved", recovering->home,
		    TK_CONFIG_FILE, tk_cli_value(recovering->cli, TK_OPT_SITE_URL));
}

static void
tell_home(const struct tk_recovering *recovering)
{
	struct tk_output *out = recovering->cli->out;
	char hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(recovering->ring.source.b, sizeof(recovering->ring.source.b), hex);
	tk_out_set(out, "home", tk_json_text(recovering->home));
	tk_out_set(out, "source", json_string(hex));
	tk_out_set(out, "state_before", recovering->state_before[0] ? tk_json_text(recovering->state_before) : json_null());
	tk_out_text(out, "%s is the home of source %s %s: restore works now, and the next backup begins a new epoch.\n", recovering->home, hex,
		    recovering->existed ? "again" : "now");
	if (recovering->state_before[0])
		tk_out_text(out, "The old state was moved to %s; remove it when nothing is missed.\n", recovering->state_before);
}

/* One dataset's object as the document itself; several as "runs". */
static void
tell_heads(struct tk_output *out, json_t *heads, size_t dataset_count)
{
	const char *key;
	json_t *value;

	if (dataset_count != 1) {
		tk_out_set(out, "runs", json_incref(heads));
		return;
	}
	json_object_foreach(json_array_get(heads, 0), key, value)
		tk_out_set(out, key, json_incref(value));
}

/* Takes the ring for the time of the look: sessions and points need it. */
static enum tk_rc
recover_home(struct tk_recovering *recovering, struct expectation *expect, struct tk_config *cfg, json_t *heads, struct tk_err *err)
{
	struct tk_home home;
	enum tk_rc rc = tk_home_open_config(recovering->cli, cfg, &home, err);

	home.ring = recovering->ring;
	home.unlocked = true;
	if (!rc) {
		tell_address(recovering, cfg);
		rc = look_at_datasets(&home, expect, heads, err);
	}
	memset(&home.ring, 0, sizeof(home.ring));
	if (!rc)
		rc = tk_recovering_finish(recovering, cfg, err);
	if (!rc) {
		tell_heads(recovering->cli->out, heads, cfg->dataset_count);
		tell_home(recovering);
	}
	tk_home_release(&home);
	return rc;
}

static enum tk_rc
recover(const struct tk_cli *cli, struct tk_recovering *recovering, json_t *heads, struct tk_err *err)
{
	struct tk_config *cfg = NULL;
	struct expectation expect;
	enum tk_rc rc;

	if ((rc = read_expectation(cli, &expect, err)) || (rc = tk_recovering_begin(cli, recovering, err)) ||
	    (rc = tk_recovering_fetch(recovering, err)) || (rc = tk_recovering_write(recovering, &cfg, err)))
		return rc;
	return recover_home(recovering, &expect, cfg, heads, err);
}

int
tk_verb_recover(const struct tk_cli *cli)
{
	struct tk_recovering recovering = {.home_fd = -1, .keys_fd = -1};
	json_t *heads = json_array();
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (recover(cli, &recovering, heads, &err))
		status = tk_out_fail(cli->out, &err);
	json_decref(heads);
	tk_recovering_release(&recovering);
	return status;
}
