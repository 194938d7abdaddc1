/*
 * tests/evidence/evidence.c - shared parts of the evidence programs; see evidence.h.
 */
#include "evidence.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"

#define SHOWN 10 /* breaches that are printed */

static uint64_t breaches;

static _Noreturn void
usage(const char *program, const char *flag)
{
	(void)fprintf(stderr, "usage: %s [--count N] [--seed N] [--dir DIR]%s%s\n", program,
		      flag != NULL ? " " : "", flag != NULL ? flag : "");
	exit(2); // NOLINT(concurrency-mt-unsafe): there is no other thread yet
}

void
evidence_parse(int argc, char **argv, uint64_t count, const char *flag, struct evidence_args *ret)
{
	*ret = (struct evidence_args){ .count = count,
				       .dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp" };
	random_bytes((uint8_t *)&ret->seed, 4);
	for (int i = 1; i < argc; i++) {
		if (flag != NULL && strcmp(argv[i], flag) == 0)
			ret->flag = true;
		else if (i + 1 == argc)
			usage(argv[0], flag);
		else if (strcmp(argv[i], "--count") == 0)
			ret->count = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			ret->seed = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--dir") == 0)
			ret->dir = argv[++i];
		else
			usage(argv[0], flag);
	}
}

void
evidence_folder(const struct evidence_args *args, char ret[64])
{
	if (snprintf(ret, 64, "%s/im-evidence-XXXXXX", args->dir) >= 64 || mkdtemp(ret) == NULL)
		evidence_die("cannot make a folder in %s", args->dir);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void
evidence_remove(const char *path)
{
	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread at a time removes folders
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void
evidence_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	_exit(2);
}

void
evidence_broken(const char *fmt, ...)
{
	va_list ap;

	if (breaches++ >= SHOWN)
		return;
	(void)fputs("BROKEN: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

uint64_t
evidence_breaches(void)
{
	return breaches;
}

void *
evidence_alloc(size_t len)
{
	return evidence_realloc(NULL, len);
}

void *
evidence_realloc(void *p, size_t len)
{
	p = realloc(p, len > 0 ? len : 1);
	if (p == NULL)
		evidence_die("no memory");
	return p;
}

void
evidence_copy_len(char *to, size_t room, const char *from, size_t len)
{
	if (len >= room)
		evidence_die("too long: %s", from);
	memcpy(to, from, len);
	to[len] = '\0';
}

void
evidence_copy(char *to, size_t room, const char *from)
{
	evidence_copy_len(to, room, from, strlen(from));
}
