/*
 * cli/route.h - asking for routes and showing them.
 */
#ifndef CLI_ROUTE_H
#define CLI_ROUTE_H

#include "base/json.h"
#include "cli/operator.h"
#include "wire/operator.h"

/** Ask with a method that answers with routes; they are in 'o->arena'. */
IM_MUST_CHECK enum im_rc route_ask(struct operator_link *o, const char *method,
				   const struct buf *body, struct route_list *ret,
				   struct im_err *err);

/** Also says which of their models no worker serves. */
void route_print_noted(struct operator_link *o, const struct route_list *list);
void route_print_json(const struct route_list *list);

/** One line. */
void route_print_ramp(const struct ramp_status *r);

#endif
