/*
 * sim/sim_loop.h - virtual time: the clocks, the loop and the random numbers that everything in this program gets in the place
 * of the real ones (base/clock.h, base/loop.h, random_bytes()). One timer that fires is one event. Nothing here knows
 * what is simulated.
 */
#ifndef SIM_SIM_LOOP_H
#define SIM_SIM_LOOP_H

#include "base/loop.h"
#include "base/prng.h"

#define SIM_START_US 1000000000ULL /* not 0, which means "never" in many places */

/** Begin anew at SIM_START_US. What was armed is forgotten. */
void sim_loop_begin(uint64_t seed);

/** Free what the loop holds. */
void sim_loop_done(void);

struct loop *sim_loop(void);
uint64_t sim_now_us(void);

/** Events so far. */
uint64_t sim_events(void);

/** Let the next event happen, and every task that it posts. False if there is none until 'until_us'; the time is then
 *  'until_us'. */
bool sim_loop_step(uint64_t until_us);

/** Run the tasks that were posted outside an event. */
void sim_loop_tasks(void);

/** Arm 't', whose fn and arg are set, for the given time or, if that is past, for now. */
void sim_at(struct loop_timer *t, uint64_t at_us);

#endif
