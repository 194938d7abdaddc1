/*
 * daemon/loop_rig.h - a loop in a test, run until something is so.
 */
#ifndef DAEMON_LOOP_RIG_H
#define DAEMON_LOOP_RIG_H

#include "base/loop.h"

/** Run 'loop', which is not held, until 'done' says so; fails the test after 20 s. */
void loop_rig_until(struct loop *loop, bool (*done)(void *user), void *user);

#endif
