#include "cli/health.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/emptied.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/verified.h"
#include "engine/crypto/x509.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define NS_PER_MS 1000000LL
#define DAY_NS (86400LL * 1000 * NS_PER_MS)
#define CERTIFICATE_DAYS 30
#define VERIFY_DAYS 30
/* What clocks may differ by. */
#define CLOCK_SLACK_MS (5LL * 60 * 1000)

static void add_alarm(struct tk_health *health, enum tk_severity severity, const char *kind, const char *fmt, ...) TK_PRINTF(4, 5);

static void
add_alarm(struct tk_health *health, enum tk_severity severity, const char *kind, const char *fmt, ...)
{
	struct tk_alarm *alarm;
	va_list args;

	if (health->alarm_count >= TK_ALARMS_MAX)
		return;
	alarm = &health->alarms[health->alarm_count++];
	alarm->kind = kind;
	alarm->severity = severity;
	va_start(args, fmt);
	(void)vsnprintf(alarm->text, sizeof(alarm->text), fmt, args);
	va_end(args);
}

/* What is known of one dataset while it is looked at. */
struct looking {
	struct tk_home *home;
	struct tk_health *health;
	struct tk_reading reading;
	struct tk_journal *journal;           /* may be NULL */
	struct tk_journal_receipt *receipts;  /* in order of points */
	size_t receipt_count;
};

/* ---- what the sites hold ---- */

/* Points newer than what any site lists now, which sites gave receipts for: their sites are silent, or have lost them. */
static enum tk_rc
add_promised(struct looking *looking, struct tk_err *err)
{
	struct tk_reading *reading = &looking->reading;
	struct tk_head newest = {0};
	enum tk_rc rc = TK_OK;

	if (!looking->journal)
		return TK_OK;
	if (tk_journal_receipts(looking->journal, &reading->domain, &looking->receipts, &looking->receipt_count, NULL)) {
		looking->receipt_count = 0;
		return TK_OK;
	}
	if (reading->point_count > 0)
		newest = reading->points[reading->point_count - 1].at;
	for (size_t i = 0; i < looking->receipt_count && !rc; i++)
		if (tk_head_compare(&looking->receipts[i].at, &newest) > 0)
			rc = tk_reading_add_point(reading, &looking->receipts[i].at, looking->receipts[i].time_ns, err);
	return rc;
}

/* newest: what is told of the newest point; NULL: it is another one. */
static enum tk_rc
created_of(struct tk_reading *reading, size_t index, struct tk_health *newest, int64_t *end_ns, struct tk_err *err)
{
	struct tk_opened_point opened;
	enum tk_rc rc = tk_reading_open_index(reading, index, &opened, err);

	/* A record that cannot be read is the business of verify; the site's clock will do here. */
	*end_ns = rc ? reading->points[index].received_ns : opened.body.scan_end_ns;
	if (newest) {
		newest->scan_start_ns = rc ? *end_ns : opened.body.scan_start_ns;
		newest->has_body = !rc;
		newest->files = rc ? 0 : opened.body.files;
	}
	tk_opened_point_release(&opened);
	return rc == TK_ENOMEM || rc == TK_EKEY ? rc : TK_OK;
}

/* The last receipt of a site; NULL: none. */
static const struct tk_journal_receipt *
last_receipt(const struct looking *looking, const char *site)
{
	for (size_t i = looking->receipt_count; i > 0; i--)
		if (strcmp(looking->receipts[i - 1].site, site) == 0)
			return &looking->receipts[i - 1];
	return NULL;
}

static void
look_at_silent_site(struct looking *looking, struct tk_health_site *out)
{
	const struct tk_journal_receipt *receipt = last_receipt(looking, out->name);

	out->has_point = receipt != NULL;
	if (!receipt)
		return;
	out->last = receipt->at;
	out->created_ns = receipt->time_ns;
}

struct state_call {
	const struct tk_id *domain;
	struct tk_store_state state;
};

static enum tk_rc
call_state(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct state_call *call = arg;

	return store->ops->state(store, call->domain, NULL, &call->state, err);
}

static bool
is_behind(struct tk_reading *reading, size_t site)
{
	struct state_call call = {.domain = &reading->domain};
	struct tk_err err;

	return tk_fetch_with_session(reading->fetch, site, call_state, &call, &err) == TK_OK && call.state.read_only;
}

/* A daemon that does not answer gives one of two errors; any other it has said itself. Of a directory that cannot be opened only some say that it is there. */
static bool
is_refusal(const struct tk_config_site *conf, enum tk_rc rc)
{
	if (conf->url.kind != TK_SITE_DIR)
		return rc != TK_EUNREACH && rc != TK_ETIMEOUT;
	return rc == TK_EDENIED || rc == TK_EKEY || rc == TK_ECONFLICT || rc == TK_EBEHIND || rc == TK_EUNSUPPORTED;
}

/* Sites that the configuration has disabled stay in sight. */
static void
add_disabled(struct looking *looking)
{
	struct tk_health *health = looking->health;
	const struct tk_config_dataset *dataset = health->dataset;

	for (size_t i = 0; i < dataset->sites.count; i++) {
		const struct tk_config_site *conf = tk_config_site_find(looking->home->cfg, dataset->sites.items[i]);
		struct tk_health_site *out;

		if (!conf || conf->enabled)
			continue;
		out = &health->sites[health->site_count++];
		out->name = conf->name;
		out->is_local = conf->local;
		out->disabled = true;
		look_at_silent_site(looking, out);
	}
}

static enum tk_rc
look_at_site(struct looking *looking, size_t site, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	struct tk_reading *reading = &looking->reading;
	struct tk_health_site *out = &health->sites[site];
	const struct tk_home_site *own = reading->sites[site].ctx;
	size_t at = reading->point_count;
	enum tk_rc rc;

	/* Names outlive the reading. */
	out->name = own->conf->name;
	out->is_local = own->conf->local;
	out->reachable = reading->answered[site];
	if (!out->reachable) {
		out->refused = is_refusal(own->conf, reading->why[site].rc);
		out->knows_nothing = out->refused && reading->why[site].rc == TK_ENOENT;
		(void)snprintf(out->why, sizeof(out->why), "%.*s", (int)sizeof(out->why) - 1, reading->why[site].text);
		look_at_silent_site(looking, out);
		return TK_OK;
	}
	out->behind = is_behind(reading, site);
	while (at > 0 && !reading->points[at - 1].held[site])
		at--;
	out->lag_points = reading->point_count - at;
	out->has_point = at > 0;
	if (at == 0)
		return TK_OK;
	out->last = reading->points[at - 1].at;
	if (at == reading->point_count)
		out->created_ns = health->created_ns;
	else if ((rc = created_of(reading, at - 1, NULL, &out->created_ns, err)))
		return rc;
	out->lag_ns = health->created_ns > out->created_ns ? health->created_ns - out->created_ns : 0;
	return TK_OK;
}

static enum tk_rc
look_at_sites(struct looking *looking, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	struct tk_reading *reading = &looking->reading;
	enum tk_rc rc = TK_OK;

	health->sites = calloc(reading->site_count + health->dataset->sites.count + 1, sizeof(*health->sites));
	if (!health->sites)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	health->site_count = reading->site_count;
	health->has_point = reading->point_count > 0;
	if (health->has_point) {
		health->newest = reading->points[reading->point_count - 1].at;
		rc = created_of(reading, reading->point_count - 1, health, &health->created_ns, err);
	}
	for (size_t i = 0; i < reading->site_count && !rc; i++)
		rc = look_at_site(looking, i, err);
	if (!rc)
		add_disabled(looking);
	return rc;
}

/* ---- the ack rule ---- */

/* A point of the list, and who is asked for it. */
struct standing {
	const struct looking *looking;
	const struct tk_listed_point *point;
};

/* Is there a receipt of the site for the point? They are in order of points. */
static bool
has_receipt_for(const struct looking *looking, const struct tk_head *at, const char *site)
{
	size_t low = 0, high = looking->receipt_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tk_head_compare(&looking->receipts[middle].at, at) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i < looking->receipt_count && tk_head_compare(&looking->receipts[i].at, at) == 0; i++)
		if (memcmp(&looking->receipts[i].at.point, &at->point, sizeof(at->point)) == 0 && strcmp(looking->receipts[i].site, site) == 0)
			return true;
	return false;
}

/* One that answers has what it lists; one that does not, what it gave receipts for. */
static bool
stands_by_point(void *ctx, const char *name)
{
	const struct standing *standing = ctx;
	const struct looking *looking = standing->looking;

	for (size_t i = 0; i < looking->reading.site_count; i++)
		if (looking->reading.answered[i] && strcmp(looking->reading.sites[i].name, name) == 0)
			return standing->point->held[i];
	return has_receipt_for(looking, &standing->point->at, name);
}

/* Points before the newest, of which the ack rule's own alarm tells: a site that was made anew lacks what was before it. */
static enum tk_rc
alarm_thin(struct looking *looking, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	const struct tk_reading *reading = &looking->reading;
	size_t thin = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i + 1 < reading->point_count && !rc; i++) {
		struct standing standing = {looking, &reading->points[i]};
		struct tk_ack_site *list;
		size_t count;

		rc = tk_home_ack_sites(looking->home, health->dataset, stands_by_point, &standing, &list, &count, err);
		thin += !rc && !tk_ack_is_met(health->dataset->policy->ack, list, count);
		free(list);
	}
	if (thin > 0)
		add_alarm(health, TK_WARNING, "thin", "%zu earlier point%s of dataset %s %s held by fewer sites than its ack rule %s wants: twinkeep list shows which", thin,
			  thin == 1 ? "" : "s", health->dataset->name, thin == 1 ? "is" : "are", tk_ack_rule_name(health->dataset->policy->ack));
	return rc;
}

static bool
has_receipt(const struct looking *looking, const char *site)
{
	return has_receipt_for(looking, &looking->health->newest, site);
}

/* Does the site stand by the newest point? One that is silent now has it if its receipt says so. */
static bool
site_holds(struct tk_health *health, const char *name, bool promised)
{
	for (size_t i = 0; i < health->site_count; i++) {
		const struct tk_health_site *site = &health->sites[i];

		if (strcmp(site->name, name) != 0 || !site->reachable)
			continue;
		if (site->lag_points > 0 && promised)
			add_alarm(health, TK_CRITICAL, "lost-point", "site %s gave a receipt for the newest point and does not have it now: run twinkeep verify --site %s", name,
				  name);
		return !site->behind && site->has_point && site->lag_points == 0;
	}
	return promised;
}

static bool
stands_by_newest(void *ctx, const char *site)
{
	struct looking *looking = ctx;

	return looking->health->has_point && site_holds(looking->health, site, has_receipt(looking, site));
}

static enum tk_rc
judge_ack(struct looking *looking, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	struct tk_ack_site *list;
	size_t count;
	enum tk_rc rc = tk_home_ack_sites(looking->home, health->dataset, stands_by_newest, looking, &list, &count, err);

	health->ack_met = !rc && health->has_point && tk_ack_is_met(health->dataset->policy->ack, list, count);
	free(list);
	return rc;
}

/* ---- what this home remembers ---- */

static int64_t
first_receipt_ns(const struct looking *looking, const char *site)
{
	int64_t first_ns = 0;

	for (size_t i = 0; i < looking->receipt_count; i++)
		if (strcmp(looking->receipts[i].site, site) == 0 && (first_ns == 0 || looking->receipts[i].time_ns < first_ns))
			first_ns = looking->receipts[i].time_ns;
	return first_ns;
}

static void
read_verifications(struct looking *looking, const struct tk_id *domain)
{
	struct tk_health *health = looking->health;
	struct tk_run_row *runs = NULL;
	size_t count = 0;

	if (tk_journal_verifications(looking->journal, domain, &runs, &count, NULL))
		count = 0;
	for (size_t i = 0; i < health->site_count; i++) {
		struct tk_health_site *site = &health->sites[i];
		struct tk_verified found = tk_verified_site(runs, count, site->name);

		if (found.damage || found.whole)
			site->verify = found.damage ? *found.damage : *found.whole;
		if (tk_journal_last_run(looking->journal, domain, "verify", site->name, false, &site->attempt, NULL))
			memset(&site->attempt, 0, sizeof(site->attempt));
		site->first_ns = first_receipt_ns(looking, site->name);
	}
	free(runs);
}

static void
read_history(struct looking *looking, const struct tk_id *domain)
{
	struct tk_health *health = looking->health;

	if (!looking->journal)
		return;
	if (tk_journal_last_run(looking->journal, domain, "backup", NULL, false, &health->backup, NULL))
		memset(&health->backup, 0, sizeof(health->backup));
	if (tk_journal_last_run(looking->journal, domain, "drill", NULL, false, &health->drill, NULL))
		memset(&health->drill, 0, sizeof(health->drill));
	read_verifications(looking, domain);
}

/* Counted without opening the spool: a run may be filling it. */
static uint64_t
spool_bytes(const struct tk_home *home, const struct tk_id *domain)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	char hex[2 * TK_ID_BYTES + 1], path[4096];
	const struct dirent *entry;
	uint64_t total = 0;
	struct stat st;

	tk_hex_encode(domain->b, sizeof(domain->b), hex);
	(void)snprintf(path, sizeof(path), "%s/domains/%s/spool", home->cfg->state_dir, hex);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			total += (uint64_t)st.st_size;
	return total;
}

/* ---- alarms ---- */

static void
alarm_certificate(struct tk_health *health, struct tk_home *home, const char *file)
{
	TK_AUTO(tk_buf_release) struct tk_buf pem = {0};
	struct tk_x509_info info;
	struct tk_err err;
	char when[TK_TIME_TEXT_MAX];
	int64_t left_ns;

	if (tk_home_read_key_file(home, file, &pem, &err) || tk_x509_read((struct tk_bytes){pem.data, pem.len_bytes}, &info, &err)) {
		add_alarm(health, TK_CRITICAL, "certificate", "%s", err.text);
		return;
	}
	left_ns = info.not_after_ns - tk_clock_wall_ns();
	if (left_ns >= CERTIFICATE_DAYS * DAY_NS)
		return;
	tk_time_format(info.not_after_ns, when);
	add_alarm(health, left_ns < 0 ? TK_CRITICAL : TK_WARNING, "certificate", "keys/%s %s on %s", file, left_ns < 0 ? "expired" : "expires", when);
}

static void
alarm_point(struct tk_health *health)
{
	const struct tk_config_policy *policy = health->dataset->policy;
	char age[TK_FORMAT_MAX], rpo[TK_FORMAT_MAX];
	int64_t age_ms;

	if (!health->has_point) {
		add_alarm(health, TK_CRITICAL, "no-point", "there is no recovery point: run twinkeep backup %s", health->dataset->name);
		health->exit_status = 4;
		return;
	}
	if (!health->ack_met) {
		add_alarm(health, TK_CRITICAL, "ack", "the newest point does not meet the ack rule %s", tk_ack_rule_name(policy->ack));
		health->exit_status = 4;
	}
	age_ms = (tk_clock_wall_ns() - health->scan_start_ns) / NS_PER_MS;
	if (age_ms < -CLOCK_SLACK_MS) {
		add_alarm(health, TK_WARNING, "clock", "the newest point was made %s from now: this machine's clock is behind, or was ahead",
			  tk_format_duration(-age_ms, age));
		if (policy->rpo_ms > 0)
			health->exit_status = 4;
	}
	if (policy->rpo_ms > 0 && age_ms > policy->rpo_ms) {
		add_alarm(health, TK_CRITICAL, "rpo", "the newest point is %s old; the policy's rpo is %s", tk_format_duration(age_ms, age),
			  tk_format_duration(policy->rpo_ms, rpo));
		health->exit_status = 4;
	}
}

/* A site that was never verified is as unknown as one whose verification is long ago: its time runs from its first receipt. */
static void
alarm_verify(struct tk_health *health, const struct tk_health_site *site, int64_t now_ns)
{
	int64_t since_ns = site->verify.end_ns > 0 ? site->verify.end_ns : site->first_ns;
	int attempt = site->attempt.exit_status;

	if (site->verify.exit_status != 0) {
		add_alarm(health, TK_CRITICAL, "verify", "damage was found at site %s, and no verification as thorough has found it mended: %s", site->name,
			  site->verify.text);
		if (health->exit_status == 0)
			health->exit_status = 5;
	} else if (attempt != 0 && attempt != 5 && attempt != 7) {
		add_alarm(health, TK_WARNING, "verify", "the last verification of site %s failed with exit status %d: %s", site->name, attempt, site->attempt.text);
	} else if (since_ns > now_ns + CLOCK_SLACK_MS * NS_PER_MS) {
		add_alarm(health, TK_WARNING, "verify", "site %s was last verified at a time that is yet to come; verify it again", site->name);
	} else if (since_ns > 0 && now_ns - since_ns > VERIFY_DAYS * DAY_NS) {
		add_alarm(health, TK_WARNING, "verify", site->verify.end_ns > 0 ? "site %s was not verified for %d days" :
			  "site %s has stored points for %d days and was never verified as a whole", site->name, VERIFY_DAYS);
	}
}

static void
alarm_emptied(struct looking *looking, const struct tk_id *domain)
{
	struct tk_health *health = looking->health;
	uint64_t before;

	if (!health->has_body || health->files > 0)
		return;
	before = tk_emptied_files_before(looking->home, domain);
	if (before > 0)
		add_alarm(health, TK_CRITICAL, "emptied", "the newest point is empty, and an earlier one had %llu files: see whether the file system is mounted",
			  (unsigned long long)before);
}

static void
alarm_sites(struct tk_health *health)
{
	int64_t now_ns = tk_clock_wall_ns();
	size_t reachable = 0;

	for (size_t i = 0; i < health->site_count; i++) {
		const struct tk_health_site *site = &health->sites[i];

		reachable += site->reachable;
		if (site->disabled)
			continue;
		if (site->knows_nothing)
			add_alarm(health, TK_WARNING, "refused", "site %s answers, and knows nothing of this dataset: a backup brings it there; if its vault was made anew, "
				  "run twinkeep site readmit %s first", site->name, site->name);
		else if (site->refused)
			add_alarm(health, TK_CRITICAL, "refused", "site %s answers and refuses: %s", site->name, site->why);
		else if (!site->reachable)
			add_alarm(health, TK_WARNING, "unreachable", "site %s does not answer", site->name);
		if (site->behind)
			add_alarm(health, TK_WARNING, "set-back", "the vault of site %s is older than what it promised: run twinkeep backup, and then, where the vault is, "
				  "twinkeep site readmit %s", site->name, site->name);
		alarm_verify(health, site, now_ns);
	}
	if (reachable == 0)
		health->exit_status = 7;
}

static void
alarm_rest(struct tk_health *health, struct tk_home *home)
{
	char used[TK_FORMAT_MAX], most[TK_FORMAT_MAX];

	/* Where only some files could not be read, or a site lacks the point, there is a new point all the same. */
	if (health->backup.exit_status != 0)
		add_alarm(health, health->backup.exit_status == 3 || health->backup.exit_status == 4 ? TK_WARNING : TK_CRITICAL, "backup", "the last run ended with exit status %d: %s", health->backup.exit_status, health->backup.text);
	if (home->cfg->spool_max_bytes > 0 && health->spool_bytes > home->cfg->spool_max_bytes / 10 * 9)
		add_alarm(health, TK_WARNING, "spool", "%s of %s are used: sites that are behind will have to catch up by other means",
			  tk_format_size(health->spool_bytes, used), tk_format_size(home->cfg->spool_max_bytes, most));
	alarm_certificate(health, home, "tls.pem");
	alarm_certificate(health, home, "ca.pem");
}

/* Another home writes: a site holds a point of a later epoch than this home's, or the last run was told so. */
static void
alarm_fenced(struct looking *looking, const struct tk_id *domain)
{
	struct tk_health *health = looking->health;
	struct tk_epoch own = {0};
	bool known = looking->journal && !tk_journal_get_epoch(looking->journal, domain, &own, NULL);

	if (known && health->newest.epoch > own.epoch) {
		add_alarm(health, TK_CRITICAL, "fenced", "the newest point is of epoch %llu, this home writes in epoch %llu: another home writes this dataset now",
			  (unsigned long long)health->newest.epoch, (unsigned long long)own.epoch);
		health->exit_status = 6;
	} else if (health->backup.exit_status == 6) {
		add_alarm(health, TK_CRITICAL, "fenced", "the last run was refused: another home writes this dataset, or this one is a copy or an old state");
		health->exit_status = 6;
	}
	tk_epoch_release(&own);
}

static bool
answers(void *ctx, const char *site)
{
	const struct tk_health *health = ctx;

	for (size_t i = 0; i < health->site_count; i++)
		if (health->sites[i].reachable && strcmp(health->sites[i].name, site) == 0)
			return true;
	return false;
}

/* The sites that answer now could not tell: those that are silent could have met the ack rule, or have elected another writer. */
static enum tk_rc
alarm_unasked(struct looking *looking, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	const struct tk_config_dataset *dataset = health->dataset;
	struct tk_ack_site *list;
	size_t count;
	enum tk_rc rc = tk_home_ack_sites(looking->home, dataset, answers, health, &list, &count, err);

	if (!rc && health->exit_status != 6 && health->exit_status != 7 && !tk_ack_asked_enough(dataset->policy->ack, list, count))
		add_alarm(health, TK_WARNING, "possibly-fenced", "the sites that do not answer could have acknowledged points that this home does not know, or have elected "
			  "another writer (ack rule %s)", tk_ack_rule_name(dataset->policy->ack));
	free(list);
	return rc;
}

/* ---- all of it ---- */

static void
open_history(struct looking *looking)
{
	struct tk_err err;

	looking->journal = tk_home_journal(looking->home, &err);
	looking->health->history_known = looking->journal != NULL;
	if (!looking->journal)
		add_alarm(looking->health, TK_CRITICAL, "journal", "what ran here and what was verified is not known, and no backup can be made: %s", err.text);
}

static enum tk_rc
look(struct looking *looking, struct tk_err *err)
{
	struct tk_health *health = looking->health;
	struct tk_id domain;
	enum tk_rc rc = tk_home_domain(looking->home, health->dataset, &domain, err);

	if (rc) {
		add_alarm(health, TK_CRITICAL, "no-keys", "%s", err->text);
		health->exit_status = 4;
		return TK_OK;
	}
	rc = tk_reading_open(looking->home, health->dataset, false, &looking->reading, err);
	/* That no site answers is a finding. */
	if (rc && (rc != TK_EUNREACH || !looking->reading.answered))
		return rc;
	open_history(looking);
	if ((rc = add_promised(looking, err)) || (rc = look_at_sites(looking, err)) || (rc = judge_ack(looking, err)))
		return rc;
	read_history(looking, &domain);
	health->spool_bytes = spool_bytes(looking->home, &domain);
	alarm_point(health);
	if ((rc = alarm_thin(looking, err)))
		return rc;
	alarm_emptied(looking, &domain);
	alarm_sites(health);
	alarm_rest(health, looking->home);
	alarm_fenced(looking, &domain);
	return alarm_unasked(looking, err);
}

enum tk_rc
tk_health_look(struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_health *health, struct tk_err *err)
{
	struct looking looking = {.home = home, .health = health};
	enum tk_rc rc;

	memset(health, 0, sizeof(*health));
	health->dataset = dataset;
	rc = look(&looking, err);
	free(looking.receipts);
	tk_journal_cleanup(&looking.journal);
	tk_reading_release(&looking.reading);
	return rc;
}

void
tk_health_release(struct tk_health *health)
{
	free(health->sites);
	memset(health, 0, sizeof(*health));
}
