/* Packed bytes from a damaged vault: the first byte is the codec, two more the plain length that is claimed. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	size_t plain_bytes;
	uint8_t *plain;

	if (size < 3 || tk_compressor_new(&comp, NULL))
		return 0;
	/* Exactly as much memory as claimed, so that a byte too many is seen. */
	plain_bytes = (size_t)data[1] << 8 | data[2];
	plain = malloc(plain_bytes > 0 ? plain_bytes : 1);
	if (plain != NULL)
		(void)!tk_decompress(comp, data[0], data + 3, size - 3, plain, plain_bytes, NULL);
	free(plain);
	return 0;
}
