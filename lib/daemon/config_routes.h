/*
 * daemon/config_routes.h - the entries of 'routes' as what they mean. The bounds are wire/operator.h's, the same as for an
 * operator's change.
 */
#ifndef DAEMON_CONFIG_ROUTES_H
#define DAEMON_CONFIG_ROUTES_H

#include "daemon/config.h"
#include "wire/operator.h"

/** Entry 'i' of 'routes'. Its strings live as long as the config. IM_EINVAL names file, line and key; never for a config that
 *  was loaded, for it was checked. */
IM_MUST_CHECK enum im_rc config_route(const struct config *config, size_t i, struct route_spec *ret,
				      struct im_err *err);

#endif
