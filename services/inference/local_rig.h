/*
 * inference/local_rig.h - for tests: the local backend on a loop of its own, and answers that are gathered.
 */
#ifndef INFERENCE_LOCAL_RIG_H
#define INFERENCE_LOCAL_RIG_H

#include "base/buf.h"
#include "inference/backend.h"

#define RIG_CHOICES 8

struct rig {
	struct loop *loop;
	struct backend *backend;
	struct config *config;
	unsigned open; /* answers that have not ended; at 0 the loop stops */
	bool stopped;
	struct loop_timer deadline;
};

/* One request and what came back. */
struct answer {
	struct rig *rig;
	struct generate_request req;
	struct message messages[4];
	uint32_t budget_ms;

	struct job *job;
	struct buf text[RIG_CHOICES];
	struct buf logprobs;             /* a JSON array of all entries, once it ended */
	const char *finish[RIG_CHOICES]; /* NULL = none came */
	bool role[RIG_CHOICES];
	unsigned frames;
	const struct answer *beside; /* another one */
	unsigned beside_frames;      /* how many frames that had when our first came */
	unsigned cancel_at;          /* cancel after so many frames; 0 = never */
	unsigned pause_at;
	bool cancelled;
	bool ended;
	bool failed;
	struct im_err err;
	struct usage usage;
};

/** Start with the worker's entry 'yaml' (its members, indented by four), or NULL for the built-in one. */
void rig_start(struct rig *r, const char *yaml);

/** The same, but it must fail: returns the error. */
struct im_err rig_start_fails(const char *yaml);

void rig_stop(struct rig *r);

/** A request of one user message, with temperature 0 and 40 tokens. */
void answer_init(struct answer *a, struct rig *r, const char *user);
void answer_done(struct answer *a);

/** Forbid its end, so that it goes on for as many tokens as it may have. Of the demo model. */
void answer_endless(struct answer *a);

/** Submit; off the loop. */
enum im_rc answer_submit(struct answer *a);

/** Run the loop until all submitted answers have ended; a minute without that fails the test. */
void rig_run(struct rig *r);

/** Both, and the answer must be a good one. Its first choice. */
const char *answer_ask(struct answer *a);

#endif
