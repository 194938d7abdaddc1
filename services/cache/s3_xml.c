/*
 * cache/s3_xml.c - see s3_xml.h. No parser of XML: elements of known names are looked for. Whoever answers nonsense is believed no more than that
 * an object of our own name is there, or is not.
 */
#include "cache/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"

#define TAG_MAX   40
#define FIELD_MAX 32
#define KEY_HEX   ((size_t)2 * CACHE_KEY_BYTES)
#define US_PER_S  1000000ULL

struct span {
	const char *at;
	size_t len;
};

/* What stands between <name> and </name>; 'in' then begins behind it. */
static bool
element(struct span *in, const char *name, struct span *ret)
{
	char tag[TAG_MAX];
	size_t tag_len = (size_t)snprintf(tag, sizeof(tag), "</%s>", name);
	const char *from, *to, *end = in->at + in->len;

	tag[1] = '<'; /* "<<name>": from its second byte on it is the opening one */
	from = memmem(in->at, in->len, tag + 1, tag_len - 1);
	if (from == NULL)
		return false;
	from += tag_len - 1;
	tag[1] = '/';
	to = memmem(from, (size_t)(end - from), tag, tag_len);
	if (to == NULL)
		return false;
	*ret = (struct span){ from, (size_t)(to - from) };
	in->at = to + tag_len;
	in->len = (size_t)(end - in->at);
	return true;
}

/* The text of the first <name> in 'in', NUL-terminated. */
static bool
text_of(struct span in, const char *name, char *ret, size_t size)
{
	struct span text;

	if (!element(&in, name, &text) || text.len >= size)
		return false;
	memcpy(ret, text.at, text.len);
	ret[text.len] = '\0';
	return true;
}

static bool
key_of(struct span in, const char *prefix, uint8_t ret[CACHE_KEY_BYTES])
{
	size_t prefix_len = strlen(prefix);
	char hex[KEY_HEX + 1];
	struct span name;

	if (!element(&in, "Key", &name))
		return false;
	if (prefix_len > 0) {
		if (name.len <= prefix_len || memcmp(name.at, prefix, prefix_len) != 0 ||
		    name.at[prefix_len] != '/')
			return false;
		name.at += prefix_len + 1;
		name.len -= prefix_len + 1;
	}
	if (name.len != KEY_HEX)
		return false;
	memcpy(hex, name.at, KEY_HEX);
	hex[KEY_HEX] = '\0';
	return strspn(hex, "0123456789abcdef") == KEY_HEX && hex_decode(hex, ret, CACHE_KEY_BYTES);
}

/* 2026-11-22T23:18:32Z, perhaps with a fraction. */
static bool
time_of(struct span in, uint64_t *ret_us)
{
	char text[FIELD_MAX];
	struct tm tm = { 0 };
	const char *end;
	time_t at;

	if (!text_of(in, "LastModified", text, sizeof(text)))
		return false;
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end == NULL || strchr("Z.", *end) == NULL || *end == '\0' || tm.tm_year < 70)
		return false;
	at = timegm(&tm);
	if (at < 0)
		return false;
	*ret_us = (uint64_t)at * US_PER_S;
	return true;
}

static bool
size_of(struct span in, uint64_t *ret)
{
	char text[FIELD_MAX];

	if (!text_of(in, "Size", text, sizeof(text)) || text[0] == '\0' || strlen(text) > 15 ||
	    strspn(text, "0123456789") != strlen(text))
		return false;
	*ret = strtoull(text, NULL, 10);
	return true;
}

static bool
is_token(const char *s)
{
	return *s != '\0' && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789+/=-_.~:,[]")] == '\0';
}

enum im_rc
s3_xml_page(const uint8_t *xml, size_t len, const char *prefix, struct s3_page *ret,
	    struct im_err *err)
{
	struct span in = { (const char *)xml, len }, rest, one;
	char truncated[8] = "";

	ret->count = 0;
	ret->token[0] = '\0';
	if (len == 0 ||
	    memmem(in.at, in.len, "<ListBucketResult", strlen("<ListBucketResult")) == NULL ||
	    memmem(in.at, in.len, "</ListBucketResult>", strlen("</ListBucketResult>")) == NULL ||
	    !text_of(in, "IsTruncated", truncated, sizeof(truncated)))
		return err_set(err, IM_ECORRUPT, "the answer is no list of objects");
	for (rest = in; element(&rest, "Contents", &one);) {
		struct s3_object *o = &ret->object[ret->count];

		if (ret->count == S3_PAGE_MAX)
			return err_set(err, IM_ECORRUPT,
				       "a page of the list of objects is too long");
		ret->count += key_of(one, prefix, o->key) && time_of(one, &o->modified_us) &&
			      size_of(one, &o->bytes);
	}
	if (strcmp(truncated, "true") != 0)
		return IM_OK;
	if (!text_of(in, "NextContinuationToken", ret->token, sizeof(ret->token)) ||
	    !is_token(ret->token))
		return err_set(err, IM_ECORRUPT, "the list of objects does not say how it goes on");
	return IM_OK;
}

void
s3_xml_code(const uint8_t *xml, size_t len, char ret[S3_CODE_MAX + 1])
{
	struct span in = { (const char *)xml, len };

	if (len == 0 || !text_of(in, "Code", ret, S3_CODE_MAX + 1) ||
	    ret[strspn(ret, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")] !=
		'\0')
		ret[0] = '\0';
}
