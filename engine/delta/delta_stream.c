#include "engine/delta/delta_stream.h"

#include <string.h>

#define MAGIC UINT32_C(0x72730236)
#define OP_END 0
#define OP_LITERAL_N1 65 /* below: the length itself */
#define OP_COPY_N1_N1 69
#define OP_RESERVED 85

void
tk_delta_stream_init(struct tk_delta_stream *stream, struct tk_delta_ops *ops, uint64_t old_base_bytes,
	uint64_t old_len_bytes, uint64_t new_len_bytes)
{
	memset(stream, 0, sizeof(*stream));
	stream->ops = ops;
	stream->old_base_bytes = old_base_bytes;
	stream->old_len_bytes = old_len_bytes;
	stream->new_len_bytes = new_len_bytes;
}

static uint64_t
load_be(const uint8_t *src, size_t width)
{
	uint64_t value = 0;

	while (width--)
		value = value << 8 | *src++;
	return value;
}

static size_t
literal_width(uint8_t op)
{
	return (size_t)1 << (op - OP_LITERAL_N1);
}

static size_t
copy_offset_width(uint8_t op)
{
	return (size_t)1 << ((op - OP_COPY_N1_N1) / 4);
}

static size_t
copy_length_width(uint8_t op)
{
	return (size_t)1 << ((op - OP_COPY_N1_N1) % 4);
}

/* The length of the item whose first byte is known: the magic, or a command with its numbers. */
static size_t
head_need(const struct tk_delta_stream *stream)
{
	uint8_t op = stream->head[0];

	if (!stream->magic_seen)
		return 4;
	if (op < OP_LITERAL_N1 || op >= OP_RESERVED)
		return 1;
	if (op < OP_COPY_N1_N1)
		return 1 + literal_width(op);
	return 1 + copy_offset_width(op) + copy_length_width(op);
}

static enum tk_rc
account(struct tk_delta_stream *stream, uint64_t len_bytes, struct tk_err *err)
{
	if (len_bytes == 0 || len_bytes > stream->new_len_bytes - stream->made_bytes)
		return tk_err_set(err, TK_ECORRUPT, "delta stream: an operation of %llu bytes, with %llu to be made",
			(unsigned long long)len_bytes, (unsigned long long)(stream->new_len_bytes - stream->made_bytes));
	stream->made_bytes += len_bytes;
	return TK_OK;
}

static enum tk_rc
on_literal(struct tk_delta_stream *stream, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = account(stream, len_bytes, err);

	if (rc)
		return rc;
	stream->skip_bytes = len_bytes;
	stream->missed_bytes += len_bytes;
	return tk_delta_ops_literal(stream->ops, len_bytes, err);
}

static enum tk_rc
on_copy(struct tk_delta_stream *stream, uint64_t off_bytes, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = account(stream, len_bytes, err);

	if (rc)
		return rc;
	if (off_bytes > stream->old_len_bytes || len_bytes > stream->old_len_bytes - off_bytes)
		return tk_err_set(err, TK_ECORRUPT, "delta stream: a copy of %llu bytes at %llu leaves the old %llu bytes",
			(unsigned long long)len_bytes, (unsigned long long)off_bytes,
			(unsigned long long)stream->old_len_bytes);
	stream->missed_bytes = 0;
	return tk_delta_ops_copy(stream->ops, stream->old_base_bytes + off_bytes, len_bytes, err);
}

static enum tk_rc
on_head(struct tk_delta_stream *stream, struct tk_err *err)
{
	uint8_t op = stream->head[0];
	const uint8_t *numbers = stream->head + 1;
	size_t width;

	if (!stream->magic_seen) {
		stream->magic_seen = true;
		if (load_be(stream->head, 4) != MAGIC)
			return tk_err_set(err, TK_ECORRUPT, "delta stream: the magic is wrong");
		return TK_OK;
	}
	if (op == OP_END) {
		stream->end_seen = true;
		return TK_OK;
	}
	if (op < OP_LITERAL_N1)
		return on_literal(stream, op, err);
	if (op < OP_COPY_N1_N1)
		return on_literal(stream, load_be(numbers, literal_width(op)), err);
	if (op >= OP_RESERVED)
		return tk_err_set(err, TK_ECORRUPT, "delta stream: unknown command %u", (unsigned)op);
	width = copy_offset_width(op);
	return on_copy(stream, load_be(numbers, width), load_be(numbers + width, copy_length_width(op)), err);
}

/* Takes part of a literal or one byte of a head; returns how many bytes were taken. */
static size_t
take(struct tk_delta_stream *stream, const uint8_t *data, size_t len_bytes)
{
	size_t taken = 1;

	if (stream->skip_bytes == 0) {
		stream->head[stream->head_len_bytes++] = data[0];
		return taken;
	}
	taken = stream->skip_bytes < len_bytes ? (size_t)stream->skip_bytes : len_bytes;
	stream->skip_bytes -= taken;
	return taken;
}

enum tk_rc
tk_delta_stream_feed(struct tk_delta_stream *stream, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	size_t taken;

	while (!rc && len_bytes) {
		if (stream->end_seen)
			return tk_err_set(err, TK_ECORRUPT, "delta stream: bytes after its end");
		taken = take(stream, data, len_bytes);
		data += taken;
		len_bytes -= taken;
		if (stream->head_len_bytes && stream->head_len_bytes == head_need(stream)) {
			rc = on_head(stream, err);
			stream->head_len_bytes = 0;
		}
	}
	return rc;
}

enum tk_rc
tk_delta_stream_end(const struct tk_delta_stream *stream, struct tk_err *err)
{
	if (!stream->end_seen || stream->made_bytes != stream->new_len_bytes)
		return tk_err_set(err, TK_ECORRUPT, "delta stream: cut short, %llu of %llu bytes made",
			(unsigned long long)stream->made_bytes, (unsigned long long)stream->new_len_bytes);
	return TK_OK;
}
