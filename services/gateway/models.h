/*
 * gateway/models.h - GET /v1/models and /v1/models/{id}: what the router says is served.
 *
 * Threads: on the loop.
 */
#ifndef GATEWAY_MODELS_H
#define GATEWAY_MODELS_H

#include "gateway/request.h"
#include "wire/mesh.h"

/** Take over 'rq', whose caller is known, and end it. match.arg, if not NULL, is the id that is asked for. */
void gateway_models_begin(struct gateway_request *rq);

/** Append one model object. Pure. */
void gateway_model_put(const struct model_info *model, struct buf *out);

/** Append the list object. Pure. */
void gateway_model_list_put(const struct model_list *list, struct buf *out);

#endif
