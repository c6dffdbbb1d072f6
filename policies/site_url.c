#include "policies/site_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static enum tk_rc
refuse(struct tk_err *err, const char *text, const char *why)
{
	return tk_err_set(err, TK_EINVAL, "\"%.200s\" is not a site: %s; write \"dir:/absolute/path\" or \"tk://host:port\"", text, why);
}

/* A host name, an IPv4 address, or an IPv6 address (with a zone perhaps) that stood in brackets. */
static bool
host_is_valid(const char *host, bool bracketed)
{
	for (const char *at = host; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr(bracketed ? ":.%-_" : ".-_", *at))
			return false;
	return *host != '\0' && *host != '-' && (!bracketed || strchr(host, ':'));
}

static enum tk_rc
daemon_parse(const char *text, const char *rest, struct tk_site_url *out, struct tk_err *err)
{
	bool bracketed = *rest == '[';
	const char *host = bracketed ? rest + 1 : rest;
	const char *end = bracketed ? strchr(host, ']') : strrchr(host, ':');
	const char *digits;
	unsigned long port = 0;

	if (!end)
		return refuse(err, text, bracketed ? "the bracket is not closed" : "it has no port");
	if ((size_t)(end - host) >= sizeof(out->host))
		return refuse(err, text, "the host name is too long");
	memcpy(out->host, host, (size_t)(end - host));
	if (!host_is_valid(out->host, bracketed))
		return refuse(err, text, strchr(out->host, ':') ? "an IPv6 address stands in brackets" : "the host name is not one");
	digits = bracketed ? end + 1 : end;
	if (*digits++ != ':')
		return refuse(err, text, "it has no port");
	if (strlen(digits) > 0 && strlen(digits) <= 5 && strspn(digits, "0123456789") == strlen(digits))
		port = strtoul(digits, NULL, 10);
	if (port < 1 || port > 65535)
		return refuse(err, text, "the port is not a number from 1 to 65535");
	out->kind = TK_SITE_DAEMON;
	out->port = (uint16_t)port;
	return TK_OK;
}

enum tk_rc
tk_site_url_parse(const char *text, struct tk_site_url *out, struct tk_err *err)
{
	memset(out, 0, sizeof(*out));
	if (strncmp(text, "tk://", 5) == 0)
		return daemon_parse(text, text + 5, out, err);
	if (strncmp(text, "dir:", 4) != 0)
		return refuse(err, text, "it begins with neither dir: nor tk://");
	if (text[4] != '/')
		return refuse(err, text, "the path is not absolute");
	if (strlen(text + 4) >= sizeof(out->path))
		return refuse(err, text, "the path is too long");
	out->kind = TK_SITE_DIR;
	memcpy(out->path, text + 4, strlen(text + 4) + 1);
	return TK_OK;
}

bool
tk_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 64 || !isalnum((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}
