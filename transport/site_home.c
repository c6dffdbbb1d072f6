/* The home of a site's daemon: configuration, keys, and the registry in its vault. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/tls_ctx.h"
#include "engine/crypto/x509.h"
#include "engine/fsio/openat.h"
#include "engine/vault/vault.h"
#include "transport/enrol.h"
#include "transport/home_file.h"

#define PEM_MAX (1u << 20)
#define CONFIG_MAX (64u << 10)
#define HEX_ID (2 * TK_ID_BYTES + 1)
#define IDENTITIES_MAX 256u

void
tk_source_server_name(const struct tk_id *source, char dst[TK_SOURCE_SERVER_NAME_MAX])
{
	char hex[HEX_ID];

	tk_hex_encode(source->b, TK_ID_BYTES, hex);
	(void)snprintf(dst, TK_SOURCE_SERVER_NAME_MAX, "%s%s", hex, TK_X509_DNS_SUFFIX);
}

static enum tk_rc
open_home(const char *home, bool make, int *fd, struct tk_err *err)
{
	if (make && mkdir(home, 0700) < 0 && errno != EEXIST)
		return tk_err_errno(err, TK_EIO, "make the home %s", home);
	*fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return tk_err_errno(err, TK_EIO, "open the home %s", home);
	return TK_OK;
}

static enum tk_rc
register_source(const char *vault_path, const struct tk_invite *invite, struct tk_err *err)
{
	struct tk_peer peer = {.role = TK_ROLE_SOURCE, .state = TK_PEER_ACTIVE, .id = invite->source, .owner = invite->source};

	(void)snprintf(peer.name, sizeof(peer.name), "%s", invite->source_name);
	memcpy(peer.operator_key, invite->operator_key, TK_KEY_BYTES);
	memcpy(peer.pins, invite->pins, sizeof(peer.pins));
	peer.pin_count = invite->pin_count;
	peer.created_ns = tk_clock_wall_ns();
	return tk_registry_put(vault_path, &peer, err);
}

/* A path in quotes of the configuration's syntax. */
static enum tk_rc
put_quoted(struct tk_buf *text, const char *value, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(text, "\"", 1, err);

	for (; !rc && *value; value++) {
		if ((unsigned char)*value < 0x20)
			return tk_err_set(err, TK_EINVAL, "a path or address with a control character");
		if (*value == '"' || *value == '\\' || *value == '$')
			rc = tk_buf_put(text, "\\", 1, err);
		if (!rc)
			rc = tk_buf_put(text, value, 1, err);
	}
	return rc ? rc : tk_buf_put(text, "\"", 1, err);
}

static enum tk_rc
put_text(struct tk_buf *text, const char *value, struct tk_err *err)
{
	return tk_buf_put(text, value, strlen(value), err);
}

static enum tk_rc
write_config(int home_fd, const char *const *listen, size_t listen_count, const char *vault_path, struct tk_err *err)
{
	struct tk_buf text;
	enum tk_rc rc;

	tk_buf_init(&text, CONFIG_MAX);
	rc = put_text(&text, "# A site of twinkeep; twinkeep.conf(5) has all keys.\ndaemon {\n\tlisten = {", err);
	for (size_t i = 0; !rc && i < listen_count; i++)
		if (!i || !(rc = put_text(&text, ", ", err)))
			rc = put_quoted(&text, listen[i], err);
	if (!rc)
		rc = put_text(&text, "}\n\tvault = ", err);
	if (!rc)
		rc = put_quoted(&text, vault_path, err);
	if (!rc)
		rc = put_text(&text, "\n}\n", err);
	if (!rc)
		rc = tk_home_file_put(home_fd, TK_SITE_CONFIG_FILE, text.data, text.len_bytes, 0644, err);
	tk_buf_release(&text);
	return rc;
}

static enum tk_rc
write_keys(int home_fd, const struct tk_invite *invite, struct tk_err *err)
{
	enum tk_rc rc = tk_home_file_mkdir(home_fd, "keys", 0700, err);

	if (!rc)
		rc = tk_home_file_put(home_fd, TK_SITE_CA_FILE, invite->ca_pem.data, invite->ca_pem.len_bytes, 0644, err);
	if (rc || !invite->cert_pem.len_bytes)
		return rc;
	rc = tk_home_file_put(home_fd, TK_SITE_KEY_FILE, invite->key_pem.data, invite->key_pem.len_bytes, 0600, err);
	return rc ? rc : tk_home_file_put(home_fd, TK_SITE_CERT_FILE, invite->cert_pem.data, invite->cert_pem.len_bytes, 0644, err);
}

static enum tk_rc
make_vault(const char *vault_path, const char *site_name, struct tk_err *err)
{
	enum tk_rc rc = tk_vault_create(vault_path, site_name, err);

	/* A vault that is there is taken as it is: one whose home was lost, or the first half of an attempt before. */
	return rc == TK_EEXIST ? TK_OK : rc;
}

enum tk_rc
tk_site_home_create(const char *home, const struct tk_invite *invite, const char *const *listen, size_t listen_count,
		    const char *vault_path, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char default_vault[4096];
	enum tk_rc rc;

	if (home[0] != '/' || (vault_path && vault_path[0] != '/'))
		return tk_err_set(err, TK_EINVAL, "the paths of a home and its vault are absolute");
	if ((size_t)snprintf(default_vault, sizeof(default_vault), "%s/vault", home) >= sizeof(default_vault))
		return tk_err_set(err, TK_EINVAL, "the path of the home is too long");
	if (!vault_path)
		vault_path = default_vault;
	rc = open_home(home, true, &fd, err);
	if (!rc && faccessat(fd, TK_SITE_CONFIG_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		rc = tk_err_set(err, TK_EEXIST, "%s/%s exists already; this home belongs to a site: give another --home", home, TK_SITE_CONFIG_FILE);
	if (!rc)
		rc = write_keys(fd, invite, err);
	if (!rc)
		rc = make_vault(vault_path, invite->site_name, err);
	if (!rc)
		rc = register_source(vault_path, invite, err);
	/* Last: with it the home is whole. */
	return rc ? rc : write_config(fd, listen, listen_count, vault_path, err);
}

static enum tk_rc
add_trust(int home_fd, const struct tk_invite *invite, struct tk_err *err)
{
	struct tk_buf bundle;
	enum tk_rc rc;

	tk_buf_init(&bundle, 2 * PEM_MAX);
	rc = tk_home_file_get(home_fd, TK_SITE_CA_FILE, PEM_MAX, &bundle, err);
	if (!rc && memmem(bundle.data, bundle.len_bytes, invite->ca_pem.data, invite->ca_pem.len_bytes) == NULL) {
		rc = tk_buf_put(&bundle, invite->ca_pem.data, invite->ca_pem.len_bytes, err);
		if (!rc)
			rc = tk_home_file_put(home_fd, TK_SITE_CA_FILE, bundle.data, bundle.len_bytes, 0644, err);
	}
	tk_buf_release(&bundle);
	return rc;
}

static enum tk_rc
add_identity(int home_fd, const struct tk_invite *invite, struct tk_err *err)
{
	char hex[HEX_ID], path[HEX_ID + 16];
	enum tk_rc rc;

	if (!invite->cert_pem.len_bytes)
		return TK_OK;
	tk_hex_encode(invite->source.b, TK_ID_BYTES, hex);
	(void)snprintf(path, sizeof(path), "keys/%s.key", hex);
	rc = tk_home_file_put(home_fd, path, invite->key_pem.data, invite->key_pem.len_bytes, 0600, err);
	(void)snprintf(path, sizeof(path), "keys/%s.pem", hex);
	/* The certificate last: a key without it is passed over, the reverse would be a fault. */
	return rc ? rc : tk_home_file_put(home_fd, path, invite->cert_pem.data, invite->cert_pem.len_bytes, 0644, err);
}

/* A site has one name, which its receipts carry too. */
static enum tk_rc
check_site_name(const char *vault_path, const struct tk_invite *invite, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	enum tk_rc rc = tk_vault_open(vault_path, TK_VAULT_READ, NULL, &vault, err);

	if (!rc && strcmp(tk_vault_site(vault)->name, invite->site_name) != 0)
		rc = tk_err_set(err, TK_EINVAL, "the invitation is for a site %s, this one is %s", invite->site_name,
				tk_vault_site(vault)->name);
	return rc;
}

enum tk_rc
tk_site_home_add_source(const char *home, const char *vault_path, const struct tk_invite *invite, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	enum tk_rc rc = open_home(home, false, &fd, err);

	if (!rc)
		rc = check_site_name(vault_path, invite, err);
	if (!rc)
		rc = add_identity(fd, invite, err);
	if (!rc)
		rc = add_trust(fd, invite, err);
	return rc ? rc : register_source(vault_path, invite, err);
}

/* One certificate and key of a home, as read. */
struct identity {
	char name[TK_SOURCE_SERVER_NAME_MAX];
	struct tk_buf cert, key;
};

static void
identities_free(struct identity *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		tk_buf_release(&list[i].cert);
		tk_wipe_buf(&list[i].key);
	}
	free(list);
}

static enum tk_rc
read_identity(int home_fd, const char *cert_path, const char *key_path, struct identity *out, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_init(&out->cert, PEM_MAX + 1);
	tk_buf_init(&out->key, PEM_MAX + 1);
	rc = tk_home_file_get(home_fd, cert_path, PEM_MAX, &out->cert, err);
	return rc ? rc : tk_home_file_get(home_fd, key_path, PEM_MAX, &out->key, err);
}

static void
dir_cleanup(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* keys/<source id>.pem and .key of every further source. */
static enum tk_rc
read_further(int home_fd, struct identity *list, size_t *count, struct tk_err *err)
{
	TK_AUTO(dir_cleanup) DIR *dir = NULL;
	int fd = openat(home_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	enum tk_rc rc = TK_OK;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		rc = tk_err_errno(err, TK_EIO, "open keys/");
		tk_fd_cleanup(&fd);
		return rc;
	}
	while (!rc && (entry = readdir(dir)) != NULL) {
		char cert_path[HEX_ID + 16], key_path[HEX_ID + 16];
		struct tk_id id;
		char hex[HEX_ID];

		if (strlen(entry->d_name) != HEX_ID - 1 + 4 || strcmp(entry->d_name + HEX_ID - 1, ".pem") != 0)
			continue;
		memcpy(hex, entry->d_name, HEX_ID - 1);
		hex[HEX_ID - 1] = '\0';
		if (tk_hex_decode(hex, id.b, TK_ID_BYTES, NULL))
			continue;
		if (*count == IDENTITIES_MAX)
			return tk_err_set(err, TK_EINVAL, "more than %u sources in keys/", IDENTITIES_MAX);
		(void)snprintf(cert_path, sizeof(cert_path), "keys/%s.pem", hex);
		(void)snprintf(key_path, sizeof(key_path), "keys/%s.key", hex);
		tk_source_server_name(&id, list[*count].name);
		rc = read_identity(home_fd, cert_path, key_path, &list[(*count)++], err);
	}
	return rc;
}

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

/* list[0] is the site's own, for whoever asks for no other. */
static enum tk_rc
make_tls(const struct tk_buf *ca, const struct identity *list, size_t count, struct tk_tls_ctx **out, struct tk_err *err)
{
	struct tk_tls_config config = {.role = TK_TLS_SERVER, .ca_pem = bytes_of(ca), .cert_pem = bytes_of(&list[0].cert),
				       .key_pem = bytes_of(&list[0].key), .peer_cert_optional = true};
	struct tk_tls_identity *named = calloc(count, sizeof(*named));
	enum tk_rc rc;

	if (!named)
		return tk_err_set(err, TK_ENOMEM, "no memory for certificates");
	for (size_t i = 1; i < count; i++)
		named[i - 1] = (struct tk_tls_identity){list[i].name, bytes_of(&list[i].cert), bytes_of(&list[i].key)};
	config.identities = named;
	config.identity_count = count - 1;
	rc = tk_tls_ctx_new(&config, out, err);
	free(named);
	return rc;
}

enum tk_rc
tk_site_home_tls(const char *home, struct tk_tls_ctx **out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct identity *list = calloc(IDENTITIES_MAX, sizeof(*list));
	struct tk_buf ca;
	size_t count = 1;
	enum tk_rc rc;

	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for certificates");
	tk_buf_init(&ca, PEM_MAX + 1);
	rc = open_home(home, false, &fd, err);
	if (!rc)
		rc = tk_home_file_get(fd, TK_SITE_CA_FILE, PEM_MAX, &ca, err);
	if (!rc)
		rc = read_identity(fd, TK_SITE_CERT_FILE, TK_SITE_KEY_FILE, &list[0], err);
	if (!rc)
		rc = read_further(fd, list, &count, err);
	if (!rc)
		rc = make_tls(&ca, list, count, out, err);
	tk_buf_release(&ca);
	identities_free(list, count);
	return rc ? tk_err_context(err, rc, "home %s", home) : TK_OK;
}

enum tk_rc
tk_source_tls(const struct tk_id *source, struct tk_bytes ca_pem, struct tk_bytes cert_pem, struct tk_bytes key_pem, struct tk_tls_ctx **out,
	      struct tk_err *err)
{
	char name[TK_SOURCE_SERVER_NAME_MAX];
	struct tk_tls_config config = {.role = TK_TLS_CLIENT, .ca_pem = ca_pem, .cert_pem = cert_pem, .key_pem = key_pem, .server_name = name};

	tk_source_server_name(source, name);
	return tk_tls_ctx_new(&config, out, err);
}
