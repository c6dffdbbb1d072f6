/* twinkeep key add --dataset: the keys of a dataset that was added to the configuration of a home that is there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/slots.h"
#include "cli/verbs.h"
#include "engine/base/hex.h"
#include "engine/catalog/identity.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define CONFIG_FILE_MAX (1u << 20)

struct adding {
	struct tk_home home;
	const struct tk_config_dataset *dataset;
	struct tk_id incarnation, domain;
	struct tk_secret secret;
	struct tk_home_slot *slots;           /* passphrase slots: all have the one passphrase */
	size_t slot_count;
	bool made;                            /* the keys are new */
	bool was_complete;                    /* nothing was left to do */
	size_t sites_without;
};

/* ---- the domain ---- */

static bool
has_keys(const struct tk_home *home, const struct tk_id *domain)
{
	return tk_keyring_domain(&home->ring, domain) != NULL;
}

/* Keys that a run before made and did not come to use, or those of a dataset of that name that was taken out of the configuration, are taken up again: its points are
 * still there. Else they are made; the note comes before the slots, so that a run after a crash finds them by it. */
static enum tk_rc
find_domain(struct adding *adding, struct tk_err *err)
{
	struct tk_home *home = &adding->home;
	const char *name = adding->dataset->name;
	struct tk_err why;
	enum tk_rc rc;

	if (adding->dataset->has_domain_id) {
		memcpy(adding->domain.b, adding->dataset->domain_id, sizeof(adding->domain.b));
		if (!has_keys(home, &adding->domain))
			return tk_err_set(err, TK_ECONFIG, "dataset %s has an id in %s that this home has no keys of; restore the id that was made for it, or take the id out", name,
					  adding->dataset->where.file);
		return tk_home_note_domain(home->keys_fd, &adding->domain, name, err);
	}
	rc = tk_home_noted_domain(home, name, &adding->domain, &why);
	if (!rc)
		return TK_OK;
	if (rc != TK_ENOENT)
		return tk_err_set(err, rc, "%s", why.text);
	adding->made = true;
	rc = tk_keyring_add_domain(&home->ring, &adding->domain, err);
	return rc ? rc : tk_home_note_domain(home->keys_fd, &adding->domain, name, err);
}

static bool
is_complete(struct adding *adding)
{
	TK_AUTO(tk_buf_release) struct tk_buf genesis = {0}, grant = {0};
	struct tk_home *home = &adding->home;
	struct tk_keyring ring = home->ring;
	struct tk_err err;
	bool complete = adding->dataset->has_domain_id && adding->slot_count == 1 && !tk_home_read_record(home, &adding->domain, "genesis", &genesis, &err) &&
			!tk_home_read_record(home, &adding->domain, "grant", &grant, &err);

	/* What the machine's slot knows, without giving up what the passphrase has shown. */
	memset(&home->ring, 0, sizeof(home->ring));
	complete = complete && !tk_home_unlock_machine(home, &err) && has_keys(home, &adding->domain);
	tk_keyring_release(&home->ring);
	home->ring = ring;
	home->unlocked = true;
	return complete;
}

/* ---- the slots ---- */

/* As in `key rotate`: the slot with the new keys is at every site before anything can be sealed under them. Here it stays where it is if a site is away: the next
 * attempt goes on with the same keys, so that no two sets of them are ever about for one domain. */
static enum tk_rc
spread_slot(struct adding *adding, struct tk_err *err)
{
	struct tk_home *home = &adding->home;
	bool renew = adding->made || adding->slot_count > 1;
	struct tk_home_slot fresh;
	enum tk_rc rc = renew ? tk_slots_write(home, &adding->secret, adding->slots[0].info.label, &fresh, err) : TK_OK;

	if (rc)
		return rc;
	if (tk_slots_push(home) > 0)
		return tk_err_set(err, TK_EUNREACH, "not every site has the new slot, so that the keys of dataset %s are not used yet; run it again when they answer, or write "
				  "enabled = false in the section of a site that stays away", adding->dataset->name);
	for (size_t i = 0; renew && i < adding->slot_count && !rc; i++)
		rc = tk_slots_remove(home, &adding->slots[i], err);
	return rc;
}

/* ---- the configuration ---- */

/* It keeps its mode and its owner. */
static enum tk_rc
replace_file(const char *path, const struct tk_buf *text, struct tk_err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	struct stat st;
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;
	enum tk_rc rc;

	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path) + 1, path);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || stat(path, &st) < 0)
		return tk_err_errno(err, TK_EIO, "%s", path);
	if ((rc = tk_publish_begin(dirfd, st.st_mode & 07777, &txn, err)) ||
	    (rc = tk_write_full(tk_publish_fd(txn), text->data, text->len_bytes, path, err)))
		return rc;
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(tk_publish_fd(txn), st.st_uid, st.st_gid) < 0)
		return tk_err_errno(err, TK_EIO, "the owner of %s", path);
	return tk_publish_commit(txn, slash + 1, true, err);
}

static enum tk_rc
edit_config(const struct adding *adding, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0}, edited = {0};
	const char *file = adding->dataset->where.file;
	char path[PATH_MAX];
	enum tk_rc rc;

	/* A link stays one: the file behind it is written. */
	if (!realpath(file, path))
		return tk_err_errno(err, TK_EIO, "%s", file);
	if ((rc = tk_read_file_at(AT_FDCWD, path, CONFIG_FILE_MAX, &text, err)) ||
	    (rc = tk_config_put_id((const char *)text.data, text.len_bytes, adding->dataset->name, adding->domain.b, &edited, err)))
		return rc;
	return replace_file(path, &edited, err);
}

/* Whether the file says it now, the reader of the configuration tells. */
static enum tk_rc
check_config(const struct adding *adding, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	const struct tk_config_dataset *dataset;
	enum tk_rc rc = tk_cli_config(adding->home.cli, &cfg, err);

	if (rc)
		return rc;
	dataset = tk_config_dataset_find(cfg, adding->dataset->name);
	if (!dataset || !dataset->has_domain_id || memcmp(dataset->domain_id, adding->domain.b, sizeof(adding->domain.b)) != 0)
		return tk_err_set(err, TK_ECONFIG, "it does not say so");
	return TK_OK;
}

static enum tk_rc
put_id(const struct adding *adding, struct tk_err *err)
{
	char hex[2 * TK_ID_BYTES + 1];
	struct tk_err why;
	enum tk_rc rc;

	if (adding->dataset->has_domain_id)
		return TK_OK;
	if (!(rc = edit_config(adding, &why)) && !(rc = check_config(adding, &why)))
		return TK_OK;
	tk_hex_encode(adding->domain.b, sizeof(adding->domain.b), hex);
	return tk_err_set(err, rc, "the id of dataset %s could not be put into %s (%s); write id = %s into its section, and run it again", adding->dataset->name,
			  adding->dataset->where.file, why.text, hex);
}

/* ---- all of it ---- */

static enum tk_rc
begin(const struct tk_cli *cli, struct adding *adding, struct tk_err *err)
{
	struct tk_home *home = &adding->home;
	enum tk_rc rc = tk_home_open(cli, home, err);

	if (rc)
		return rc;
	if (tk_cli_operand(cli, 0) || tk_cli_value(cli, TK_OPT_NEW_PASSPHRASE_FILE))
		return tk_err_set(err, TK_EUSAGE, "key add makes a passphrase's slot or the keys of a dataset, one at a time; leave out --dataset, or the rest");
	if ((rc = tk_cli_dataset(home->cfg, tk_cli_value(cli, TK_OPT_DATASET), &adding->dataset, err)))
		return rc;
	/* A copy of a home would make other keys than the home itself. */
	return tk_identity_read(home->keys_fd, &adding->incarnation, err);
}

/*
 * The machine's slot comes last, since backups run by it: what they seal, every other slot opens. A crash anywhere leaves slots that open everything that is stored,
 * and keys that the next attempt takes up.
 */
static enum tk_rc
add_dataset(const struct tk_cli *cli, struct adding *adding, struct tk_err *err)
{
	struct tk_home *home = &adding->home;
	enum tk_rc rc;

	if ((rc = begin(cli, adding, err)) || (rc = tk_slots_unlock_all(home, &adding->secret, &adding->slots, &adding->slot_count, err)) ||
	    (rc = find_domain(adding, err)))
		return rc;
	adding->was_complete = !adding->made && is_complete(adding);
	if (!adding->was_complete &&
	    ((rc = spread_slot(adding, err)) ||
	     (rc = tk_home_write_domain(&home->ring, home->keys_fd, home->cfg->source, &adding->domain, &adding->incarnation, err)) ||
	     (rc = put_id(adding, err)) || (rc = tk_slots_write_machine(home, err))))
		return rc;
	adding->sites_without = tk_slots_push(home);
	return TK_OK;
}

static void
tell(const struct adding *adding)
{
	struct tk_output *out = adding->home.cli->out;
	const char *name = adding->dataset->name;

	tk_out_set(out, "dataset", tk_json_text(name));
	tk_out_set(out, "domain", tk_slots_json_id(&adding->domain));
	tk_out_set(out, "made", json_boolean(adding->made));
	tk_out_set(out, "sites_without", json_integer((json_int_t)adding->sites_without));
	if (adding->was_complete)
		tk_out_text(out, "Dataset %s has its keys already.\n", name);
	else
		tk_out_text(out, "Dataset %s has %s: the next backup stores it.\n", name, adding->made ? "its keys" : "the keys that were made for it before");
	if (adding->sites_without)
		tk_out_text(out, "Sites that do not have the configuration as it is now get it with their next backup.\n");
}

int
tk_key_add_dataset(const struct tk_cli *cli)
{
	struct adding adding = {.home = {.keys_fd = -1}};
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (add_dataset(cli, &adding, &err))
		status = tk_out_fail(cli->out, &err);
	else
		tell(&adding);
	free(adding.slots);
	tk_secret_release(&adding.secret);
	tk_home_release(&adding.home);
	return status;
}
