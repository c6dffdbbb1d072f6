/* site_url.h -- where a site is: "dir:/path" or "tk://host:port". Pure; any thread. */
#ifndef TK_POLICIES_SITE_URL_H
#define TK_POLICIES_SITE_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

enum tk_site_kind {
	TK_SITE_DIR,    /* a vault in a local directory, used in-process */
	TK_SITE_DAEMON, /* a twinkeepd, over TLS */
};

struct tk_site_url {
	enum tk_site_kind kind;
	char path[4096];  /* TK_SITE_DIR: absolute; else empty */
	char host[256];   /* TK_SITE_DAEMON: a name or an address, without brackets; else empty */
	uint16_t port;    /* 1..65535 for TK_SITE_DAEMON, else 0 */
};

/* Reads a url; IPv6 addresses stand in brackets. Errors: TK_EINVAL, with what to write instead. */
TK_MUST_CHECK enum tk_rc tk_site_url_parse(const char *text, struct tk_site_url *out, struct tk_err *err);

/* True for a name of a site, dataset or policy: a letter or digit, then letters, digits, '.', '_', '-', at most 64. */
bool tk_name_is_valid(const char *name);

#endif
