/*
 * base/loop_wait.h - how the thread in loop_run() waits for descriptors. Used by loop.c only.
 *
 * A thread that sleeps is woken 20 to 40 µs after its descriptor was ready (an idle processor has to be started again, a virtual one by its host).
 * Where that is allowed, and the last waits were all shorter than such a wake-up takes, the thread asks again and again instead for as long. One wait
 * in vain ends that, so it burns no time of a loop that waits for models, clients or disks. Known elsewhere as adaptive polling (KVM's halt_poll_ns).
 */
#ifndef BASE_LOOP_WAIT_H
#define BASE_LOOP_WAIT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>

/* Zero-initialised: it always sleeps. */
struct loop_wait {
	uint32_t poll_us;   /* ask for so long at most; 0 = never */
	unsigned quick;     /* waits in a row that were short */
	atomic_uint beside; /* work that other threads do for the loop: they need the processors */
};

/** As epoll_wait(): up to 'cap' events, at most until 'until_us' (CLOCK_MONOTONIC; UINT64_MAX = however long, 0 = not at all). */
int loop_wait_fds(struct loop_wait *w, int epfd, struct epoll_event *ev, int cap,
		  uint64_t until_us);

#endif
