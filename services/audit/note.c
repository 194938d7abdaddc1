/*
 * audit/note.c - parsing, signing and verifying notes; see note.h. Keys as text are in note_key.c.
 */
#include "audit/note.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

static const char dash[] = "\xe2\x80\x94 "; /* U+2014 and a blank begin a signature line */

#define DASH_LEN 4

bool
note_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NOTE_NAME_MAX || !utf8_valid(name, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
			return false;
	return true;
}

static bool
name_span_ok(const char *name, size_t len)
{
	char copy[NOTE_NAME_MAX + 1];

	if (len > NOTE_NAME_MAX)
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return strlen(copy) == len && note_name_ok(copy);
}

/* "— name base64" without its newline. */
static bool
parse_sig(const char *line, size_t len, struct note_sig *ret)
{
	uint8_t raw[NOTE_MAX_BYTES / 4 * 3];
	const char *name, *b64;
	size_t raw_len;

	if (len < DASH_LEN || memcmp(line, dash, DASH_LEN) != 0)
		return false;
	name = line + DASH_LEN;
	b64 = memchr(name, ' ', len - DASH_LEN);
	if (b64 == NULL || !name_span_ok(name, (size_t)(b64 - name)))
		return false;
	ret->name = name;
	ret->name_len = (size_t)(b64 - name);
	b64++;
	if (!base64_decode(b64, len - (size_t)(b64 - line), raw, sizeof(raw), &raw_len) ||
	    raw_len < 5)
		return false;
	ret->key_id =
	    (uint32_t)raw[0] << 24 | (uint32_t)raw[1] << 16 | (uint32_t)raw[2] << 8 | raw[3];
	raw_len -= 4;
	ret->sig_len = raw_len == NOTE_SIG_BYTES || raw_len == NOTE_SIG_BYTES + 8 ? raw_len : 0;
	memcpy(ret->sig, raw + 4, ret->sig_len);
	return true;
}

/* Where the last blank line is: the text ends with the newline before it. */
static const char *
last_blank_line(const char *bytes, size_t len)
{
	for (size_t i = len; i >= 2; i--)
		if (bytes[i - 1] == '\n' && bytes[i - 2] == '\n')
			return bytes + i - 1;
	return NULL;
}

enum im_rc
note_parse(const char *bytes, size_t len, struct note *ret, struct im_err *err)
{
	struct note n = { .text = bytes };
	const char *blank, *line, *end = bytes + len;

	if (len > NOTE_MAX_BYTES)
		return err_set(err, IM_EPROTO, "not a signed note: longer than %d bytes",
			       NOTE_MAX_BYTES);
	if (!utf8_valid(bytes, len))
		return err_set(err, IM_EPROTO, "not a signed note: not UTF-8");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)bytes[i] < ' ' && bytes[i] != '\n')
			return err_set(err, IM_EPROTO,
				       "not a signed note: control character at byte %zu", i);
	blank = last_blank_line(bytes, len);
	if (blank == NULL || blank == bytes)
		return err_set(err, IM_EPROTO,
			       "not a signed note: no blank line before the signatures");
	n.text_len = (size_t)(blank - bytes);
	for (line = blank + 1; line < end;) {
		const char *nl = memchr(line, '\n', (size_t)(end - line));

		if (nl == NULL || n.sig_count == NOTE_SIGS_MAX ||
		    !parse_sig(line, (size_t)(nl - line), &n.sig[n.sig_count]))
			return err_set(err, IM_EPROTO,
				       "not a signed note: malformed signature line %zu",
				       n.sig_count + 1);
		n.sig_count++;
		line = nl + 1;
	}
	if (n.sig_count == 0)
		return err_set(err, IM_EPROTO, "not a signed note: no signature");
	*ret = n;
	return IM_OK;
}

bool
note_key_verify(const struct note_verifier *v, const uint8_t sig[NOTE_SIG_BYTES], const void *data,
		size_t len)
{
	return crypto_sign_verify_detached(sig, data, len, v->pub) == 0;
}

void
note_key_sign(const struct note_signer *s, const void *data, size_t len,
	      uint8_t ret[NOTE_SIG_BYTES])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* seed ‖ public key, as libsodium has it */

	memcpy(secret, s->seed, NOTE_KEY_BYTES);
	memcpy(secret + NOTE_KEY_BYTES, s->pub, NOTE_KEY_BYTES);
	(void)crypto_sign_detached(ret, NULL, data, len, secret);
	sodium_memzero(secret, sizeof(secret));
}

enum im_rc
note_verify(const struct note *note, const struct note_verifier *v, struct im_err *err)
{
	size_t name_len = strlen(v->name);
	bool found = false;

	for (size_t i = 0; i < note->sig_count; i++) {
		const struct note_sig *s = &note->sig[i];

		if (s->key_id != v->key_id || s->name_len != name_len ||
		    memcmp(s->name, v->name, name_len) != 0)
			continue;
		if (s->sig_len != NOTE_SIG_BYTES ||
		    !note_key_verify(v, s->sig, note->text, note->text_len))
			return err_set(err, IM_ECORRUPT, "the signature of %s is wrong", v->name);
		found = true;
	}
	if (!found)
		return err_set(err, IM_ENOTFOUND, "there is no signature of %s+%08x", v->name,
			       v->key_id);
	return IM_OK;
}

void
note_put_sig(struct buf *out, const char *name, uint32_t key_id, const void *sig, size_t len)
{
	uint8_t raw[4 + 8 + NOTE_SIG_BYTES];
	char b64[BASE64_LEN(sizeof(raw)) + 1];

	assert(len <= sizeof(raw) - 4);
	raw[0] = (uint8_t)(key_id >> 24);
	raw[1] = (uint8_t)(key_id >> 16);
	raw[2] = (uint8_t)(key_id >> 8);
	raw[3] = (uint8_t)key_id;
	memcpy(raw + 4, sig, len);
	base64_encode(raw, 4 + len, b64);
	(void)buf_printf(out, "%s%s %s\n", dash, name, b64);
}

enum im_rc
note_sign(const struct note_signer *s, const char *text, size_t len, struct buf *out,
	  struct im_err *err)
{
	uint8_t sig[NOTE_SIG_BYTES];

	if (len == 0 || text[len - 1] != '\n' || !utf8_valid(text, len))
		return err_set(err, IM_EINVAL, "a note is UTF-8 text that ends with a newline");
	note_key_sign(s, text, len, sig);
	(void)buf_append(out, text, len);
	(void)buf_append_byte(out, '\n');
	note_put_sig(out, s->name, s->key_id, sig, sizeof(sig));
	return buf_ok(out) ? IM_OK : err_set(err, IM_ENOMEM, "no memory for a signed note");
}
