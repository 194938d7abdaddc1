/*
 * wire/mesh.h - what daemons tell and ask each other besides generating: models, announcements, status, cache and audit.
 * proto/infermesh/v1/{router,cache,audit}.proto hold the meaning of each member. Ownership and errors as wire.h says.
 */
#ifndef WIRE_MESH_H
#define WIRE_MESH_H

#include "wire/generate.h"

struct model_info {
	const char *id, *owned_by, *digest;
	uint64_t created;
	uint32_t context_tokens;
};

/* Router/ListModels (the request is empty) */
struct model_list {
	struct model_info *models;
	size_t count;
};
void model_list_encode(const struct model_list *list, struct buf *out);
IM_MUST_CHECK enum im_rc model_list_decode(const uint8_t *buf, size_t len, struct arena *arena,
					   struct model_list *ret, struct im_err *err);

/* Router/Announce (the reply is empty) */
#define ANNOUNCE_MODELS_MAX 1024
#define ANNOUNCE_WEIGHT_MAX 10000
struct announce {
	const char *worker, *backend;
	struct model_info *models;
	size_t model_count;
	struct load load;
	bool draining;
	uint32_t weight; /* at most ANNOUNCE_WEIGHT_MAX; 0 = not said */
	bool backup;
};
void announce_encode(const struct announce *a, struct buf *out);
IM_MUST_CHECK enum im_rc announce_decode(const uint8_t *buf, size_t len, struct arena *arena,
					 struct announce *ret, struct im_err *err);

/* Router/Report (the reply is empty) */
void report_encode(const struct load *load, struct buf *out);
IM_MUST_CHECK enum im_rc report_decode(const uint8_t *buf, size_t len, struct load *ret,
				       struct im_err *err);

enum seen_state { /* numbers are the wire's */
	SEEN_UNSAID = 0,
	SEEN_JOINING,
	SEEN_READY,
	SEEN_SUSPECT,
	SEEN_EJECTED,
	SEEN_DRAINING,
	SEEN_GONE,
};

enum seen_breaker { /* numbers are the wire's */
	SEEN_BREAKER_UNSAID = 0,
	SEEN_BREAKER_CLOSED,
	SEEN_BREAKER_OPEN,
	SEEN_BREAKER_HALF_OPEN,
};

/** "ready", "half_open", …; "" for what was not said, "?" for numbers that are none. */
const char *seen_state_text(enum seen_state state);
const char *seen_breaker_text(enum seen_breaker state);

/* Router/Status (the request is empty) */
struct model_breaker {
	enum seen_breaker state;
	uint32_t open_ms, failures;
};
struct worker_status {
	const char *name, *backend, *state;
	const char **models;
	size_t model_count;
	uint32_t slots;
	struct load load;
	uint64_t dispatched, succeeded, failed;
	uint32_t weight, effective_weight;
	bool backup, weight_by_operator, drained_by_operator;
	struct model_breaker *breakers; /* of 'models', in their order */
	size_t breaker_count;
	uint32_t recent_ms, recent_requests, recent_failed;
	uint64_t p50_us, p99_us;
};
struct queue_status {
	const char *model, *priority;
	uint32_t waiting;
};
struct decision_count {
	const char *policy, *reason;
	uint64_t count;
};
struct router_status {
	const char *name, *version, *audit, *cache, *limits;
	uint64_t uptime_ms;
	bool draining;
	struct worker_status *workers;
	size_t worker_count;
	uint32_t calls, queued, slots, records_pending;
	uint64_t admitted, ended, refused, records_dropped;
	struct queue_status *queues;
	size_t queue_count;
	struct decision_count *decisions;
	size_t decision_count;
	uint64_t coalesced, retried;
	int64_t slots_leaked;
	uint8_t reporter[8]; /* AUDIT_REPORTER_BYTES */
	bool has_reporter;
};
void router_status_encode(const struct router_status *s, struct buf *out);
IM_MUST_CHECK enum im_rc router_status_decode(const uint8_t *buf, size_t len, struct arena *arena,
					      struct router_status *ret, struct im_err *err);

/* Cache */
#define METHOD_CACHE_LOOKUP "Cache/Lookup"
#define METHOD_CACHE_STORE  "Cache/Store"
#define METHOD_CACHE_STATS  "Cache/Stats"
#define CACHE_KEY_BYTES     32

struct cache_lookup {
	uint8_t key[CACHE_KEY_BYTES];
	uint32_t max_age_ms;
};
struct cache_found {
	bool hit;
	struct wire_bytes value; /* decoded: in the arena */
	uint64_t age_ms;
	const char *tier;
};
struct cache_store {
	uint8_t key[CACHE_KEY_BYTES];
	struct wire_bytes value; /* decoded: in the arena */
	uint32_t ttl_ms;
	const char *tenant, *model;
};
struct cache_stats {
	uint64_t entries, bytes, max_bytes, hits, misses, stored, evicted, expired, corrupt;
};
void cache_lookup_encode(const struct cache_lookup *l, struct buf *out);
IM_MUST_CHECK enum im_rc cache_lookup_decode(const uint8_t *buf, size_t len,
					     struct cache_lookup *ret, struct im_err *err);
void cache_found_encode(const struct cache_found *f, struct buf *out);
IM_MUST_CHECK enum im_rc cache_found_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct cache_found *ret, struct im_err *err);
void cache_store_encode(const struct cache_store *s, struct buf *out);
IM_MUST_CHECK enum im_rc cache_store_decode(const uint8_t *buf, size_t len, struct arena *arena,
					    struct cache_store *ret, struct im_err *err);
void cache_stored_encode(bool stored, struct buf *out);
IM_MUST_CHECK enum im_rc cache_stored_decode(const uint8_t *buf, size_t len, bool *ret,
					     struct im_err *err);
void cache_stats_encode(const struct cache_stats *s, struct buf *out);
IM_MUST_CHECK enum im_rc cache_stats_decode(const uint8_t *buf, size_t len, struct cache_stats *ret,
					    struct im_err *err);

/* Audit */
#define METHOD_AUDIT_APPEND "Audit/Append"
#define METHOD_AUDIT_STATUS "Audit/Status"
#define AUDIT_EVENTS_MAX    4096 /* of one Append */
#define AUDIT_SEEN_MAX      16   /* loads in a routing decision */
#define AUDIT_FAILED_MAX    16   /* failed attempts in it */
#define AUDIT_ROUTE_MAX     256  /* bytes of a route, an arm, a fallback, a rule */
#define AUDIT_WHY_MAX       64   /* bytes of the reason of one failed attempt */

enum record_kind { /* numbers are the wire's */
	RECORD_REQUEST = 1,
	RECORD_RESPONSE,
	RECORD_MODEL_LOAD,
	RECORD_MODEL_RELOAD,
	RECORD_CONFIG,
	RECORD_ROUTE_CHANGE,
	RECORD_KEY_ROTATE,
	RECORD_GAP,
	RECORD_PRUNE,
	RECORD_ERASE,
	RECORD_START,
	RECORD_STOP,
};

enum outcome { /* numbers are the wire's */
	OUTCOME_NONE = 0,
	OUTCOME_OK,
	OUTCOME_ERROR,
	OUTCOME_CANCELLED,
	OUTCOME_CACHE_HIT,
	OUTCOME_COALESCED,
	OUTCOME_REJECTED,
};

/** "RESPONSE", "CANCELLED", …; "?" for numbers that are none. */
const char *record_kind_text(enum record_kind kind);
const char *outcome_text(enum outcome outcome);

struct worker_load {
	const char *worker;
	uint32_t in_flight;
	enum seen_state state;
	enum seen_breaker breaker;
	uint32_t weight;
};
struct failed_attempt {
	const char *worker, *reason;
};
struct routing {
	const char *worker, *policy, *reason;
	struct worker_load seen[AUDIT_SEEN_MAX];
	size_t seen_count;
	uint8_t cache_key[CACHE_KEY_BYTES];
	bool has_cache_key;
	uint32_t attempts;
	const char *route, *arm, *fallback, *rule;
	uint8_t leader[16];
	bool has_leader;
	struct failed_attempt failed[AUDIT_FAILED_MAX];
	size_t failed_count;
};
struct gap {
	uint64_t count, from_us, to_us;
	const char *reason;
};
#define AUDIT_REPORTER_BYTES 8 /* one life of one daemon */

struct audit_event {
	enum record_kind kind;
	uint8_t request_id[16];
	bool has_request_id;
	const char *caller, *tenant;
	uint64_t request_time_us, response_time_us;
	uint8_t input_sha256[32], output_sha256[32], config_digest[32];
	bool has_input, has_output, has_config_digest;
	const char *model, *model_digest;
	enum outcome outcome;
	uint32_t status_code;
	struct routing routing;
	bool has_routing;
	struct usage usage;
	bool has_usage;
	struct gap gap;
	bool has_gap;
	uint8_t reporter[AUDIT_REPORTER_BYTES];
	bool has_reporter;
};
struct audit_append {
	struct audit_event *events;
	size_t count;
};
struct audit_appended {
	uint64_t *index;
	size_t count;
	const char *checkpoint;
};
struct audit_status {
	const char *origin, *state, *vkey, *dir;
	uint64_t size, published_size, open_requests;
	uint64_t cosigned_size;
	uint32_t witnesses, witnesses_fine;
};
void audit_append_encode(const struct audit_append *a, struct buf *out);
/** Events in an untrusted AppendRequest, 1 to AUDIT_EVENTS_MAX; 0 = it is none. Cheap: what they hold is not looked at. */
size_t audit_append_count(const uint8_t *buf, size_t len);
IM_MUST_CHECK enum im_rc audit_append_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct audit_append *ret, struct im_err *err);
void audit_appended_encode(const struct audit_appended *a, struct buf *out);
IM_MUST_CHECK enum im_rc audit_appended_decode(const uint8_t *buf, size_t len, struct arena *arena,
					       struct audit_appended *ret, struct im_err *err);
void audit_status_encode(const struct audit_status *s, struct buf *out);
IM_MUST_CHECK enum im_rc audit_status_decode(const uint8_t *buf, size_t len, struct arena *arena,
					     struct audit_status *ret, struct im_err *err);

#endif
