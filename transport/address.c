#include "transport/address.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"

#define LISTEN_BACKLOG 1024
#define DEAD_PEER_MS 60000u

static enum tk_rc
parse_port(const char *text, uint16_t *port, struct tk_err *err)
{
	char *end;
	unsigned long value;

	if (text[0] < '0' || text[0] > '9')
		return tk_err_set(err, TK_EINVAL, "\"%s\" is not a port number", text);
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*end || errno || value > UINT16_MAX)
		return tk_err_set(err, TK_EINVAL, "\"%s\" is not a port number", text);
	*port = (uint16_t)value;
	return TK_OK;
}

enum tk_rc
tk_address_parse(const char *text, struct tk_address *out, struct tk_err *err)
{
	const char *host = text, *colon = strrchr(text, ':');
	size_t len;

	memset(out, 0, sizeof(*out));
	if (!colon)
		return tk_err_set(err, TK_EINVAL, "\"%s\" has no port: write host:port or [address]:port", text);
	len = (size_t)(colon - text);
	if (len && text[0] == '[') {
		if (len < 3 || colon[-1] != ']')
			return tk_err_set(err, TK_EINVAL, "\"%s\" is not of the form [address]:port", text);
		host++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return tk_err_set(err, TK_EINVAL, "\"%s\": an IPv6 address is written [address]:port", text);
	}
	if (len >= sizeof(out->host))
		return tk_err_set(err, TK_EINVAL, "the host name is too long");
	memcpy(out->host, host, len);
	return parse_port(colon + 1, &out->port, err);
}

void
tk_address_format(const struct tk_address *address, char dst[TK_ADDRESS_TEXT_MAX])
{
	(void)snprintf(dst, TK_ADDRESS_TEXT_MAX, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host, address->port);
}

static void
addrinfo_cleanup(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

static enum tk_rc
resolve(const struct tk_address *address, int flags, struct addrinfo **out, struct tk_err *err)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	char port[8];
	int rc;

	(void)snprintf(port, sizeof(port), "%u", address->port);
	rc = getaddrinfo(address->host[0] ? address->host : NULL, port, &hints, out);
	if (rc)
		return tk_err_set(err, TK_EUNREACH, "cannot resolve %s: %s", address->host, gai_strerror(rc));
	return TK_OK;
}

enum tk_rc
tk_address_tune(int fd, struct tk_err *err)
{
	static const int on = 1, idle_s = 30, probe_s = 10, probes = 3;
	static const unsigned dead_ms = DEAD_PEER_MS;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return tk_err_errno(err, TK_EIO, "set up a socket");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms)) < 0)
		return tk_err_errno(err, TK_EIO, "set up a socket");
	return TK_OK;
}

/* Waits until a connect in progress has come to an end; 0 or the errno it ended with. */
static int
connect_wait(int fd, int64_t deadline_ns)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int fault = 0;
	socklen_t len = sizeof(fault);

	for (;;) {
		int64_t left_ms = (deadline_ns - tk_clock_mono_ns()) / 1000000;
		int ready = left_ms > 0 ? poll(&wait, 1, (int)(left_ms > INT_MAX ? INT_MAX : left_ms)) : 0;

		if (ready == 0)
			return ETIMEDOUT;
		if (ready > 0)
			break;
		if (errno != EINTR)
			return errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &len) < 0)
		return errno;
	return fault;
}

/* One address. Returns the socket, or -1 with errno. */
static int
connect_one(const struct addrinfo *where, int64_t deadline_ns)
{
	int fault = 0, fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, where->ai_addr, where->ai_addrlen) < 0)
		fault = errno == EINPROGRESS || errno == EINTR ? connect_wait(fd, deadline_ns) : errno;
	if (!fault && tk_address_tune(fd, NULL))
		fault = EIO;
	if (!fault)
		return fd;
	(void)close(fd);
	errno = fault;
	return -1;
}

enum tk_rc
tk_address_connect(const struct tk_address *address, int64_t timeout_ms, int *fd, struct tk_err *err)
{
	TK_AUTO(addrinfo_cleanup) struct addrinfo *list = NULL;
	int64_t deadline_ns = tk_clock_mono_ns() + timeout_ms * 1000000, left_ns;
	char text[TK_ADDRESS_TEXT_MAX];
	unsigned count = 0;
	enum tk_rc rc;

	tk_address_format(address, text);
	if (!address->host[0] || !address->port)
		return tk_err_set(err, TK_EINVAL, "\"%s\" is not an address to connect to", text);
	rc = resolve(address, AI_ADDRCONFIG, &list, err);
	if (rc)
		rc = resolve(address, 0, &list, err);
	if (rc)
		return rc;
	for (struct addrinfo *at = list; at; at = at->ai_next)
		count++;
	errno = EHOSTUNREACH;
	for (struct addrinfo *at = list; at; at = at->ai_next, count--) {
		/* One silent address must not eat the time of the others. */
		left_ns = deadline_ns - tk_clock_mono_ns();
		*fd = connect_one(at, tk_clock_mono_ns() + left_ns / (int64_t)count);
		if (*fd >= 0)
			return TK_OK;
	}
	return tk_err_set(err, TK_EUNREACH, "cannot connect to %s: %s", text, strerror(errno));
}

static int
listen_one(const struct addrinfo *where)
{
	static const int on = 1;
	int saved, fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (where->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
	    bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

enum tk_rc
tk_address_listen(const struct tk_address *address, int *fds, unsigned *count, unsigned max, struct tk_err *err)
{
	TK_AUTO(addrinfo_cleanup) struct addrinfo *list = NULL;
	char text[TK_ADDRESS_TEXT_MAX];
	unsigned before = *count;
	int fault = EADDRNOTAVAIL;
	enum tk_rc rc = resolve(address, AI_PASSIVE, &list, err);

	tk_address_format(address, text);
	if (rc)
		return rc;
	for (struct addrinfo *at = list; at; at = at->ai_next) {
		if (*count == max)
			return tk_err_set(err, TK_EINVAL, "more than %u listening sockets", max);
		fds[*count] = listen_one(at);
		if (fds[*count] >= 0)
			(*count)++;
		else if (errno != EAFNOSUPPORT)
			fault = errno;
	}
	/* A machine without IPv6 still listens on IPv4; an address in use is not passed over. */
	if (*count == before || fault == EADDRINUSE)
		return tk_err_set(err, TK_EUNREACH, "cannot listen on %s: %s", text, strerror(fault));
	return TK_OK;
}

void
tk_address_of_socket(int fd, bool peer, bool host_only, char dst[TK_ADDRESS_TEXT_MAX])
{
	struct sockaddr_storage where;
	struct sockaddr *generic = (struct sockaddr *)&where;
	socklen_t len = sizeof(where);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if ((peer ? getpeername(fd, generic, &len) : getsockname(fd, generic, &len)) < 0 ||
	    getnameinfo(generic, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		(void)snprintf(dst, TK_ADDRESS_TEXT_MAX, "unknown");
		return;
	}
	if (host_only)
		(void)snprintf(dst, TK_ADDRESS_TEXT_MAX, "%.280s", host);
	else
		(void)snprintf(dst, TK_ADDRESS_TEXT_MAX, strchr(host, ':') ? "[%.270s]:%.8s" : "%.270s:%.8s", host, port);
}

uint64_t
tk_address_network(int fd)
{
	struct sockaddr_storage where;
	socklen_t len = sizeof(where);
	uint64_t network = 0;

	if (getpeername(fd, (struct sockaddr *)&where, &len) < 0)
		return 0;
	if (where.ss_family == AF_INET)
		memcpy(&network, &((struct sockaddr_in *)&where)->sin_addr, sizeof(struct in_addr));
	else if (where.ss_family == AF_INET6)
		memcpy(&network, &((struct sockaddr_in6 *)&where)->sin6_addr, sizeof(network));
	return network;
}
