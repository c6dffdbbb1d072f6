/* address.h -- "host:port", "[::1]:port": parsing, connecting with a time-out, listening. IPv4 and IPv6. Any thread. */
#ifndef TK_TRANSPORT_ADDRESS_H
#define TK_TRANSPORT_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_ADDRESS_TEXT_MAX 300

struct tk_address {
	char host[256];              /* without brackets; empty: every address of this machine (listening only) */
	uint16_t port;               /* 0: the kernel chooses (listening only) */
};

/* Reads "name:port", "1.2.3.4:port", "[::1]:port", ":port". Errors: TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_address_parse(const char *text, struct tk_address *out, struct tk_err *err);
/* The form that tk_address_parse reads. */
void tk_address_format(const struct tk_address *address, char dst[TK_ADDRESS_TEXT_MAX]);

/*
 * Connects to the first of the host's addresses that answers, within timeout_ms for all of them together (the resolver's own time comes on top).
 * On TK_OK the caller owns *fd: non-blocking, close-on-exec, TCP_NODELAY, keepalive. Errors: TK_EUNREACH, naming the address; TK_EINVAL.
 */
TK_MUST_CHECK enum tk_rc tk_address_connect(const struct tk_address *address, int64_t timeout_ms, int *fd, struct tk_err *err);

/*
 * Listens on every address the host has (an IPv6 socket takes IPv6 only). Appends up to max - *count sockets to fds, which the caller owns.
 * Errors: TK_EUNREACH (not an address of this machine, in use), TK_EINVAL; sockets appended before the error stay the caller's.
 */
TK_MUST_CHECK enum tk_rc tk_address_listen(const struct tk_address *address, int *fds, unsigned *count, unsigned max, struct tk_err *err);

/* What a socket is bound to (peer: connected to) as text; "unknown" when it cannot be told. host_only leaves out the port. */
void tk_address_of_socket(int fd, bool peer, bool host_only, char dst[TK_ADDRESS_TEXT_MAX]);

/* The network that a connected socket's peer belongs to, as far as one party usually rules it: an IPv4 address, or the first half of an IPv6
 * address. 0 when it cannot be told. */
uint64_t tk_address_network(int fd);

/* The options every connection has: non-blocking, close-on-exec, no delay, and a dead peer noticed within about a minute. */
TK_MUST_CHECK enum tk_rc tk_address_tune(int fd, struct tk_err *err);

#endif
