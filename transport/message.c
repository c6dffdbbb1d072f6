#include "transport/message.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "transport/frame.h"

/* Two bytes of a hostile message may ask for fifty of memory: the budget ends that. */
#define MESSAGE_BUDGET_BYTES (4u << 20)
#define TEXT_MAX 900u
#define MESSAGE_POINTS_MAX (1u << 24)

static void *
budget_alloc(void *ctx, size_t size)
{
	size_t *left = ctx;

	if (size > *left)
		return NULL;
	*left -= size;
	return malloc(size ? size : 1);
}

static void
budget_free(void *ctx, void *memory)
{
	(void)ctx;
	free(memory);
}

enum tk_rc
tk_message_decode(const ProtobufCMessageDescriptor *type, const void *body, size_t len_bytes, void **out, struct tk_err *err)
{
	size_t budget = MESSAGE_BUDGET_BYTES;
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	static const uint8_t nothing[1];

	*out = protobuf_c_message_unpack(type, &allocator, len_bytes, len_bytes ? body : nothing);
	if (!*out)
		return tk_err_set(err, TK_EPROTO, "a %s message that makes no sense", type->short_name);
	return TK_OK;
}

void
tk_message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

void
tk_message_cleanup(void *message)
{
	void *held;

	/* The argument is the address of a pointer of any generated type. */
	memcpy(&held, message, sizeof(held));
	tk_message_free(held);
}

enum tk_rc
tk_message_encode(const void *message, struct tk_buf *out, struct tk_err *err)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	enum tk_rc rc = tk_buf_reserve(out, len, err);

	if (rc)
		return rc;
	if (len)
		out->len_bytes += protobuf_c_message_pack(message, out->data + out->len_bytes);
	return TK_OK;
}

enum tk_rc
tk_message_fixed(const ProtobufCBinaryData *field, void *dst, size_t len_bytes, const char *what, struct tk_err *err)
{
	if (field->len != len_bytes)
		return tk_err_set(err, TK_EPROTO, "%s of %zu bytes instead of %zu", what, field->len, len_bytes);
	memcpy(dst, field->data, len_bytes);
	return TK_OK;
}

ProtobufCBinaryData
tk_message_bytes(const void *src, size_t len_bytes)
{
	ProtobufCBinaryData field = {.len = len_bytes};

	/* The generated struct has no const; encoding only reads. */
	memcpy(&field.data, &src, sizeof(src));
	return field;
}

enum tk_rc
tk_message_names(const ProtobufCBinaryData *rows, struct tk_pack_names *out, struct tk_err *err)
{
	size_t count = rows->len / sizeof(struct tk_pack_name);

	memset(out, 0, sizeof(*out));
	if (rows->len % sizeof(struct tk_pack_name) || count > TK_FRAME_NAMES_MAX)
		return tk_err_set(err, TK_EPROTO, "a list of pack names of %zu bytes", rows->len);
	if (!count)
		return TK_OK;
	out->names = malloc(rows->len);
	if (!out->names)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu pack names", count);
	memcpy(out->names, rows->data, rows->len);
	out->count = count;
	return TK_OK;
}

enum tk_rc
tk_message_points(const ProtobufCBinaryData *rows, struct tk_store_point **list, size_t *count, struct tk_err *err)
{
	size_t more = rows->len / TK_POINT_ROW_BYTES;
	struct tk_store_point *grown;
	struct tk_cursor cur;

	if (rows->len % TK_POINT_ROW_BYTES || more > MESSAGE_POINTS_MAX - *count)
		return tk_err_set(err, TK_EPROTO, "a list of points of %zu bytes", rows->len);
	if (!more)
		return TK_OK;
	grown = realloc(*list, (*count + more) * sizeof(**list));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu points", *count + more);
	*list = grown;
	tk_cursor_init(&cur, rows->data, rows->len);
	for (size_t i = 0; i < more; i++) {
		struct tk_store_point *point = &grown[*count + i];

		point->at.epoch = tk_cursor_u64(&cur);
		point->at.sequence = tk_cursor_u64(&cur);
		tk_cursor_copy(&cur, point->at.point.b, TK_DIGEST_BYTES);
		point->received_ns = tk_cursor_u64(&cur);
	}
	*count += more;
	return tk_cursor_end(&cur, "list of points", err);
}

enum tk_rc
tk_message_text(const ProtobufCBinaryData *field, char *dst, size_t dst_bytes, const char *what, struct tk_err *err)
{
	if (field->len >= dst_bytes || (field->len && memchr(field->data, 0, field->len)))
		return tk_err_set(err, TK_EPROTO, "%s is not a text of at most %zu bytes", what, dst_bytes - 1);
	if (field->len)
		memcpy(dst, field->data, field->len);
	dst[field->len] = '\0';
	return TK_OK;
}

void
tk_message_point_row(const struct tk_store_point *point, uint8_t row[TK_POINT_ROW_BYTES])
{
	tk_store_u64(row, point->at.epoch);
	tk_store_u64(row + 8, point->at.sequence);
	memcpy(row + 16, point->at.point.b, TK_DIGEST_BYTES);
	tk_store_u64(row + 48, point->received_ns);
}

enum tk_rc
tk_message_error(const void *body, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_message_cleanup) Tk__Wire__Error *message = NULL;
	void *decoded = NULL;
	enum tk_rc rc = tk_message_decode(&tk__wire__error__descriptor, body, len_bytes, &decoded, err);

	if (rc)
		return rc;
	message = decoded;
	if (!message->text.len)
		return tk_err_set(err, tk_frame_rc_of(message->code), "(no reason given)");
	return tk_err_set(err, tk_frame_rc_of(message->code), "%.*s", (int)(message->text.len > TEXT_MAX ? TEXT_MAX : message->text.len),
			  (const char *)message->text.data);
}
