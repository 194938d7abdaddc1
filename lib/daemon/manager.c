/*
 * daemon/manager.c - see manager.h.
 */
#include "daemon/manager.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The address in NOTIFY_SOCKET: a path, or with '@' a name that is no file. Its length, or 0. */
static socklen_t
manager_address(struct sockaddr_un *ret)
{
	const char *name = secure_getenv("NOTIFY_SOCKET");
	size_t len = name != NULL ? strlen(name) : 0;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len < 2 || len >= sizeof(ret->sun_path) || (name[0] != '/' && name[0] != '@'))
		return 0;
	memcpy(ret->sun_path, name, len);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	else
		len++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void
manager_say(const char *fmt, ...)
{
	struct sockaddr_un address;
	socklen_t len = manager_address(&address);
	char text[1024];
	va_list args;
	int fd;

	if (len == 0)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	while (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0 &&
	       errno == EINTR)
		;
	(void)close(fd);
}

/* The number that the environment has under 'name'; 0 if it has none. */
static uint64_t
number(const char *name)
{
	const char *text = secure_getenv(name);
	char *end = NULL;
	unsigned long long n;

	if (text == NULL || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : 0;
}

uint64_t
manager_watchdog_us(void)
{
	/* Of another process: we inherited its environment. */
	if (secure_getenv("WATCHDOG_PID") != NULL && number("WATCHDOG_PID") != (uint64_t)getpid())
		return 0;
	return number("WATCHDOG_USEC");
}
