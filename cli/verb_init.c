/* twinkeep init */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/home.h"
#include "cli/secret.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/identity.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/passphrase.h"
#include "engine/crypto/x509.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define CERT_YEARS 20
#define POLICY_FILE_MAX (1u << 20)

/* What init puts together before it writes the configuration, which comes last: a home without one can be tried again. */
struct init {
	const struct tk_cli *cli;
	char home[PATH_MAX];
	char source[256];
	enum tk_suite suite;
	int home_fd, keys_fd;
	bool made_home, began, made_keys;     /* began: the place is no home, so a configuration there is this run's */
	struct tk_secret secret;
	struct tk_keyring ring;
	struct tk_config_init conf;
	struct tk_config_init_site *sites;
	struct tk_config_init_dataset *datasets;
	struct tk_strings *paths;             /* of the datasets */
	char **words;                         /* owned pieces of the options */
	size_t word_count;
	char *policy_path, *policy_name;
};

static enum tk_rc
keep_word(struct init *init, const char *text, size_t len, char **out, struct tk_err *err)
{
	char **grown = realloc(init->words, (init->word_count + 1) * sizeof(*grown));
	char *word = strndup(text, len);

	if (grown)
		init->words = grown;
	if (!grown || !word) {
		free(word);
		return tk_err_set(err, TK_ENOMEM, "no memory for the command line");
	}
	grown[init->word_count++] = word;
	*out = word;
	return TK_OK;
}

/* "NAME=REST" */
static enum tk_rc
split_name(struct init *init, const char *text, char **name, const char **rest, struct tk_err *err)
{
	const char *equals = strchr(text, '=');
	enum tk_rc rc;

	if (!equals || equals == text || equals[1] == '\0')
		return tk_err_set(err, TK_EUSAGE, "\"%s\": want NAME=...", text);
	if ((rc = keep_word(init, text, (size_t)(equals - text), name, err)))
		return rc;
	if (!tk_name_is_valid(*name))
		return tk_err_set(err, TK_EUSAGE, "\"%s\" is no name: letters, digits, '.', '_', '-', at most 64", *name);
	*rest = equals + 1;
	return TK_OK;
}

/* A directory of the command line becomes absolute: the configuration is read from anywhere. */
static enum tk_rc
absolute(struct init *init, const char *text, size_t len, char **out, struct tk_err *err)
{
	char cwd[PATH_MAX], joined[2 * PATH_MAX];

	if (len > 0 && text[0] == '/')
		return keep_word(init, text, len, out, err);
	if (!getcwd(cwd, sizeof(cwd)) || len >= PATH_MAX)
		return tk_err_set(err, TK_EUSAGE, "%s: no such path", text);
	(void)snprintf(joined, sizeof(joined), "%s/%.*s", cwd, (int)len, text);
	return keep_word(init, joined, strlen(joined), out, err);
}

static enum tk_rc
read_site(struct init *init, const char *text, struct tk_config_init_site *site, struct tk_err *err)
{
	struct tk_site_url url;
	char *name, *kept;
	const char *rest;
	enum tk_rc rc;

	if ((rc = split_name(init, text, &name, &rest, err)))
		return rc;
	if (strncmp(rest, "dir:", 4) == 0 && rest[4] != '/') {
		char whole[PATH_MAX + 8];

		if ((rc = absolute(init, rest + 4, strlen(rest + 4), &kept, err)))
			return rc;
		(void)snprintf(whole, sizeof(whole), "dir:%s", kept);
		rc = keep_word(init, whole, strlen(whole), &kept, err);
	} else {
		rc = keep_word(init, rest, strlen(rest), &kept, err);
	}
	if (rc)
		return rc;
	if (tk_site_url_parse(kept, &url, err))
		return tk_err_context(err, err->rc = TK_EUSAGE, "site %s", name);
	site->name = name;
	site->url = kept;
	/* A site named remote... is not in the writer's city; the configuration says so and can be changed. */
	site->local = strncmp(name, "remote", 6) != 0;
	return TK_OK;
}

static enum tk_rc
read_paths(struct init *init, const char *rest, struct tk_strings *paths, struct tk_err *err)
{
	while (*rest) {
		size_t len = strcspn(rest, ",");
		char **grown = realloc(paths->items, (paths->count + 1) * sizeof(*grown));
		char *word;
		enum tk_rc rc;

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the command line");
		paths->items = grown;
		if (len == 0 || (rc = absolute(init, rest, len, &word, err)))
			return tk_err_set(err, TK_EUSAGE, "\"%s\": want PATH[,PATH...]", rest);
		for (size_t end = strlen(word); end > 1 && word[end - 1] == '/'; end--)
			word[end - 1] = '\0';
		if (access(word, F_OK) != 0)
			return tk_err_set(err, TK_EUSAGE, "%s: %s", word, strerror(errno));
		paths->items[paths->count++] = word;
		rest += len + (rest[len] == ',');
	}
	return TK_OK;
}

static enum tk_rc
read_datasets(struct init *init, struct tk_err *err)
{
	const struct tk_values *values = &init->cli->command.values[TK_OPT_DATASET_NEW];

	init->datasets = calloc(values->count, sizeof(*init->datasets));
	init->paths = calloc(values->count, sizeof(*init->paths));
	if (!init->datasets || !init->paths)
		return tk_err_set(err, TK_ENOMEM, "no memory for the datasets");
	for (size_t i = 0; i < values->count; i++) {
		struct tk_id domain;
		const char *rest;
		char *name;
		enum tk_rc rc;

		init->conf.dataset_count = i + 1;
		if ((rc = split_name(init, values->items[i], &name, &rest, err)) || (rc = read_paths(init, rest, &init->paths[i], err)) ||
		    (rc = tk_keyring_add_domain(&init->ring, &domain, err)))
			return rc;
		init->datasets[i].name = name;
		init->datasets[i].paths = &init->paths[i];
		memcpy(init->datasets[i].domain_id, domain.b, sizeof(domain.b));
	}
	init->conf.datasets = init->datasets;
	return TK_OK;
}

static enum tk_rc
read_options(struct init *init, struct tk_err *err)
{
	const struct tk_values *sites = &init->cli->command.values[TK_OPT_SITE_NEW];
	const char *policy = tk_cli_value(init->cli, TK_OPT_POLICY), *suite = tk_cli_value(init->cli, TK_OPT_SUITE);
	enum tk_rc rc;

	init->suite = TK_SUITE_AES;
	if ((suite && (rc = tk_suite_parse(suite, &init->suite, err))) || (rc = tk_suite_check(init->suite, err)))
		return tk_err_context(err, err->rc = TK_EUSAGE, "--suite");
	if ((rc = tk_keyring_generate(init->suite, &init->ring, err)))
		return rc;
	init->sites = calloc(sites->count, sizeof(*init->sites));
	if (!init->sites)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < sites->count; i++)
		if ((rc = read_site(init, sites->items[i], &init->sites[i], err)))
			return rc;
	init->conf.sites = init->sites;
	init->conf.site_count = sites->count;
	if (policy && (rc = tk_config_policy_file(policy, &init->policy_path, &init->policy_name, err))) {
		if (rc == TK_ENOENT)
			err->rc = rc = TK_EUSAGE;
		return rc;
	}
	init->conf.policy_name = init->policy_name;
	(void)gethostname(init->source, sizeof(init->source) - 1);
	if (!tk_name_is_valid(init->source))
		(void)snprintf(init->source, sizeof(init->source), "source");
	init->conf.source = init->source;
	return read_datasets(init, err);
}

static enum tk_rc
make_home(struct init *init, struct tk_err *err)
{
	char *home;
	enum tk_rc rc = absolute(init, init->cli->home, strlen(init->cli->home), &home, err);

	if (rc)
		return rc;
	if (strlen(home) >= sizeof(init->home) - 64)
		return tk_err_set(err, TK_EUSAGE, "%s: the path is too long", home);
	(void)snprintf(init->home, sizeof(init->home), "%s", home);
	init->made_home = access(init->home, F_OK) < 0 && errno == ENOENT;
	if ((rc = tk_mkdir_p_at(AT_FDCWD, init->home, 0700, err)))
		return rc;
	init->home_fd = open(init->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (init->home_fd < 0)
		return tk_err_errno(err, TK_EIO, "home %s", init->home);
	if (faccessat(init->home_fd, TK_CONFIG_FILE, F_OK, 0) == 0)
		return tk_err_set(err, TK_EEXIST, "%s is a home already; its keys and configuration stay as they are: give another --home", init->home);
	if (faccessat(init->home_fd, "keys/machine.slot", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return tk_err_set(err, TK_EEXIST, "%s has keys, though no " TK_CONFIG_FILE "; move %s/keys away if nothing was ever stored under them, or give "
				  "another --home", init->home, init->home);
	init->began = true;
	init->made_keys = faccessat(init->home_fd, "keys", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
	if ((rc = tk_mkdir_p_at(init->home_fd, "keys", 0700, err)))
		return rc;
	init->keys_fd = openat(init->home_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return init->keys_fd < 0 ? tk_err_errno(err, TK_EIO, "home %s", init->home) : TK_OK;
}

/* The policy's file is copied into the home: what `recover` brings back is then whole. */
static enum tk_rc
copy_policy(struct init *init, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	char name[PATH_MAX];
	char *kept;
	enum tk_rc rc;

	if (!init->policy_path)
		return TK_OK;
	if ((rc = tk_read_file_at(AT_FDCWD, init->policy_path, POLICY_FILE_MAX, &text, err)) ||
	    (rc = tk_mkdir_p_at(init->home_fd, "policies", 0700, err)))
		return rc;
	dirfd = openat(init->home_fd, "policies", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return tk_err_errno(err, TK_EIO, "home %s", init->home);
	(void)snprintf(name, sizeof(name), "policies/%s", strrchr(init->policy_path, '/') + 1);
	if ((rc = tk_publish_file(dirfd, strrchr(name, '/') + 1, text.data, text.len_bytes, 0600, err)) ||
	    (rc = keep_word(init, name, strlen(name), &kept, err)))
		return rc;
	init->conf.policy_include = kept;
	return TK_OK;
}

static enum tk_rc
put_key_file(const struct init *init, const char *name, const void *data, size_t len, struct tk_err *err)
{
	return tk_publish_file(init->keys_fd, name, data, len, 0600, err);
}

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

/* A small CA and this node's certificate under it. */
static enum tk_rc
make_certificates(struct init *init, struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf ca_key = {0}, key = {0};
	TK_AUTO(tk_buf_release) struct tk_buf ca = {0}, public = {0}, cert = {0}, sealed = {0};
	struct tk_x509_request request = {.name = "twinkeep-ca", .now_ns = tk_clock_wall_ns(), .years = CERT_YEARS};
	char name[64] = "source-";
	enum tk_rc rc;

	if ((rc = tk_x509_make_key(&ca_key, err)) || (rc = tk_x509_make_ca(&request, bytes_of(&ca_key), &ca, err)) ||
	    (rc = tk_x509_make_key(&key, err)) || (rc = tk_x509_public_key(bytes_of(&key), &public, err)))
		return rc;
	tk_hex_encode(init->ring.source.b, 8, name + strlen(name));
	request.name = name;
	if ((rc = tk_x509_issue(&request, bytes_of(&public), bytes_of(&ca), bytes_of(&ca_key), &cert, err)) ||
	    (rc = tk_home_seal_ca_key(&init->ring, bytes_of(&ca_key), &sealed, err)) ||
	    (rc = put_key_file(init, "ca.pem", ca.data, ca.len_bytes, err)) ||
	    (rc = put_key_file(init, "ca.key.sealed", sealed.data, sealed.len_bytes, err)) ||
	    (rc = put_key_file(init, "tls.pem", cert.data, cert.len_bytes, err)))
		return rc;
	return put_key_file(init, "tls.key", key.data, key.len_bytes, err);
}

static enum tk_rc
make_keys(struct init *init, struct tk_err *err)
{
	struct tk_id incarnation;
	enum tk_rc rc;

	if ((rc = tk_home_write_machine_slot(&init->ring, init->keys_fd, err)) ||
	    (rc = tk_home_write_passphrase_slot(&init->ring, init->keys_fd, &init->secret, "init", NULL, err)) ||
	    (rc = make_certificates(init, err)) || (rc = tk_identity_create(init->keys_fd, &incarnation, err)))
		return rc;
	for (size_t i = 0; i < init->conf.dataset_count; i++) {
		struct tk_id domain;

		memcpy(domain.b, init->datasets[i].domain_id, sizeof(domain.b));
		if ((rc = tk_home_write_domain(&init->ring, init->keys_fd, init->source, &domain, &incarnation, err)) ||
		    (rc = tk_home_note_domain(init->keys_fd, &domain, init->datasets[i].name, err)))
			return rc;
	}
	return TK_OK;
}

/* Vaults in directories are made now; one that is there serves one more source. */
static enum tk_rc
make_vaults(struct init *init, struct tk_err *err)
{
	for (size_t i = 0; i < init->conf.site_count; i++) {
		struct tk_site_url url;
		enum tk_rc rc;

		if ((rc = tk_site_url_parse(init->sites[i].url, &url, err)))
			return rc;
		if (url.kind != TK_SITE_DIR)
			continue;
		rc = tk_vault_create(url.path, init->sites[i].name, err);
		/* A vault that is there is no fault of the system; a file in the way is one. */
		if (rc && (rc != TK_EEXIST || err->sys_errno))
			return tk_err_context(err, rc, "site %s", init->sites[i].name);
	}
	return TK_OK;
}

/* The configuration must be one that the other verbs take: the command line may have named a path twice. */
static enum tk_rc
check_config(const struct init *init, const char *text, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	char path[PATH_MAX];
	enum tk_rc rc;

	(void)snprintf(path, sizeof(path), "%.4000s/" TK_CONFIG_FILE, init->home);
	rc = tk_config_parse(text, strlen(text), path, &cfg, NULL, err);
	if (rc == TK_ECONFIG && err)
		err->rc = rc = TK_EUSAGE;
	return rc;
}

static enum tk_rc
write_config(struct init *init, struct tk_err *err)
{
	char *text = NULL;
	enum tk_rc rc = tk_config_write(&init->conf, &text, err);

	if (!rc)
		rc = check_config(init, text, err);
	if (!rc)
		rc = tk_publish_file(init->home_fd, TK_CONFIG_FILE, text, strlen(text), 0600, err);
	free(text);
	return rc;
}

/* Directories get what `recover` needs at once; daemons with the first backup after they were enrolled. */
static void
prepare_dirs(const struct init *init)
{
	struct tk_home home;
	struct tk_cli cli = *init->cli;
	struct tk_err err;

	cli.home = init->home;
	if (!tk_home_open(&cli, &home, &err) && !tk_home_unlock_machine(&home, &err)) {
		for (size_t i = 0; i < home.cfg->dataset_count; i++) {
			struct tk_site *sites = NULL;
			size_t count = 0;

			if (tk_home_sites(&home, &home.cfg->datasets[i], TK_VAULT_SERVE, &sites, &count, &err))
				continue;
			for (size_t k = 0; k < count; k++) {
				const struct tk_home_site *own = sites[k].ctx;
				TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;

				if (own->conf->url.kind == TK_SITE_DIR && (sites[k].open(&sites[k], &store, &err) ||
									  tk_home_prepare_site(&home, &sites[k], store, &err)))
					(void)tk_out_fail(cli.out, &err);
			}
			free(sites);
		}
	}
	tk_home_release(&home);
}

static enum tk_rc
ask_passphrase(struct init *init, struct tk_err *err)
{
	enum tk_rc rc = tk_cli_passphrase(init->cli, NULL, "New passphrase", true, &init->secret, err);

	if (rc)
		return rc;
	rc = tk_passphrase_check(init->secret.text, init->secret.len_bytes, err);
	if (rc && err)
		err->rc = rc = TK_EUSAGE;
	return rc;
}

static enum tk_rc
init_all(struct init *init, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = read_options(init, err)) || (rc = make_home(init, err)) || (rc = copy_policy(init, err)) || (rc = ask_passphrase(init, err)) || (rc = make_keys(init, err)) ||
	    (rc = make_vaults(init, err)) || (rc = write_config(init, err)))
		return rc;
	prepare_dirs(init);
	return TK_OK;
}

/* Takes away what an init that failed has made, so that the next one finds an empty place. Vaults stay: they serve any source. */
static void
undo(const struct init *init)
{
	TK_AUTO(tk_dir_cleanup) DIR *keys = NULL;
	int fd = init->made_keys && init->keys_fd >= 0 ? openat(init->keys_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const struct dirent *entry;

	if (!init->began)
		return;
	(void)unlinkat(init->home_fd, TK_CONFIG_FILE, 0);
	keys = fd < 0 ? NULL : fdopendir(fd);
	while (keys && (entry = readdir(keys)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(init->keys_fd, entry->d_name, 0);
	if (init->made_keys)
		(void)unlinkat(init->home_fd, "keys", AT_REMOVEDIR);
	/* Directories only go when nothing else lies in them. */
	if (init->conf.policy_include && unlinkat(init->home_fd, init->conf.policy_include, 0) == 0)
		(void)unlinkat(init->home_fd, "policies", AT_REMOVEDIR);
	if (init->made_home)
		(void)rmdir(init->home);
}

static void
init_release(struct init *init)
{
	for (size_t i = 0; i < init->word_count; i++)
		free(init->words[i]);
	for (size_t i = 0; init->paths && i < init->conf.dataset_count; i++)
		free(init->paths[i].items);
	free(init->words);
	free(init->paths);
	free(init->datasets);
	free(init->sites);
	free(init->policy_path);
	free(init->policy_name);
	tk_secret_release(&init->secret);
	tk_keyring_release(&init->ring);
	tk_fd_cleanup(&init->home_fd);
	tk_fd_cleanup(&init->keys_fd);
}

static void
tell(const struct init *init)
{
	struct tk_output *out = init->cli->out;
	json_t *datasets = json_array();
	char hex[33];

	for (size_t i = 0; i < init->conf.dataset_count; i++) {
		tk_hex_encode(init->datasets[i].domain_id, 16, hex);
		(void)json_array_append_new(datasets, json_pack("{s:o, s:s}", "dataset", tk_json_text(init->datasets[i].name), "domain", hex));
	}
	tk_hex_encode(init->ring.source.b, 16, hex);
	tk_out_set(out, "home", tk_json_text(init->home));
	tk_out_set(out, "source", json_string(hex));
	tk_out_set(out, "datasets", datasets);
	tk_out_text(out, "%s/%s is written, with %zu dataset%s at %zu site%s.\n", init->home, TK_CONFIG_FILE, init->conf.dataset_count,
		    init->conf.dataset_count == 1 ? "" : "s", init->conf.site_count, init->conf.site_count == 1 ? "" : "s");
	for (size_t i = 0; i < init->conf.site_count; i++)
		if (strncmp(init->sites[i].url, "tk:", 3) == 0)
			tk_out_text(out, "Site %s is a twinkeepd: `twinkeep site invite %s` lets it join.\n", init->sites[i].name,
				    init->sites[i].name);
	tk_out_text(out, "Keep the passphrase where the loss of this machine does not reach: without it nothing can be restored elsewhere.\n");
}

int
tk_verb_init(const struct tk_cli *cli)
{
	struct init init = {.cli = cli, .home_fd = -1, .keys_fd = -1};
	struct tk_err err;
	enum tk_rc rc;
	int status = 0;

	tk_err_clear(&err);
	rc = init_all(&init, &err);
	if (rc) {
		undo(&init);
		status = tk_out_fail(cli->out, &err);
	} else {
		tell(&init);
	}
	init_release(&init);
	return status;
}
