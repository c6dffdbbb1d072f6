/* frame.h -- frames: the unit of the protocol between nodes (docs/PROTOCOL.md).
 *
 * Pure functions over bytes, any thread. What is decoded here came from outside: every field is checked before anyone
 * allocates for the body. */
#ifndef TK_TRANSPORT_FRAME_H
#define TK_TRANSPORT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"

#define TK_FRAME_HEADER_BYTES 12
#define TK_FRAME_DATA_MAX (256u << 10)
#define TK_FRAME_CONTROL_MAX ((1u << 20) + 4096u)
/* The only flag: further frames of this reply follow. */
#define TK_FRAME_MORE 1u

enum tk_frame_type {
	TK_FRAME_HELLO = 1,
	TK_FRAME_WELCOME = 2,
	TK_FRAME_PING = 3,
	TK_FRAME_OK = 4,
	TK_FRAME_ERROR = 5,
	TK_FRAME_BYE = 6,
	TK_FRAME_GENESIS = 16,
	TK_FRAME_PACK_BEGIN = 17,
	TK_FRAME_PACK_DATA = 18,
	TK_FRAME_PACK_END = 19,
	TK_FRAME_FLUSH = 20,
	TK_FRAME_HAVE = 21,
	TK_FRAME_PUBLISH = 22,
	TK_FRAME_VOTE = 23,
	TK_FRAME_STATE_ASK = 24,
	TK_FRAME_GET_RANGE = 25,
	TK_FRAME_PACK_SIZE = 26,
	TK_FRAME_LIST_POINTS = 27,
	TK_FRAME_GET_POINT = 28,
	TK_FRAME_GET_RECORD = 29,
	TK_FRAME_CHECK_PACK = 30,
	TK_FRAME_GET_ENDS = 31,
	TK_FRAME_RECORD = 32,
	TK_FRAME_DATA = 33,
	TK_FRAME_BITS = 34,
	TK_FRAME_NAMES = 35,
	TK_FRAME_STATE = 36,
	TK_FRAME_NUMBER = 37,
	TK_FRAME_POINTS = 38,
	TK_FRAME_NUMBERS = 39,
	TK_FRAME_PUT_SLOT = 40,
	TK_FRAME_DROP_SLOT = 41,
	TK_FRAME_GET_SLOT = 42,
	TK_FRAME_PUT_CONFIG = 43,
	TK_FRAME_GET_CONFIG = 44,
	TK_FRAME_ENDS = 45,
	TK_FRAME_PACK_PART = 46,
	TK_FRAME_PACK_SKIP = 47,
	TK_FRAME_RECOVER_LIST = 48,
	TK_FRAME_RECOVER_HEAD = 49,
	TK_FRAME_RECOVER_PROVE = 50,
	TK_FRAME_RECOVER_ITEM = 51,
};

struct tk_frame_head {
	uint32_t len_bytes;          /* of the body */
	enum tk_frame_type type;
	bool more;
	uint32_t request;            /* 0: belongs to no request */
};

/* The word of docs/PROTOCOL.md for a type, "UNKNOWN" for others. Static storage. */
const char *tk_frame_name(unsigned type);
/* The greatest body of a type; 0 for an unknown type and for types without a body. */
uint32_t tk_frame_limit(unsigned type);

/* Writes the twelve bytes. The head is the caller's own: a length over the type's limit is TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_frame_encode_head(const struct tk_frame_head *head, uint8_t dst[TK_FRAME_HEADER_BYTES], struct tk_err *err);
/* Reads and checks the twelve bytes. Errors: TK_EPROTO (unknown type or flag, a body over the limit). */
TK_MUST_CHECK enum tk_rc tk_frame_decode_head(const uint8_t src[TK_FRAME_HEADER_BYTES], struct tk_frame_head *head, struct tk_err *err);

/* The protocol's numbers for error codes: what err.h calls them, without the sign; an unknown number becomes TK_EPROTO. */
uint32_t tk_frame_code_of(enum tk_rc rc);
enum tk_rc tk_frame_rc_of(uint32_t code);

#endif
