/* A stream of frame heads from a hostile peer: whatever is accepted stays within its limit and encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "transport/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size >= TK_FRAME_HEADER_BYTES) {
		struct tk_frame_head head;
		uint8_t again[TK_FRAME_HEADER_BYTES];

		if (tk_frame_decode_head(data, &head, NULL))
			return 0;
		if (head.len_bytes > TK_FRAME_CONTROL_MAX)
			abort();
		if (tk_frame_encode_head(&head, again, NULL) || memcmp(again, data, sizeof(again)) != 0)
			abort();
		data += TK_FRAME_HEADER_BYTES;
		size -= TK_FRAME_HEADER_BYTES;
		if (head.len_bytes > size)
			return 0;
		data += head.len_bytes;
		size -= head.len_bytes;
	}
	return 0;
}
