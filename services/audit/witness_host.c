/*
 * audit/witness_host.c - see witness_host.h.
 */
#include "audit/witness_host.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "audit/witness.h"
#include "audit/witness_key.h"

static enum im_rc
read_vkey(struct witness_host *h, struct im_err *err)
{
	struct note_signer key;
	bool made;
	enum im_rc rc = witness_key_open(config_str(h->config, "witness.key_file"),
					 config_str(h->config, "witness.name"), &key, &made, err);

	if (rc == IM_OK) {
		note_signer_vkey(&key, h->vkey);
		note_signer_done(&key);
	}
	return rc;
}

enum im_rc
witness_host_up(struct witness_host *h, struct loop *loop, const char *yaml, struct im_err *err)
{
	struct service_env env = { .name = "witness", .loop = loop };
	enum im_rc rc = config_parse("t.yaml", yaml, strlen(yaml), &h->config, err);

	if (rc == IM_OK)
		rc = read_vkey(h, err);
	if (rc != IM_OK)
		return rc;
	env.config = h->config;
	loop_enter(loop);
	rc = witness_service.start(&env, &h->service, err);
	if (rc == IM_OK)
		(void)snprintf(h->url, sizeof(h->url), "http://%s",
			       witness_service.address(h->service));
	loop_leave(loop);
	return rc;
}

static void
on_stopped(void *arg)
{
	*(bool *)arg = true;
}

void
witness_host_down(struct witness_host *h, struct loop *loop)
{
	bool stopped = false;

	if (h->service == NULL)
		return;
	loop_enter(loop);
	witness_service.stop(h->service, on_stopped, &stopped);
	loop_leave(loop);
	assert(stopped);
	h->service = NULL;
	config_free(h->config);
}
