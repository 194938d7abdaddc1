/*
 * wire/texts.h - the texts of a message that is decoded by hand, copied behind one another. In this room only.
 */
#ifndef WIRE_TEXTS_H
#define WIRE_TEXTS_H

#include <string.h>

#include "base/json.h"
#include "wire/reader.h"

/* Where the next one goes: each is shorter than its field, so they fit into as many bytes as the message has. */
struct texts {
	char *at;
};

/** The text of 'f', which is READER_BYTES, with a NUL behind it, or NULL if it is none. */
static inline const char *
texts_take(struct texts *t, const struct reader_field *f)
{
	char *text = t->at;

	if (!utf8_valid((const char *)f->data, f->len))
		return NULL;
	memcpy(text, f->data, f->len);
	text[f->len] = '\0';
	t->at += f->len + 1;
	return text;
}

#endif
