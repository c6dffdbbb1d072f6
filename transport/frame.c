#include "transport/frame.h"

#include "engine/base/cursor.h"

enum body_kind { BODY_NONE, BODY_CONTROL, BODY_DATA };

static const struct frame_row {
	enum tk_frame_type type;
	enum body_kind body;
	const char *name;
} frame_rows[] = {
	{TK_FRAME_HELLO, BODY_CONTROL, "HELLO"},
	{TK_FRAME_WELCOME, BODY_CONTROL, "WELCOME"},
	{TK_FRAME_PING, BODY_NONE, "PING"},
	{TK_FRAME_OK, BODY_NONE, "OK"},
	{TK_FRAME_ERROR, BODY_CONTROL, "ERROR"},
	{TK_FRAME_BYE, BODY_CONTROL, "BYE"},
	{TK_FRAME_GENESIS, BODY_CONTROL, "GENESIS"},
	{TK_FRAME_PACK_BEGIN, BODY_CONTROL, "PACK_BEGIN"},
	{TK_FRAME_PACK_DATA, BODY_DATA, "PACK_DATA"},
	{TK_FRAME_PACK_END, BODY_NONE, "PACK_END"},
	{TK_FRAME_FLUSH, BODY_NONE, "FLUSH"},
	{TK_FRAME_HAVE, BODY_CONTROL, "HAVE"},
	{TK_FRAME_PUBLISH, BODY_CONTROL, "PUBLISH"},
	{TK_FRAME_VOTE, BODY_CONTROL, "VOTE"},
	{TK_FRAME_STATE_ASK, BODY_CONTROL, "STATE_ASK"},
	{TK_FRAME_GET_RANGE, BODY_CONTROL, "GET_RANGE"},
	{TK_FRAME_PACK_SIZE, BODY_CONTROL, "PACK_SIZE"},
	{TK_FRAME_LIST_POINTS, BODY_CONTROL, "LIST_POINTS"},
	{TK_FRAME_GET_POINT, BODY_CONTROL, "GET_POINT"},
	{TK_FRAME_GET_RECORD, BODY_CONTROL, "GET_RECORD"},
	{TK_FRAME_CHECK_PACK, BODY_CONTROL, "CHECK_PACK"},
	{TK_FRAME_GET_ENDS, BODY_CONTROL, "GET_ENDS"},
	{TK_FRAME_RECORD, BODY_CONTROL, "RECORD"},
	{TK_FRAME_DATA, BODY_DATA, "DATA"},
	{TK_FRAME_BITS, BODY_CONTROL, "BITS"},
	{TK_FRAME_NAMES, BODY_CONTROL, "NAMES"},
	{TK_FRAME_STATE, BODY_CONTROL, "STATE"},
	{TK_FRAME_NUMBER, BODY_CONTROL, "NUMBER"},
	{TK_FRAME_POINTS, BODY_CONTROL, "POINTS"},
	{TK_FRAME_NUMBERS, BODY_CONTROL, "NUMBERS"},
	{TK_FRAME_PUT_SLOT, BODY_CONTROL, "PUT_SLOT"},
	{TK_FRAME_DROP_SLOT, BODY_CONTROL, "DROP_SLOT"},
	{TK_FRAME_GET_SLOT, BODY_CONTROL, "GET_SLOT"},
	{TK_FRAME_PUT_CONFIG, BODY_CONTROL, "PUT_CONFIG"},
	{TK_FRAME_GET_CONFIG, BODY_CONTROL, "GET_CONFIG"},
	{TK_FRAME_ENDS, BODY_CONTROL, "ENDS"},
	{TK_FRAME_PACK_PART, BODY_CONTROL, "PACK_PART"},
	{TK_FRAME_PACK_SKIP, BODY_CONTROL, "PACK_SKIP"},
	{TK_FRAME_RECOVER_LIST, BODY_NONE, "RECOVER_LIST"},
	{TK_FRAME_RECOVER_HEAD, BODY_CONTROL, "RECOVER_HEAD"},
	{TK_FRAME_RECOVER_PROVE, BODY_CONTROL, "RECOVER_PROVE"},
	{TK_FRAME_RECOVER_ITEM, BODY_CONTROL, "RECOVER_ITEM"},
};

static const struct frame_row *
frame_row_find(unsigned type)
{
	for (size_t i = 0; i < sizeof(frame_rows) / sizeof(frame_rows[0]); i++)
		if ((unsigned)frame_rows[i].type == type)
			return &frame_rows[i];
	return NULL;
}

const char *
tk_frame_name(unsigned type)
{
	const struct frame_row *row = frame_row_find(type);

	return row ? row->name : "UNKNOWN";
}

uint32_t
tk_frame_limit(unsigned type)
{
	const struct frame_row *row = frame_row_find(type);

	if (!row || row->body == BODY_NONE)
		return 0;
	return row->body == BODY_DATA ? TK_FRAME_DATA_MAX : TK_FRAME_CONTROL_MAX;
}

enum tk_rc
tk_frame_encode_head(const struct tk_frame_head *head, uint8_t dst[TK_FRAME_HEADER_BYTES], struct tk_err *err)
{
	if (head->len_bytes > tk_frame_limit(head->type))
		return tk_err_set(err, TK_EINVAL, "a %s frame of %u bytes is too long to be sent", tk_frame_name(head->type),
				  head->len_bytes);
	tk_store_u32(dst, head->len_bytes);
	dst[4] = (uint8_t)head->type;
	dst[5] = head->more ? TK_FRAME_MORE : 0;
	tk_store_u16(dst + 6, 0);
	tk_store_u32(dst + 8, head->request);
	return TK_OK;
}

enum tk_rc
tk_frame_decode_head(const uint8_t src[TK_FRAME_HEADER_BYTES], struct tk_frame_head *head, struct tk_err *err)
{
	struct tk_cursor cur;
	unsigned type, flags, reserved;

	tk_cursor_init(&cur, src, TK_FRAME_HEADER_BYTES);
	head->len_bytes = tk_cursor_u32(&cur);
	type = tk_cursor_u8(&cur);
	flags = tk_cursor_u8(&cur);
	reserved = tk_cursor_u16(&cur);
	head->request = tk_cursor_u32(&cur);
	if (!frame_row_find(type))
		return tk_err_set(err, TK_EPROTO, "a frame of unknown type %u", type);
	if ((flags & ~TK_FRAME_MORE) || reserved)
		return tk_err_set(err, TK_EPROTO, "a %s frame with unknown flags", tk_frame_name(type));
	if (head->len_bytes > tk_frame_limit(type))
		return tk_err_set(err, TK_EPROTO, "a %s frame of %u bytes, over its limit", tk_frame_name(type), head->len_bytes);
	head->type = (enum tk_frame_type)type;
	head->more = flags & TK_FRAME_MORE;
	return TK_OK;
}

uint32_t
tk_frame_code_of(enum tk_rc rc)
{
	return (uint32_t)-(int)rc;
}

enum tk_rc
tk_frame_rc_of(uint32_t code)
{
	if (code < 1 || code > (uint32_t)-(int)TK_ENOTSAFE)
		return TK_EPROTO;
	return (enum tk_rc)-(int)code;
}
