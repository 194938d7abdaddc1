/*
 * audit/keyfile.c - reading and making the key file; see keyfile.h.
 */
#include "audit/keyfile.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "daemon/secret_file.h"

static const char head[] =
    "# infermesh audit keys. Back this file up, apart from the log. Whoever has it can sign for the log\n"
    "# and find out whom its records are about; without it the log can be verified but not continued.\n";

static bool
parse_epoch(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (*s < '1' || *s > '9' || strlen(s) > 9)
		return false;
	v = strtoul(s, &end, 10);
	if (*end != '\0')
		return false;
	*ret = (uint32_t)v;
	return true;
}

static enum im_rc
parse_old(const char *vkey, struct keyfile *k, struct im_err *err)
{
	struct note_verifier v;
	char(*old)[NOTE_KEYTEXT_MAX];
	enum im_rc rc = note_verifier_parse(vkey, &v, err);

	if (rc != IM_OK)
		return rc;
	if (k->old_count == KEYFILE_OLD_MAX)
		return err_set(err, IM_EINVAL, "more than %d old keys", KEYFILE_OLD_MAX);
	old = reallocarray(k->old, k->old_count + 1, sizeof(*k->old));
	if (old == NULL)
		return err_set(err, IM_ENOMEM, "no memory for an old key");
	k->old = old;
	(void)snprintf(k->old[k->old_count++], sizeof(*k->old), "%s", vkey);
	return IM_OK;
}

/* One "word value" line. 'seen' has a bit for each word. */
static enum im_rc
parse_line(char *line, struct keyfile *k, unsigned *seen, struct im_err *err)
{
	static const char *const words[] = { "signer ", "master ", "epoch " };
	size_t len;

	if (strncmp(line, "old ", 4) == 0)
		return parse_old(line + 4, k, err);
	for (unsigned i = 0; i < 3; i++) {
		const char *value = line + strlen(words[i]);

		if (strncmp(line, words[i], strlen(words[i])) != 0)
			continue;
		if (i == 0 && k->signer.name[0] != '\0' && k->spare.name[0] == '\0')
			return note_signer_parse(value, &k->spare, err);
		if ((*seen >> i & 1) != 0)
			return err_set(err, IM_EINVAL, "'%.6s' stands there twice", words[i]);
		*seen |= 1U << i;
		if (i == 0)
			return note_signer_parse(value, &k->signer, err);
		if (i == 1 &&
		    base64_decode(value, strlen(value), k->keys.master.b, HASH_BYTES, &len) &&
		    len == HASH_BYTES)
			return IM_OK;
		if (i == 2 && parse_epoch(value, &k->keys.epoch))
			return IM_OK;
		return err_set(err, IM_EINVAL, "malformed value of '%.6s'", words[i]);
	}
	return err_set(err, IM_EINVAL, "allowed are signer, master, epoch and old");
}

static enum im_rc
parse(char *text, struct keyfile *ret, struct im_err *err)
{
	struct keyfile k = { 0 };
	unsigned seen = 0, number = 0, unfinished = 0;
	enum im_rc rc = IM_OK;

	for (char *line = text, *next; line != NULL && rc == IM_OK; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		number++;
		if (next == NULL && *line != '\0') {
			unfinished = number; /* it was being appended when a crash came */
			break;
		}
		if (strncmp(line, KEYFILE_BEGUN, strlen(KEYFILE_BEGUN)) == 0)
			k.unfinished = true;
		if (*line != '#' && *line != '\0')
			rc = parse_line(line, &k, &seen, err);
		if (rc != IM_OK)
			err_prefix(err, "line %u", number);
	}
	if (rc == IM_OK && seen != 7 && unfinished > 0)
		rc = err_set(
		    err, IM_EINVAL,
		    "line %u does not end with a newline: it may be cut off. If it is whole, add one",
		    unfinished);
	else if (rc == IM_OK && seen != 7)
		rc = err_set(err, IM_EINVAL, "signer, master or epoch is missing");
	if (rc == IM_OK)
		*ret = k;
	else
		keyfile_done(&k);
	OPENSSL_cleanse(&k, sizeof(k));
	return rc;
}

enum im_rc
keyfile_load(const char *path, struct keyfile *ret, struct im_err *err)
{
	char *text = malloc(SECRET_FILE_MAX + 1);
	enum im_rc rc;

	if (text == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a key file");
	rc = secret_file_read(path, text, err);
	if (rc == IM_OK) {
		rc = parse(text, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", path);
		OPENSSL_cleanse(text, SECRET_FILE_MAX + 1);
	}
	free(text);
	return rc;
}

enum im_rc
keyfile_create(const char *path, const char *origin, struct keyfile *ret, struct im_err *err)
{
	uint8_t seed[NOTE_KEY_BYTES];
	char skey[NOTE_KEYTEXT_MAX], master[BASE64_LEN(HASH_BYTES) + 1];
	struct buf text = BUF_INIT(SECRET_FILE_MAX);
	struct keyfile k = { .keys = { .epoch = 1 } };
	enum im_rc rc;

	random_bytes(seed, sizeof(seed));
	random_bytes(k.keys.master.b, HASH_BYTES);
	rc = note_signer_new(origin, seed, &k.signer, err);
	if (rc == IM_OK) {
		note_signer_skey(&k.signer, skey);
		base64_encode(k.keys.master.b, HASH_BYTES, master);
		if (!buf_printf(&text, "%ssigner %s\nmaster %s\nepoch %u\n", head, skey, master,
				k.keys.epoch))
			rc = err_set(err, IM_ENOMEM, "no memory for a key file");
	}
	if (rc == IM_OK)
		rc = secret_file_create(path, &text, err);
	if (rc == IM_OK)
		*ret = k;
	else
		note_signer_done(&k.signer);
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	OPENSSL_cleanse(seed, sizeof(seed));
	OPENSSL_cleanse(skey, sizeof(skey));
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(&k, sizeof(k));
	return rc;
}

void
keyfile_done(struct keyfile *k)
{
	note_signer_done(&k->signer);
	note_signer_done(&k->spare);
	free(k->old);
	OPENSSL_cleanse(k, sizeof(*k));
}

void
keyfile_first_vkey(const struct keyfile *k, char ret[NOTE_KEYTEXT_MAX])
{
	if (k->old_count > 0)
		memcpy(ret, k->old[0], NOTE_KEYTEXT_MAX);
	else
		note_signer_vkey(&k->signer, ret);
}

const struct note_signer *
keyfile_signer(const struct keyfile *k, const uint8_t pub[NOTE_KEY_BYTES])
{
	if (k->signer.name[0] != '\0' && memcmp(k->signer.pub, pub, NOTE_KEY_BYTES) == 0)
		return &k->signer;
	if (k->spare.name[0] != '\0' && memcmp(k->spare.pub, pub, NOTE_KEY_BYTES) == 0)
		return &k->spare;
	return NULL;
}
