/*
 * audit/witness_key.c - see witness_key.h.
 */
#include "audit/witness_key.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/hex.h"
#include "daemon/secret_file.h"

#define WORD "cosigner "

static const char head[] =
    "# The key of an infermesh witness. Back this file up. Whoever has it can cosign as this witness.\n";

/* The one line that is no comment. */
static enum im_rc
parse(char *text, struct note_signer *ret, struct im_err *err)
{
	const char *key = NULL;

	for (char *line = text, *next; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		if (key != NULL || strncmp(line, WORD, strlen(WORD)) != 0)
			return err_set(
			    err, IM_EINVAL,
			    "a witness's key file has one line: cosigner PRIVATE+KEY+...");
		key = line + strlen(WORD);
	}
	if (key == NULL)
		return err_set(err, IM_EINVAL, "there is no line 'cosigner PRIVATE+KEY+...'");
	return note_cosigner_skey_parse(key, ret, err);
}

static enum im_rc
load(const char *path, struct note_signer *ret, struct im_err *err)
{
	char text[SECRET_FILE_MAX + 1];
	enum im_rc rc = secret_file_read(path, text, err);

	if (rc == IM_OK) {
		rc = parse(text, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", path);
	}
	OPENSSL_cleanse(text, sizeof(text));
	return rc;
}

static enum im_rc
create(const char *path, const char *name, struct note_signer *ret, struct im_err *err)
{
	uint8_t seed[NOTE_KEY_BYTES];
	char skey[NOTE_KEYTEXT_MAX] = "";
	struct buf text = BUF_INIT(SECRET_FILE_MAX);
	struct note_signer key;
	enum im_rc rc;

	random_bytes(seed, sizeof(seed));
	rc = note_cosigner_new(name, seed, &key, err);
	OPENSSL_cleanse(seed, sizeof(seed));
	if (rc != IM_OK)
		return rc;
	note_signer_skey(&key, skey);
	if (!buf_printf(&text, "%s" WORD "%s\n", head, skey))
		rc = err_set(err, IM_ENOMEM, "no memory for a key file");
	if (rc == IM_OK)
		rc = secret_file_create(path, &text, err);
	if (rc == IM_OK)
		*ret = key;
	else
		note_signer_done(&key);
	if (text.data != NULL)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	OPENSSL_cleanse(skey, sizeof(skey));
	return rc;
}

enum im_rc
witness_key_open(const char *path, const char *name, struct note_signer *ret, bool *ret_made,
		 struct im_err *err)
{
	struct note_signer key;
	enum im_rc rc = load(path, &key, err);

	*ret_made = rc == IM_ENOTFOUND;
	if (*ret_made)
		rc = create(path, name, &key, err);
	if (rc != IM_OK)
		return rc;
	if (strcmp(key.name, name) != 0) {
		rc = err_set(
		    err, IM_EINVAL,
		    "the key in %s is of the witness '%s', but witness.name is '%s'; set witness.name to the "
		    "former, or choose another key file and folder for another witness",
		    path, key.name, name);
		note_signer_done(&key);
		return rc;
	}
	*ret = key;
	return IM_OK;
}
