/*
 * tests/bench/audit_load.h - clients of the audit daemon over its link, each with a thread, a loop and a link of its own: as
 * fast as it answers, or so many calls a second.
 */
#ifndef BENCH_AUDIT_LOAD_H
#define BENCH_AUDIT_LOAD_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_CLIENTS 4

struct load_phase {
	unsigned batch; /* records of a call */
	unsigned
	    outstanding; /* calls of each client that wait for their answer; with 'per_s' no bound */
	unsigned per_s;  /* calls a second of all clients together; 0 = as fast as answers come */
	uint64_t for_us;
};

struct load_result {
	uint64_t records, refused; /* calls that were refused count as refused, not as records */
	double seconds;
	uint32_t *took_us; /* of each call, sorted; valid until the next phase */
	size_t took_len;
};

struct audit_load;

/** Connect to the daemon at 'url'; waits for it. */
struct audit_load *audit_load_new(const char *url);

/** Run one phase to its end: until the last answer came. */
void audit_load_run(struct audit_load *l, const struct load_phase *phase, struct load_result *ret);

/** Close the links and free all. */
void audit_load_free(struct audit_load *l);

#endif
