/*
 * cli/audit_call.c - see audit_call.h.
 */
#include "cli/audit_call.h"

#include "cli/mesh.h"
#include "cli/user.h"

#define DIAL_TIMEOUT_MS 5000
#define CALL_TIMEOUT_MS 60000 /* it answers when all is durable, behind what waits already */

enum im_rc
audit_call(const struct config *config, const char *method, const struct buf *body,
	   struct buf *reply, struct im_err *err)
{
	const char *address = config_str(config, "audit.address");
	char name[NET_NAME_MAX];
	struct mesh *mesh = NULL;
	struct peer *audit;
	enum im_rc rc;

	user_name(name, sizeof(name));
	rc = mesh_open(config, "operator", name, &mesh, err);
	if (rc == IM_OK) {
		rc = mesh_dial(mesh, address, DIAL_TIMEOUT_MS, &audit, err);
		if (rc == IM_EUNAVAILABLE)
			err_prefix(
			    err,
			    "the running audit service owns the log, and it is not reached (audit.address); start the "
			    "mesh with 'infermesh up'");
	}
	if (rc == IM_OK)
		rc = mesh_call(audit, method, body, CALL_TIMEOUT_MS, reply, err);
	mesh_close(mesh);
	return rc;
}
