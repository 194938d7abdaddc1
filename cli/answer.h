/*
 * cli/answer.h - one streamed answer of a model, from request to end, for a command that waits for it.
 */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "cli/mesh.h"
#include "wire/generate.h"

struct answer_ops {
	/* Pieces as they come; in the waiting thread. */
	void (*content)(void *user, const char *text, size_t len);
	void (*reasoning)(void *user, const char *text, size_t len);
};

/**
 * Ask and wait. 'stop_fd' is watched: when it becomes readable the answer is cancelled (IM_ECANCELED); -1 = none.
 * 'ret_whole', if not NULL, gets the content appended. Errors: the router's own, or IM_EUNAVAILABLE.
 */
IM_MUST_CHECK enum im_rc answer_get(struct peer *router, const struct generate_request *request,
				    unsigned budget_ms, int stop_fd, const struct answer_ops *ops,
				    void *user, struct buf *ret_whole, struct im_err *err);

#endif
