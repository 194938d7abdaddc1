/*
 * daemon/manager.h - what a process tells the one that started it: systemd, or 'infermesh up'. The protocol of sd_notify(3), which
 * that page invites to speak without libsystemd: that library and the five that it brings took 1 MiB of each daemon.
 *
 * Where nobody wants to know (no NOTIFY_SOCKET), and when it cannot be told, nothing happens. Of any thread; environment only.
 */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

#include <stdint.h>

/** Lines such as "READY=1\nSTATUS=serving"; at most 1,023 bytes of them. Waits while the manager's queue is full. */
void manager_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** How often this process must say "WATCHDOG=1", in microseconds; 0 = it need not. */
uint64_t manager_watchdog_us(void);

#endif
