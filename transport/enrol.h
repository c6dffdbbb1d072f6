/* enrol.h -- how a site and a source come to know each other: one invitation file, made by the source, accepted by the site
 * (docs/PROTOCOL.md).
 *
 * The invitation holds a private key: it is written with mode 0600, travels over a safe channel and is deleted after use. */
#ifndef TK_TRANSPORT_ENROL_H
#define TK_TRANSPORT_ENROL_H

#include "engine/base/buf.h"
#include "engine/crypto/tls_ctx.h"
#include "engine/vault/ids.h"
#include "transport/registry.h"

/* Of a site's home. */
#define TK_SITE_CONFIG_FILE "twinkeepd.conf"
#define TK_SITE_CA_FILE "keys/ca.pem"
#define TK_SITE_CERT_FILE "keys/tls.pem"
#define TK_SITE_KEY_FILE "keys/tls.key"
/* The server name that a client of this source asks for: the id in hex, then ".twinkeep". */
#define TK_SOURCE_SERVER_NAME_MAX 64

/* What a source knows when it invites. All borrowed. */
struct tk_invite_request {
	const char *site_name, *source_name;
	struct tk_id source;
	uint8_t operator_key[TK_KEY_BYTES];     /* public */
	struct tk_bytes source_cert_pem;        /* its own TLS certificate: the site pins its key */
	struct tk_bytes ca_cert_pem;            /* what the site is to trust */
	struct tk_bytes ca_key_pem;             /* empty: the site's certificate is made elsewhere, the invitation has none */
	int64_t now_ns;
	unsigned years;                         /* of the site's certificate */
};

/* Makes a key and a certificate for the site, and appends the invitation's text. Wipe it after use (tk_wipe_buf). Errors: TK_EINVAL (a name),
 * TK_ECORRUPT (PEM), TK_EKEY (CA key and certificate do not match). */
TK_MUST_CHECK enum tk_rc tk_invite_make(const struct tk_invite_request *request, struct tk_buf *text, struct tk_err *err);
/* As tk_invite_make, into a new file of mode 0600. Errors: also TK_EEXIST, TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_invite_make_file(const struct tk_invite_request *request, const char *path, struct tk_err *err);

/* An invitation as the site reads it. */
struct tk_invite {
	char site_name[TK_PEER_NAME_MAX], source_name[TK_PEER_NAME_MAX];
	struct tk_id source;
	uint8_t operator_key[TK_KEY_BYTES];
	uint8_t pins[TK_PEER_PINS_MAX][TK_PIN_BYTES];
	unsigned pin_count;
	struct tk_buf ca_pem, cert_pem, key_pem;  /* the last two may both be empty */
};
/* On TK_OK the caller releases *out. Errors: TK_ECORRUPT, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_invite_parse(const void *text, size_t len_bytes, struct tk_invite *out, struct tk_err *err);
/* From a file. Errors: TK_EUSAGE (it is none, or a bad copy), TK_EUNSUPPORTED, TK_ENOENT, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_invite_read(const char *path, struct tk_invite *out, struct tk_err *err);
/* Wipes the key. */
void tk_invite_release(struct tk_invite *invite);

/*
 * Makes a site's home: the directory, keys/, the vault (vault_path, or home/vault when NULL; absolute), the registry entry of the source, and last the
 * configuration. An invitation without a certificate leaves keys/tls.pem and keys/tls.key to the operator. May be tried again after a failure.
 * Errors: TK_EEXIST (the home has a configuration already), TK_EINVAL, TK_EIO, TK_ENOSPC.
 */
TK_MUST_CHECK enum tk_rc tk_site_home_create(const char *home, const struct tk_invite *invite, const char *const *listen,
					     size_t listen_count, const char *vault_path, struct tk_err *err);
/* A further source for a site that is there: its CA is trusted, its certificate for this site kept beside the first, its registry entry written. The
 * daemon sees it when it reloads. Errors: TK_EINVAL: the invitation is for a site of another name; others as above. */
TK_MUST_CHECK enum tk_rc tk_site_home_add_source(const char *home, const char *vault_path, const struct tk_invite *invite,
						 struct tk_err *err);

/* The server's TLS context from a home's keys: trust, own certificate, and one for each further source. On TK_OK the caller owns *out. */
TK_MUST_CHECK enum tk_rc tk_site_home_tls(const char *home, struct tk_tls_ctx **out, struct tk_err *err);
/* A source's TLS context from its PEM texts, which are borrowed during the call. On TK_OK the caller owns *out. */
TK_MUST_CHECK enum tk_rc tk_source_tls(const struct tk_id *source, struct tk_bytes ca_pem, struct tk_bytes cert_pem, struct tk_bytes key_pem,
				       struct tk_tls_ctx **out, struct tk_err *err);

void tk_source_server_name(const struct tk_id *source, char dst[TK_SOURCE_SERVER_NAME_MAX]);

#endif
