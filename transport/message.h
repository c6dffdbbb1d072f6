/* message.h -- control messages: between the generated Protocol Buffers structs and frames' bodies.
 *
 * Memory for one decoded message is bounded by a budget, whatever its bytes claim. Pure, any thread. Only transport/ sees the
 * generated header; bulk lists are rows in one `bytes` field, read with a cursor by who wants them. */
#ifndef TK_TRANSPORT_MESSAGE_H
#define TK_TRANSPORT_MESSAGE_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"
#include "engine/vault/store.h"
#include "transport/twinkeep.pb-c.h"

#define TK_PROTOCOL_VERSION 1u
#define TK_FEATURES 0u
/* Upper half of the feature bits: who does not know one of them must refuse. */
#define TK_FEATURES_CRITICAL 0xffffffff00000000ull

enum tk_role {
	TK_ROLE_SOURCE = 1,
	TK_ROLE_OPERATOR = 2,
	TK_ROLE_PEER_SITE = 3,       /* reserved */
	TK_ROLE_AUDITOR = 4,         /* reserved */
	TK_ROLE_RECOVERY = 5,        /* without a certificate: RECOVER frames only */
};

/* What signatures over a connection begin with, and where the channel's own value comes from. */
#define TK_OPERATOR_LABEL "EXPORTER-twinkeep-operator"
#define TK_OPERATOR_PREFIX "twinkeep operator"
#define TK_RECOVER_LABEL "EXPORTER-twinkeep-recover"
#define TK_RECOVER_PREFIX "twinkeep recover"

#define TK_FRAME_NAMES_MAX 32768u
#define TK_POINT_ROW_BYTES 56u

/* Decodes a body; the type is told by its descriptor (tk__wire__hello__descriptor ...). On TK_OK the caller owns *out (a struct of the
 * generated type). Errors: TK_EPROTO. */
TK_MUST_CHECK enum tk_rc tk_message_decode(const ProtobufCMessageDescriptor *type, const void *body, size_t len_bytes, void **out,
					   struct tk_err *err);
void tk_message_free(void *message);
/* For TK_AUTO, on any pointer to a generated struct. */
void tk_message_cleanup(void *message);
/* Appends the encoded message. Errors: TK_ENOMEM, TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_message_encode(const void *message, struct tk_buf *out, struct tk_err *err);

/* Copies a fixed-length field. Errors: TK_EPROTO (another length), naming `what`. */
TK_MUST_CHECK enum tk_rc tk_message_fixed(const ProtobufCBinaryData *field, void *dst, size_t len_bytes, const char *what,
					  struct tk_err *err);
/* Copies a text field with a NUL. Errors: TK_EPROTO (does not fit, or has a NUL inside). */
TK_MUST_CHECK enum tk_rc tk_message_text(const ProtobufCBinaryData *field, char *dst, size_t dst_bytes, const char *what,
					 struct tk_err *err);
/* A field that borrows from src. */
ProtobufCBinaryData tk_message_bytes(const void *src, size_t len_bytes);

/* Rows of names <-> list. Errors: TK_EPROTO (not a whole number of rows, too many), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_message_names(const ProtobufCBinaryData *rows, struct tk_pack_names *out, struct tk_err *err);
/* Appends the rows of a Points field to a list that grows by realloc. Errors: TK_EPROTO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_message_points(const ProtobufCBinaryData *rows, struct tk_store_point **list, size_t *count,
					   struct tk_err *err);
void tk_message_point_row(const struct tk_store_point *point, uint8_t row[TK_POINT_ROW_BYTES]);

/* What an Error body says, as an error of ours: "text of the site"; TK_EPROTO when it makes no sense. Never TK_OK. */
TK_MUST_CHECK enum tk_rc tk_message_error(const void *body, size_t len_bytes, struct tk_err *err);

#endif
