/*
 * daemon/config_files.c - are the files there that a configuration names, for 'infermesh up --check'? Only those that are read and never
 * made by a daemon itself. A daemon that starts tells more: whether they hold what they should.
 */
#include "daemon/config_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const rows[] = {
	"gateway.tls_cert", "gateway.tls_key",       "witness.tls_cert",
	"witness.tls_key",  "audit.witness_ca_file", "router.limits_redis_password_file",
};

static const char *const worker_rows[] = {
	"workers[].model_file",   "workers[].model_key_file", "workers[].manifest",
	"workers[].api_key_file", "workers[].ca_file",
};

static enum im_rc
check_file(const struct config *c, const char *key, struct im_err *err)
{
	const char *path = config_str(c, key);
	struct stat st;
	char allowed[160];

	if (path == NULL)
		return IM_OK;
	errno = 0;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0)
		return IM_OK;
	(void)snprintf(allowed, sizeof(allowed), "a file that can be read (%s)",
		       errno != 0 ? strerrordesc_np(errno) : "this is none");
	return config_fail_found(c, key, path, err, allowed);
}

enum im_rc
config_check_files(const struct config *c, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (size_t i = 0; rc == IM_OK && i < sizeof(rows) / sizeof(rows[0]); i++)
		rc = check_file(c, rows[i], err);
	for (size_t w = 0; w < config_items(c, "workers"); w++)
		for (size_t i = 0; rc == IM_OK && i < sizeof(worker_rows) / sizeof(worker_rows[0]);
		     i++)
			rc = check_file(config_item(c, "workers", w), worker_rows[i], err);
	return rc;
}
