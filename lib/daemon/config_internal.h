/*
 * daemon/config_internal.h - what config.c, config_read.c, config_value.c, config_check.c and config_print.c share. Not for
 * other rooms.
 */
#ifndef DAEMON_CONFIG_INTERNAL_H
#define DAEMON_CONFIG_INTERNAL_H

#include "base/arena.h"
#include "daemon/config.h"

#define CONFIG_FILE_MAX    (1024UL * 1024)      /* bytes of a file */
#define CONFIG_MEMORY_MAX  (32UL * 1024 * 1024) /* bytes of what it becomes */
#define CONFIG_ITEMS_MAX   256                  /* of a list of maps */
#define CONFIG_ENTRIES_MAX 1024                 /* of a list of texts or a map */
#define CONFIG_LISTS_MAX   5                    /* lists of maps in the schema */

/* The value of one row. Which members count depends on the row's type. */
struct config_value {
	unsigned line;      /* where it was given; 0 = it is the default */
	const char *str;    /* STRING, ENUM; NULL = none */
	int64_t num;        /* INT; BOOL: 0 or 1 */
	double real;        /* DOUBLE */
	const char **texts; /* STRINGS; MAP: the keys */
	const char **map_values;
	size_t count; /* of texts */
};

struct config_list {
	const char *name; /* "workers"; in the arena */
	unsigned line;    /* 0 = not given */
	struct config *items;
	size_t count;
};

/* The root or one item of a list of maps. Everything below it lies in the root's arena. */
struct config {
	struct config *root;         /* itself in the root */
	const char *list;            /* item: the name of its list; root: NULL */
	unsigned line;               /* item: where it begins */
	struct config_value *values; /* one for each row of the schema */

	/* root only */
	bool manifest; /* not infermesh.yaml but a file of models */
	const char *file;
	struct arena arena;
	struct config_list lists[CONFIG_LISTS_MAX];
	size_t list_count;
	const char *run_dir, *state_dir; /* for ${…} */
	const char *home;                /* for ~/; NULL = unknown */
};

/* The row's length of "workers" in "workers[].name"; 0 if it is not of a list. */
size_t config_row_list_len(const struct config_key *row);

/* The value of 'path', NULL if the schema has no such row for this config. */
struct config_value *config_value_at(const struct config *c, const char *path);

/* "FILE:LINE: PATH: text"; line 0: "FILE: PATH: text". Returns IM_EINVAL. */
enum im_rc config_fail(const struct config *c, unsigned line, const char *path, struct im_err *err,
		       const char *fmt, ...) IM_PRINTF(5, 6);

/* Settle run_dir and state_dir once the section 'mesh' is read, so that ${…} has a value. */
IM_MUST_CHECK enum im_rc config_resolve_dirs(struct config *c, struct im_err *err);

/* config_read.c: fill 'c' from YAML. */
IM_MUST_CHECK enum im_rc config_read(struct config *c, const char *text, size_t len,
				     struct im_err *err);

/* config_value.c */
IM_MUST_CHECK enum im_rc config_value_parse(struct config *c, const struct config_key *row,
					    unsigned line, const char *text, size_t len,
					    struct config_value *ret, struct im_err *err);
/* Copy 'text' into the arena with ~/ and ${…} replaced. */
IM_MUST_CHECK enum im_rc config_expand(struct config *c, const struct config_key *row,
				       unsigned line, const char *text, size_t len,
				       const char **ret, struct im_err *err);
/* What is allowed, in words: "a whole number from 0 to 10". */
void config_allowed(const struct config_key *row, char *out, size_t cap);
/* A number with the largest unit that divides it: 16MiB, 5s, 1500ms. */
void config_format_int(const struct config_key *row, int64_t v, char *out, size_t cap);
void config_format_double(double v, char *out, size_t cap);
/* 'text' in quotes, shortened and made printable, for a message. */
const char *config_quote(const char *text, size_t len, char *out, size_t cap);

/* config_check.c: what one row alone cannot tell. */
IM_MUST_CHECK enum im_rc config_check(const struct config *c, struct im_err *err);

/* For such checks: "FILE:LINE: PATH: what", and "…: found VALUE, allowed: …". The line is that of the key, or of its item in
 * a list. Both return IM_EINVAL. */
enum im_rc config_fail_key(const struct config *c, const char *path, struct im_err *err,
			   const char *what);
enum im_rc config_fail_found(const struct config *c, const char *path, const char *value,
			     struct im_err *err, const char *allowed);
bool config_is_off(const char *s);
/* ipc://, tcp:// or inproc:// */
bool config_is_mesh_url(const char *s);
bool config_is_sha256(const char *s);
/* HOST:PORT, [V6]:PORT */
bool config_is_host_port(const char *s);

/* config_cache.c: where the cache keeps answers. */
IM_MUST_CHECK enum im_rc config_check_cache(const struct config *c, struct im_err *err);

/* config_models.c: a manifest has models and nothing else, and infermesh.yaml has none. */
IM_MUST_CHECK enum im_rc config_check_models(const struct config *c, struct im_err *err);

/* config_limits.c: limits[] and where they are kept. */
IM_MUST_CHECK enum im_rc config_check_limits(const struct config *c, struct im_err *err);

/* config_log.c: names and keys of the audit log and of witnesses. */
IM_MUST_CHECK enum im_rc config_check_log(const struct config *c, struct im_err *err);

#endif
