/*
 * client/error.c - codes, texts and the version as programs see them; see infermesh.h.
 */
#include <stdio.h>

#include "client.h"

#ifndef INFERMESH_VERSION_STRING
#	error "the build defines the version"
#endif

/* The public codes are the wire's. */
#define SAME(name) _Static_assert((int)IM_##name == (int)INFERMESH_##name, "codes differ")
SAME(OK);
SAME(EINVAL);
SAME(EAUTH);
SAME(EPERM);
SAME(ENOTFOUND);
SAME(ETOOBIG);
SAME(ELIMIT);
SAME(ECANCELED);
SAME(EINTERNAL);
SAME(EUPSTREAM);
SAME(EUNAVAILABLE);
SAME(EDEADLINE);
SAME(ENOMEM);
SAME(EPROTO);
SAME(EIO);
SAME(EAGAIN);
SAME(EEXIST);
SAME(ECORRUPT);
SAME(EMETHOD);

const char *
infermesh_version(void)
{
	return INFERMESH_VERSION_STRING;
}

const char *
infermesh_code_text(enum infermesh_code code)
{
	return im_rc_text((enum im_rc)code);
}

enum infermesh_code
client_error(const struct im_err *from, struct infermesh_error *to)
{
	if (from->rc == IM_OK || to == NULL)
		return (enum infermesh_code)from->rc;
	to->code = (enum infermesh_code)from->rc;
	to->retry_after_ms = from->retry_after_ms;
	(void)snprintf(to->reason, sizeof(to->reason), "%s", from->reason);
	(void)snprintf(to->param, sizeof(to->param), "%s", from->param);
	(void)snprintf(to->text, sizeof(to->text), "%s",
		       from->text[0] != '\0' ? from->text : im_rc_text(from->rc));
	return to->code;
}
