/*
 * audit/audit_keys.c - see audit_keys.h.
 */
#include "audit/audit_keys.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/subjects.h"
#include "base/log.h"

/* Is there a log in 'dir' already? */
static bool
log_exists(const char *dir)
{
	static const char *const parts[] = { "checkpoint", "wal", "tile" };
	char path[DISK_PATH_MAX];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (disk_path(path, dir, parts[i], NULL) == IM_OK && access(path, F_OK) == 0)
			return true;
	return false;
}

enum im_rc
audit_keys_load(const struct config *config, struct keyfile *ret, char ret_subjects[DISK_PATH_MAX],
		struct im_err *err)
{
	const char *path = config_str(config, "audit.key_file");
	const char *origin = config_str(config, "audit.origin");
	const char *dir = config_str(config, "audit.dir");
	char vkey[NOTE_KEYTEXT_MAX];
	enum im_rc rc = keyfile_load(path, ret, err);

	if (rc == IM_ENOTFOUND && log_exists(dir))
		return err_set(
		    err, IM_ENOTFOUND,
		    "the key file %s is missing, but there is a log in %s: put its key file back, or choose another "
		    "audit.dir for a new log",
		    path, dir);
	if (rc == IM_ENOTFOUND) {
		rc = keyfile_create(path, origin, ret, err);
		if (rc == IM_OK)
			log_info("made the keys of a new audit log: back this file up",
				 LOG_STR("file.path", path));
	}
	if (rc != IM_OK)
		return rc;
	keyfile_first_vkey(ret, vkey);
	vkey[strcspn(vkey, "+")] = '\0';
	if (strcmp(vkey, origin) != 0)
		return err_set(
		    err, IM_EINVAL,
		    "the key in %s is of the log '%s', but audit.origin is '%s'; set audit.origin to the former, or "
		    "choose another key file and folder for a new log",
		    path, vkey, origin);
	if (snprintf(ret_subjects, DISK_PATH_MAX, "%s" SUBJECTS_SUFFIX, path) >= DISK_PATH_MAX)
		return err_set(err, IM_EINVAL, "the path %s is too long", path);
	return IM_OK;
}
