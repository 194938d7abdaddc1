/*
 * daemon/config.h - infermesh.yaml: one file and one schema for all daemons, defaults that run with no file at all.
 * YAML is read here and nowhere else.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

enum config_type {
	CONFIG_STRING,
	CONFIG_INT,
	CONFIG_BOOL,
	CONFIG_DOUBLE,
	CONFIG_ENUM,    /* one of config_key.allowed */
	CONFIG_STRINGS, /* a list; one string is a list of one */
	CONFIG_MAP,     /* string to string */
};

/* One row of the schema. The whole schema is config_schema[] in config_schema.c. */
struct config_key {
	const char
	    *path; /* "router.queue_max"; "workers[].name" for the members of a list of maps */
	enum config_type type;
	const char *
	    def; /* as it would stand in YAML; NULL = none. ${run_dir} and ${state_dir} are replaced */
	int64_t min, max;    /* CONFIG_INT; for CONFIG_DOUBLE the same as whole numbers */
	const char *allowed; /* CONFIG_ENUM: "debug|info|warn|error" */
	const char *units;   /* "ms", "bytes", or NULL */
	const char *help;    /* one sentence */
};

extern const struct config_key config_schema[];
extern const size_t config_schema_len;

#define CONFIG_MODELS_MAX 64 /* of a manifest */

struct config;

/**
 * Read 'path', or with NULL the defaults alone. Errors (IM_EINVAL, IM_EIO) name file, line, key, what was found and what
 * is allowed; an unknown key names the nearest known one. Byte sizes may carry KiB, MiB, GiB; durations ms, s, m, h.
 */
IM_MUST_CHECK enum im_rc config_load(const char *path, struct config **ret_config,
				     struct im_err *err);

/** As config_load(), for a file that workers[].manifest names: at least one of models[], and nothing else. */
IM_MUST_CHECK enum im_rc config_load_manifest(const char *path, struct config **ret_config,
					      struct im_err *err);

/** As config_load() on text in memory; 'name' stands for the file in errors. */
IM_MUST_CHECK enum im_rc config_parse(const char *name, const char *text, size_t len,
				      struct config **ret_config, struct im_err *err);

/** Are the files there, and to be read by us, that it names and that no daemon makes itself? IM_OK, or IM_EINVAL with file, line, key and
 *  what is wrong with the first that is not. */
IM_MUST_CHECK enum im_rc config_check_files(const struct config *config, struct im_err *err);

/** The file to load: 'option' (of --config) if given, else $INFERMESH_CONFIG, else NULL (the defaults alone). */
const char *config_path(const char *option);

void config_free(struct config *config);

/* Values. 'path' must be a row of the schema with that type: anything else is our bug and aborts. Strings live as long as
 * the config; config_str() is NULL where no value and no default is. */
const char *config_str(const struct config *config, const char *path);
int64_t config_int(const struct config *config, const char *path);
bool config_bool(const struct config *config, const char *path);
double config_double(const struct config *config, const char *path);
size_t config_strings_len(const struct config *config, const char *path);
const char *config_strings_at(const struct config *config, const char *path, size_t i);
size_t config_map_len(const struct config *config, const char *path);
void config_map_at(const struct config *config, const char *path, size_t i, const char **ret_key,
		   const char **ret_value);

/** Items of a list of maps: config_items(c, "workers") and config_item(c, "workers", 0), which is read with the same
 *  functions and the full path ("workers[].name"). An item answers for the whole file's keys too. */
size_t config_items(const struct config *config, const char *list);
const struct config *config_item(const struct config *config, const char *list, size_t i);

/** The file it came from, or "(defaults)". */
const char *config_file(const struct config *config);

/** SHA-256 of the effective values, for the audit log. */
void config_digest(const struct config *config, uint8_t ret_digest[32]);

/** Write the effective configuration as YAML with each key's help, units and default as comments. What it prints can be
 *  read back. */
void config_print(const struct config *config, FILE *out);

#endif
