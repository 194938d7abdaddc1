/*
 * router/fake_mesh.h - for tests: a real router on one loop, and around it an audit service, a cache, workers and callers that
 * do what a test tells them. All links are in memory. Never part of a daemon.
 */
#ifndef ROUTER_FAKE_MESH_H
#define ROUTER_FAKE_MESH_H

#include "base/clock.h"
#include "daemon/daemon.h"
#include "wire/mesh.h"

#define MESH_WORKERS 4
#define MESH_ENTRIES 64 /* of the cache */

/* What was recorded, in order. */
struct recorded {
	enum record_kind kind;
	uint8_t request_id[16];
	enum outcome outcome;
	uint32_t status_code, attempts;
	char reason[40], worker[64], model[64], caller[64], digest[65];
	char route[64], arm[64], fallback[64];
	uint8_t output_sha256[32];
	uint8_t leader[16];
	bool has_output, has_cache_key, has_leader;
	size_t failed_count; /* attempts; the last one: */
	char failed_worker[64], failed_reason[64];
	uint64_t gap_count;
};

struct fake_worker {
	struct mesh *mesh;
	struct net *net;
	struct endpoint *ep;
	struct link *link;
	char name[16];
	uint32_t capacity, in_flight;
	uint32_t started, cancelled;
	enum im_rc fail_with;   /* end each call with this; IM_OK = answer */
	uint32_t fail_retry_ms; /* ... and this Retry-After */
	bool hang;              /* take calls and say nothing */
	bool say_one_then_hang;
	bool keeps;           /* take calls and answer none before mesh_worker_answer_kept() */
	struct served **kept; /* kept_count of them */
	size_t kept_count;
	bool refuse_full;       /* IM_EAGAIN */
	uint32_t refuse_busier; /* so many more with LOAD_CHANGED */
	bool says_load;         /* in refusals too */
	bool draining;
	bool unloaded;        /* refuses "demo"; the next announcement has it no more */
	const char *digest;   /* of "demo"; NULL = the one that all have */
	size_t pieces;        /* frames of an answer besides the first and the last */
	uint32_t more_tokens; /* that an answer uses besides 5 */
	uint32_t more_prompt; /* and a prompt besides 3 */
	bool no_usage;        /* and does not say so */
	struct served *held;  /* the last call that hangs */
	enum im_rc report_rc; /* IM_EAGAIN: not answered yet */
	bool gone, closed;
};

struct mesh {
	struct loop *loop;
	struct config *config;
	struct host *host;
	struct loop_timer poll;

	struct net *audit_net;
	struct endpoint *audit_ep;
	bool audit_holds; /* answer nothing until told */
	bool audit_fails;
	struct list audit_held;
	struct recorded *records;
	size_t record_count, record_cap;

	struct net *cache_net;
	struct endpoint *cache_ep;
	bool cache_silent;
	struct {
		uint8_t key[CACHE_KEY_BYTES];
		struct buf value;
	} entries[MESH_ENTRIES];
	size_t entry_count;

	struct fake_worker workers[MESH_WORKERS];

	struct net *caller_net;
	struct endpoint *caller_ep;
	struct link *caller_link;
	bool caller_goaway, closed;
};

/* One request of a test. */
struct ask {
	struct mesh *mesh;
	struct call *call;
	struct buf text; /* contents of choice 0 */
	bool has_head, ended, failed;
	/* How it is asked; set before mesh_ask(), which keeps them: */
	bool stingy;                 /* gives no credit back */
	bool no_cache, whole;        /* whole: not streamed */
	bool warm;                   /* temperature 1: neither cached nor shared */
	const char *caller, *tenant; /* as who it asks; NULL = nobody in particular */
	uint32_t max_tokens;         /* 0 = none stated */
	int32_t priority;

	char cache[24], worker[64], head_model[64], fallback[64];
	struct im_rates rates; /* of the head */
	uint32_t frames;
	struct im_err err;
	struct buf reply;
	struct usage usage;
};

/** Start a mesh with the YAML of a 'router' section, without workers. 'role' is the callers'. */
struct mesh *mesh_start(const char *router_yaml, const char *role);

/** The same with further sections, in lines of their own. */
struct mesh *mesh_start_with(const char *router_yaml, const char *more_yaml, const char *role);

/** Stop the router alone; mesh_stop() follows. */
void mesh_halt(struct mesh *m);

/** Stop everything; fails the test if the router leaves anything behind. */
void mesh_stop(struct mesh *m);

/** Serve the loop until 'done' says so; fails the test after 20 s. */
#define MESH_WAIT(m, cond)                                                                         \
	for (uint64_t mesh_end_us_ = clock_mono_us() + 20000000; !(cond);                          \
	     mesh_wait_turn(m, mesh_end_us_, #cond)) {                                             \
	}

void mesh_wait_turn(struct mesh *m, uint64_t end_us, const char *what);

/** Serve the loop for a moment. */
void mesh_turn(struct mesh *m);

void mesh_audit_up(struct mesh *m);
void mesh_audit_down(struct mesh *m);

/** Let held Appends through; hold those that come from now on, or not. */
void mesh_audit_release(struct mesh *m, bool hold_on);

/** Let the first held Append through; those that come from now on are held still. */
void mesh_audit_release_one(struct mesh *m);

/** Records of 'kind', and of 'outcome' unless it is OUTCOME_NONE. */
size_t mesh_count(const struct mesh *m, enum record_kind kind, enum outcome outcome);
const struct recorded *mesh_last(const struct mesh *m, enum record_kind kind);

/** A worker with the models "demo" and "other", and wait until the router knows it. */
struct fake_worker *mesh_worker(struct mesh *m, size_t i, const char *name, uint32_t capacity);
void mesh_worker_leaves(struct fake_worker *w);

/** Cut its link; it dials again. */
void mesh_worker_cut(struct fake_worker *w);
void mesh_worker_announce(struct fake_worker *w);

/** It reports 'load', raw bytes if that is NULL; the router's answer goes to 'w->report_rc'. */
void mesh_worker_report(struct fake_worker *w, const struct load *load);

/** End the call that hangs with this failure. */
void mesh_worker_fail_held(struct fake_worker *w, enum im_rc rc);

/** Send a frame with a large head, which workers have no business to send, in the call that hangs. */
enum im_rc mesh_worker_say_head(struct fake_worker *w, const char *content);

/** Answer what was kept, and whatever comes from now on. */
void mesh_worker_answer_kept(struct fake_worker *w);

/** In the call that hangs: say a piece of the answer, the last one with a finish reason; and end it. */
void mesh_worker_say(struct fake_worker *w, const char *content, const char *finish);
void mesh_worker_end(struct fake_worker *w, enum im_rc rc);

/** Ask for an answer to 'prompt' with temperature 0. 'method' METHOD_GENERATE or METHOD_GENERATE_ONCE. */
void mesh_ask(struct mesh *m, struct ask *ask, const char *method, const char *model,
	      const char *prompt, uint32_t budget_ms);
void ask_cancel(struct ask *ask);
void ask_done(struct ask *ask);

/** Router/Status; strings live in 'arena'. */
void mesh_status(struct mesh *m, struct arena *arena, struct router_status *ret);

/** Ask for an answer of 'model' and expect this failure. */
void mesh_expect_failure(struct mesh *m, const char *model, uint32_t budget_ms, enum im_rc rc,
			 const char *reason);

/** Wait until nothing is under way; then nothing may be counted either. */
void mesh_settled(struct mesh *m);

/** The router's metrics page has this line. */
bool mesh_metric(struct mesh *m, const char *line);

#endif
