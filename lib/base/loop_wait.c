/*
 * base/loop_wait.c - see loop_wait.h.
 */
#include "base/loop_wait.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"

#define SHORT_SLEEP_US 5000
#define QUICK_WAITS                                                                                \
	8 /* in a row, before it asks again and again: chance alone brings that about in one of 400 */

static int
sleep_ms(uint64_t left_us)
{
	if (left_us > 60ULL * 1000 * 1000)
		return 60 * 1000;
	return (int)((left_us + 999) / 1000);
}

/* What is due within milliseconds is waited for to the microsecond, where the kernel can do it. */
static int
sleep_for(int epfd, struct epoll_event *ev, int cap, uint64_t left_us)
{
	static atomic_bool cannot;

	if (left_us < SHORT_SLEEP_US && !atomic_load(&cannot)) {
		const struct timespec left = { .tv_nsec = (long)left_us * 1000 };
		int n = epoll_pwait2(epfd, ev, cap, &left, NULL);

		if (n >= 0 || errno == EINTR)
			return n;
		atomic_store(&cannot, true); /* before Linux 5.11, or not allowed */
	}
	return epoll_wait(epfd, ev, cap, sleep_ms(left_us));
}

static int
sleep_until(int epfd, struct epoll_event *ev, int cap, uint64_t until_us, uint64_t now_us)
{
	if (until_us == UINT64_MAX)
		return epoll_wait(epfd, ev, cap, -1);
	if (until_us <= now_us)
		return epoll_wait(epfd, ev, cap, 0);
	return sleep_for(epfd, ev, cap, until_us - now_us);
}

/* Ask until there is something, or until 'end_us'. */
static int
poll_busily(int epfd, struct epoll_event *ev, int cap, uint64_t end_us)
{
	int n;

	do
		n = epoll_wait(epfd, ev, cap, 0);
	while (n == 0 && clock_mono_us() < end_us);
	return n;
}

int
loop_wait_fds(struct loop_wait *w, int epfd, struct epoll_event *ev, int cap, uint64_t until_us)
{
	uint64_t begin_us, end_us;
	int n;

	if (until_us == 0)
		return epoll_wait(epfd, ev, cap, 0);
	begin_us = clock_mono_us();
	if (w->poll_us == 0 || atomic_load_explicit(&w->beside, memory_order_relaxed) > 0)
		return sleep_until(epfd, ev, cap, until_us, begin_us);
	end_us = begin_us + w->poll_us;
	if (w->quick >= QUICK_WAITS) {
		n = poll_busily(epfd, ev, cap, end_us < until_us ? end_us : until_us);
		if (n != 0)
			return n;
		w->quick = 0;
		return sleep_until(epfd, ev, cap, until_us, clock_mono_us());
	}
	n = sleep_until(epfd, ev, cap, until_us, begin_us);
	/* The wake-up took as long again. */
	w->quick = clock_mono_us() - begin_us < 2 * (uint64_t)w->poll_us ? w->quick + 1 : 0;
	return n;
}
