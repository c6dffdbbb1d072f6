#include "cli/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/fsio/openat.h"

static void
send_text(const char *text)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	socklen_t len;

	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(where.sun_path))
		return;
	memcpy(where.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		where.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* A manager that went away must not stop the service. */
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&where, len) < 0)
		return;
}

void
tk_notify(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	send_text(text);
}

void
tk_notify_reloading(void)
{
	tk_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(tk_clock_mono_ns() / 1000));
}

int64_t
tk_notify_watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long value = usec ? strtoll(usec, NULL, 10) : 0;

	if (value <= 0 || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
		return 0;
	/* Twice as often as needed. */
	return value / 2000 > 0 ? value / 2000 : 1;
}
