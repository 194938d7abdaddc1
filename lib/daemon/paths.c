/*
 * daemon/paths.c - makes folders; see paths.h.
 */
#include "daemon/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/durable.h"

enum im_rc
paths_make_parents(const char *path, struct im_err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return err_set(err, IM_EINVAL, "%.80s...: the path is longer than %d bytes", path,
			       PATH_MAX - 1);
	memcpy(part, path, len + 1);
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) == 0) {
			if (!durable_sync_folder(part))
				return err_errno(err, IM_EIO, errno,
						 "cannot sync the folder above %s", part);
		} else if (errno != EEXIST && errno != EISDIR && errno != EROFS &&
			   errno != EACCES) {
			return err_errno(err, IM_EIO, errno, "cannot make the folder %s", part);
		}
		*slash = '/';
	}
	return IM_OK;
}

enum im_rc
paths_make_private(const char *path, struct im_err *err)
{
	struct stat st;
	enum im_rc rc = paths_make_parents(path, err);

	if (rc != IM_OK)
		return rc;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, IM_EIO, errno, "cannot make the folder %s", path);
	/* lstat: in a shared folder such as /tmp somebody else may have put a link there first. */
	if (lstat(path, &st) < 0)
		return err_errno(err, IM_EIO, errno, "cannot look at the folder %s", path);
	if (S_ISLNK(st.st_mode))
		return err_set(err, IM_EPERM,
			       "%s is a symbolic link; name the folder itself in the configuration",
			       path);
	if (!S_ISDIR(st.st_mode))
		return err_set(
		    err, IM_EPERM,
		    "%s is no folder; remove it or name another one in the configuration", path);
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		return err_set(
		    err, IM_EPERM,
		    "the folder %s belongs to user %u, not to us (%u); name another one in the configuration",
		    path, (unsigned)st.st_uid, (unsigned)geteuid());
	}
	if ((st.st_mode & 022) != 0)
		return err_set(err, IM_EPERM,
			       "others may write to the folder %s; run: chmod go-w '%s'", path,
			       path);
	if (access(path, W_OK | X_OK) < 0)
		return err_errno(err, IM_EPERM, errno, "cannot write to the folder %s", path);
	return IM_OK;
}

enum im_rc
paths_make_dirs(const struct config *config, struct im_err *err)
{
	enum im_rc rc = paths_make_private(config_str(config, "mesh.run_dir"), err);

	if (rc == IM_OK)
		rc = paths_make_private(config_str(config, "mesh.state_dir"), err);
	if (rc != IM_OK)
		err_prefix(err, "mesh.run_dir or mesh.state_dir");
	return rc;
}
