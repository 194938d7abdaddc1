/*
 * cli/route.c - 'infermesh route list', 'set' and 'reset', and how a route is shown; 'route ramp' is in ramp.c.
 */
#include "cli/route.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/print.h"
#include "wire/mesh.h"

enum im_rc
route_ask(struct operator_link *o, const char *method, const struct buf *body,
	  struct route_list *ret, struct im_err *err)
{
	struct buf reply = { 0 };
	enum im_rc rc = operator_call(o, method, body, &reply, err);

	if (rc == IM_OK)
		rc = route_list_decode(reply.data, reply.len, &o->arena, ret, err);
	buf_done(&reply);
	return rc;
}

/* Column widths: route 20, arm 24, weight 6, share 6, requests 9, failed 7. */
static void
print_arm(const struct route_status *s, size_t i, uint32_t sum)
{
	const struct route_arm *a = &s->route.arms[i];

	print_column(i == 0 ? s->route.model : "", 20);
	print_column(a->model, 24);
	(void)printf("%6u  %5.1f%%  %9" PRIu64 "  %7" PRIu64, a->weight, 100.0 * a->weight / sum,
		     s->arms[i].requests, s->arms[i].failed);
}

static void
print_changed(const struct route_status *s)
{
	time_t when = (time_t)(s->changed_us / 1000000);
	char text[40], actor[NET_NAME_MAX + 32];
	struct tm tm;

	if (!s->by_operator) {
		(void)printf("configuration file");
		return;
	}
	operator_actor(s->actor, actor, sizeof(actor));
	print_text(actor);
	if (gmtime_r(&when, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		(void)printf(", %s", text);
}

void
route_print_ramp(const struct ramp_status *r)
{
	(void)printf("ramp to ");
	print_text(r->spec.arm);
	(void)printf(": %s", ramp_state_text(r->state));
	if (r->state == RAMP_RUNNING) {
		(void)printf(" at %u%%, %u of %u s of this step; ", r->percent, r->step_ms / 1000,
			     r->spec.every_ms / 1000);
		print_text(r->spec.arm);
		(void)printf(" %u requests (at least %u), %u failed (at most %g%%), p99 ",
			     r->arm.requests, r->spec.min_requests, r->arm.failed,
			     r->spec.max_error_ppm / 1e4);
		print_latency(r->arm.p99_us, 0);
		if (r->spec.max_p99_ms > 0)
			(void)printf(" (at most %u ms)", r->spec.max_p99_ms);
		(void)printf("; others %u, %u failed, p99 ", r->others.requests, r->others.failed);
		print_latency(r->others.p99_us, 0);
	}
	if (r->reason[0] != '\0') {
		(void)printf(": ");
		print_text(r->reason);
	}
	(void)putchar('\n');
}

static void
print_routes(const struct route_list *list)
{
	(void)printf("%-20s  %-24s  %6s  %6s  %9s  %7s  STICKY, FALLBACK, CHANGED BY\n", "ROUTE",
		     "ARM", "WEIGHT", "SHARE", "REQUESTS", "FAILED");
	for (size_t i = 0; i < list->count; i++) {
		const struct route_status *s = &list->routes[i];
		uint32_t sum = 0;

		for (size_t k = 0; k < s->route.arm_count; k++)
			sum += s->route.arms[k].weight;
		for (size_t k = 0; k < s->route.arm_count; k++) {
			print_arm(s, k, sum);
			if (k > 0) {
				(void)putchar('\n');
				continue;
			}
			(void)printf("  %s", sticky_text(s->route.sticky));
			for (size_t f = 0; f < s->route.fallback_count; f++) {
				(void)fputs(f == 0 ? "; then " : ", ", stdout);
				print_text(s->route.fallback[f]);
			}
			(void)printf("%s; ",
				     s->route.answer[0] != '\0' ? "; at last an answer" : "");
			print_changed(s);
			(void)putchar('\n');
		}
		if (s->has_ramp) {
			print_column("", 20);
			route_print_ramp(&s->ramp);
		}
	}
	if (list->count == 0)
		(void)printf("(none: each model is asked for by its own name)\n");
}

static bool
is_served(const struct router_status *s, const char *model)
{
	for (size_t i = 0; i < s->worker_count; i++)
		for (size_t k = 0; k < s->workers[i].model_count; k++)
			if (strcmp(s->workers[i].models[k], model) == 0)
				return true;
	return false;
}

/* One more of the models of 'route' that nobody serves. */
static void
note_model(const char *route, const char *model, unsigned *count)
{
	if ((*count)++ == 0) {
		(void)printf("note: ");
		print_text(route);
		(void)printf(": no worker serves ");
	} else {
		(void)printf(", ");
	}
	print_text(model);
}

void
route_print_noted(struct operator_link *o, const struct route_list *list)
{
	const struct buf empty = { 0 };
	struct buf reply = { 0 };
	struct router_status s;
	struct im_err err;

	print_routes(list);
	if (operator_call(o, METHOD_STATUS, &empty, &reply, &err) != IM_OK ||
	    router_status_decode(reply.data, reply.len, &o->arena, &s, &err) != IM_OK) {
		buf_done(&reply);
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		const struct route_spec *r = &list->routes[i].route;
		unsigned count = 0;

		for (size_t k = 0; k < r->arm_count; k++)
			if (r->arms[k].weight > 0 && !is_served(&s, r->arms[k].model))
				note_model(r->model, r->arms[k].model, &count);
		for (size_t k = 0; k < r->fallback_count; k++)
			if (!is_served(&s, r->fallback[k]))
				note_model(r->model, r->fallback[k], &count);
		if (count > 0)
			(void)printf(" now; 'infermesh worker list' shows what is served\n");
	}
	buf_done(&reply);
}

static void
json_side(struct buf *b, const char *name, const struct ramp_side *s)
{
	(void)buf_printf(b, "\"%s\":{", name);
	json_number(b, "requests", s->requests);
	json_number(b, "failed", s->failed);
	json_number(b, "p99_us", s->p99_us);
	json_close(b, "},");
}

static void
json_ramp(struct buf *b, const struct ramp_status *r)
{
	(void)buf_append_str(b, "\"ramp\":{");
	json_text(b, "arm", r->spec.arm);
	json_text(b, "state", ramp_state_text(r->state));
	json_number(b, "percent", r->percent);
	json_number(b, "step_percent", r->spec.step_percent);
	json_number(b, "every_ms", r->spec.every_ms);
	json_number(b, "max_error_ppm", r->spec.max_error_ppm);
	json_number(b, "max_p99_ms", r->spec.max_p99_ms);
	json_number(b, "min_requests", r->spec.min_requests);
	json_number(b, "step_ms", r->step_ms);
	json_text(b, "reason", r->reason);
	json_side(b, "of_arm", &r->arm);
	json_side(b, "of_others", &r->others);
	json_close(b, "},");
}

static void
json_route(struct buf *b, const struct route_status *s)
{
	(void)buf_append_byte(b, '{');
	json_text(b, "model", s->route.model);
	json_text(b, "sticky", sticky_text(s->route.sticky));
	(void)buf_append_str(b, "\"arms\":[");
	for (size_t i = 0; i < s->route.arm_count; i++) {
		(void)buf_append_byte(b, '{');
		json_text(b, "model", s->route.arms[i].model);
		json_number(b, "weight", s->route.arms[i].weight);
		json_number(b, "requests", s->arms[i].requests);
		json_number(b, "failed", s->arms[i].failed);
		json_close(b, "},");
	}
	json_close(b, "],\"fallback\":[");
	for (size_t i = 0; i < s->route.fallback_count; i++) {
		(void)json_put_cstr(b, s->route.fallback[i]);
		(void)buf_append_byte(b, ',');
	}
	json_close(b, "],");
	json_text(b, "fallback_answer", s->route.answer);
	json_bool(b, "by_operator", s->by_operator);
	json_number(b, "changed_us", s->changed_us);
	json_text(b, "actor", s->actor);
	if (s->has_ramp)
		json_ramp(b, &s->ramp);
	json_close(b, "},");
}

void
route_print_json(const struct route_list *list)
{
	struct buf b = { 0 };

	(void)buf_append_str(&b, "{\"routes\":[");
	for (size_t i = 0; i < list->count; i++)
		json_route(&b, &list->routes[i]);
	json_close(&b, "]}\n");
	json_print(&b);
}

int
run_route_list(const struct cli_args *args)
{
	const struct buf empty = { 0 };
	struct operator_link o;
	struct route_list list;
	struct im_err err;
	int status;

	if (!operator_open(args, &o, &status))
		return status;
	if (route_ask(&o, METHOD_LIST_ROUTES, &empty, &list, &err) != IM_OK) {
		status = cli_fail(args, &err);
	} else {
		if (cli_flag(args, "json"))
			route_print_json(&list);
		else
			route_print_noted(&o, &list);
		status = EXIT_FINE;
	}
	operator_close(&o);
	return status;
}

/* "v1=90": cut at the last '=', since models may have one in their name. */
static bool
parse_arm(char *word, struct route_arm *ret)
{
	char *eq = strrchr(word, '=');

	if (eq == NULL || eq == word ||
	    !operator_parse_number(eq + 1, 0, ROUTE_WEIGHT_MAX, &ret->weight))
		return false;
	*eq = '\0';
	ret->model = word;
	return true;
}

static int
wrong(const struct cli_args *args, const char *what, const char *found, const char *allowed)
{
	(void)fprintf(stderr, "infermesh %s: %s: found '%.80s', allowed: %s\n", args->command->name,
		      what, found, allowed);
	return EXIT_USAGE;
}

/* Cut "a,b" into its names. False: too many. */
static bool
split_names(char *text, struct route_spec *r)
{
	char *rest = NULL;

	for (char *name = strtok_r(text, ",", &rest); name != NULL;
	     name = strtok_r(NULL, ",", &rest)) {
		if (r->fallback_count == ROUTE_FALLBACKS_MAX)
			return false;
		r->fallback[r->fallback_count++] = name;
	}
	return true;
}

/* What the options say; 'names' is a copy of --fallback to be cut. EXIT_FINE or EXIT_USAGE. */
static int
parse_options(const struct cli_args *args, char *names, struct set_route *s)
{
	static const enum sticky all[] = { STICKY_SESSION, STICKY_CALLER, STICKY_OFF };
	const char *sticky = cli_value(args, "sticky"),
		   *answer = cli_value(args, "fallback-answer");

	for (size_t i = 0; sticky != NULL && i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(sticky, sticky_text(all[i])) == 0)
			s->route.sticky = all[i];
	if (sticky != NULL && s->route.sticky == STICKY_UNSAID)
		return wrong(args, "--sticky", sticky, "session, caller or off");
	if (names != NULL) {
		s->set_fallback = true;
		if (strcmp(names, "none") != 0 && !split_names(names, &s->route))
			return wrong(args, "--fallback", names, "at most 8 models");
	}
	if (answer != NULL) {
		s->set_answer = true;
		s->route.answer = answer;
	}
	return EXIT_FINE;
}

/* EXIT_FINE or EXIT_USAGE. */
static int
parse_arms(const struct cli_args *args, struct set_route *s)
{
	for (int i = 1; i < args->rest_count; i++) {
		if (s->route.arm_count == ROUTE_ARMS_MAX)
			return wrong(args, "ARM=WEIGHT", args->rest[i], "at most 16 of them");
		if (!parse_arm(args->rest[i], &s->route.arms[s->route.arm_count]))
			return wrong(args, "ARM=WEIGHT", args->rest[i],
				     "MODEL=WEIGHT with a weight from 0 to 10000, such as v1=90");
		s->route.arm_count++;
	}
	if (s->route.arm_count == 0 && s->route.sticky == STICKY_UNSAID && !s->set_fallback &&
	    !s->set_answer)
		return wrong(args, "ARM=WEIGHT", "none",
			     "the models and their weights, such as v1=90 v2=10");
	return EXIT_FINE;
}

/* Send it and show what came of it. */
static int
change(const struct cli_args *args, const struct set_route *s)
{
	struct buf body = { 0 };
	struct operator_link o;
	struct route_list list;
	struct im_err err;
	int status;

	if (!operator_open(args, &o, &status))
		return status;
	status = EXIT_FINE;
	set_route_encode(s, &body);
	if (route_ask(&o, METHOD_SET_ROUTE, &body, &list, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (list.count > 0)
		route_print_noted(&o, &list);
	else
		(void)printf("the route is gone: the configuration file has none of this name\n");
	buf_done(&body);
	operator_close(&o);
	return status;
}

int
run_route_set(const struct cli_args *args)
{
	const char *names = cli_value(args, "fallback");
	struct set_route s = { .route = { .answer = "" } };
	char *copy = names != NULL ? strdup(names) : NULL;
	int status = EXIT_FINE;

	s.route.model = operator_argument(args, 0, "ALIAS", &status);
	if (s.route.model != NULL)
		status = parse_options(args, copy, &s);
	if (status == EXIT_FINE)
		status = parse_arms(args, &s);
	if (status == EXIT_FINE)
		status = change(args, &s);
	free(copy);
	return status;
}

int
run_route_reset(const struct cli_args *args)
{
	struct set_route s = { .route = { .answer = "" }, .reset = true };
	int status = EXIT_FINE;

	s.route.model = operator_argument(args, 0, "ALIAS", &status);
	return s.route.model != NULL ? change(args, &s) : status;
}
