/*
 * inference/worker.h - the inference service: one backend, offered to every router. It never knows other workers.
 */
#ifndef INFERENCE_WORKER_H
#define INFERENCE_WORKER_H

#include "daemon/daemon.h"
#include "inference/backend.h"

extern const struct service_ops inference_service;

/** As inference_service.start(), on a given backend, which must outlive the service: for tests and other hosts. */
IM_MUST_CHECK enum im_rc worker_start(const struct service_env *env, const struct backend_ops *ops,
				      void **ret_service, struct im_err *err);

#endif
