/*
 * cache/cache.h - the cache service: answers Cache/Lookup, Cache/Store and Cache/Stats, and what operators ask (operator.h). It never knows what a prompt is.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "daemon/daemon.h"

extern const struct service_ops cache_service;

#endif
