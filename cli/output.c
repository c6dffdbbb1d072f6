#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress_bar.h"
#include "engine/base/clock.h"

static const struct {
	enum tk_rc rc;
	const char *advice;
} advices[] = {
	{TK_ENOMEM, "free memory, or run it with fewer threads"},
	{TK_EIO, "look at the disk and the system log, then run it again"},
	{TK_ENOSPC, "free space there, then run it again"},
	{TK_ENOENT, "check the name"},
	{TK_EEXIST, "choose another name, or remove what is there"},
	{TK_ECORRUPT, "run twinkeep verify --data, and restore from another site meanwhile"},
	{TK_EKEY, "check the passphrase and whose home this is"},
	{TK_EFENCED, "do not write here before it is known who does"},
	{TK_EUNREACH, "check the network, the site's url and that twinkeepd runs there"},
	{TK_ELOCKED, "wait until the other run has ended"},
	{TK_ECANCELLED, "run it again: what is stored is not sent twice"},
	{TK_EDENIED, "ask the site's operator to enrol this node"},
	{TK_EUNSUPPORTED, "use a newer twinkeep"},
	{TK_ETIMEOUT, "check the network, or raise io_timeout in the configuration"},
	{TK_EPROTO, "check that both sides have the same version"},
	{TK_EMISSING, "run twinkeep verify to find the sites that lack it"},
	{TK_EBEHIND, "let the site catch up, then twinkeep site readmit"},
	{TK_ECONFLICT, "this home may be a copy or an old state: see twinkeep status"},
	{TK_EHISTORY, "name one with --history"},
	{TK_ENOTSAFE, "look at the name before anything else is done"},
};

const char *
tk_err_advice(const struct tk_err *err)
{
	/* "What is wrong; what to do" has it already. */
	if (strstr(err->text, "; "))
		return NULL;
	/* What the system refused is told apart from what a peer did. */
	if ((err->sys_errno == EACCES || err->sys_errno == EPERM) && (err->rc == TK_EDENIED || err->rc == TK_EIO))
		return "run it as a user who may";
	if (err->sys_errno == EPIPE)
		return "see why the reader ended";
	if (err->sys_errno == ENOENT && err->rc == TK_EUNREACH)
		return "see whether its disk is mounted, or correct the site's url; the vault of a new site is made by twinkeep site invite";
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		if (advices[i].rc == err->rc)
			return advices[i].advice;
	return NULL;
}

void
tk_out_init(struct tk_output *out, FILE *to, FILE *faults, bool json, bool quiet)
{
	*out = (struct tk_output){.out = to, .err = faults, .json = json, .quiet = quiet};
	if (!json)
		return;
	out->root = json_object();
	out->errors = json_array();
	/* Without them (memory) the document is "null", and finish says so. */
	if (out->root && json_object_set_new(out->root, "errors", out->errors) < 0)
		out->errors = NULL;
}

int
tk_out_finish(struct tk_output *out, int exit_status)
{
	bool good = true;

	if (out->json) {
		good = out->root && json_dumpf(out->root, out->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12)) == 0 && putc('\n', out->out) != EOF;
		json_decref(out->root);
		out->root = out->errors = NULL;
	}
	if (fflush(out->out) != 0 || ferror(out->out))
		good = false;
	if (!good)
		fprintf(out->err, "twinkeep: cannot write to standard output: see where it goes\n");
	return !good && exit_status == 0 ? 1 : exit_status;
}

static void
bar_clear(struct tk_output *out)
{
	if (out->bar)
		tk_bar_clear(out->bar);
}

void
tk_out_text(struct tk_output *out, const char *fmt, ...)
{
	va_list args;

	if (out->json || out->quiet)
		return;
	bar_clear(out);
	va_start(args, fmt);
	(void)vfprintf(out->out, fmt, args);
	va_end(args);
}

void
tk_out_set(struct tk_output *out, const char *name, json_t *value)
{
	if (!out->root)
		json_decref(value);
	else
		(void)json_object_set_new(out->root, name, value);
}

void
tk_out_tell(struct tk_output *out, const struct tk_err *err)
{
	char text[4 * TK_ERR_TEXT_MAX];
	const char *advice = tk_err_advice(err);

	bar_clear(out);
	tk_format_name(err->text, text, sizeof(text));
	fprintf(out->err, "twinkeep: %s%s%s\n", text, advice ? ": " : "", advice ? advice : "");
}

void
tk_out_list(struct tk_output *out, const struct tk_err *err)
{
	json_t *entry = NULL;

	if (out->errors)
		entry = json_pack("{s:s, s:o, s:s?}", "code", tk_rc_name(err->rc), "message", tk_json_text(err->text), "advice", tk_err_advice(err));
	if (entry)
		(void)json_array_append_new(out->errors, entry);
}

int
tk_out_fail(struct tk_output *out, const struct tk_err *err)
{
	tk_out_tell(out, err);
	tk_out_list(out, err);
	return tk_rc_exit_status(err->rc);
}

void
tk_out_warn(struct tk_output *out, enum tk_rc rc, const char *fmt, ...)
{
	struct tk_err err;
	char text[TK_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)tk_err_set(&err, rc, "%s", text);
	(void)tk_out_fail(out, &err);
}

json_t *
tk_json_text(const char *text)
{
	json_t *value;
	char *clean;
	size_t size;

	if (!text)
		return json_null();
	value = json_string(text);
	if (value)
		return value;
	size = 4 * strlen(text) + 1;
	clean = malloc(size);
	if (!clean)
		return NULL;
	value = json_string(tk_format_name(text, clean, size));
	free(clean);
	return value;
}

json_t *
tk_json_time(int64_t wall_ns)
{
	char text[TK_TIME_TEXT_MAX];

	tk_time_format(wall_ns, text);
	return json_string(text);
}
