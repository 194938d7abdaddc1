/*
 * daemon/redis_liar.h - for tests: a proxy in front of a Redis that delays its answers, or answers something else. A thread of its own.
 * Not part of any program.
 */
#ifndef DAEMON_REDIS_LIAR_H
#define DAEMON_REDIS_LIAR_H

#include <stddef.h>

struct redis_liar;

/** Listen on a free port of this host, '*ret_port', in front of the server on 'behind_port'. Forwards faithfully until it is told
 *  otherwise. Fails the test if it cannot. */
struct redis_liar *redis_liar_start(int behind_port, int *ret_port);

void redis_liar_stop(struct redis_liar *liar);

/** Keep each answer back for so long. */
void redis_liar_delay(struct redis_liar *liar, unsigned delay_ms);

/** Answer whatever comes with these bytes, which must live on; NULL: faithfully again. */
void redis_liar_say(struct redis_liar *liar, const char *bytes, size_t len);

/** Answer so many of what comes faithfully before redis_liar_say()'s bytes are said: to get past a greeting. */
void redis_liar_spare(struct redis_liar *liar, unsigned answers);

#endif
