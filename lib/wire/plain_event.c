/*
 * wire/plain_event.c - see plain_event.h.
 */
#include "wire/plain_event.h"

#include <string.h>

#include "wire/audit_tags.h"
#include "wire/texts.h"
#include "wire/wire.h"

/* A message of more fields could have more of one than wire_unpack() takes. */
#define FIELDS_MAX ((size_t)WIRE_ELEMENTS_MAX)
#define FIELD_MIN  2 /* bytes */

static struct reader
within(const struct reader_field *f)
{
	return (struct reader){ .at = f->data, .end = f->data + f->len };
}

/* False if it is no text, or longer than 'max'. */
static bool
take_text(struct texts *t, const struct reader_field *f, size_t max, const char **ret)
{
	if (f->type != READER_BYTES || f->len > max)
		return false;
	*ret = texts_take(t, f);
	return *ret != NULL;
}

/* As many bytes as there have to be. None, written out, are unusual. */
static bool
take_bytes(const struct reader_field *f, uint8_t *ret, size_t want, bool *ret_has)
{
	if (f->type != READER_BYTES || f->len != want)
		return false;
	*ret_has = true;
	memcpy(ret, f->data, f->len);
	return true;
}

static bool
take_u64(const struct reader_field *f, uint64_t *ret)
{
	*ret = f->num;
	return f->type == READER_VARINT;
}

static bool
take_u32(const struct reader_field *f, uint32_t *ret)
{
	*ret = (uint32_t)f->num; /* as protobuf has it */
	return f->type == READER_VARINT;
}

/* A number of an enumeration that ends with 'last'. */
static bool
take_enum(const struct reader_field *f, unsigned last, unsigned *ret)
{
	return take_u32(f, ret) && *ret <= last;
}

static bool
take_load(struct reader r, struct texts *t, struct worker_load *ret)
{
	struct reader_field f;
	unsigned state = 0, breaker = 0;
	bool ok = true;

	ret->worker = "";
	while (ok && reader_next(&r, &f)) {
		switch (f.tag) {
		case LOAD_WORKER:
			ok = take_text(t, &f, SIZE_MAX, &ret->worker);
			break;
		case LOAD_IN_FLIGHT:
			ok = take_u32(&f, &ret->in_flight);
			break;
		case LOAD_STATE:
			ok = take_enum(&f, SEEN_GONE, &state);
			break;
		case LOAD_BREAKER:
			ok = take_enum(&f, SEEN_BREAKER_HALF_OPEN, &breaker);
			break;
		case LOAD_WEIGHT:
			ok = take_u32(&f, &ret->weight);
			break;
		default:
			return false;
		}
	}
	ret->state = (enum seen_state)state;
	ret->breaker = (enum seen_breaker)breaker;
	return ok && reader_at_end(&r);
}

/* Failed attempts are unusual. */
static bool
take_routing(struct reader r, struct texts *t, struct routing *ret)
{
	struct reader_field f;
	bool ok = true;

	while (ok && reader_next(&r, &f)) {
		switch (f.tag) {
		case ROUTING_WORKER:
			ok = take_text(t, &f, SIZE_MAX, &ret->worker);
			break;
		case ROUTING_POLICY:
			ok = take_text(t, &f, SIZE_MAX, &ret->policy);
			break;
		case ROUTING_SEEN:
			ok = f.type == READER_BYTES && ret->seen_count < AUDIT_SEEN_MAX &&
			     take_load(within(&f), t, &ret->seen[ret->seen_count++]);
			break;
		case ROUTING_CACHE_KEY:
			ok = take_bytes(&f, ret->cache_key, sizeof(ret->cache_key),
					&ret->has_cache_key);
			break;
		case ROUTING_ATTEMPTS:
			ok = take_u32(&f, &ret->attempts);
			break;
		case ROUTING_REASON:
			ok = take_text(t, &f, SIZE_MAX, &ret->reason);
			break;
		case ROUTING_ROUTE:
			ok = take_text(t, &f, AUDIT_ROUTE_MAX, &ret->route);
			break;
		case ROUTING_ARM:
			ok = take_text(t, &f, AUDIT_ROUTE_MAX, &ret->arm);
			break;
		case ROUTING_FALLBACK:
			ok = take_text(t, &f, AUDIT_ROUTE_MAX, &ret->fallback);
			break;
		case ROUTING_RULE:
			ok = take_text(t, &f, AUDIT_ROUTE_MAX, &ret->rule);
			break;
		case ROUTING_LEADER:
			ok = take_bytes(&f, ret->leader, sizeof(ret->leader), &ret->has_leader);
			break;
		default:
			return false;
		}
	}
	return ok && reader_at_end(&r);
}

static bool
take_usage(struct reader r, struct usage *ret)
{
	struct reader_field f;
	bool ok = true;

	while (ok && reader_next(&r, &f)) {
		switch (f.tag) {
		case USAGE_PROMPT:
			ok = take_u32(&f, &ret->prompt_tokens);
			break;
		case USAGE_COMPLETION:
			ok = take_u32(&f, &ret->completion_tokens);
			break;
		case USAGE_CACHED:
			ok = take_u32(&f, &ret->cached_tokens);
			break;
		case USAGE_REASONING:
			ok = take_u32(&f, &ret->reasoning_tokens);
			break;
		default:
			return false;
		}
	}
	return ok && reader_at_end(&r);
}

/* Messages within: one that comes twice would have to be merged. */
static bool
take_part(const struct reader_field *f, struct texts *t, struct audit_event *ev)
{
	bool *has = f->tag == EVENT_ROUTING ? &ev->has_routing : &ev->has_usage;

	if (f->type != READER_BYTES || *has)
		return false;
	*has = true;
	return f->tag == EVENT_ROUTING ? take_routing(within(f), t, &ev->routing)
				       : take_usage(within(f), &ev->usage);
}

static bool
take_digest(const struct reader_field *f, struct audit_event *ev)
{
	switch (f->tag) {
	case EVENT_INPUT:
		return take_bytes(f, ev->input_sha256, sizeof(ev->input_sha256), &ev->has_input);
	case EVENT_OUTPUT:
		return take_bytes(f, ev->output_sha256, sizeof(ev->output_sha256), &ev->has_output);
	case EVENT_CONFIG_DIGEST:
		return take_bytes(f, ev->config_digest, sizeof(ev->config_digest),
				  &ev->has_config_digest);
	case EVENT_REQUEST_ID:
		return take_bytes(f, ev->request_id, sizeof(ev->request_id), &ev->has_request_id);
	case EVENT_REPORTER:
		return take_bytes(f, ev->reporter, sizeof(ev->reporter), &ev->has_reporter);
	default:
		return false;
	}
}

static bool
take_field(const struct reader_field *f, struct texts *t, struct audit_event *ev, unsigned *kind,
	   unsigned *outcome)
{
	switch (f->tag) {
	case EVENT_KIND:
		return take_enum(f, RECORD_STOP, kind);
	case EVENT_CALLER:
		return take_text(t, f, SIZE_MAX, &ev->caller);
	case EVENT_TENANT:
		return take_text(t, f, SIZE_MAX, &ev->tenant);
	case EVENT_REQUEST_TIME_US:
		return take_u64(f, &ev->request_time_us);
	case EVENT_RESPONSE_TIME_US:
		return take_u64(f, &ev->response_time_us);
	case EVENT_MODEL:
		return take_text(t, f, SIZE_MAX, &ev->model);
	case EVENT_MODEL_DIGEST:
		return take_text(t, f, SIZE_MAX, &ev->model_digest);
	case EVENT_OUTCOME:
		return take_enum(f, OUTCOME_REJECTED, outcome);
	case EVENT_STATUS_CODE:
		return take_u32(f, &ev->status_code);
	case EVENT_ROUTING:
	case EVENT_USAGE:
		return take_part(f, t, ev);
	default:
		return take_digest(f, ev);
	}
}

/* 'ret' is zero. */
static bool
take_event(struct reader r, struct texts *t, struct audit_event *ret)
{
	unsigned kind = 0, outcome = 0;
	struct reader_field f;
	bool ok = true;

	ret->caller = ret->tenant = ret->model = ret->model_digest = ret->gap.reason = "";
	ret->routing.worker = ret->routing.policy = ret->routing.reason = "";
	ret->routing.route = ret->routing.arm = ret->routing.fallback = ret->routing.rule = "";
	while (ok && reader_next(&r, &f))
		ok = take_field(&f, t, ret, &kind, &outcome);
	ret->kind = (enum record_kind)kind;
	ret->outcome = (enum outcome)outcome;
	return ok && reader_at_end(&r) && kind >= RECORD_REQUEST;
}

bool
plain_events_decode(const uint8_t *buf, size_t len, struct arena *arena, struct audit_append *ret)
{
	struct reader r = { .at = buf, .end = buf + len };
	struct audit_append out = { .count = audit_append_count(buf, len) };
	struct reader_field f;
	struct texts t;
	size_t n = 0;

	if (out.count == 0)
		return false;
	out.events = arena_calloc(arena, out.count, sizeof(*out.events));
	t.at = arena_alloc(arena, len);
	if (out.events == NULL || t.at == NULL)
		return false;
	while (reader_next(&r, &f))
		if (f.tag != APPEND_EVENTS || f.type != READER_BYTES ||
		    f.len > FIELDS_MAX * FIELD_MIN || !take_event(within(&f), &t, &out.events[n++]))
			return false;
	*ret = out;
	return true;
}
