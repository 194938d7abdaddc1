/*
 * cli/child.h - when to start a daemon again: the state of one child of 'infermesh up'. Pure: no process is touched here.
 *
 *            started            ready                    exited
 *   IDLE ────────────▶ STARTING ───────▶ READY ─────────────────▶ WAITING ──(restart_at_ms)──▶ STARTING …
 *                          │ exited, never ready before               │
 *                          ▼                                          ▼ stop
 *                       FAILED                    stop: STOPPING ──exited──▶ GONE
 */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#define CHILD_BACKOFF_MIN_MS 100
#define CHILD_BACKOFF_MAX_MS 5000
#define CHILD_STEADY_MS      10000 /* a life this long forgets the back-off */

enum child_state {
	CHILD_IDLE,
	CHILD_STARTING,
	CHILD_READY,
	CHILD_WAITING,
	CHILD_STOPPING,
	CHILD_FAILED, /* died before it was ever ready: a mistake that starting again does not mend */
	CHILD_GONE,
};

/* Zero-initialised. */
struct child {
	enum child_state state;
	bool was_ready; /* ever */
	uint64_t started_ms;
	uint64_t restart_at_ms; /* WAITING */
	uint32_t backoff_ms;
};

void child_started(struct child *c, uint64_t now_ms);
void child_ready(struct child *c);
void child_exited(struct child *c, uint64_t now_ms);

/** Asked to stop. Returns true if there is a process to be told. */
bool child_stop(struct child *c);

/** Is there a process? */
bool child_alive(const struct child *c);

#endif
