/*
 * inference/local_models_internal.h - what local_models.c (what is there) and local_change.c (how it changes) share.
 */
#ifndef INFERENCE_LOCAL_MODELS_INTERNAL_H
#define INFERENCE_LOCAL_MODELS_INTERNAL_H

#include "inference/local_models.h"

/** Those that are loaded changed: what is announced, and where requests go. */
void models_renew_infos(struct local_models *m);

struct model_entry *models_entry(const struct local_models *m, const char *name);

/** NULL: 'err' says why. */
struct model_entry *models_add_entry(struct local_models *m, const char *name, struct im_err *err);
void models_drop_entry(struct model_entry *e);

/** Start the decode thread of 'r', whose model is loaded: it answers for 'e' from now on. On failure 'r' is gone. */
IM_MUST_CHECK enum im_rc resident_begin(struct resident *r, struct model_entry *e,
					struct im_err *err);

/** No entry leads to 'r' any more: free it when its last job is back. */
void resident_retire(struct resident *r);

/** The end, if everything has ended that models_stop() told to. */
void models_try_finish(struct local_models *m);

#endif
