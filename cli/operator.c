/*
 * cli/operator.c - see operator.h.
 */
#include "cli/operator.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/user.h"

#define CALL_TIMEOUT_MS 10000 /* a change is answered when it is durable */
#define DECODED_MAX     (64UL * 1024 * 1024)

bool
operator_open(const struct cli_args *args, struct operator_link *ret, int *ret_status)
{
	struct operator_link o = { .config = cli_config(args) };
	char name[NET_NAME_MAX];
	struct im_err err;

	if (o.config == NULL) {
		*ret_status = EXIT_USAGE;
		return false;
	}
	user_name(name, sizeof(name));
	if (mesh_open(o.config, "operator", name, &o.mesh, &err) != IM_OK ||
	    mesh_dial_router(o.mesh, o.config, &o.router, &err) != IM_OK) {
		*ret_status = cli_fail(args, &err);
		mesh_close(o.mesh);
		config_free(o.config);
		return false;
	}
	arena_init(&o.arena, DECODED_MAX);
	*ret = o;
	return true;
}

void
operator_close(struct operator_link *o)
{
	arena_done(&o->arena);
	mesh_close(o->mesh);
	config_free(o->config);
}

enum im_rc
operator_call(struct operator_link *o, const char *method, const struct buf *body,
	      struct buf *reply, struct im_err *err)
{
	return mesh_call(o->router, method, body, CALL_TIMEOUT_MS, reply, err);
}

bool
operator_parse_ms(const char *text, uint32_t unitless, uint32_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint32_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	size_t digits = strspn(text, "0123456789");
	uint64_t ms = text[digits] == '\0' ? unitless : 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(text + digits, units[i].unit) == 0)
			ms = units[i].ms;
	if (digits == 0 || digits > 9 || ms == 0)
		return false;
	ms *= strtoull(text, NULL, 10);
	if (ms > UINT32_MAX)
		return false;
	*ret_ms = (uint32_t)ms;
	return true;
}

bool
operator_parse_share(const char *text, uint32_t *ret_ppm)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || strspn(text, "0123456789.") != (size_t)(end - text))
		return false;
	if (strcmp(end, "%") == 0)
		v /= 100;
	else if (*end != '\0')
		return false;
	if (!(v >= 0 && v <= 1))
		return false;
	*ret_ppm = (uint32_t)(v * 1e6 + 0.5);
	return true;
}

bool
operator_parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long n;

	if (digits == 0 || digits > 9 || text[digits] != '\0')
		return false;
	n = strtoul(text, NULL, 10);
	if (n < min || n > max)
		return false;
	*ret = (uint32_t)n;
	return true;
}

const char *
operator_argument(const struct cli_args *args, int n, const char *what, int *ret_status)
{
	if (n < args->rest_count)
		return args->rest[n];
	(void)fprintf(stderr, "infermesh %s: %s is missing; see 'infermesh %s --help'\n",
		      args->command->name, what, args->command->name);
	*ret_status = EXIT_USAGE;
	return NULL;
}

void
operator_actor(const char *actor, char *out, size_t cap)
{
	char room[4096];
	struct passwd pw, *found = NULL;

	if (strncmp(actor, "uid:", 4) == 0 &&
	    getpwuid_r((uid_t)strtoul(actor + 4, NULL, 10), &pw, room, sizeof(room), &found) == 0 &&
	    found != NULL)
		(void)snprintf(out, cap, "%s", pw.pw_name);
	else
		(void)snprintf(out, cap, "%s", actor);
}
