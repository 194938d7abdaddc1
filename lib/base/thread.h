/*
 * base/thread.h - threads beside the loop's: for work that would make the loop wait.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/**
 * Start a thread that no signal interrupts (they are the main thread's business), and that does not take the processor from
 * a loop in the middle of its turn when it has to do something (SCHED_BATCH, sched(7)). Join or detach it. 0, or
 * an errno.
 */
int thread_start(pthread_t *ret, void *(*fn)(void *arg), void *arg);

#endif
