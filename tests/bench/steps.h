/*
 * tests/bench/steps.h - how many instructions something takes, counted one by one in a copy of the process (ptrace(2)): exact, and
 * the same on every run, whatever else the machine does. Slow: some microseconds for each.
 */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include <stdint.h>

/** Instructions of 'fn(arg)', which changes nothing in this process. UINT64_MAX: this machine allows no ptrace(). */
uint64_t steps_count(void (*fn)(void *arg), void *arg);

#endif
