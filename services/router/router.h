/*
 * router/router.h - the router as a service: hosted by its daemon, by tests and by 'infermesh up --single-process'. It admits,
 * balances, records; it parses no JSON, opens no files and calls no model.
 */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "daemon/daemon.h"

extern const struct service_ops router_service;

#endif
