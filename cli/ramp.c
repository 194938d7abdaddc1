/*
 * cli/ramp.c - 'infermesh route ramp': begin a ramp, watch it, end it. The ramp itself runs in the router.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/print.h"
#include "cli/route.h"

#define DEFAULT_STEP_PERCENT 10
#define DEFAULT_EVERY_MS     30000
#define DEFAULT_ERROR_PPM    10000 /* 1 % */
#define DEFAULT_MIN_REQUESTS 100

static int
wrong(const struct cli_args *args, const char *option, const char *allowed)
{
	(void)fprintf(stderr, "infermesh %s: --%s: found '%.40s', allowed: %s\n",
		      args->command->name, option, cli_value(args, option), allowed);
	return EXIT_USAGE;
}

/* EXIT_FINE or EXIT_USAGE. */
static int
parse_spec(const struct cli_args *args, struct ramp_spec *s)
{
	const char *step = cli_value(args, "step"), *every = cli_value(args, "every");
	const char *share = cli_value(args, "max-error-rate"), *p99 = cli_value(args, "max-p99");
	const char *min = cli_value(args, "min-requests");
	size_t len = step != NULL ? strlen(step) : 0;
	char number[8];

	s->step_percent = DEFAULT_STEP_PERCENT;
	s->every_ms = DEFAULT_EVERY_MS;
	s->max_error_ppm = DEFAULT_ERROR_PPM;
	s->min_requests = DEFAULT_MIN_REQUESTS;
	(void)snprintf(number, sizeof(number), "%.*s",
		       (int)(len > 0 && step[len - 1] == '%' ? len - 1 : len),
		       step != NULL ? step : "");
	if (step != NULL && !operator_parse_number(number, 1, 100, &s->step_percent))
		return wrong(args, "step", "1 to 100 percent");
	if (every != NULL && (!operator_parse_ms(every, 1000, &s->every_ms) ||
			      s->every_ms < RAMP_EVERY_MIN_MS || s->every_ms > RAMP_EVERY_MAX_MS))
		return wrong(args, "every", "100ms to 168h, such as 30s");
	if (share != NULL && !operator_parse_share(share, &s->max_error_ppm))
		return wrong(args, "max-error-rate", "0% to 100%, such as 1%");
	if (p99 != NULL && (!operator_parse_ms(p99, 1, &s->max_p99_ms) || s->max_p99_ms == 0 ||
			    s->max_p99_ms > RAMP_P99_MAX_MS))
		return wrong(args, "max-p99", "1ms to 24h, such as 500ms");
	if (min != NULL && !operator_parse_number(min, 1, 1000000, &s->min_requests))
		return wrong(args, "min-requests", "1 to 1000000");
	return EXIT_FINE;
}

/* Wait a second, or until SIGINT or SIGTERM: then false. */
static bool
next_second(const sigset_t *stop)
{
	const struct timespec second = { .tv_sec = 1 };

	return sigtimedwait(stop, NULL, &second) < 0;
}

static const struct route_status *
find(const struct route_list *list, const char *alias)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->routes[i].route.model, alias) == 0)
			return &list->routes[i];
	return NULL;
}

/* One look. True: go on; else '*ret_status' is how it ended. */
static bool
look(const struct cli_args *args, struct operator_link *o, const char *alias, int *ret_status)
{
	const struct buf empty = { 0 };
	const struct route_status *s;
	struct route_list list;
	struct im_err err;

	arena_done(&o->arena);
	*ret_status = EXIT_TROUBLE;
	if (route_ask(o, METHOD_LIST_ROUTES, &empty, &list, &err) != IM_OK) {
		(void)cli_fail(args, &err);
		return true; /* a router that restarts comes back, and the ramp with it */
	}
	s = find(&list, alias);
	if (s == NULL || !s->has_ramp) {
		(void)err_set(&err, IM_ENOTFOUND, "no ramp was ever begun on %.80s", alias);
		(void)cli_fail(args, &err);
		return false;
	}
	route_print_ramp(&s->ramp);
	(void)fflush(stdout);
	if (s->ramp.state == RAMP_DONE)
		*ret_status = EXIT_FINE;
	return s->ramp.state == RAMP_RUNNING;
}

static int
watch(const struct cli_args *args, struct operator_link *o, const char *alias)
{
	sigset_t stop;
	int status;

	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	while (look(args, o, alias, &status))
		if (ferror(stdout) || !next_second(&stop))
			return EXIT_FINE; /* whoever stops watching does not stop the ramp */
	return status;
}

static int
begin(const struct cli_args *args, struct operator_link *o, const struct ramp_route *what)
{
	struct buf body = { 0 };
	struct route_list list;
	struct im_err err;
	int status = EXIT_FINE;

	ramp_route_encode(what, &body);
	if (route_ask(o, METHOD_RAMP_ROUTE, &body, &list, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (!cli_flag(args, "watch"))
		route_print_noted(o, &list);
	buf_done(&body);
	return status;
}

int
run_route_ramp(const struct cli_args *args)
{
	bool abort = cli_flag(args, "abort"), watching = cli_flag(args, "watch");
	struct ramp_route what = { .spec = { .arm = "" }, .abort = abort };
	struct operator_link o;
	int status = EXIT_FINE;

	what.model = operator_argument(args, 0, "ALIAS", &status);
	if (what.model == NULL)
		return status;
	if (!abort && (args->rest_count > 1 || !watching)) {
		const char *arm = operator_argument(args, 1, "ARM, the model to move to", &status);

		if (arm == NULL)
			return status;
		what.spec.arm = arm;
		status = parse_spec(args, &what.spec);
	}
	if (status != EXIT_FINE || !operator_open(args, &o, &status))
		return status;
	if (abort || what.spec.arm[0] != '\0')
		status = begin(args, &o, &what);
	if (status == EXIT_FINE && watching && !abort)
		status = watch(args, &o, what.model);
	operator_close(&o);
	return status;
}
