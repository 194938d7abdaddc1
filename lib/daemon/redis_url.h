/*
 * daemon/redis_url.h - redis://HOST:PORT[/DB]. Pure.
 */
#ifndef DAEMON_REDIS_URL_H
#define DAEMON_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#define REDIS_URL_ALLOWED "redis://HOST:PORT or redis://HOST:PORT/DB"

bool redis_url_is(const char *s);

/** The parts of one that is. 'host' has room for 'size' bytes: a longer one is cut, so it is not found. */
void redis_url_read(const char *url, char *host, size_t size, int *ret_port, int *ret_db);

#endif
