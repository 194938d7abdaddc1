/*
 * cli/operator.h - what the commands for operators share: a link to the router that says who asks, and the numbers that people
 * write: 30s, 1%, 500ms.
 */
#ifndef CLI_OPERATOR_H
#define CLI_OPERATOR_H

#include "base/arena.h"
#include "cli/command.h"
#include "cli/mesh.h"

/* A command on its way to the router. */
struct operator_link {
	struct config *config;
	struct mesh *mesh;
	struct peer *router;
	struct arena arena; /* of decoded replies */
};

/** Dial the router as an operator. On failure the message is printed, '*ret_status' is the exit status and nothing is left
 *  behind. */
bool operator_open(const struct cli_args *args, struct operator_link *ret, int *ret_status);
void operator_close(struct operator_link *o);

/** Ask and wait. Errors as mesh_call(). */
IM_MUST_CHECK enum im_rc operator_call(struct operator_link *o, const char *method,
				       const struct buf *body, struct buf *reply,
				       struct im_err *err);

/** "90", "30s", "500ms", "5m", "1h" → milliseconds; 'unitless' is what a bare number counts (ms). False: it is none of these. */
bool operator_parse_ms(const char *text, uint32_t unitless, uint32_t *ret_ms);

/** "1%", "0.5%", "0.01" → parts in a million. False: it is not a share from 0 to 1. */
bool operator_parse_share(const char *text, uint32_t *ret_ppm);

/** A whole number from 'min' to 'max'. */
bool operator_parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret);

/** "chat", "w1": the N-th argument; or a message with what is missing ('what') and EXIT_USAGE in '*ret_status'. */
const char *operator_argument(const struct cli_args *args, int n, const char *what,
			      int *ret_status);

/** "uid:0" becomes "root" where this machine knows the user; anything else stays. */
void operator_actor(const char *actor, char *out, size_t cap);

#endif
