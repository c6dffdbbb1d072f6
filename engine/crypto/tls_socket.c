#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "engine/crypto/tls_priv.h"

/* OpenSSL's own socket BIO calls write(2), which raises SIGPIPE when the peer is gone. */
static int
socket_write(BIO *bio, const char *data, int len)
{
	struct tk_tls_socket *sock = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = send(sock->fd, data, (size_t)len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_write(bio);
	else
		sock->sys_errno = errno;
	return -1;
}

static int
socket_read(BIO *bio, char *data, int len)
{
	struct tk_tls_socket *sock = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(sock->fd, data, (size_t)len, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		sock->eof = true;
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		BIO_set_retry_read(bio);
	else
		sock->sys_errno = errno;
	return -1;
}

static long
socket_ctrl(BIO *bio, int command, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *
tk_tls_socket_method(void)
{
	/* Without an index of its own: there are only 128 of them in a process, and every reload makes a method. */
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "twinkeep socket");

	if (method == NULL)
		return NULL;
	if (BIO_meth_set_write(method, socket_write) != 1 || BIO_meth_set_read(method, socket_read) != 1 ||
	    BIO_meth_set_ctrl(method, socket_ctrl) != 1) {
		BIO_meth_free(method);
		return NULL;
	}
	return method;
}

BIO *
tk_tls_socket_bio(const struct tk_tls_ctx *ctx, struct tk_tls_socket *sock)
{
	BIO *bio = BIO_new(ctx->socket_method);

	if (bio != NULL) {
		BIO_set_data(bio, sock);
		BIO_set_init(bio, 1);
	}
	return bio;
}
