/* notify.h -- tells a service manager how the daemon is: the datagrams of sd_notify(3), to the socket in NOTIFY_SOCKET.
 *
 * Nobody listening is no fault. One thread. */
#ifndef TK_CLI_NOTIFY_H
#define TK_CLI_NOTIFY_H

#include <stdint.h>

#include "engine/base/err.h"

/* Sends "KEY=VALUE\n..." lines such as READY=1, RELOADING=1, STOPPING=1, STATUS=text. */
void tk_notify(const char *fmt, ...) TK_PRINTF(1, 2);
/* RELOADING=1 with the time that Type=notify-reload wants. */
void tk_notify_reloading(void);
/* How often WATCHDOG=1 is wanted, in milliseconds; 0: not at all. */
int64_t tk_notify_watchdog_ms(void);

#endif
