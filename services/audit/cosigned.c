/*
 * audit/cosigned.c - see cosigned.h.
 */
#include "audit/cosigned.h"

#include <assert.h>
#include <string.h>

#include "audit/cosignature.h"
#include "audit/shards.h"

unsigned
cosigned_quorum(unsigned asked, size_t n)
{
	return asked != 0 ? asked : (unsigned)(n / 2 + 1);
}

enum im_rc
cosigned_open(const char *bytes, size_t len, const struct note_verifier *key,
	      const struct note_verifier *witness, size_t n, struct cosigned *ret,
	      struct im_err *err)
{
	struct note note;
	enum im_rc rc;

	assert(n <= COSIGNED_WITNESSES);
	memset(ret, 0, sizeof(*ret));
	rc = checkpoint_open(bytes, len, key, &ret->at, err);
	if (rc == IM_ENOTFOUND) /* of another log, or of nobody */
		rc = IM_ECORRUPT;
	if (rc == IM_OK)
		rc = note_parse(bytes, len, &note, err);
	for (size_t i = 0; i < n && rc == IM_OK; i++) {
		rc = cosignature_verify(&note, &witness[i], &ret->by[i].time_s, err);
		ret->by[i].cosigned = rc == IM_OK;
		ret->count += rc == IM_OK ? 1 : 0;
		if (rc == IM_ENOTFOUND)
			rc = IM_OK;
	}
	if (rc == IM_OK && !buf_append(&ret->text, bytes, len))
		rc = err_set(err, IM_ENOMEM, "no memory for a checkpoint");
	return rc;
}

enum im_rc
cosigned_read(const struct audit_source *s, const struct note_verifier *key,
	      const struct note_verifier *witness, size_t n, struct cosigned *ret,
	      struct im_err *err)
{
	struct buf text = { 0 };
	const char *name = COSIGNED_FILE;
	enum im_rc rc;

	memset(ret, 0, sizeof(*ret));
	rc = s->read(s, name, NOTE_MAX_BYTES, &text, err);
	if (rc == IM_ENOTFOUND) {
		name = "checkpoint";
		buf_clear(&text);
		rc = s->read(s, name, NOTE_MAX_BYTES, &text, err);
	}
	if (rc == IM_OK) {
		rc = cosigned_open(buf_cstr(&text), text.len, key, witness, n, ret, err);
		if (rc != IM_OK)
			err_prefix(err, "%s", name);
	}
	buf_done(&text);
	return rc;
}

static enum im_rc
read_shard(const struct shard *shard, const char *vkey, const struct note_verifier *witness,
	   size_t n, struct cosigned *ret, struct im_err *err)
{
	struct note_verifier key = { 0 };
	enum im_rc rc = vkey != NULL ? note_verifier_parse(vkey, &key, err) : IM_OK;

	assert(shard != NULL);
	if (rc != IM_OK)
		return rc;
	rc = cosigned_read(&shard->source, vkey != NULL ? &key : NULL, witness, n, ret, err);
	ret->first = shard->first;
	return rc;
}

/* Shards of the log, and which one 'vkey' is of: earlier ones are not vouched for by it, later ones by what it signed. */
static enum im_rc
load(const struct audit_source *s, const char *vkey, struct shards *ret, size_t *ret_given,
     struct im_err *err)
{
	struct note_verifier key;
	enum im_rc rc = shards_load(s, NULL, ret, err);

	*ret_given = 0;
	if (rc != IM_OK || vkey == NULL)
		return rc;
	rc = note_verifier_parse(vkey, &key, err);
	for (size_t i = 1; i < ret->count && rc == IM_OK; i++)
		if (strcmp(ret->shard[i]->origin, key.name) == 0)
			*ret_given = i;
	if (rc == IM_OK && *ret_given > 0 && strcmp(ret->shard[*ret_given]->vkey, vkey) != 0)
		rc = err_set(err, IM_ECORRUPT,
			     "the shard before %s names another key than the one given", key.name);
	if (rc == IM_OK && *ret_given > 0)
		return IM_OK;
	shards_done(ret);
	return rc == IM_OK ? shards_load(s, vkey, ret, err) : rc;
}

enum im_rc
cosigned_read_log(const struct audit_source *s, const char *vkey,
		  const struct note_verifier *witness, size_t n, unsigned enough,
		  struct cosigned *ret, struct im_err *err)
{
	struct shards shards = { 0 };
	size_t given;
	enum im_rc rc = load(s, vkey, &shards, &given, err);
	bool found = false;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = shards.count; i-- > 0 && rc == IM_OK && (!found || ret->count < enough);) {
		const struct shard *shard = shards.shard[i];
		struct cosigned c;

		rc = read_shard(shard,
				i == 0 && given == 0 ? vkey
				: i < given          ? NULL
						     : shard->vkey,
				witness, n, &c, err);
		if (rc == IM_OK &&
		    (!found || c.count > ret->count || (ret->count == 0 && i == 0))) {
			cosigned_done(ret);
			*ret = c;
			found = true;
		} else {
			cosigned_done(&c);
		}
		/* A shard that has just begun may have no checkpoint yet. */
		if (rc == IM_ENOTFOUND && (i > 0 || found))
			rc = IM_OK;
	}
	shards_done(&shards);
	return rc;
}

void
cosigned_done(struct cosigned *c)
{
	buf_done(&c->text);
}
