/*
 * wire/audit_tags.h - tags of proto/infermesh/v1/audit.proto and of the Usage in common.proto, for what is coded by hand. In this room only.
 */
#ifndef WIRE_AUDIT_TAGS_H
#define WIRE_AUDIT_TAGS_H

enum append_tag {
	APPEND_EVENTS = 1,
};

enum event_tag {
	EVENT_KIND = 1,
	EVENT_REQUEST_ID = 2,
	EVENT_CALLER = 3,
	EVENT_TENANT = 4,
	EVENT_REQUEST_TIME_US = 5,
	EVENT_RESPONSE_TIME_US = 6,
	EVENT_INPUT = 7,
	EVENT_OUTPUT = 8,
	EVENT_MODEL = 9,
	EVENT_MODEL_DIGEST = 10,
	EVENT_CONFIG_DIGEST = 11,
	EVENT_OUTCOME = 12,
	EVENT_STATUS_CODE = 13,
	EVENT_ROUTING = 14,
	EVENT_USAGE = 15,
	EVENT_GAP = 16,
	EVENT_REPORTER = 17,
};

enum routing_tag {
	ROUTING_WORKER = 1,
	ROUTING_POLICY = 2,
	ROUTING_SEEN = 3,
	ROUTING_CACHE_KEY = 4,
	ROUTING_ATTEMPTS = 5,
	ROUTING_REASON = 6,
	ROUTING_ROUTE = 7,
	ROUTING_ARM = 8,
	ROUTING_FALLBACK = 9,
	ROUTING_RULE = 10,
	ROUTING_LEADER = 11,
	ROUTING_FAILED = 12,
};

enum load_tag {
	LOAD_WORKER = 1,
	LOAD_IN_FLIGHT = 2,
	LOAD_STATE = 3,
	LOAD_BREAKER = 4,
	LOAD_WEIGHT = 5,
};

enum failed_tag {
	FAILED_WORKER = 1,
	FAILED_REASON = 2,
};

enum gap_tag {
	GAP_COUNT = 1,
	GAP_FROM_US = 2,
	GAP_TO_US = 3,
	GAP_REASON = 4,
};

enum usage_tag {
	USAGE_PROMPT = 1,
	USAGE_COMPLETION = 2,
	USAGE_CACHED = 3,
	USAGE_REASONING = 4,
};

#endif
