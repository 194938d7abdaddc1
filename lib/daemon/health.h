/*
 * daemon/health.h - asks a daemon's /readyz, for --check-health and 'infermesh up'. The asking side only.
 */
#ifndef DAEMON_HEALTH_H
#define DAEMON_HEALTH_H

#include <stdbool.h>

#include "base/err.h"

/**
 * GET /readyz at 'address' (HOST:PORT, [V6]:PORT or unix:PATH), with TLS if 'tls'; the certificate is not checked, because only
 * this machine's own daemon is asked and nothing secret is sent. Blocks, at most about 'timeout_ms'. IM_OK: 200;
 * IM_EUNAVAILABLE: anything else, and the text says what was answered; IM_EINVAL: no such address.
 */
IM_MUST_CHECK enum im_rc health_check(const char *address, bool tls, unsigned timeout_ms,
				      struct im_err *err);

#endif
