/*
 * cli/worker.c - 'infermesh worker list', 'drain', 'undrain' and 'weight'.
 */
#include <stdio.h>
#include <string.h>

#include "cli/operator.h"
#include "cli/status_view.h"
#include "wire/operator.h"

static int
change(const struct cli_args *args, const struct set_worker *s)
{
	struct buf body = { 0 }, reply = { 0 };
	struct operator_link o;
	struct worker_status w;
	struct im_err err;
	int status;

	if (!operator_open(args, &o, &status))
		return status;
	set_worker_encode(s, &body);
	status = EXIT_FINE;
	if (operator_call(&o, METHOD_SET_WORKER, &body, &reply, &err) != IM_OK ||
	    worker_status_decode(reply.data, reply.len, &o.arena, &w, &err) != IM_OK)
		status = cli_fail(args, &err);
	else
		status_print_workers(&(struct router_status){ .workers = &w, .worker_count = 1 });
	buf_done(&body);
	buf_done(&reply);
	operator_close(&o);
	return status;
}

int
run_worker_drain(const struct cli_args *args)
{
	struct set_worker s = { .change = WORKER_CHANGE_DRAIN };
	int status = EXIT_FINE;

	s.worker = operator_argument(args, 0, "WORKER", &status);
	return s.worker != NULL ? change(args, &s) : status;
}

int
run_worker_undrain(const struct cli_args *args)
{
	struct set_worker s = { .change = WORKER_CHANGE_UNDRAIN };
	int status = EXIT_FINE;

	s.worker = operator_argument(args, 0, "WORKER", &status);
	return s.worker != NULL ? change(args, &s) : status;
}

int
run_worker_weight(const struct cli_args *args)
{
	struct set_worker s = { .change = WORKER_CHANGE_WEIGHT };
	const char *weight = NULL;
	int status = EXIT_FINE;

	s.worker = operator_argument(args, 0, "WORKER", &status);
	if (s.worker != NULL)
		weight = operator_argument(args, 1, "WEIGHT", &status);
	if (weight == NULL)
		return status;
	if (strcmp(weight, "reset") != 0 &&
	    !operator_parse_number(weight, 1, ROUTE_WEIGHT_MAX, &s.weight)) {
		(void)fprintf(
		    stderr,
		    "infermesh worker weight: WEIGHT: found '%.40s', allowed: 1 to %d, or "
		    "'reset' for what the worker announces\n",
		    weight, ROUTE_WEIGHT_MAX);
		return EXIT_USAGE;
	}
	return change(args, &s);
}

int
run_worker_list(const struct cli_args *args)
{
	const struct buf empty = { 0 };
	struct buf reply = { 0 };
	struct operator_link o;
	struct router_status s;
	struct im_err err;
	int status;

	if (!operator_open(args, &o, &status))
		return status;
	status = EXIT_FINE;
	if (operator_call(&o, METHOD_STATUS, &empty, &reply, &err) != IM_OK ||
	    router_status_decode(reply.data, reply.len, &o.arena, &s, &err) != IM_OK)
		status = cli_fail(args, &err);
	else if (cli_flag(args, "json"))
		status_json_workers(&s);
	else
		status_print_workers(&s);
	buf_done(&reply);
	operator_close(&o);
	return status;
}
