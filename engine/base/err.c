#include "engine/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One table: code, stable name, exit status. The man page's exit section is made from the same statuses. */
static const struct rc_row {
	enum tk_rc rc;
	int exit_status;
	const char *name;
} rc_rows[] = {
	{TK_OK, 0, "ok"},
	{TK_ENOMEM, 1, "out-of-memory"},
	{TK_EIO, 1, "io"},
	{TK_ENOSPC, 1, "no-space"},
	{TK_ENOENT, 1, "not-found"},
	{TK_EEXIST, 1, "exists"},
	{TK_EINVAL, 1, "invalid"},
	{TK_ECORRUPT, 5, "corrupt"},
	{TK_EKEY, 8, "wrong-key"},
	{TK_EFENCED, 6, "fenced"},
	{TK_EUNREACH, 7, "unreachable"},
	{TK_ELOCKED, 9, "locked"},
	{TK_EUSAGE, 2, "usage"},
	{TK_ECONFIG, 2, "config"},
	{TK_ECANCELLED, 1, "cancelled"},
	{TK_EDENIED, 1, "denied"},
	{TK_EUNSUPPORTED, 1, "unsupported"},
	{TK_ETIMEOUT, 7, "timeout"},
	{TK_EPROTO, 1, "protocol"},
	{TK_EMISSING, 5, "missing"},
	{TK_EBEHIND, 1, "vault-behind"},
	{TK_ECONFLICT, 6, "conflict"},
	{TK_EHISTORY, 10, "two-histories"},
	{TK_ENOTSAFE, 1, "not-safe"},
};

static const struct rc_row *
rc_row_find(enum tk_rc rc)
{
	for (size_t i = 0; i < sizeof(rc_rows) / sizeof(rc_rows[0]); i++)
		if (rc_rows[i].rc == rc)
			return &rc_rows[i];
	return NULL;
}

const char *
tk_rc_name(enum tk_rc rc)
{
	const struct rc_row *row = rc_row_find(rc);

	return row ? row->name : "error";
}

int
tk_rc_exit_status(enum tk_rc rc)
{
	const struct rc_row *row = rc_row_find(rc);

	return row ? row->exit_status : 1;
}

/* An error is one line: whatever a name or a peer put into it. */
static void
text_one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void err_fill(struct tk_err *err, enum tk_rc rc, int sys_errno, const char *fmt, va_list args) TK_PRINTF(4, 0);

static void
err_fill(struct tk_err *err, enum tk_rc rc, int sys_errno, const char *fmt, va_list args)
{
	size_t len;

	err->rc = rc;
	err->sys_errno = sys_errno;
	err->cause[0] = '\0';
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	if (sys_errno) {
		len = strlen(err->text);
		(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(sys_errno));
	}
	text_one_line(err->text);
}

enum tk_rc
tk_err_set(struct tk_err *err, enum tk_rc rc, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return rc;
	va_start(args, fmt);
	err_fill(err, rc, 0, fmt, args);
	va_end(args);
	return rc;
}

enum tk_rc
tk_err_errno(struct tk_err *err, enum tk_rc rc, const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	if (saved == ENOSPC || saved == EDQUOT)
		rc = TK_ENOSPC;
	else if (saved == ENOMEM)
		rc = TK_ENOMEM;
	else if (saved == ENOENT)
		rc = TK_ENOENT;
	if (!err)
		return rc;
	va_start(args, fmt);
	err_fill(err, rc, saved, fmt, args);
	va_end(args);
	return rc;
}

enum tk_rc
tk_err_context(struct tk_err *err, enum tk_rc rc, const char *fmt, ...)
{
	char inner[TK_ERR_TEXT_MAX];
	size_t len;
	va_list args;

	if (!err)
		return rc;
	memcpy(inner, err->text, sizeof(inner));
	va_start(args, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", inner);
	text_one_line(err->text);
	return err->rc;
}

enum tk_rc
tk_err_cause(struct tk_err *err, enum tk_rc rc, const char *cause)
{
	if (!err)
		return rc;
	(void)snprintf(err->cause, sizeof(err->cause), "%s", cause);
	return err->rc;
}

void
tk_err_clear(struct tk_err *err)
{
	if (!err)
		return;
	err->rc = TK_OK;
	err->sys_errno = 0;
	err->cause[0] = '\0';
	err->text[0] = '\0';
}
