/*
 * wire/routing.h - a routing decision, usage and a gap between plain structs and protobuf-c's: the audit's Event and its
 * Record hold the same. For this room and the audit service's record_codec.c, so that they are packed in one place.
 */
#ifndef WIRE_ROUTING_H
#define WIRE_ROUTING_H

#include "infermesh/v1/audit.pb-c.h"
#include "wire/mesh.h"

/* One decision and all that its packed form points to. */
struct routing_packed {
	Infermesh__V1__Routing m;
	Infermesh__V1__WorkerLoad seen[AUDIT_SEEN_MAX];
	Infermesh__V1__WorkerLoad *seen_list[AUDIT_SEEN_MAX];
	Infermesh__V1__FailedAttempt failed[AUDIT_FAILED_MAX];
	Infermesh__V1__FailedAttempt *failed_list[AUDIT_FAILED_MAX];
};

/** 'ret' points into 'r' and is for packing only. Loads and attempts beyond the limits are left out. */
void routing_out(const struct routing *r, struct routing_packed *ret);

/** False when something is beyond its limit (mesh.h) or no number of its kind. 'ret' points into 'm', which may be NULL:
 *  all empty. */
IM_MUST_CHECK bool routing_in(const Infermesh__V1__Routing *m, struct routing *ret);

/** The same for a gap; 'm' may be NULL. */
void gap_out(const struct gap *g, Infermesh__V1__Gap *ret);
struct gap gap_in(const Infermesh__V1__Gap *m);

/** Bytes that are absent or exactly 'want' long: copied to 'ret', and 'ret_has' says which. False for other lengths. */
IM_MUST_CHECK bool exact_in(const ProtobufCBinaryData *b, size_t want, uint8_t *ret, bool *ret_has);

/** Absent, or 'len' bytes. */
ProtobufCBinaryData exact_out(bool has, const uint8_t *data, size_t len);

#endif
