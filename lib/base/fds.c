/*
 * base/fds.c - see fds.h.
 */
#include "base/fds.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAKE_KEY    0
#define PATIENT_KEY UINT64_MAX /* of epfd[1] */

bool
fds_init(struct fds *f, int wakefd)
{
	struct epoll_event wake = { .events = EPOLLIN, .data = { .u64 = WAKE_KEY } };
	struct epoll_event patient = { .events = EPOLLIN, .data = { .u64 = PATIENT_KEY } };

	f->epfd[0] = epoll_create1(EPOLL_CLOEXEC);
	f->epfd[1] = epoll_create1(EPOLL_CLOEXEC);
	return f->epfd[0] >= 0 && f->epfd[1] >= 0 &&
	       epoll_ctl(f->epfd[0], EPOLL_CTL_ADD, wakefd, &wake) == 0 &&
	       epoll_ctl(f->epfd[0], EPOLL_CTL_ADD, f->epfd[1], &patient) == 0;
}

void
fds_done(struct fds *f)
{
	for (int i = 0; i < 2; i++)
		if (f->epfd[i] >= 0)
			(void)close(f->epfd[i]);
	free(f->slots);
}

static enum im_rc
slots_grow(struct fds *f)
{
	uint32_t cap = f->slots_cap == 0 ? 64 : f->slots_cap * 2;
	struct fds_slot *slots = realloc(f->slots, cap * sizeof(*slots));

	if (slots == NULL)
		return IM_ENOMEM;
	memset(slots + f->slots_cap, 0, (cap - f->slots_cap) * sizeof(*slots));
	f->slots = slots;
	f->slots_cap = cap;
	return IM_OK;
}

static int
control(const struct fds *f, int op, const struct loop_fd *w)
{
	struct epoll_event ev = { .events = f->slots[w->slot].events };

	ev.data.u64 = (uint64_t)f->slots[w->slot].gen << 32 | w->slot;
	return epoll_ctl(f->epfd[w->apart], op, w->fd, &ev);
}

/* The patient ones become too many to be watched with the others, or few enough again. One that cannot be moved stays where
 * it is, which costs fairness and nothing else. */
static void
move_patients(struct fds *f)
{
	f->apart = !f->apart;
	for (uint32_t i = 1; i < f->slots_cap; i++) {
		struct loop_fd *w = f->slots[i].w;

		if (w == NULL || !w->patient || w->apart == f->apart)
			continue;
		w->apart = f->apart;
		if (control(f, EPOLL_CTL_ADD, w) < 0)
			w->apart = !f->apart;
		else
			(void)epoll_ctl(f->epfd[!f->apart], EPOLL_CTL_DEL, w->fd, NULL);
	}
}

enum im_rc
fds_add(struct fds *f, struct loop_fd *w, uint32_t events)
{
	uint32_t slot = 1;

	assert(w->slot == 0);
	/* Descriptor numbers are small and dense, so the number itself is nearly always a free slot. */
	if (w->fd > 0)
		slot = (uint32_t)w->fd;
	while (slot >= f->slots_cap)
		if (slots_grow(f) != IM_OK)
			return IM_ENOMEM;
	while (f->slots[slot].w != NULL) {
		if (++slot < f->slots_cap)
			continue;
		if (slots_grow(f) != IM_OK)
			return IM_ENOMEM;
	}
	if (w->patient && !f->apart && f->patients == FDS_PATIENT)
		move_patients(f);
	f->slots[slot].gen++;
	f->slots[slot].events = events;
	w->slot = slot;
	w->apart = w->patient && f->apart;
	if (control(f, EPOLL_CTL_ADD, w) < 0) {
		w->slot = 0;
		return errno == ENOMEM ? IM_ENOMEM : IM_EIO;
	}
	f->slots[slot].w = w;
	f->patients += w->patient;
	return IM_OK;
}

void
fds_events(struct fds *f, struct loop_fd *w, uint32_t events)
{
	int rc;

	assert(w->slot != 0);
	f->slots[w->slot].events = events;
	rc = control(f, EPOLL_CTL_MOD, w);
	assert(rc == 0); /* the descriptor is watched, so only our own mistake can fail here */
	(void)rc;
}

void
fds_del(struct fds *f, struct loop_fd *w)
{
	(void)epoll_ctl(f->epfd[w->apart], EPOLL_CTL_DEL, w->fd, NULL);
	f->slots[w->slot].w = NULL;
	w->slot = 0;
	f->patients -= w->patient;
	/* Not at once, so that one who comes and goes moves nobody. */
	if (f->apart && f->patients == FDS_PATIENT / 2)
		move_patients(f);
}

/* Who is to be told of 'ev'; NULL if that one is gone. */
static struct loop_fd *
owner(const struct fds *f, const struct epoll_event *ev)
{
	uint32_t slot = (uint32_t)ev->data.u64;

	if (slot >= f->slots_cap || f->slots[slot].gen != ev->data.u64 >> 32)
		return NULL;
	return f->slots[slot].w;
}

static void
tell(const struct fds *f, const struct epoll_event *ev)
{
	struct loop_fd *w = owner(f, ev);

	if (w != NULL)
		w->fn(w->arg, ev->events);
}

static void
serve_apart(const struct fds *f)
{
	struct epoll_event ev[FDS_PATIENT];
	int n = epoll_wait(f->epfd[1], ev, FDS_PATIENT, 0);

	for (int i = 0; i < n; i++)
		tell(f, &ev[i]);
}

bool
fds_serve(struct fds *f, struct epoll_event *ev, int n)
{
	bool woken = false, apart = false;
	int last = 0;

	for (int i = 0; i < n; i++) {
		const struct loop_fd *w;

		if (ev[i].data.u64 == WAKE_KEY) {
			woken = true;
		} else if (ev[i].data.u64 == PATIENT_KEY) {
			apart = true;
		} else if ((w = owner(f, &ev[i])) != NULL && w->patient) {
			ev[last++] = ev[i];
		} else {
			tell(f, &ev[i]);
		}
	}
	for (int i = 0; i < last; i++)
		tell(f, &ev[i]);
	if (apart)
		serve_apart(f);
	return woken;
}
