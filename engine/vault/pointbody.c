#include <stdlib.h>
#include <string.h>

#include "engine/vault/recordio.h"

enum { BODY_VERSION = 1, NAME_BYTES_MAX = 255, ROOT_BYTES_MIN = 2, EXTENSION_BYTES_MIN = 2 };

void
tk_point_body_release(struct tk_point_body *body)
{
	free(body->dataset_name);
	free(body->source_name);
	for (size_t i = 0; i < body->root_count; i++)
		free(body->roots[i]);
	free(body->roots);
	memset(body, 0, sizeof(*body));
}

enum tk_rc
tk_point_body_encode(const struct tk_point_body *body, struct tk_buf *plain, struct tk_err *err)
{
	const uint64_t counts[] = {body->entries, body->files, body->total_bytes, body->files_new, body->files_changed, body->files_removed,
	    body->files_unreadable, body->files_inconsistent, body->literal_bytes, body->stored_bytes};
	struct tk_writer w;

	if (strlen(body->dataset_name) > NAME_BYTES_MAX || strlen(body->source_name) > NAME_BYTES_MAX || body->segment_bytes == 0)
		return tk_err_set(err, TK_EINVAL, "a point with a name over %d bytes, or segments of none", NAME_BYTES_MAX);
	tk_writer_begin_plain(&w, plain, err);
	tk_writer_u8(&w, BODY_VERSION);
	tk_writer_bytes(&w, body->dataset_name, strlen(body->dataset_name));
	tk_writer_bytes(&w, body->source_name, strlen(body->source_name));
	tk_writer_sv(&w, body->scan_start_ns);
	tk_writer_sv(&w, body->scan_end_ns);
	tk_writer_digest(&w, &body->tree);
	tk_writer_u32(&w, body->segment_bytes);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		tk_writer_uv(&w, counts[i]);
	tk_writer_uv(&w, body->root_count);
	for (size_t i = 0; w.rc == TK_OK && i < body->root_count; i++) {
		if (body->roots[i][0] != '/')
			w.rc = tk_err_set(err, TK_EINVAL, "the root '%.200s' of a dataset is not absolute", body->roots[i]);
		tk_writer_bytes(&w, body->roots[i], strlen(body->roots[i]));
	}
	tk_writer_uv(&w, 0);
	return tk_writer_end(&w);
}

static enum tk_rc
read_roots(struct tk_cursor *cur, struct tk_point_body *out, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / ROOT_BYTES_MIN);
	enum tk_rc rc = TK_OK;

	out->roots = calloc(count + 1, sizeof(*out->roots));
	if (!out->roots)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu roots", count);
	for (size_t i = 0; i < count; i++) {
		char *root = tk_record_text(cur, TK_PATH_BYTES_MAX, &rc);

		if (!root)
			break;
		out->roots[out->root_count++] = root;
		if (root[0] != '/')
			tk_cursor_fail(cur, "a root that is not absolute");
	}
	return rc ? tk_err_set(err, rc, "no memory for the roots of a dataset") : TK_OK;
}

/* None is known yet: they are read over. */
static void
skip_extensions(struct tk_cursor *cur)
{
	uint64_t count = tk_cursor_uv_max(cur, tk_cursor_left(cur) / EXTENSION_BYTES_MIN);
	size_t len;

	for (uint64_t i = 0; i < count && tk_cursor_ok(cur); i++) {
		(void)tk_cursor_uv(cur);
		(void)tk_cursor_bytes(cur, TK_RECORD_MAX, &len);
	}
}

static enum tk_rc
read_body(struct tk_cursor *cur, struct tk_point_body *out, struct tk_err *err)
{
	uint64_t *counts[] = {&out->entries, &out->files, &out->total_bytes, &out->files_new, &out->files_changed, &out->files_removed,
	    &out->files_unreadable, &out->files_inconsistent, &out->literal_bytes, &out->stored_bytes};
	enum tk_rc rc = TK_OK;

	out->dataset_name = tk_record_text(cur, NAME_BYTES_MAX, &rc);
	out->source_name = tk_record_text(cur, NAME_BYTES_MAX, &rc);
	if (rc)
		return tk_err_set(err, rc, "no memory for the body of a point");
	out->scan_start_ns = tk_cursor_sv(cur);
	out->scan_end_ns = tk_cursor_sv(cur);
	tk_record_digest(cur, &out->tree);
	out->segment_bytes = tk_cursor_u32(cur);
	if (out->segment_bytes == 0)
		tk_cursor_fail(cur, "segments of 0 bytes");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		*counts[i] = tk_cursor_uv(cur);
	rc = read_roots(cur, out, err);
	if (rc)
		return rc;
	skip_extensions(cur);
	return tk_cursor_end(cur, "the point's body", err);
}

enum tk_rc
tk_point_body_decode(const void *plain, size_t plain_bytes, struct tk_point_body *out, struct tk_err *err)
{
	struct tk_cursor cur;
	unsigned version;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	tk_cursor_init(&cur, plain, plain_bytes);
	version = tk_cursor_u8(&cur);
	if (tk_cursor_ok(&cur) && version != BODY_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "the point's body: version %u is not known", version);
	rc = read_body(&cur, out, err);
	if (rc)
		tk_point_body_release(out);
	return rc;
}
