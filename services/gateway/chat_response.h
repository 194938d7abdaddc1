/*
 * gateway/chat_response.h - the frames of an answer as the bytes that HTTP clients expect: server-sent events while they
 * come (struct chat_stream), or one JSON object when all are there (struct chat_answer). Pure: appends to buffers, no
 * input or output. Source: docs/http-api.md, "Streaming, byte by byte" and "Objects".
 */
#ifndef GATEWAY_CHAT_RESPONSE_H
#define GATEWAY_CHAT_RESPONSE_H

#include "base/buf.h"
#include "gateway/errors.h"
#include "wire/generate.h"

#define CHAT_TOOL_CALLS_MAX 1024 /* of one choice */

/* What every chunk and answer repeats. */
struct chat_identity {
	const char *request_id;     /* 32 hex digits */
	const char *model;          /* as asked for; the head of the answer may correct it */
	uint64_t created;           /* seconds since 1970 */
	enum generate_op operation; /* a chat, or a completion */
};

/* A streamed answer. */
struct chat_stream {
	struct buf head; /* data: {"id":…,"model":…,["system_fingerprint":…,]"choices":[ */
	bool has_fingerprint; /* it is in 'head' */
	bool include_usage;
	bool completion;                        /* text, and no message with a role */
	bool broken;                            /* a buffer failed */
	uint8_t begun[GENERATE_CHOICES_MAX];    /* the choice's role went out */
	uint8_t finished[GENERATE_CHOICES_MAX]; /* its finish_reason too */
};

/** Copies 'id'. Returns IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc chat_stream_init(struct chat_stream *s, const struct chat_identity *id,
					  bool include_usage, struct im_err *err);
void chat_stream_done(struct chat_stream *s);

/** Append the events for 'frame' to 'out', none if it holds nothing to tell. Returns IM_OK, IM_ENOMEM, or IM_EUPSTREAM
 *  for an answer that breaks the rules. */
IM_MUST_CHECK enum im_rc chat_stream_frame(struct chat_stream *s,
					   const struct generate_frame *frame, struct buf *out,
					   struct im_err *err);

/** Append what ends a whole answer: usage if asked for and known, and [DONE]. IM_EUPSTREAM when the answer is not whole
 *  (a choice without finish_reason, or none at all): nothing is appended then. */
IM_MUST_CHECK enum im_rc chat_stream_end(const struct chat_stream *s, const struct usage *usage,
					 struct buf *out, struct im_err *err);

/** Append the event that ends a stream that failed. */
void chat_stream_error(const struct api_error *e, struct buf *out);

/* An answer that is gathered. */
struct chat_answer;

/** 'max_bytes' bounds what is gathered. 'id' is copied. Returns IM_OK or IM_ENOMEM. */
IM_MUST_CHECK enum im_rc chat_answer_new(const struct chat_identity *id, size_t max_bytes,
					 struct chat_answer **ret_answer, struct im_err *err);
void chat_answer_free(struct chat_answer *a);

/** Add what 'frame' says. IM_OK, IM_ENOMEM, IM_EUPSTREAM (too long an answer, or one that breaks the rules). */
IM_MUST_CHECK enum im_rc chat_answer_frame(struct chat_answer *a,
					   const struct generate_frame *frame, struct im_err *err);

/** Append the chat.completion or text_completion object. 'usage' may be NULL: not known. IM_EUPSTREAM when the answer is not whole. */
IM_MUST_CHECK enum im_rc chat_answer_end(const struct chat_answer *a, const struct usage *usage,
					 struct buf *out, struct im_err *err);

/* Shared by the two. */

/** {"id":"chatcmpl-…","object":"chat.completion…" (of a completion "cmpl-…", "text_completion"),"created":N,"model":"…", with the comma. */
void chat_put_prefix(struct buf *out, const struct chat_identity *id, bool chunk);
void chat_put_usage(struct buf *out, const struct usage *usage);
/** 'json' is one JSON value of a stranger: appended in one line. False (nothing appended) if it is no JSON. */
bool chat_put_json(struct buf *out, const char *json);

#endif
