/*
 * base/err.h - the one set of error codes and the text that goes with them. At the bottom of every layer. Never logs.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stdint.h>

#define IM_MUST_CHECK       __attribute__((warn_unused_result))
#define IM_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))

/* code, number on the wire (never reused), HTTP status, text */
#define IM_RC_MAP(X)                                                                               \
	X(IM_OK, 0, 200, "success")                                                                \
	X(IM_EINVAL, 1, 400, "invalid request")                                                    \
	X(IM_EAUTH, 2, 401, "not authenticated")                                                   \
	X(IM_EPERM, 3, 403, "not permitted")                                                       \
	X(IM_ENOTFOUND, 4, 404, "not found")                                                       \
	X(IM_ETOOBIG, 5, 413, "too large")                                                         \
	X(IM_ELIMIT, 6, 429, "limit reached")                                                      \
	X(IM_ECANCELED, 7, 499, "cancelled by the caller")                                         \
	X(IM_EINTERNAL, 8, 500, "internal error")                                                  \
	X(IM_EUPSTREAM, 9, 502, "the upstream failed")                                             \
	X(IM_EUNAVAILABLE, 10, 503, "unavailable")                                                 \
	X(IM_EDEADLINE, 11, 504, "deadline passed")                                                \
	X(IM_ENOMEM, 12, 503, "out of memory")                                                     \
	X(IM_EPROTO, 13, 502, "malformed message")                                                 \
	X(IM_EIO, 14, 503, "input/output error")                                                   \
	X(IM_EAGAIN, 15, 503, "not now")                                                           \
	X(IM_EEXIST, 16, 409, "exists already")                                                    \
	X(IM_ECORRUPT, 17, 500, "data is corrupt")                                                 \
	X(IM_EMETHOD, 18, 404, "no such method")

enum im_rc {
#define X(name, num, http, text) name = num,
	IM_RC_MAP(X)
#undef X
};

/* What is left of a limit. */
struct im_rate {
	uint64_t limit; /* when nothing of it is used; 0 = there is no limit */
	uint64_t remaining;
	uint32_t reset_ms; /* until nothing of it is used */
};

/* The tightest limits that a request falls under. */
struct im_rates {
	struct im_rate requests, tokens;
};

/* An error for an operator or a caller: what happened and what to do about it. Plain data; copy freely. */
struct im_err {
	enum im_rc rc;
	uint32_t retry_after_ms; /* when trying again makes sense; 0 = not said */
	struct im_rates rates;   /* of a request that a limit refused */
	char reason[40];         /* stable word for programs ("model_not_found"), or "" */
	char param[96];          /* the field at fault ("messages[2].role"), or "" */
	char text[512];          /* cause and remedy, one sentence, UTF-8, truncated if need be */
};

/**
 * Fill 'err' (may be NULL) with 'rc' and the formatted text; reason, param, retry and rates are cleared. Returns 'rc',
 * so that a function can end with 'return err_set(err, IM_EINVAL, "…")'.
 */
enum im_rc err_set(struct im_err *err, enum im_rc rc, const char *fmt, ...) IM_PRINTF(3, 4);

/** As err_set(), with the word for programs, which may be "". */
enum im_rc err_reason(struct im_err *err, enum im_rc rc, const char *reason, const char *fmt, ...)
    IM_PRINTF(4, 5);

/** No error, as if it were zeroed; the rest of its texts is not touched. */
void err_clear(struct im_err *err);

/** A copy, to be freed with free(); NULL without memory. For those who keep an error for later, which few ever do. */
struct im_err *err_copy(const struct im_err *err);

/** Put 'prefix: ' before the text of 'err' (may be NULL); for adding the file or the peer on the way up. */
void err_prefix(struct im_err *err, const char *fmt, ...) IM_PRINTF(2, 3);

/** As err_set() with the text of errno value 'errnum' appended. */
enum im_rc err_errno(struct im_err *err, enum im_rc rc, int errnum, const char *fmt, ...)
    IM_PRINTF(4, 5);

/** Static English text of 'rc'; never NULL, also for numbers that are no code. */
const char *im_rc_text(enum im_rc rc);

/** HTTP status of 'rc'; 500 for numbers that are no code. */
int im_rc_http(enum im_rc rc);

/** The code with number 'num' from the wire; IM_EINTERNAL for numbers that this version does not know. */
enum im_rc im_rc_from_wire(uint32_t num);

#endif
