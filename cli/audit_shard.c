/*
 * cli/audit_shard.c - see audit_shard.h.
 */
#include "cli/audit_shard.h"

#include <stdio.h>
#include <string.h>

static const struct shard *
called(const struct shards *shards, const char *origin)
{
	for (size_t i = 0; i < shards->count; i++)
		if (strcmp(shards->shard[i]->origin, origin) == 0)
			return shards->shard[i];
	return NULL;
}

enum im_rc
shard_arg_load(const struct log_arg *l, struct shards *ret, struct im_err *err)
{
	const struct shard *given;
	enum im_rc rc = shards_load(&l->source, NULL, ret, err);

	if (rc != IM_OK || l->vkey == NULL || ret->count == 1)
		return rc;
	given = called(ret, l->key.name);
	if (given == ret->shard[0]) { /* once more, with all that it vouches for */
		shards_done(ret);
		return shards_load(&l->source, l->vkey, ret, err);
	}
	if (given != NULL && strcmp(given->vkey, l->vkey) != 0) {
		rc = err_set(err, IM_ECORRUPT, "the shard before %s names another key than --vkey",
			     given->origin);
		shards_done(ret);
	}
	return rc;
}

bool
shard_arg_key(const struct log_arg *l, const struct shards *shards, const struct shard *s,
	      struct note_verifier *ret_key, char ret_vkey[NOTE_KEYTEXT_MAX])
{
	const struct shard *given = l->vkey != NULL ? called(shards, l->key.name) : NULL;
	const char *vkey = l->vkey;

	/* Only what comes behind the key that is trusted is vouched for. */
	if (given != NULL && s->first < given->first)
		return false;
	if (given != NULL && s != given)
		vkey = s->vkey;
	if (vkey == NULL)
		return false;
	(void)snprintf(ret_vkey, NOTE_KEYTEXT_MAX, "%s", vkey);
	return note_verifier_parse(vkey, ret_key, NULL) == IM_OK;
}

bool
shard_arg_key_of(const struct log_arg *l, const char *origin, struct note_verifier *ret_key)
{
	char vkey[NOTE_KEYTEXT_MAX];
	struct shards shards = { 0 };
	const struct shard *s = NULL;
	bool found = false;

	if (l->own && shard_arg_load(l, &shards, NULL) == IM_OK)
		s = called(&shards, origin);
	if (s != NULL)
		found = shard_arg_key(l, &shards, s, ret_key, vkey);
	else if (l->vkey != NULL)
		found = note_verifier_parse(l->vkey, ret_key, NULL) == IM_OK;
	shards_done(&shards);
	return found;
}
