/* Signatures from a damaged disk: checked, loaded, and searched with; the operations must make the range. */
#include <stdlib.h>
#include <string.h>

#include "engine/delta/delta.h"
#include "engine/delta/signature.h"

#define NEW_LEN_BYTES 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum tk_rc
read_pattern(void *ctx, uint64_t off_bytes, size_t len_bytes, uint8_t *dst, struct tk_err *err)
{
	(void)ctx;
	(void)err;
	for (size_t i = 0; i < len_bytes; i++)
		dst[i] = (uint8_t)((off_bytes + i) * 7 >> 3);
	return TK_OK;
}

/* The first two bytes say which length was signed. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_delta_ops ops;
	struct tk_delta_old old = {.off_bytes = 512};
	struct tk_delta_request request = {
		.source = {read_pattern, NULL},
		.len_bytes = NEW_LEN_BYTES,
		.olds = &old,
		.old_count = 1,
	};

	if (size < 2)
		return 0;
	old.len_bytes = (uint64_t)data[0] << 8 | data[1];
	old.signature = data + 2;
	old.signature_len_bytes = size - 2;
	tk_delta_ops_init(&ops);
	if (tk_delta_search(&request, &ops, NULL) == TK_OK && ops.copy_bytes + ops.literal_bytes != NEW_LEN_BYTES)
		abort();
	tk_delta_ops_release(&ops);
	return 0;
}
