/*
 * router/audit_client.h - the router's side of the audit log: events go out in order, those of one loop turn in one Append,
 * and are kept and sent again until they are durable. It never decides what a request may do; it says whether records can be
 * taken and what became of each.
 *
 * An Append that fails (or a lost link) makes every unacknowledged record unsent again; they go out in order after a
 * back-off (or when the link is back). The audit service answers a record of a request that it has already with the index of
 * the first, so sending twice is harmless.
 *
 * Threads: on the loop.
 */
#ifndef ROUTER_AUDIT_CLIENT_H
#define ROUTER_AUDIT_CLIENT_H

#include "base/loop.h"
#include "net/net.h"
#include "router/request_state.h"
#include "wire/mesh.h"

struct audit_record;

enum audit_result {
	AUDIT_DURABLE,
	AUDIT_LATE, /* not durable within audit_ms; it stays pending */
};

/** What became of a record. Called once at most, never from inside audit_client_submit(). */
typedef void (*audit_done_fn)(void *user, enum audit_result result);

enum audit_taken {
	AUDIT_TAKEN,
	AUDIT_DROPPED, /* fail-open: no room; counted, a GAP will tell */
	AUDIT_NOMEM,
};

struct audit_client_params {
	enum audit_mode mode;
	uint32_t audit_ms;
	uint32_t pending_max;
	/* The link came up, was lost, or Append began or ceased to fail; for the log. */
	void (*changed)(void *user, bool connected, const struct im_err *why);
	void *user;
};

#define AUDIT_APPENDS_MAX 8 /* in flight at once */

struct audit_append_call {
	struct audit_client *client;
	struct call *call;   /* NULL = answered or not in use */
	struct list records; /* in order */
	size_t count;
};

struct audit_client {
	struct audit_client_params params;
	struct loop *loop;
	struct endpoint *ep;
	struct link *link;
	bool failing; /* the last Append failed */
	uint32_t backoff_ms;
	struct list unsent;  /* records behind those of the Appends in flight */
	struct list waiting; /* records whose owner waits, oldest deadline first */
	uint32_t pending;    /* records in Appends and 'unsent' */
	uint64_t pending_bytes;
	struct audit_append_call appends[AUDIT_APPENDS_MAX];
	uint32_t appends_busy, append_first; /* a ring in the order of sending */
	uint32_t append_bytes; /* of one Append; halved while the peer calls it too big */
	struct loop_task flush_task;
	struct loop_timer retry_timer, late_timer;
	struct loop_timer
	    linger_timer;        /* the oldest record that was queued has waited long enough */
	struct gap gap;          /* dropped since the last GAP record; count 0 = none */
	uint64_t terminals_done; /* terminal records acknowledged, or dropped and counted */
	uint64_t appended, dropped;
	uint8_t reporter[AUDIT_REPORTER_BYTES]; /* in each record: who tells it */
	struct buf room;                        /* to encode a record in */
};

/** 'url' NULL: mode AUDIT_OFF, nothing is dialled and every record counts as taken and done. */
IM_MUST_CHECK enum im_rc audit_client_start(struct audit_client *ac, struct loop *loop,
					    struct net *net, const char *url,
					    const struct audit_client_params *params,
					    struct im_err *err);

/** Stop dialling; 'down' of the link may still be reported. Pending records are forgotten, no 'done' follows. */
void audit_client_stop(struct audit_client *ac);

/** Every now and then: makes good what failed for want of memory. */
void audit_client_tick(struct audit_client *ac);

/** True if a new request may count on a durable record: the link is up, the last Append did not fail, there is room. */
bool audit_client_available(const struct audit_client *ac);

/** "connected", "unavailable" or "off". */
const char *audit_client_state(const struct audit_client *ac);

/**
 * Hand over one event, which gets its reporter here, and an id if it has none; it goes out at the end of the loop's turn. With 'done', its owner waits at most audit_ms for it; '*ret_record' (may be NULL with 'done') is then
 * valid until 'done' was called or audit_client_forget(). In the mode AUDIT_FAIL_CLOSED the records of requests are always
 * taken, memory permitting: audit_client_available() was asked before the request was admitted.
 */
enum audit_taken audit_client_submit(struct audit_client *ac, struct audit_event *event,
				     audit_done_fn done, void *user,
				     struct audit_record **ret_record);

/** As audit_client_submit(), but it goes out with what is submitted next, after audit_client_flush() or after half a
 *  millisecond, whichever is first. */
enum audit_taken audit_client_queue(struct audit_client *ac, struct audit_event *event,
				    audit_done_fn done, void *user,
				    struct audit_record **ret_record);

/** What was queued need not wait any more. */
void audit_client_flush(struct audit_client *ac);

/** The owner waits no longer; the record stays pending. NULL is fine. */
void audit_client_forget(struct audit_client *ac, struct audit_record *record);

#endif
