/*
 * audit/audit_keys.h - the service's key file at its start: read, or made for a new log. Never for one that has lost its own.
 */
#ifndef AUDIT_AUDIT_KEYS_H
#define AUDIT_AUDIT_KEYS_H

#include "audit/disk.h"
#include "audit/keyfile.h"
#include "daemon/config.h"

/** audit.key_file into 'ret', and the path of the file of subjects' keys beside it. IM_ENOTFOUND: there is a log, but no key file.
 *  IM_EINVAL: it is another log's, by its origin; else as keyfile_load() and keyfile_create(). */
IM_MUST_CHECK enum im_rc audit_keys_load(const struct config *config, struct keyfile *ret,
					 char ret_subjects[DISK_PATH_MAX], struct im_err *err);

#endif
