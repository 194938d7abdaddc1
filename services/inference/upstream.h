/*
 * inference/upstream.h - the parts of the upstream backend among themselves: upstream.c (the backend), upstream_job.c (one
 * request to the upstream), exchange.h (how its bytes travel), upstream_models.c (which models it has). Nobody else includes this.
 */
#ifndef INFERENCE_UPSTREAM_H
#define INFERENCE_UPSTREAM_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "daemon/api_key.h"
#include "daemon/curl_loop.h"
#include "inference/backend.h"
#include "inference/chunk_pattern.h"
#include "inference/exchange.h"
#include "inference/request_json.h"

#define UPSTREAM_CAPACITY        256                       /* when the configuration does not say */
#define UPSTREAM_EVENT_MAX       ((size_t)1024 * 1024)     /* bytes of one event of a stream */
#define UPSTREAM_ANSWER_MAX      ((size_t)8 * 1024 * 1024) /* bytes of a JSON answer */
#define UPSTREAM_VECTORS_MAX     ((size_t)24 * 1024 * 1024) /* the same of an embedding */
#define UPSTREAM_PIECE_ARENA_MAX (4 * UPSTREAM_ANSWER_MAX)  /* of a piece, decoded */
#define UPSTREAM_REQUEST_MAX     ((size_t)64 * 1024 * 1024)
#define UPSTREAM_GRACE_US                                                                          \
	1000000 /* for the end of a stream after [DONE], so that the connection can be kept */
#define UPSTREAM_USER_AGENT "infermesh/" INFERMESH_VERSION

/* The list of models, when the upstream is asked for it. */
struct models_fetch {
	struct transfer x;
	struct curl_slist *headers;
	struct buf body;
	struct loop_timer retry;
	uint32_t pause_ms; /* before the next try; doubles up to a minute */
	bool failing;      /* the log knows */
};

struct upstream_stats {
	uint64_t ok, cancelled;
	uint64_t failed[IM_EMETHOD + 1]; /* by code */
	struct histogram seconds[OPERATION_COUNT], first_token[OPERATION_COUNT];
};

struct backend {
	struct loop *loop;
	struct curl_loop *curl;
	const struct config *item; /* its strings are used in place */
	uint64_t read_us;
	long connect_ms;
	const char *ca_file;          /* NULL = the system's */
	CURLU *urls[OPERATION_COUNT]; /* parsed once, not for each request */
	char *models_url;
	const struct carrier *carrier;
	void *carried; /* its state */
	const char
	    *proxy; /* "" = libcurl asks nobody for one; NULL = it looks at the environment */
	struct api_key key;
	struct request_extra extra[REQUEST_EXTRA_MAX];
	size_t extra_count;
	uint32_t capacity;
	uint32_t in_flight;
	struct list jobs;

	/* Of the piece at hand, whosever it is. */
	struct arena piece_arena;
	struct chunk_pattern pattern;

	struct arena model_arena;
	struct model_info *models;
	size_t model_count;
	struct models_fetch fetch;

	struct upstream_stats stats;
	uint64_t turn_us; /* when the first bytes of this turn of the loop came; 0 = none did */
	struct loop_task turn_over;
	struct loop_task stop_task;
	loop_fn stopped;
	void *stopped_arg;
};

/** Options that every handle of libcurl has, all but the address: limits, certificates, no redirects. */
void upstream_setup(const struct backend *b, CURL *easy);

/** Append "Name: value" to '*headers'; with value "" libcurl leaves the header out. False without memory. */
bool upstream_header(struct curl_slist **headers, const char *name, const char *value);

/** Append the Authorization header if there is a key. As api_key_get(). */
IM_MUST_CHECK enum im_rc upstream_authorize(struct backend *b, struct curl_slist **headers,
					    struct im_err *err);

/** What a transfer's failure means. 'code' is not CURLE_OK. */
enum im_rc upstream_curl_error(const struct backend *b, CURLcode code, struct im_err *err);

/* upstream_job.c: as backend_ops say */
enum im_rc upstream_submit(struct backend *b, const struct generate_request *req,
			   uint32_t budget_ms, const char *traceparent, const struct job_ops *ops,
			   void *user, struct job **ret_job, struct im_err *err);
void upstream_cancel(struct job *job);
void upstream_pause(struct job *job, bool paused);

/* upstream_proxy.c */

/** A proxy of the environment is for 'url', or may be, for all that is known without libcurl: it has the last word. */
bool upstream_by_proxy(CURLU *url);

/** 'list', as in no_proxy, surely names 'host', as libcurl reads it (CURLOPT_NOPROXY): "*", the host itself or a domain that it is in. False
 *  also for what only libcurl reads: address ranges, addresses of IPv6. Pure. */
bool upstream_no_proxy(const char *list, const char *host);

/* upstream_models.c */

/** Take the models that the configuration names, or with none begin to ask the upstream. */
IM_MUST_CHECK enum im_rc upstream_models_start(struct backend *b, struct im_err *err);
void upstream_models_stop(struct backend *b);

/**
 * Read the answer of GET …/models, 'len' untrusted bytes, into 'arena'. Pure. At most ANNOUNCE_MODELS_MAX are taken; names
 * that are too long are left out. IM_OK; IM_EUPSTREAM (no such list, or an empty one); IM_ENOMEM.
 */
IM_MUST_CHECK enum im_rc upstream_models_parse(const char *text, size_t len, struct arena *arena,
					       struct model_info **ret_models, size_t *ret_count,
					       struct im_err *err);

#endif
