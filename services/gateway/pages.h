/*
 * gateway/pages.h - the pages of the process that the gateway lives in: /metrics, /livez, /readyz, /healthz. Read only.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_PAGES_H
#define GATEWAY_PAGES_H

#include "gateway/request.h"

/** End 'rq', whose route is one of these pages. */
void gateway_page_reply(struct gateway_request *rq);

/** Append what keeps the gateway from being ready; nothing = ready. */
void gateway_ready(const struct gateway *g, struct buf *why);

#endif
