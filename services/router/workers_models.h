/*
 * router/workers_models.h - for workers.c: what a worker serves. Part of workers.h; pure, like it.
 */
#ifndef ROUTER_WORKERS_MODELS_H
#define ROUTER_WORKERS_MODELS_H

#include "router/workers.h"

/** The bucket of a model's or worker's name. Only workers, which are ours, can put names into the tables. */
size_t workers_bucket_of(const char *id);

/** True if 'w' has announced just that already. */
bool workers_same_models(const struct worker *w, const struct announce *a);

/**
 * Put the announced models in the place of those that 'w' had, with a place in the pool of each. Breakers go on as those of
 * 'moved', another incarnation of the same process, if there is one. False without memory: nothing has changed.
 */
bool workers_set_models(struct workers *ws, struct worker *w, const struct announce *a,
			const struct worker *moved, uint64_t now_ms);

/** Take 'w' off the models that it serves; it keeps its list for the status page. */
void workers_unlist(struct worker *w, uint64_t now_ms);

/** The same, and the list is gone too. */
void workers_forget_models(struct worker *w, uint64_t now_ms);

/** Forget the models that nobody has served for long and nobody needs. */
void workers_models_sweep(struct workers *ws, uint64_t now_ms);

/** Forget all. */
void workers_models_done(struct workers *ws);

#endif
