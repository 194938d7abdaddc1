/*
 * net/call_state.h - what may happen in one call, without I/O, memory or clock: credit, cancelling, deadline, end. Used by
 * call.c and served.c, which do what the returned actions say. Known in this room only.
 *
 *   caller (the side that asked)                      served (the side that answers)
 *
 *            start                                            REQUEST came
 *              |                                                   |
 *              v                                                   v
 *         +---------+  DATA: deliver, credit shrinks         +---------+  SEND: if credit > 0, it shrinks;
 *         |  OPEN   |  GRANT: CREDIT at half a window        |  OPEN   |    else wait
 *         +---------+                                        +---------+  CREDIT: it grows; wake a waiter
 *          |   |   |                                          |       |
 *      END |   |   | LOST: report the end                 END |       | CANCEL, TICK past the deadline, LOST:
 *   report |   |   | TICK past the deadline:          send it |       | tell the service, once
 *          |   |   |   send CANCEL, report the end            |       v
 *          |   | CANCEL: send CANCEL, report nothing          |  +-----------+  END: send nothing
 *          v   v   v                                          v  | CANCELLED |----+
 *         +---------+                                        +---------+<--------+
 *         | CLOSED  |  everything is ignored                 | CLOSED  |
 *         +---------+                                        +---------+
 */
#ifndef NET_CALL_STATE_H
#define NET_CALL_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum call_phase {
	CALL_OPEN,
	CALL_CANCELLED, /* served only: the service has yet to end it */
	CALL_CLOSED,
};

enum call_event {
	CALL_EV_DATA,   /* caller: DATA of 'amount' bytes came */
	CALL_EV_GRANT,  /* caller: our user has dealt with 'amount' bytes */
	CALL_EV_SEND,   /* served: our user wants to send 'amount' bytes */
	CALL_EV_CREDIT, /* served: CREDIT of 'amount' bytes came */
	CALL_EV_CANCEL, /* caller: our user gave up; served: CANCEL came */
	CALL_EV_END,    /* caller: END came; served: our user ends the call */
	CALL_EV_TICK,   /* the time is 'amount', in microseconds */
	CALL_EV_LOST,   /* the link is lost */
};

/* What to do; a set. */
enum call_action {
	CALL_DO_DELIVER = 1 << 0,        /* hand the DATA to our user */
	CALL_DO_SEND_CREDIT = 1 << 1,    /* CREDIT of call_take_grant() bytes */
	CALL_DO_SEND_CANCEL = 1 << 2,    /* CANCEL */
	CALL_DO_SEND_DATA = 1 << 3,      /* the DATA of CALL_EV_SEND */
	CALL_DO_SEND_END = 1 << 4,       /* the END of CALL_EV_END */
	CALL_DO_WAIT = 1 << 5,           /* there is no credit: tell our user so */
	CALL_DO_WRITABLE = 1 << 6,       /* there is credit again: tell our user so */
	CALL_DO_TELL_CANCELLED = 1 << 7, /* tell the service to stop */
	CALL_DO_REPORT_END = 1 << 8,     /* tell the caller the end that came */
	CALL_DO_REPORT_DEADLINE = 1 << 9,
	CALL_DO_REPORT_LOST = 1 << 10,
	CALL_DO_PROTOCOL_ERROR =
	    1 << 11, /* the peer sent more than its credit allows: close the link */
};

#define CALL_GRACE_US                                                                              \
	500000u /* how much later the served side gives up: CANCEL comes first if it comes */
#define CALL_GRANT_MAX  (1u << 31)         /* of one CREDIT */
#define CALL_CREDIT_MAX (INT64_C(1) << 40) /* credit never grows beyond it */

struct call_state {
	enum call_phase phase;
	bool served;
	bool waiting;    /* served: the last SEND found no credit */
	uint32_t window; /* caller: what we gave to begin with */
	int64_t credit;  /* bytes that the callee may still send; one message may take it below 0 */
	uint64_t ungranted;   /* caller: dealt with, CREDIT not sent yet */
	uint64_t deadline_us; /* 0 = none */
};

/** 'window' is the callee's credit at the beginning. 'budget_ms' counts from 'now_us'; 0 = no deadline. */
void call_state_init(struct call_state *s, bool served, uint32_t window, uint64_t now_us,
		     uint32_t budget_ms);

/** Step 's' by one event. Returns the set of actions, in which the order of the enum is the order of doing. */
unsigned call_step(struct call_state *s, enum call_event event, uint64_t amount);

/** The bytes of the CREDIT to be sent now. */
uint32_t call_take_grant(struct call_state *s);

/** True while the callee may send. */
static inline bool
call_has_credit(const struct call_state *s)
{
	return s->credit > 0;
}

#endif
