/*
 * daemon/config_routes.c - see config_routes.h.
 */
#include "daemon/config_routes.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/config_internal.h"

static unsigned
line_of(const struct config *c, const char *path)
{
	const struct config_value *v = config_value_at(c, path);

	return v->line != 0 ? v->line : c->line;
}

static enum im_rc
fill_arms(const struct config *c, struct route_spec *r, struct im_err *err)
{
	size_t count = config_map_len(c, "routes[].arms");

	if (count > ROUTE_ARMS_MAX)
		return config_fail(c, line_of(c, "routes[].arms"), "routes[].arms", err,
				   "found %zu models, allowed: at most %d", count, ROUTE_ARMS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *text, *model;
		char quoted[96];
		size_t len;

		config_map_at(c, "routes[].arms", i, &model, &text);
		len = strlen(text);
		if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
			return config_fail(
			    c, line_of(c, "routes[].arms"), "routes[].arms", err,
			    "the weight of %.80s: found %s, allowed: a whole number from 0 to %d",
			    model, config_quote(text, len, quoted, sizeof(quoted)),
			    ROUTE_WEIGHT_MAX);
		r->arms[i] = (struct route_arm){ model, (uint32_t)strtoul(text, NULL, 10) };
	}
	r->arm_count = count;
	return IM_OK;
}

/* Where route_spec_check() found fault. */
static const char *
key_of(const char *param)
{
	static const char *const rows[][2] = { { "model", "routes[].model" },
					       { "sticky", "routes[].sticky" },
					       { "fallback", "routes[].fallback" },
					       { "fallback_answer", "routes[].fallback_answer" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i][0], param) == 0)
			return rows[i][1];
	return "routes[].arms";
}

enum im_rc
config_route(const struct config *config, size_t i, struct route_spec *ret, struct im_err *err)
{
	static const enum sticky sticky[] = { STICKY_SESSION, STICKY_CALLER, STICKY_OFF };
	const struct config *c = config_item(config, "routes", i);
	size_t fallbacks = config_strings_len(c, "routes[].fallback");
	const char *model = config_str(c, "routes[].model"),
		   *answer = config_str(c, "routes[].fallback_answer");
	struct route_spec r = { .model = model != NULL ? model : "",
				.answer = answer != NULL ? answer : "" };
	struct im_err why;
	enum im_rc rc = fill_arms(c, &r, err);

	if (rc != IM_OK)
		return rc;
	for (size_t k = 0; k < sizeof(sticky) / sizeof(sticky[0]); k++)
		if (strcmp(config_str(c, "routes[].sticky"), sticky_text(sticky[k])) == 0)
			r.sticky = sticky[k];
	r.fallback_count =
	    fallbacks < ROUTE_FALLBACKS_MAX + 1 ? fallbacks : ROUTE_FALLBACKS_MAX + 1;
	for (size_t k = 0; k < r.fallback_count && k < ROUTE_FALLBACKS_MAX; k++)
		r.fallback[k] = config_strings_at(c, "routes[].fallback", k);
	if (route_spec_check(&r, &why) != IM_OK) {
		const char *allowed = strstr(why.text, "allowed is ");

		return config_fail(c, line_of(c, key_of(why.param)), key_of(why.param), err,
				   "allowed: %s",
				   allowed != NULL ? allowed + strlen("allowed is ") : why.text);
	}
	*ret = r;
	return IM_OK;
}
