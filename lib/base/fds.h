/*
 * base/fds.h - the descriptors of a loop: two epoll instances, one of which is watched through the other, and who is told of
 * what. Known to loop.c only; holds no lock and calls nobody but the owners of descriptors.
 *
 * Patient descriptors (loop_fd.patient) are few in a turn and come behind all others. While there are no more of them than
 * that they are watched like the others, which spares a system call for each turn that has one; beyond, they are in an instance of
 * their own, so that the rest waits in the kernel.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

#include <sys/epoll.h>

#include "base/loop.h"

#define FDS_EVENTS  64 /* descriptors served in one turn */
#define FDS_PATIENT 16 /* patient ones of these */

struct fds_slot {
	struct loop_fd *w; /* NULL = free */
	uint32_t gen;      /* so that an event of a former owner is recognised */
	uint32_t events;   /* what is watched */
};

struct fds {
	int epfd
	    [2];    /* [1] for patient descriptors when there are many; it is watched through [0] */
	bool apart; /* they go to [1] now */
	uint32_t patients;      /* that are watched */
	struct fds_slot *slots; /* slots[0] is not used */
	uint32_t slots_cap;
};

/** Open it, with 'wakefd' watched for input. False: errno says why, and fds_done() is to be called all the same. */
bool fds_init(struct fds *f, int wakefd);

void fds_done(struct fds *f);

/** As loop_fd_add(), loop_fd_events() and loop_fd_del() say. */
IM_MUST_CHECK enum im_rc fds_add(struct fds *f, struct loop_fd *w, uint32_t events);
void fds_events(struct fds *f, struct loop_fd *w, uint32_t events);
void fds_del(struct fds *f, struct loop_fd *w);

/** Tell the owners of the 'n' events at 'ev', which are used up, the patient ones last. True if 'wakefd' is among them. */
bool fds_serve(struct fds *f, struct epoll_event *ev, int n);

#endif
