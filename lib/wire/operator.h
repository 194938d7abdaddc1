/*
 * wire/operator.h - what an operator asks of a router: routes, ramps, workers. proto/infermesh/v1/router.proto holds the
 * meaning of each member. Ownership and errors as wire.h says; a decoded route keeps every limit below.
 */
#ifndef WIRE_OPERATOR_H
#define WIRE_OPERATOR_H

#include "wire/mesh.h"

#define METHOD_LIST_ROUTES "Router/ListRoutes"
#define METHOD_SET_ROUTE   "Router/SetRoute"
#define METHOD_RAMP_ROUTE  "Router/RampRoute"
#define METHOD_SET_WORKER  "Router/SetWorker"

#define ROUTES_MAX          1024
#define ROUTE_ARMS_MAX      16
#define ROUTE_WEIGHT_MAX    10000
#define ROUTE_FALLBACKS_MAX 8
#define ROUTE_ANSWER_MAX    16384 /* bytes */
#define ROUTE_REASON_MAX    255   /* bytes of why a ramp waits or ended */
#define KEPT_WORKERS_MAX    65536
#define RAMP_EVERY_MIN_MS   100
#define RAMP_EVERY_MAX_MS   604800000 /* a week */
#define RAMP_P99_MAX_MS     86400000

enum sticky { /* numbers are the wire's */
	STICKY_UNSAID = 0,
	STICKY_SESSION,
	STICKY_CALLER,
	STICKY_OFF,
};

/** "session", …; "" for what was not said. */
const char *sticky_text(enum sticky sticky);

struct route_arm {
	const char *model;
	uint32_t weight;
};
struct route_spec {
	const char *model; /* the alias */
	struct route_arm arms[ROUTE_ARMS_MAX];
	size_t arm_count;
	enum sticky sticky;
	const char *fallback[ROUTE_FALLBACKS_MAX];
	size_t fallback_count;
	const char *answer; /* "" = none */
};

/** Names, counts and bounds of a whole route, as the proto says. IM_EINVAL names the member and what is allowed. */
IM_MUST_CHECK enum im_rc route_spec_check(const struct route_spec *r, struct im_err *err);

struct ramp_spec {
	const char *arm;
	uint32_t step_percent, every_ms, max_error_ppm, max_p99_ms, min_requests;
};

/** Bounds of the numbers: step 1..100, every 100 ms to a week, error rate to 1000000 ppm, p99 to a day, requests to 10^6.
 *  IM_EINVAL. */
IM_MUST_CHECK enum im_rc ramp_spec_check(const struct ramp_spec *s, struct im_err *err);

enum ramp_state { /* numbers are the wire's */
	RAMP_NONE = 0,
	RAMP_RUNNING,
	RAMP_DONE,
	RAMP_ROLLED_BACK,
	RAMP_ABORTED,
};

/** "running", "rolled back", …; "" for none. */
const char *ramp_state_text(enum ramp_state state);

struct ramp_side {
	uint32_t requests, failed;
	uint64_t p99_us;
};
struct ramp_status {
	struct ramp_spec spec;
	enum ramp_state state;
	uint32_t percent, step_ms;
	const char *reason;
	struct ramp_side arm, others;
	struct route_arm before[ROUTE_ARMS_MAX];
	size_t before_count;
};
struct arm_status {
	const char *model;
	uint64_t requests, failed;
};
struct route_status {
	struct route_spec route;
	bool by_operator;
	uint64_t changed_us; /* since 1970 */
	const char *actor;
	bool has_ramp;
	struct ramp_status ramp;
	struct arm_status arms[ROUTE_ARMS_MAX];
	size_t arm_count;
};

/* What an operator said of a worker. */
struct kept_worker {
	const char *worker;
	bool draining;
	uint32_t weight; /* 0 = as the worker announces */
};

/* Router/ListRoutes (the request is empty); also the reply of SetRoute and RampRoute, and, with the workers, what the router
 * keeps on disk. */
struct route_list {
	struct route_status *routes;
	size_t count;
	struct kept_worker *workers;
	size_t worker_count;
};
void route_list_encode(const struct route_list *list, struct buf *out);
IM_MUST_CHECK enum im_rc route_list_decode(const uint8_t *buf, size_t len, struct arena *arena,
					   struct route_list *ret, struct im_err *err);

struct set_route {
	struct route_spec route;
	bool reset, set_fallback, set_answer;
};
void set_route_encode(const struct set_route *s, struct buf *out);
IM_MUST_CHECK enum im_rc set_route_decode(const uint8_t *buf, size_t len, struct arena *arena,
					  struct set_route *ret, struct im_err *err);

struct ramp_route {
	const char *model;
	struct ramp_spec spec;
	bool abort;
};
void ramp_route_encode(const struct ramp_route *r, struct buf *out);
IM_MUST_CHECK enum im_rc ramp_route_decode(const uint8_t *buf, size_t len, struct arena *arena,
					   struct ramp_route *ret, struct im_err *err);

enum worker_change { /* numbers are the wire's */
	WORKER_CHANGE_NONE = 0,
	WORKER_CHANGE_DRAIN,
	WORKER_CHANGE_UNDRAIN,
	WORKER_CHANGE_WEIGHT,
};
struct set_worker {
	const char *worker;
	enum worker_change change;
	uint32_t weight; /* 0 = as the worker announces */
};
void set_worker_encode(const struct set_worker *s, struct buf *out);
IM_MUST_CHECK enum im_rc set_worker_decode(const uint8_t *buf, size_t len, struct arena *arena,
					   struct set_worker *ret, struct im_err *err);

/* The reply of SetWorker: the worker as it is now. */
void worker_status_encode(const struct worker_status *w, struct buf *out);
IM_MUST_CHECK enum im_rc worker_status_decode(const uint8_t *buf, size_t len, struct arena *arena,
					      struct worker_status *ret, struct im_err *err);

#endif
