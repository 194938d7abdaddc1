/*
 * tests/evidence/evidence.h - what the programs of './dev evidence' share: arguments, memory, the folder of a run, and how a
 * breach of an invariant is told. Each program tries one kind of harm on the audit log many times, prints what it counted as
 * one JSON object on standard output, and ends with 1 if an invariant was broken. Its seed is in the output; the same seed does
 * the same again.
 */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct evidence_args {
	uint64_t count;  /* --count N: how often */
	uint64_t seed;   /* --seed N; random unless given */
	const char *dir; /* --dir DIR: where the run's folder is made; in memory unless given */
	bool flag;       /* the program's own, see evidence_parse() */
};

/** Ends the program with a usage for anything else. 'flag' is the name of the program's own option, or NULL. */
void evidence_parse(int argc, char **argv, uint64_t count, const char *flag,
		    struct evidence_args *ret);

/** Make the folder of this run below 'args->dir'. */
void evidence_folder(const struct evidence_args *args, char ret[64]);

/** Remove a folder and all in it; none is fine. */
void evidence_remove(const char *path);

/** The harness itself cannot go on: prints and exits with 2. */
_Noreturn void evidence_die(const char *fmt, ...) IM_PRINTF(1, 2);

/** An invariant is broken: prints the first ten on standard error and counts. */
void evidence_broken(const char *fmt, ...) IM_PRINTF(1, 2);
uint64_t evidence_breaches(void);

/** Memory or the end of the program. */
void *evidence_alloc(size_t len);
void *evidence_realloc(void *p, size_t len);

/** Copy text that must fit. */
void evidence_copy(char *to, size_t room, const char *from);
void evidence_copy_len(char *to, size_t room, const char *from, size_t len);

#endif
