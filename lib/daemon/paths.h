/*
 * daemon/paths.h - the folders that daemons and the command line need on disk. Never removes anything.
 */
#ifndef DAEMON_PATHS_H
#define DAEMON_PATHS_H

#include "base/err.h"
#include "daemon/config.h"

/**
 * Make the folder 'path' with mode 0700, and its parents, unless it is there. Refuses (IM_EPERM, with the remedy) a folder
 * that somebody else than we or root owns, a symbolic link in its place, and one that others may write to; IM_EIO.
 * May block on the disk.
 */
IM_MUST_CHECK enum im_rc paths_make_private(const char *path, struct im_err *err);

/** paths_make_private() for mesh.run_dir and mesh.state_dir. */
IM_MUST_CHECK enum im_rc paths_make_dirs(const struct config *config, struct im_err *err);

/** Make the folders above the file 'path' (mode 0700) that are missing, durably. IM_EINVAL, IM_EIO. */
IM_MUST_CHECK enum im_rc paths_make_parents(const char *path, struct im_err *err);

#endif
