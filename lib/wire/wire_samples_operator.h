/*
 * wire/wire_samples_operator.h - samples of what operators ask of a router and are told; for wire_samples.c only.
 */
#ifndef WIRE_WIRE_SAMPLES_OPERATOR_H
#define WIRE_WIRE_SAMPLES_OPERATOR_H

#include "base/buf.h"

void router_status_sample(struct buf *out);
void router_status_policies_sample(struct buf *out);
void router_status_reporter_sample(struct buf *out);
void router_status_limits_sample(struct buf *out);
void route_list_sample(struct buf *out);
void route_list_kept_sample(struct buf *out);
void set_route_sample(struct buf *out);
void ramp_route_sample(struct buf *out);
void set_worker_sample(struct buf *out);
void worker_status_sample(struct buf *out);

#endif
