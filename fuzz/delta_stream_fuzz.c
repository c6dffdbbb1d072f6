/* The delta stream parser: whatever comes, in two pieces, the operations stay within the old and the new range. */
#include <stdlib.h>

#include "engine/delta/delta_stream.h"

#define OLD_BASE_BYTES 4096
#define OLD_LEN_BYTES 70000
#define NEW_LEN_BYTES 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ops(const struct tk_delta_ops *ops)
{
	uint64_t made = 0;

	for (size_t i = 0; i < ops->count; i++) {
		const struct tk_delta_op *op = &ops->rows[i];

		if (op->kind == TK_DELTA_COPY && (op->old_off_bytes < OLD_BASE_BYTES ||
			op->old_off_bytes - OLD_BASE_BYTES > OLD_LEN_BYTES))
			abort();
		made += op->len_bytes;
	}
	if (made > NEW_LEN_BYTES || made != ops->copy_bytes + ops->literal_bytes)
		abort();
}

/* The first byte says where the input is cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_delta_stream stream;
	struct tk_delta_ops ops;
	size_t cut;

	if (size == 0)
		return 0;
	cut = data[0] < size - 1 ? data[0] : size - 1;
	tk_delta_ops_init(&ops);
	tk_delta_stream_init(&stream, &ops, OLD_BASE_BYTES, OLD_LEN_BYTES, NEW_LEN_BYTES);
	if (tk_delta_stream_feed(&stream, data + 1, cut, NULL) == TK_OK &&
		tk_delta_stream_feed(&stream, data + 1 + cut, size - 1 - cut, NULL) == TK_OK &&
		tk_delta_stream_end(&stream, NULL) == TK_OK && ops.copy_bytes + ops.literal_bytes != NEW_LEN_BYTES)
		abort();
	check_ops(&ops);
	tk_delta_ops_release(&ops);
	return 0;
}
