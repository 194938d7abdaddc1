/*
 * infermesh.h - libinfermesh: language models of an infermesh for programs in C.
 *
 * SYNOPSIS
 *	struct infermesh *mesh;
 *	struct infermesh_request *req = infermesh_request_new("demo");
 *	struct infermesh_call *call;
 *	struct infermesh_event ev;
 *	struct infermesh_error err;
 *
 *	infermesh_request_message(req, "user", "Hello!");
 *	if (infermesh_connect("ipc:///run/infermesh/router.ipc", "my-service", 5000, &mesh, &err) != INFERMESH_OK ||
 *	    infermesh_generate(mesh, req, &call, &err) != INFERMESH_OK)
 *		errx(1, "%s", err.text);
 *	while (infermesh_next(call, -1, &ev, &err) == INFERMESH_OK && ev.type != INFERMESH_END)
 *		if (ev.type == INFERMESH_DELTA)
 *			fputs(ev.content, stdout);
 *
 *	cc chat.c $(pkg-config --cflags --libs infermesh)
 *
 * DESCRIPTION
 *	A struct infermesh is a connection to one router. It is kept up: after a lost connection it is made again by itself;
 *	calls that were under way have failed then with INFERMESH_EUNAVAILABLE, and new ones fail so until it is back.
 *	Many calls may be under way at once, each in either of two styles: the program asks for the next event (pull), or the
 *	library calls back.
 *
 * THREADS
 *	The library has threads of its own; all signals are blocked in them. Every function may be called from any thread,
 *	but one call's infermesh_next() from one thread at a time, and an object is freed by one thread when no other uses it.
 *	Callbacks run on a thread of the library, for one struct infermesh never two at once, so one that waits holds up the
 *	others. Inside a callback every function may be called but infermesh_close() of the same connection, which aborts.
 *	After fork() the child must not use what the parent made.
 *
 * ERRORS
 *	Functions that can fail return an enum infermesh_code and, when it is not INFERMESH_OK, fill 'err', which may be NULL:
 *	'text' is for people: the cause and what to do about it. 'reason' is a stable word for programs.
 *
 * VERSIONS
 *	Programs that were compiled with one version run with every library of the same major version. Structs that the
 *	library hands out by pointer may grow at their end; those that the program provides (errors, events) do not change
 *	without a new major version.
 */
#ifndef INFERMESH_H
#define INFERMESH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the library that runs: "0.1.0". */
const char *infermesh_version(void);

/* What can go wrong. The numbers are those of the wire and never change; a new one may come. */
enum infermesh_code {
	INFERMESH_OK = 0,
	INFERMESH_EINVAL = 1,        /* the request is invalid: 'param' says where */
	INFERMESH_EAUTH = 2,         /* not authenticated */
	INFERMESH_EPERM = 3,         /* not permitted */
	INFERMESH_ENOTFOUND = 4,     /* no such model */
	INFERMESH_ETOOBIG = 5,       /* the request or an answer is too large */
	INFERMESH_ELIMIT = 6,        /* a limit is reached: try again after 'retry_after_ms' */
	INFERMESH_ECANCELED = 7,     /* the program cancelled it */
	INFERMESH_EINTERNAL = 8,     /* a bug somewhere in the mesh */
	INFERMESH_EUPSTREAM = 9,     /* the model's server failed */
	INFERMESH_EUNAVAILABLE = 10, /* no connection, no worker, or no audit log */
	INFERMESH_EDEADLINE = 11,    /* the time of the request is over */
	INFERMESH_ENOMEM = 12,       /* out of memory, here or there */
	INFERMESH_EPROTO = 13,       /* the other side sent what it must not */
	INFERMESH_EIO = 14,          /* no descriptors or threads left */
	INFERMESH_EAGAIN = 15,       /* infermesh_next(): no event within the time given */
	INFERMESH_EEXIST = 16,
	INFERMESH_ECORRUPT = 17,
	INFERMESH_EMETHOD = 18 /* the router is of another version */
};

/** Static English text; never NULL, also for numbers that are no code. */
const char *infermesh_code_text(enum infermesh_code code);

struct infermesh_error {
	enum infermesh_code code;
	uint32_t retry_after_ms; /* 0 = not said */
	char reason[40];         /* such as "model_not_found"; "" = the code says it all */
	char param[96];          /* the member of the request at fault, or "" */
	char text[512];
};

/* Connections. */

struct infermesh;

/**
 * Connect to the router at 'address' ("ipc://PATH" or "tcp://HOST:PORT") and wait up to 'timeout_ms' until it has answered.
 * 'name' says who this program is, in logs and audit records: at most 63 bytes.
 * INFERMESH_EINVAL: no such kind of address, or the name is too long. INFERMESH_EUNAVAILABLE: nobody answered in time.
 * INFERMESH_ENOMEM, INFERMESH_EIO. '*ret_mesh' is set on success only; end it with infermesh_close().
 */
enum infermesh_code infermesh_connect(const char *address, const char *name, uint32_t timeout_ms,
				      struct infermesh **ret_mesh, struct infermesh_error *err);

/** Non-zero while there is a connection and the router takes new calls. */
int infermesh_connected(struct infermesh *mesh);

/**
 * Disconnect and wait until the library's threads are done with it. Calls that are under way fail with
 * INFERMESH_EUNAVAILABLE first (callbacks are called); they are still to be freed, before or after. NULL is fine.
 */
void infermesh_close(struct infermesh *mesh);

/* Requests. A request may be used for any number of calls and changed in between. Strings are UTF-8 and copied. Setters
 * do not fail: what is wrong (no memory, too long) is said when a call is started. */

struct infermesh_request;

/** NULL without memory. */
struct infermesh_request *infermesh_request_new(const char *model);
/** NULL is fine. Calls that were started with it go on. */
void infermesh_request_free(struct infermesh_request *req);

/** Append a message. 'role': system, developer, user, assistant or tool. */
void infermesh_request_message(struct infermesh_request *req, const char *role,
			       const char *content);
/** Append the answer of a tool to the call 'tool_call_id'. */
void infermesh_request_tool_result(struct infermesh_request *req, const char *tool_call_id,
				   const char *content);
/** Members of the last message as JSON: "content" (an array of parts), "tool_calls" (an array). */
void infermesh_request_message_json(struct infermesh_request *req, const char *member,
				    const char *json);

/** Sampling. What is not set is the model's choice. */
void infermesh_request_temperature(struct infermesh_request *req, double temperature); /* 0 to 2 */
void infermesh_request_top_p(struct infermesh_request *req, double top_p);             /* 0 to 1 */
void infermesh_request_seed(struct infermesh_request *req, int64_t seed);
void infermesh_request_max_tokens(struct infermesh_request *req, uint32_t max_tokens);
/** Append a text at which the answer ends; at most 16. */
void infermesh_request_stop(struct infermesh_request *req, const char *text);
/** Members as JSON: "tools", "tool_choice", "response_format"; "extra": an object with what only some models know. */
void infermesh_request_json(struct infermesh_request *req, const char *member, const char *json);

/** For whom the program asks: goes to the audit log, and cached answers never cross tenants. */
void infermesh_request_caller(struct infermesh_request *req, const char *caller,
			      const char *tenant);
/** W3C Trace Context, passed on. */
void infermesh_request_traceparent(struct infermesh_request *req, const char *traceparent);
/** Time for the whole call; 0 = none. Without this: 300,000. */
void infermesh_request_timeout(struct infermesh_request *req, uint32_t timeout_ms);
/** Who goes first when requests wait: 0 is usual, above 0 more urgent, below 0 less. */
void infermesh_request_priority(struct infermesh_request *req, int32_t priority);
/** Neither take the answer from the cache nor keep it there. */
void infermesh_request_no_cache(struct infermesh_request *req);

/* Streams. */

struct infermesh_call;

enum infermesh_event_type {
	INFERMESH_START = 1, /* the request is admitted: model, cache, worker */
	INFERMESH_DELTA = 2, /* a piece of an answer */
	INFERMESH_END = 3,   /* the answer is whole: usage. Nothing follows */
	INFERMESH_ERROR = 4  /* callbacks only: 'error' says why it failed. Nothing follows */
};

struct infermesh_usage {
	uint32_t prompt_tokens;     /* cached_tokens included */
	uint32_t completion_tokens; /* reasoning_tokens included */
	uint32_t cached_tokens;
	uint32_t reasoning_tokens;
};

struct infermesh_tool_call {
	uint32_t index;
	const char *id;        /* of a stream: in the first piece only, else "" */
	const char *name;      /* likewise */
	const char *arguments; /* JSON text; of a stream: the next piece of it */
};

/* Strings are never NULL; "" = nothing. They live until the next infermesh_next() of the call or infermesh_call_free(); in a
 * callback until it returns. */
struct infermesh_event {
	enum infermesh_event_type type;

	const char *model; /* START */
	const char *cache; /* START: "hit-l1", "miss", "bypass", "coalesced" */
	const char *worker;

	uint32_t index; /* DELTA: of the choice */
	const char *role;
	const char *content;
	const char *reasoning_content;
	const char *refusal;
	const char
	    *finish_reason; /* "stop", "length", "tool_calls", "content_filter"; "" = it goes on */
	const struct infermesh_tool_call *tool_calls;
	size_t tool_call_count;

	struct infermesh_usage usage; /* END */

	const struct infermesh_error *error; /* ERROR, else NULL */
};

/**
 * Start a call and read its events with infermesh_next(). Does not wait. While the program does not read, the mesh stops
 * sending: a call costs a bounded amount of memory.
 * INFERMESH_EINVAL (the request), INFERMESH_ETOOBIG, INFERMESH_EUNAVAILABLE (no connection), INFERMESH_EAGAIN (too much
 * waits to be sent), INFERMESH_ENOMEM. '*ret_call' is set on success only; free it with infermesh_call_free().
 */
enum infermesh_code infermesh_generate(struct infermesh *mesh, const struct infermesh_request *req,
				       struct infermesh_call **ret_call,
				       struct infermesh_error *err);

/**
 * Wait up to 'timeout_ms' (-1 = for ever, 0 = not at all) for the next event. INFERMESH_OK: '*ret_event' is set.
 * INFERMESH_EAGAIN: none came in time; call again. Anything else: the call failed, and says so again each time.
 * After INFERMESH_END: INFERMESH_EINVAL.
 */
enum infermesh_code infermesh_next(struct infermesh_call *call, int timeout_ms,
				   struct infermesh_event *ret_event, struct infermesh_error *err);

/** Called with each event. 'call' may be cancelled and freed inside. */
typedef void (*infermesh_event_fn)(void *user, struct infermesh_call *call,
				   const struct infermesh_event *event);

/**
 * As infermesh_generate(), but 'fn' is called with 'user' for each event, never before '*ret_call' is set and, on failure
 * here, not at all. The last event is INFERMESH_END or INFERMESH_ERROR, unless the call is cancelled or freed before.
 */
enum infermesh_code infermesh_generate_cb(struct infermesh *mesh,
					  const struct infermesh_request *req,
					  infermesh_event_fn fn, void *user,
					  struct infermesh_call **ret_call,
					  struct infermesh_error *err);

/* What is left of the tightest limits that a request falls under, as when it was admitted or refused. */
struct infermesh_rate {
	uint64_t limit; /* when nothing of it is used; 0 = there is none, or it is not known */
	uint64_t remaining;
	uint32_t reset_ms; /* until nothing of it is used */
};

struct infermesh_limits {
	struct infermesh_rate requests, tokens;
};

/**
 * Known from INFERMESH_START on, or when the call has failed; before, and where no limit is configured, all is 0. Never NULL; lives as
 * long as the call. To be called by the thread that reads the call's events, or in its callback.
 */
const struct infermesh_limits *infermesh_call_limits(const struct infermesh_call *call);

/**
 * Give up: the mesh stops working on it. A thread that waits in infermesh_next() gets INFERMESH_ECANCELED. No callback of
 * this call follows: one that is running is waited for (unless this is called inside it), so hold no lock that it needs.
 * Does nothing after the end.
 */
void infermesh_cancel(struct infermesh_call *call);

/** Cancel it if it is under way, and free it. NULL is fine. */
void infermesh_call_free(struct infermesh_call *call);

/* Whole answers. */

struct infermesh_choice {
	uint32_t index;
	const char *role, *content, *reasoning_content, *refusal, *finish_reason;
	const struct infermesh_tool_call *tool_calls;
	size_t tool_call_count;
};

struct infermesh_answer {
	const char *request_id; /* as in the audit log */
	const char *model;
	const char *cache;
	const struct infermesh_choice *choices;
	size_t choice_count;
	struct infermesh_usage usage;
	struct infermesh_limits limits;
};

/** Ask and wait for the whole answer, as long as the request's timeout says. Of a request that a limit refused only 'retry_after_ms' is
 *  told; a stream tells all: infermesh_call_limits(). Free it with infermesh_answer_free(). */
enum infermesh_code infermesh_once(struct infermesh *mesh, const struct infermesh_request *req,
				   const struct infermesh_answer **ret_answer,
				   struct infermesh_error *err);
void infermesh_answer_free(const struct infermesh_answer *answer);

/* Models. */

struct infermesh_model {
	const char *id;
	const char *owned_by;
	const char *digest;      /* hex SHA-256 of the weights; "" for an upstream's */
	uint64_t created;        /* seconds since 1970 */
	uint32_t context_tokens; /* 0 = not known */
};

struct infermesh_models {
	const struct infermesh_model *models;
	size_t count;
};

/** Ask, for 'timeout_ms' at most, which models the mesh serves now. Free them with infermesh_models_free(). */
enum infermesh_code infermesh_models(struct infermesh *mesh, uint32_t timeout_ms,
				     const struct infermesh_models **ret_models,
				     struct infermesh_error *err);
void infermesh_models_free(const struct infermesh_models *models);

#ifdef __cplusplus
}
#endif

#endif
