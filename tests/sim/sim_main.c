/*
 * sim/sim_main.c - infermesh-sim: the router on virtual time. Arguments, replaying, what is printed; see sim.h.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "sim.h"

static struct world_params running;

static const char *const break_texts[] = {
#define X(name, text) text,
	SIM_BREAK_MAP(X)
#undef X
};

static const char usage[] =
    "usage: infermesh-sim [--seed N] [--seeds COUNT] [--events M] [--jobs J] [--trace] [--break FAULT]\n"
    "       infermesh-sim --report DIR [--policy NAME] [--events REQUESTS] [--jobs J]\n"
    "\n"
    "Runs the router on virtual time among workers that fail, and checks after every event what must hold.\n"
    "\n"
    "  --seed N      the first world (1)\n"
    "  --seeds COUNT so many worlds (10)\n"
    "  --events M    of each world, before it calms down (100000)\n"
    "  --jobs J      processes (1)\n"
    "  --trace       print what happens\n"
    "  --break FAULT break the router on purpose, to see that it is found:\n"
    "                slot-freed-twice, slot-leaked, call-lost, queue-overfull, probed-twice,\n"
    "                limit-forgotten\n"
    "  --report DIR  measure the policies with --events requests each; writes waiting.md, waiting.json and waiting.svg;\n"
    "                exits with 1 if least_connections is beyond its targets against the ideal\n"
    "  --policy NAME ... only this one, and the ideals\n"
    "\n"
    "examples:\n"
    "  ./dev sim --seeds 100 --events 1000000 --jobs 2\n"
    "  ./dev sim --report /tmp/report --policy least_connections --events 40000 --jobs 2\n";

void
sim_fail(const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)fflush(stdout);
	(void)fprintf(stderr,
		      "infermesh-sim: seed %llu, event %llu, at %.6f s: %s\n"
		      "replay: ./dev sim --seed %llu --seeds 1 --events %llu%s%s --trace\n",
		      (unsigned long long)running.seed, (unsigned long long)sim_events(),
		      (double)(sim_now_us() - SIM_START_US) / 1e6, what,
		      (unsigned long long)running.seed, (unsigned long long)running.events,
		      running.broken != BREAK_NOTHING ? " --break " : "",
		      running.broken != BREAK_NOTHING ? break_texts[running.broken] : "");
	_exit(1);
}

void
sim_trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->p.trace) {
		return;
	}
	(void)printf("%10llu %12.6f ", (unsigned long long)sim_events(),
		     (double)(sim_now_us() - SIM_START_US) / 1e6);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

bool
sim_loses(const char *role)
{
	static uint64_t last;
	bool lose = running.broken == BREAK_LOST_CALL && last != running.seed &&
		    sim_events() >= running.events / 2 && strcmp(role, "gateway") == 0;

	last = lose ? running.seed : last;
	return lose;
}

struct options {
	uint64_t seed, seeds, events, jobs;
	bool trace;
	enum sim_break broken;
	const char *report, *policy;
};

static uint64_t
number(const char *name, const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0' || *text == '-') {
		(void)fprintf(stderr, "infermesh-sim: --%s wants a number, not '%s'\n", name, text);
		exit(2);
	}
	return v;
}

static enum sim_break
breakage(const char *text)
{
	for (size_t i = 0; i < BREAK_COUNT; i++) {
		if (strcmp(text, break_texts[i]) == 0) {
			return (enum sim_break)i;
		}
	}
	(void)fprintf(stderr, "infermesh-sim: --break knows no '%s'; see --help\n", text);
	exit(2);
}

static void
parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = { { "seed", required_argument, NULL, 's' },
						 { "seeds", required_argument, NULL, 'n' },
						 { "events", required_argument, NULL, 'e' },
						 { "jobs", required_argument, NULL, 'j' },
						 { "trace", no_argument, NULL, 't' },
						 { "break", required_argument, NULL, 'b' },
						 { "report", required_argument, NULL, 'r' },
						 { "policy", required_argument, NULL, 'p' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			o->seed = number("seed", optarg);
			break;
		case 'n':
			o->seeds = number("seeds", optarg);
			break;
		case 'e':
			o->events = number("events", optarg);
			break;
		case 'j':
			o->jobs = number("jobs", optarg);
			break;
		case 't':
			o->trace = true;
			break;
		case 'b':
			o->broken = breakage(optarg);
			break;
		case 'r':
			o->report = optarg;
			break;
		case 'p':
			o->policy = optarg;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			exit(0);
		default:
			(void)fputs("'--help' tells the options\n", stderr);
			exit(2);
		}
	}
	if (o->policy != NULL && (o->report == NULL || policy_find(o->policy) == POLICY_COUNT)) {
		(void)fprintf(stderr,
			      "infermesh-sim: --policy wants --report and a policy, not '%s'\n",
			      o->policy);
		exit(2);
	}
	if (optind < argc || o->jobs == 0 || o->jobs > 64) {
		(void)fputs(usage, stderr);
		exit(2);
	}
}

static void
run_one(const struct options *o, uint64_t seed)
{
	struct tally t;

	world_params_from_seed(&running, seed);
	running.events = o->events;
	running.trace = o->trace;
	running.broken = o->broken;
	world_run(&running, &t);
	(void)printf(
	    "seed %llu: %llu events, %llu requests: %llu ok, %llu cancelled, %llu refused, "
	    "%llu failed, %llu late, %llu broken; %llu calls, %llu full\n",
	    (unsigned long long)seed, (unsigned long long)sim_events(), (unsigned long long)t.asked,
	    (unsigned long long)t.ok, (unsigned long long)t.cancelled,
	    (unsigned long long)t.refused, (unsigned long long)t.failed, (unsigned long long)t.late,
	    (unsigned long long)t.broken, (unsigned long long)t.dispatched,
	    (unsigned long long)t.full);
}

/* Each process takes every jobs-th world. True if all held. */
static bool
run_jobs(const struct options *o)
{
	bool ok = true;

	(void)fflush(stdout);
	for (uint64_t j = 0; j < o->jobs; j++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("infermesh-sim: fork");
			exit(1);
		}
		if (pid == 0) {
			for (uint64_t i = j; i < o->seeds; i += o->jobs) {
				run_one(o, o->seed + i);
			}
			exit(0);
		}
	}
	for (uint64_t j = 0; j < o->jobs; j++) {
		int status;

		ok = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && ok;
	}
	return ok;
}

int
main(int argc, char **argv)
{
	struct options o = { .seed = 1, .seeds = 10, .events = 100000, .jobs = 1 };
	struct timespec from, to;
	double seconds;
	bool ok;

	parse(argc, argv, &o);
	if (!o.trace) {
		(void)setvbuf(stdout, NULL, _IOLBF,
			      BUFSIZ); /* processes share it, a line at a time */
	}
	log_setup("sim", (enum log_level)(LOG_ERROR + 1));
	if (o.report != NULL) {
		return report_write(o.report, o.policy, o.events, o.jobs) ? 0 : 1;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	ok = run_jobs(&o);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	if (ok) {
		(void)printf("%llu worlds of %llu events held, %.1f s, %.0f events/s\n",
			     (unsigned long long)o.seeds, (unsigned long long)o.events, seconds,
			     (double)(o.seeds * o.events) / seconds);
	}
	return ok ? 0 : 1;
}
