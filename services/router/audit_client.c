/*
 * router/audit_client.c - records on their way to the audit log; see audit_client.h.
 */
#include "router/audit_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"

#define APPEND_BYTES_MAX                                                                           \
	(1U << 20) /* of one Append, unless a single event is larger or the peer takes less */
#define APPEND_MS      5000 /* an Append without an answer has failed */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define LINGER_US                                                                                  \
	500 /* that a queued record waits for the next one; see docs/adr/0018-one-sync.md */

/* An encoded AppendRequest with one event. Protobuf defines the concatenation of two messages as their merger, so the
 * bytes of several records behind each other are one AppendRequest with all their events. */
struct audit_record {
	struct list node;      /* of an Append, or unsent */
	struct list wait_node; /* waiting; linked while the owner waits */
	uint64_t late_us;
	audit_done_fn done;
	void *user;
	bool terminal;
	size_t len;
	uint8_t bytes[];
};

static bool
is_request_kind(const struct audit_event *ev)
{
	return ev->kind == RECORD_REQUEST || ev->kind == RECORD_RESPONSE;
}

static void
changed(struct audit_client *ac, const struct im_err *why)
{
	if (ac->params.changed != NULL) {
		ac->params.changed(ac->params.user, audit_client_available(ac), why);
	}
}

static void
record_free(struct audit_client *ac, struct audit_record *r)
{
	list_remove(&r->node);
	list_remove(&r->wait_node);
	ac->pending--;
	ac->pending_bytes -= r->len;
	free(r);
}

/* The waiters are in the order of their deadlines, because all wait equally long. */
static void
arm_late_timer(struct audit_client *ac)
{
	uint64_t now;
	struct audit_record *r;

	if (list_empty(&ac->waiting) || loop_timer_armed(&ac->late_timer)) {
		return;
	}
	now = clock_mono_us();
	r = CONTAINER_OF(ac->waiting.next, struct audit_record, wait_node);
	if (loop_timer_set(ac->loop, &ac->late_timer, r->late_us > now ? r->late_us - now : 0) !=
	    IM_OK) {
		/* No memory for a timer: the next submit arms it, and requests have their own deadlines. */
		return;
	}
}

static void
late_fire(void *arg)
{
	struct audit_client *ac = arg;

	while (!list_empty(&ac->waiting)) {
		struct audit_record *r =
		    CONTAINER_OF(ac->waiting.next, struct audit_record, wait_node);

		if (r->late_us > clock_mono_us()) {
			break;
		}
		list_remove(&r->wait_node);
		r->done(r->user, AUDIT_LATE);
	}
	arm_late_timer(ac);
}

/* What is in flight counts for nothing: everything goes out again, in order. */
static void
take_back(struct audit_client *ac)
{
	while (ac->appends_busy > 0) {
		struct audit_append_call *ap =
		    &ac->appends[(ac->append_first + --ac->appends_busy) % AUDIT_APPENDS_MAX];

		if (ap->call != NULL) {
			call_cancel(ap->call);
			ap->call = NULL;
		}
		while (!list_empty(&ap->records)) {
			struct list *last = ap->records.prev;

			list_remove(last);
			list_push_front(&ac->unsent, last);
		}
	}
}

static void
append_failed(struct audit_client *ac, const struct im_err *why)
{
	bool before = audit_client_available(ac);

	take_back(ac);
	ac->failing = true;
	ac->backoff_ms = ac->backoff_ms == 0                   ? BACKOFF_MIN_MS
			 : ac->backoff_ms < BACKOFF_MAX_MS / 2 ? ac->backoff_ms * 2
							       : BACKOFF_MAX_MS;
	if (ac->link != NULL &&
	    loop_timer_set(ac->loop, &ac->retry_timer, ac->backoff_ms * 1000ULL) != IM_OK) {
		loop_timer_cancel(ac->loop, &ac->retry_timer); /* the next tick tries again */
	}
	if (before) {
		changed(ac, why);
	}
}

/* The records of one Append are durable. */
static void
acknowledge(struct audit_client *ac, struct audit_append_call *ap)
{
	struct list *node;

	while ((node = list_pop_front(&ap->records)) != NULL) {
		struct audit_record *r = CONTAINER_OF(node, struct audit_record, node);
		audit_done_fn done = list_linked(&r->wait_node) ? r->done : NULL;
		void *user = r->user;

		ac->terminals_done += r->terminal;
		ac->appended++;
		record_free(ac, r);
		if (done != NULL) {
			done(user, AUDIT_DURABLE);
		}
	}
	while (ac->appends_busy > 0 && ac->appends[ac->append_first].call == NULL) {
		ac->append_first = (ac->append_first + 1) % AUDIT_APPENDS_MAX;
		ac->appends_busy--;
	}
}

static enum im_rc
check_reply(const struct audit_append_call *ap, const uint8_t *body, size_t len, struct im_err *err)
{
	struct audit_appended reply;
	struct arena arena;
	enum im_rc rc;

	arena_init(&arena, len * 16 + 65536);
	rc = audit_appended_decode(body, len, &arena, &reply, err);
	if (rc == IM_OK && reply.count != ap->count) {
		rc = err_set(err, IM_EPROTO, "the audit service acknowledged %zu records of %zu",
			     reply.count, ap->count);
	}
	arena_done(&arena);
	return rc;
}

static void
append_end(void *user, struct call *call, const struct im_err *err, const uint8_t *body, size_t len)
{
	struct audit_append_call *ap = user;
	struct audit_client *ac = ap->client;
	struct im_err why;
	bool recovered;

	(void)call;
	ap->call = NULL;
	if (err != NULL) {
		append_failed(ac, err);
		return;
	}
	if (check_reply(ap, body, len, &why) != IM_OK) {
		append_failed(ac, &why);
		return;
	}
	recovered = ac->failing;
	ac->failing = false;
	ac->backoff_ms = 0;
	acknowledge(ac, ap);
	if (recovered) {
		changed(ac, NULL);
	}
	if (!list_empty(&ac->unsent)) {
		loop_post_last(ac->loop, &ac->flush_task);
	}
}

static const struct call_ops append_ops = { .end = append_end };

/* Put as many unsent records as fit into one Append. IM_ETOOBIG: the peer takes less, fewer will fit the next time. */
static enum im_rc
send_one(struct audit_client *ac, struct im_err *err)
{
	uint32_t slot = (ac->append_first + ac->appends_busy) % AUDIT_APPENDS_MAX;
	struct audit_append_call *ap = &ac->appends[slot];
	struct buf body = BUF_INIT(0);
	struct call_request req = { .method = METHOD_AUDIT_APPEND, .budget_ms = APPEND_MS };
	enum im_rc rc;

	ap->count = 0;
	LIST_FOREACH (&ac->unsent, r, struct audit_record, node) {
		if (ap->count == AUDIT_EVENTS_MAX ||
		    (ap->count > 0 && body.len + r->len > ac->append_bytes)) {
			break;
		}
		buf_append(&body, r->bytes, r->len);
		ap->count++;
	}
	req.body = body.data;
	req.body_len = body.len;
	rc = buf_ok(&body) ? call_start(ac->link, &req, &append_ops, ap, &ap->call, err)
			   : err_set(err, IM_ENOMEM, "no memory to send records");
	if (rc == IM_ETOOBIG && ap->count > 1) {
		ac->append_bytes = (uint32_t)body.len / 2;
	} else if (rc == IM_ETOOBIG) {
		rc = IM_EIO; /* a single one: trying at once is no use */
	}
	buf_done(&body);
	if (rc != IM_OK) {
		ap->call = NULL;
		return rc;
	}
	ac->appends_busy++;
	for (size_t i = 0; i < ap->count; i++) {
		struct list *node = ac->unsent.next;

		list_remove(node);
		list_push_back(&ap->records, node);
	}
	return IM_OK;
}

/* A GAP record goes in front of everything that was kept. */
static void
submit_gap(struct audit_client *ac)
{
	struct audit_event ev = { .kind = RECORD_GAP, .gap = ac->gap, .has_gap = true };
	struct audit_record *record = NULL;
	struct gap gap = ac->gap;

	if (gap.count == 0) {
		return;
	}
	ev.request_time_us = gap.from_us;
	ev.response_time_us = gap.to_us;
	memset(&ac->gap, 0,
	       sizeof(ac->gap)); /* before the submit, which looks whether there is a gap */
	if (audit_client_submit(ac, &ev, NULL, NULL, &record) != AUDIT_TAKEN) {
		ac->gap = gap;
		return;
	}
	if (record != NULL) {
		list_remove(&record->node);
		list_push_front(&ac->unsent, &record->node);
	}
}

static void
send_unsent(struct audit_client *ac)
{
	struct im_err err;

	if (ac->link == NULL || loop_timer_armed(&ac->retry_timer)) {
		return;
	}
	submit_gap(ac);
	loop_timer_cancel(ac->loop, &ac->linger_timer);
	while (!list_empty(&ac->unsent) && ac->appends_busy < AUDIT_APPENDS_MAX) {
		enum im_rc rc;

		if (ac->failing && ac->appends_busy > 0) {
			return; /* one Append finds out whether it works again */
		}
		rc = send_one(ac, &err);
		if (rc != IM_OK && rc != IM_ETOOBIG) {
			append_failed(ac, &err);
			return;
		}
	}
}

static void
flush_fire(void *arg)
{
	send_unsent(arg);
}

void
audit_client_tick(struct audit_client *ac)
{
	if (ac->params.mode != AUDIT_OFF) {
		arm_late_timer(ac);
		send_unsent(ac);
	}
}

static void
link_up(void *user, struct link *link)
{
	struct audit_client *ac = user;

	ac->link = link;
	ac->append_bytes = APPEND_BYTES_MAX;
	ac->failing = false;
	ac->backoff_ms = 0;
	loop_timer_cancel(ac->loop, &ac->retry_timer);
	changed(ac, NULL);
	loop_post_last(ac->loop, &ac->flush_task);
}

static void
link_down(void *user, struct link *link, const struct im_err *why)
{
	struct audit_client *ac = user;

	if (ac->link != link) {
		return;
	}
	ac->link = NULL;
	loop_timer_cancel(ac->loop, &ac->retry_timer);
	take_back(ac);
	changed(ac, why);
}

static const struct endpoint_ops link_ops = { .up = link_up, .down = link_down };

enum im_rc
audit_client_start(struct audit_client *ac, struct loop *loop, struct net *net, const char *url,
		   const struct audit_client_params *params, struct im_err *err)
{
	memset(ac, 0, sizeof(*ac));
	ac->params = *params;
	ac->loop = loop;
	random_bytes(ac->reporter, sizeof(ac->reporter));
	list_init(&ac->unsent);
	list_init(&ac->waiting);
	ac->flush_task = (struct loop_task){ .fn = flush_fire, .arg = ac };
	ac->retry_timer = (struct loop_timer){ .fn = flush_fire, .arg = ac };
	ac->late_timer = (struct loop_timer){ .fn = late_fire, .arg = ac };
	ac->linger_timer = (struct loop_timer){ .fn = flush_fire, .arg = ac };
	for (size_t i = 0; i < AUDIT_APPENDS_MAX; i++) {
		ac->appends[i].client = ac;
		list_init(&ac->appends[i].records);
	}
	if (params->mode == AUDIT_OFF) {
		return IM_OK;
	}
	if (url == NULL) {
		return err_set(
		    err, IM_EINVAL,
		    "audit.address is off; set router.audit_mode to off too if no records are wanted");
	}
	return net_dial(net, url, &link_ops, ac, &ac->ep, err);
}

void
audit_client_stop(struct audit_client *ac)
{
	if (ac->loop == NULL) {
		return;
	}
	take_back(ac);
	LIST_FOREACH_SAFE (&ac->unsent, r, struct audit_record, node) {
		record_free(ac, r);
	}
	loop_timer_cancel(ac->loop, &ac->retry_timer);
	loop_timer_cancel(ac->loop, &ac->late_timer);
	loop_timer_cancel(ac->loop, &ac->linger_timer);
	loop_cancel(ac->loop, &ac->flush_task);
	endpoint_close(ac->ep);
	ac->ep = NULL;
	buf_done(&ac->room);
}

bool
audit_client_available(const struct audit_client *ac)
{
	return ac->params.mode == AUDIT_OFF ||
	       (ac->link != NULL && !ac->failing && ac->pending < ac->params.pending_max);
}

const char *
audit_client_state(const struct audit_client *ac)
{
	if (ac->params.mode == AUDIT_OFF) {
		return "off";
	}
	return audit_client_available(ac) ? "connected" : "unavailable";
}

static enum audit_taken
drop(struct audit_client *ac, bool terminal)
{
	uint64_t now = clock_wall_us();

	if (ac->gap.count == 0) {
		ac->gap.from_us = now;
		ac->gap.reason = "audit_unavailable";
	}
	ac->gap.to_us = now;
	ac->gap.count++;
	ac->dropped++;
	ac->terminals_done += terminal;
	return AUDIT_DROPPED;
}

static struct audit_record *
record_new(struct audit_client *ac, struct audit_event *event)
{
	struct audit_append one = { .events = event, .count = 1 };
	struct buf *bytes = &ac->room;
	struct audit_record *r;

	buf_clear(bytes);
	audit_append_encode(&one, bytes);
	r = buf_ok(bytes) ? malloc(sizeof(*r) + bytes->len) : NULL;
	if (r != NULL) {
		*r = (struct audit_record){ .len = bytes->len };
		memcpy(r->bytes, bytes->data, bytes->len);
	}
	return r;
}

static enum audit_taken
take(struct audit_client *ac, struct audit_event *event, audit_done_fn done, void *user,
     struct audit_record **ret_record)
{
	bool terminal = event->kind == RECORD_RESPONSE;
	bool must = is_request_kind(event) && ac->params.mode == AUDIT_FAIL_CLOSED;
	struct audit_record *r;

	if (ac->params.mode == AUDIT_OFF) {
		ac->terminals_done += terminal;
		return AUDIT_TAKEN;
	}
	/* While a gap waits to be told nothing may overtake it: GAP is the first record after recovery. */
	if (!must && event->kind != RECORD_GAP &&
	    (ac->pending >= ac->params.pending_max || (ac->gap.count > 0 && ac->link == NULL))) {
		return drop(ac, terminal);
	}
	if (!event->has_request_id) {
		/* An id of its own, so that audit recognises it when it is sent again. */
		random_bytes(event->request_id, sizeof(event->request_id));
		event->has_request_id = true;
	}
	memcpy(event->reporter, ac->reporter, sizeof(event->reporter));
	event->has_reporter = true;
	r = record_new(ac, event);
	if (r == NULL) {
		return must || event->kind == RECORD_GAP ? AUDIT_NOMEM : drop(ac, terminal);
	}
	r->terminal = terminal;
	list_push_back(&ac->unsent, &r->node);
	ac->pending++;
	ac->pending_bytes += r->len;
	if (done != NULL) {
		r->done = done;
		r->user = user;
		r->late_us = clock_mono_us() + ac->params.audit_ms * 1000ULL;
		list_push_back(&ac->waiting, &r->wait_node);
		arm_late_timer(ac);
	}
	if (ret_record != NULL) {
		*ret_record = r;
	}
	return AUDIT_TAKEN;
}

void
audit_client_flush(struct audit_client *ac)
{
	if (!list_empty(&ac->unsent)) {
		loop_post_last(ac->loop, &ac->flush_task);
	}
}

enum audit_taken
audit_client_submit(struct audit_client *ac, struct audit_event *event, audit_done_fn done,
		    void *user, struct audit_record **ret_record)
{
	enum audit_taken taken = take(ac, event, done, user, ret_record);

	audit_client_flush(ac);
	return taken;
}

enum audit_taken
audit_client_queue(struct audit_client *ac, struct audit_event *event, audit_done_fn done,
		   void *user, struct audit_record **ret_record)
{
	enum audit_taken taken = take(ac, event, done, user, ret_record);

	/* Without memory for a timer it does not wait. */
	if (!list_empty(&ac->unsent) && !loop_timer_armed(&ac->linger_timer) &&
	    loop_timer_set(ac->loop, &ac->linger_timer, LINGER_US) != IM_OK)
		audit_client_flush(ac);
	return taken;
}

void
audit_client_forget(struct audit_client *ac, struct audit_record *record)
{
	(void)ac;
	if (record != NULL) {
		list_remove(&record->wait_node);
	}
}
