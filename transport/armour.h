/* armour.h -- bytes as text between two marks: base64 (RFC 4648) in lines of 64. Pure; any thread. */
#ifndef TK_TRANSPORT_ARMOUR_H
#define TK_TRANSPORT_ARMOUR_H

#include "engine/base/buf.h"

/* Appends "-----BEGIN title-----", the lines, "-----END title-----". */
TK_MUST_CHECK enum tk_rc tk_armour_encode(const char *title, const void *data, size_t len_bytes, struct tk_buf *text, struct tk_err *err);
/* Appends what stands between the marks; text around them is passed over. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_armour_decode(const char *title, const void *text, size_t len_bytes, struct tk_buf *data, struct tk_err *err);

#endif
