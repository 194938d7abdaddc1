/*
 * gateway/chat_reader.h - what the readers of a chat request share: values with their type checked, errors in the words
 * that clients expect, and the gathering of unknown members. Inside chat_request.c, chat_messages.c, chat_inputs.c and
 * chat_reader.c only. Pure.
 */
#ifndef GATEWAY_CHAT_READER_H
#define GATEWAY_CHAT_READER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "wire/generate.h"

#define CHAT_EXTRA_MAX 256 /* unknown members of one object */

/* What is being read: where in the request, and where errors go. */
struct chat_reader {
	struct arena *arena;
	struct im_err *err;
	bool in_message; /* then members stand in an element of messages: */
	size_t message;
};

enum im_rc chat_no_memory(struct chat_reader *r);
enum im_rc chat_missing(struct chat_reader *r, const char *member);
/** 'expected' reads "a string". */
enum im_rc chat_wrong_type(struct chat_reader *r, const char *member, const char *expected,
			   enum json_type got);
/** 'expected' reads "a number from 0 to 2". */
enum im_rc chat_wrong_value(struct chat_reader *r, const char *member, const char *expected);
enum im_rc chat_twice(struct chat_reader *r, const char *member);

/** The string at 'v' into '*ret'; a wrong type is refused. */
enum im_rc chat_string(struct chat_reader *r, const char *member, struct json_span v,
		       const char **ret);
/** The array or object at 'v' verbatim into '*ret'; another type is refused. */
enum im_rc chat_verbatim(struct chat_reader *r, const char *member, struct json_span v,
			 enum json_type type, const char **ret);

/* Gathers unknown members into one object. Zero-initialised, then buf_init() with a bound. */
struct chat_extra {
	struct buf text;
	const char *names[CHAT_EXTRA_MAX];
	size_t count;
};

/** 'name' without escapes; 'raw' as it stood. */
enum im_rc chat_extra_add(struct chat_reader *r, struct chat_extra *extra, const char *name,
			  struct json_span raw, struct json_span value);
/** Close the object and copy it to '*ret' ("" if there was nothing). The buffer is freed in any case. */
enum im_rc chat_extra_end(struct chat_reader *r, struct chat_extra *extra, const char **ret);

/** What a completion goes on with, or what is embedded: 'member' is a text, texts, tokens, or lists of tokens. Texts that are
 *  empty are refused if 'said'. */
enum im_rc chat_inputs_parse(struct chat_reader *r, const char *member, struct json_span v,
			     bool said, struct generate_request *ret);

/** The array of messages. */
enum im_rc chat_messages_parse(struct chat_reader *r, struct json_span v,
			       struct generate_request *ret);

#endif
