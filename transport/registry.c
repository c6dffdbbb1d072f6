#include "transport/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "transport/home_file.h"

#define PEER_FILE_MAX 4096u
#define PEER_VERSION 1u
#define REGISTRY_PEERS_MAX 65536u

static const char peer_magic[8] = {'T', 'W', 'K', 'P', 'E', 'E', 'R', '1'};

struct tk_registry {
	struct tk_peer *peers;
	size_t count, cap;
};

static enum tk_rc
peer_encode_fields(const struct tk_peer *peer, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = tk_buf_put(out, peer_magic, sizeof(peer_magic), err)) ||
	    (rc = tk_buf_put_u16(out, PEER_VERSION, err)) ||
	    (rc = tk_buf_put_u8(out, (uint8_t)peer->role, err)) ||
	    (rc = tk_buf_put_u8(out, (uint8_t)peer->state, err)) ||
	    (rc = tk_buf_put(out, peer->id.b, TK_ID_BYTES, err)) ||
	    (rc = tk_buf_put(out, peer->owner.b, TK_ID_BYTES, err)) ||
	    (rc = tk_buf_put_bytes(out, peer->name, strlen(peer->name), err)) ||
	    (rc = tk_buf_put(out, peer->operator_key, TK_KEY_BYTES, err)) ||
	    (rc = tk_buf_put_uv(out, peer->pin_count, err)) ||
	    (rc = tk_buf_put(out, peer->pins, (size_t)peer->pin_count * TK_PIN_BYTES, err)) ||
	    (rc = tk_buf_put_sv(out, peer->created_ns, err)))
		return rc;
	return TK_OK;
}

enum tk_rc
tk_peer_encode(const struct tk_peer *peer, struct tk_buf *out, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	size_t start = out->len_bytes;
	enum tk_rc rc;

	if (!peer->pin_count || peer->pin_count > TK_PEER_PINS_MAX || !peer->name[0])
		return tk_err_set(err, TK_EINVAL, "a peer has a name and 1 to %u pins", TK_PEER_PINS_MAX);
	if ((rc = peer_encode_fields(peer, out, err)) ||
	    (rc = tk_hash(TK_SUITE_AES, out->data + start, out->len_bytes - start, digest, err)))
		return rc;
	return tk_buf_put(out, digest, sizeof(digest), err);
}

static enum tk_rc
peer_check_digest(const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	if (len_bytes < sizeof(peer_magic) + TK_HASH_BYTES || memcmp(data, peer_magic, sizeof(peer_magic)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "not a registry entry");
	rc = tk_hash(TK_SUITE_AES, data, len_bytes - TK_HASH_BYTES, digest, err);
	if (!rc && memcmp(digest, data + len_bytes - TK_HASH_BYTES, TK_HASH_BYTES) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "a damaged registry entry");
	return rc;
}

enum tk_rc
tk_peer_decode(const void *data, size_t len_bytes, struct tk_peer *out, struct tk_err *err)
{
	const uint8_t *name;
	struct tk_cursor cur;
	unsigned version, role, state;
	size_t name_len;
	enum tk_rc rc = peer_check_digest(data, len_bytes, err);

	memset(out, 0, sizeof(*out));
	if (rc)
		return rc;
	tk_cursor_init(&cur, data, len_bytes - TK_HASH_BYTES);
	(void)tk_cursor_take(&cur, sizeof(peer_magic));
	version = tk_cursor_u16(&cur);
	if (version != PEER_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "a registry entry of version %u", version);
	role = tk_cursor_u8(&cur);
	state = tk_cursor_u8(&cur);
	tk_cursor_copy(&cur, out->id.b, TK_ID_BYTES);
	tk_cursor_copy(&cur, out->owner.b, TK_ID_BYTES);
	name = tk_cursor_bytes(&cur, TK_PEER_NAME_MAX - 1, &name_len);
	if (!name_len || memchr(name, 0, name_len))
		tk_cursor_fail(&cur, "a bad name");
	else
		memcpy(out->name, name, name_len);
	tk_cursor_copy(&cur, out->operator_key, TK_KEY_BYTES);
	out->pin_count = (unsigned)tk_cursor_uv_max(&cur, TK_PEER_PINS_MAX);
	tk_cursor_copy(&cur, out->pins, (size_t)out->pin_count * TK_PIN_BYTES);
	out->created_ns = tk_cursor_sv(&cur);
	if (role < TK_ROLE_SOURCE || role > TK_ROLE_AUDITOR || (state != TK_PEER_ACTIVE && state != TK_PEER_REVOKED) || !out->pin_count)
		tk_cursor_fail(&cur, "unknown role or state, or no pin");
	out->role = (enum tk_role)role;
	out->state = (enum tk_peer_state)state;
	return tk_cursor_end(&cur, "registry entry", err);
}

static enum tk_rc
registry_add(struct tk_registry *registry, const struct tk_peer *peer, struct tk_err *err)
{
	if (registry->count == registry->cap) {
		size_t cap = registry->cap ? registry->cap * 2 : 16;
		struct tk_peer *grown = cap <= REGISTRY_PEERS_MAX ? realloc(registry->peers, cap * sizeof(*grown)) : NULL;

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu peers", cap);
		registry->peers = grown;
		registry->cap = cap;
	}
	registry->peers[registry->count++] = *peer;
	return TK_OK;
}

/* One directory of sources/. What is not there or damaged gives nobody any right. */
static enum tk_rc
registry_read_one(struct tk_registry *registry, int sources_fd, const char *name, const struct tk_log *log, struct tk_err *err)
{
	char path[2 * TK_ID_BYTES + 8];
	struct tk_err fault;
	struct tk_peer peer;
	struct tk_id id;
	struct tk_buf data;
	enum tk_rc rc;

	if (tk_hex_decode(name, id.b, TK_ID_BYTES, NULL))
		return TK_OK;
	tk_buf_init(&data, PEER_FILE_MAX + 1);
	(void)snprintf(path, sizeof(path), "%.32s/peer", name);
	rc = tk_home_file_get(sources_fd, path, PEER_FILE_MAX, &data, &fault);
	if (!rc)
		rc = tk_peer_decode(data.data, data.len_bytes, &peer, &fault);
	if (!rc && memcmp(peer.id.b, id.b, TK_ID_BYTES) != 0)
		rc = tk_err_set(&fault, TK_ECORRUPT, "the entry of another peer");
	tk_buf_release(&data);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc) {
		tk_log_event(log, TK_LOG_ERROR, "registry-damaged", "peer=%.32s error=\"%s\"", name, fault.text);
		return TK_OK;
	}
	return registry_add(registry, &peer, err);
}

static void
dir_cleanup(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static enum tk_rc
registry_read_all(struct tk_registry *registry, const char *vault_path, const struct tk_log *log, struct tk_err *err)
{
	TK_AUTO(dir_cleanup) DIR *dir = NULL;
	char path[4096];
	struct dirent *entry;
	enum tk_rc rc = TK_OK;

	if ((size_t)snprintf(path, sizeof(path), "%s/sources", vault_path) >= sizeof(path))
		return tk_err_set(err, TK_EINVAL, "the path of the vault is too long");
	dir = opendir(path);
	if (!dir && errno == ENOENT)
		return TK_OK;
	if (!dir)
		return tk_err_errno(err, TK_EIO, "open %s", path);
	errno = 0;
	while (!rc && (entry = readdir(dir)) != NULL) {
		rc = registry_read_one(registry, dirfd(dir), entry->d_name, log, err);
		errno = 0;
	}
	if (!rc && errno)
		return tk_err_errno(err, TK_EIO, "read %s", path);
	return rc;
}

enum tk_rc
tk_registry_load(const char *vault_path, const struct tk_log *log, struct tk_registry **out, struct tk_err *err)
{
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = calloc(1, sizeof(*registry));
	enum tk_rc rc;

	if (!registry)
		return tk_err_set(err, TK_ENOMEM, "no memory for the registry");
	rc = registry_read_all(registry, vault_path, log, err);
	if (rc)
		return rc;
	*out = registry;
	registry = NULL;
	return TK_OK;
}

void
tk_registry_free(struct tk_registry *registry)
{
	if (!registry)
		return;
	free(registry->peers);
	free(registry);
}

void
tk_registry_cleanup(struct tk_registry **registry)
{
	tk_registry_free(*registry);
	*registry = NULL;
}

static bool
peer_has_pin(const struct tk_peer *peer, const uint8_t pin[TK_PIN_BYTES])
{
	for (unsigned i = 0; i < peer->pin_count; i++)
		if (memcmp(peer->pins[i], pin, TK_PIN_BYTES) == 0)
			return true;
	return false;
}

const struct tk_peer *
tk_registry_find(const struct tk_registry *registry, const uint8_t pin[TK_PIN_BYTES])
{
	for (size_t i = 0; i < registry->count; i++)
		if (registry->peers[i].state == TK_PEER_ACTIVE && peer_has_pin(&registry->peers[i], pin))
			return &registry->peers[i];
	return NULL;
}

const struct tk_peer *
tk_registry_at(const struct tk_registry *registry, size_t index)
{
	return index < registry->count ? &registry->peers[index] : NULL;
}

static enum tk_rc
peer_write(const char *vault_path, const struct tk_peer *peer, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = open(vault_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char hex[2 * TK_ID_BYTES + 1], path[64];
	struct tk_buf data;
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "open the vault %s", vault_path);
	tk_buf_init(&data, PEER_FILE_MAX);
	tk_hex_encode(peer->id.b, TK_ID_BYTES, hex);
	rc = tk_peer_encode(peer, &data, err);
	if (!rc)
		rc = tk_home_file_mkdir(fd, "sources", 0755, err);
	(void)snprintf(path, sizeof(path), "sources/%s", hex);
	if (!rc)
		rc = tk_home_file_mkdir(fd, path, 0755, err);
	(void)snprintf(path, sizeof(path), "sources/%s/peer", hex);
	if (!rc)
		rc = tk_home_file_put(fd, path, data.data, data.len_bytes, 0644, err);
	tk_buf_release(&data);
	return rc;
}

enum tk_rc
tk_registry_put(const char *vault_path, const struct tk_peer *peer, struct tk_err *err)
{
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = NULL;
	enum tk_rc rc = tk_registry_load(vault_path, NULL, &registry, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < peer->pin_count && i < TK_PEER_PINS_MAX; i++) {
		const struct tk_peer *other = tk_registry_find(registry, peer->pins[i]);

		if (other && memcmp(other->id.b, peer->id.b, TK_ID_BYTES) != 0)
			return tk_err_set(err, TK_ECONFLICT, "the key of %s is registered for %s already", peer->name, other->name);
	}
	return peer_write(vault_path, peer, err);
}

enum tk_rc
tk_registry_revoke(const char *vault_path, const char *name, struct tk_err *err)
{
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = NULL;
	const struct tk_peer *peer;
	char hex[2 * TK_ID_BYTES + 1];
	unsigned revoked = 0;
	enum tk_rc rc = tk_registry_load(vault_path, NULL, &registry, err);

	if (rc)
		return rc;
	for (size_t i = 0; (peer = tk_registry_at(registry, i)) != NULL; i++) {
		struct tk_peer changed = *peer;

		tk_hex_encode(peer->id.b, TK_ID_BYTES, hex);
		if (strcmp(peer->name, name) != 0 && strcmp(hex, name) != 0)
			continue;
		changed.state = TK_PEER_REVOKED;
		rc = peer_write(vault_path, &changed, err);
		if (rc)
			return rc;
		revoked++;
	}
	if (!revoked)
		return tk_err_set(err, TK_ENOENT, "no peer of the name %s is registered", name);
	return TK_OK;
}
