/*
 * daemon/config.c - loads infermesh.yaml and answers for its values; see config.h. Defaults come from the schema through the
 * same parser as the file. Never reads YAML itself (config_read.c) and never changes anything on disk.
 */
#include "daemon/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config_internal.h"

size_t
config_row_list_len(const struct config_key *row)
{
	const char *bracket = strstr(row->path, "[].");

	return bracket != NULL ? (size_t)(bracket - row->path) : 0;
}

/* Does the row belong to this config: the root's rows to the root, a list's rows to its items? */
static bool
row_is_of(const struct config *c, const struct config_key *row)
{
	size_t n = config_row_list_len(row);

	if (c->list == NULL)
		return n == 0;
	return n == strlen(c->list) && memcmp(row->path, c->list, n) == 0;
}

struct config_value *
config_value_at(const struct config *c, const char *path)
{
	for (size_t i = 0; i < config_schema_len; i++)
		if (strcmp(config_schema[i].path, path) == 0)
			return row_is_of(c, &config_schema[i]) ? &c->values[i] : NULL;
	return NULL;
}

enum im_rc
config_fail(const struct config *c, unsigned line, const char *path, struct im_err *err,
	    const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)err_set(err, IM_EINVAL, "%s", text);
	if (path != NULL && path[0] != '\0')
		err_prefix(err, "%s", path);
	if (line > 0)
		err_prefix(err, "%s:%u", c->root->file, line);
	else
		err_prefix(err, "%s", c->root->file);
	if (err != NULL && path != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", path);
	return IM_EINVAL;
}

static enum im_rc
no_memory(const char *name, struct im_err *err)
{
	return err_set(err, IM_ENOMEM, "%s: not enough memory for the configuration", name);
}

/* The lists of maps that the schema has. */
static enum im_rc
find_lists(struct config *c, struct im_err *err)
{
	for (size_t i = 0; i < config_schema_len; i++) {
		size_t n = config_row_list_len(&config_schema[i]);
		bool known = n == 0;

		for (size_t k = 0; k < c->list_count && !known; k++)
			known = strlen(c->lists[k].name) == n &&
				memcmp(c->lists[k].name, config_schema[i].path, n) == 0;
		if (known)
			continue;
		assert(c->list_count < CONFIG_LISTS_MAX);
		c->lists[c->list_count].name = arena_strndup(&c->arena, config_schema[i].path, n);
		if (c->lists[c->list_count].name == NULL)
			return no_memory(c->file, err);
		c->list_count++;
	}
	return IM_OK;
}

static enum im_rc
set_default(struct config *c, const struct config_key *row, struct config_value *v,
	    struct im_err *err)
{
	struct config_key as_text = *row;
	struct config_value one;
	enum im_rc rc;

	/* The folders are settled before. */
	if (v->line != 0 || v->str != NULL || row->def == NULL)
		return IM_OK;
	if (row->type != CONFIG_STRINGS)
		return config_value_parse(c, row, 0, row->def, strlen(row->def), v, err);
	as_text.type = CONFIG_STRING;
	rc = config_value_parse(c, &as_text, 0, row->def, strlen(row->def), &one, err);
	if (rc != IM_OK)
		return rc;
	v->texts = arena_calloc(&c->root->arena, 1, sizeof(*v->texts));
	if (v->texts == NULL)
		return no_memory(c->root->file, err);
	v->texts[0] = one.str;
	v->count = 1;
	return IM_OK;
}

static enum im_rc
set_defaults(struct config *c, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	for (size_t i = 0; i < config_schema_len && rc == IM_OK; i++)
		if (row_is_of(c, &config_schema[i]))
			rc = set_default(c, &config_schema[i], &c->values[i], err);
	for (size_t k = 0; c->list == NULL && k < c->list_count; k++)
		for (size_t i = 0; i < c->lists[k].count && rc == IM_OK; i++)
			rc = set_defaults(&c->lists[k].items[i], err);
	return rc;
}

static const char *
join(struct config *c, const char *dir, const char *rest)
{
	size_t n = strlen(dir), m = strlen(rest);
	char *out = arena_alloc(&c->arena, n + m + 1);

	if (out != NULL)
		(void)snprintf(out, n + m + 1, "%s%s", dir, rest);
	return out;
}

static bool
is_auto(const struct config_value *v)
{
	return v->str == NULL || strcmp(v->str, "auto") == 0;
}

enum im_rc
config_resolve_dirs(struct config *c, struct im_err *err)
{
	struct config_value *run = config_value_at(c, "mesh.run_dir");
	struct config_value *state = config_value_at(c, "mesh.state_dir");
	const char *run_base = secure_getenv("XDG_RUNTIME_DIR"),
		   *state_base = secure_getenv("XDG_STATE_HOME");
	char tmp[64];

	if (run != NULL && is_auto(run)) {
		if (run_base != NULL && run_base[0] == '/') {
			run->str = join(c, run_base, "/infermesh");
		} else {
			(void)snprintf(tmp, sizeof(tmp), "/tmp/infermesh-%u", (unsigned)geteuid());
			run->str = arena_strdup(&c->arena, tmp);
		}
	}
	if (state != NULL && is_auto(state)) {
		if (state_base != NULL && state_base[0] == '/')
			state->str = join(c, state_base, "/infermesh");
		else if (c->home != NULL)
			state->str = join(c, c->home, "/.local/state/infermesh");
		else
			return config_fail(
			    c, state->line, "mesh.state_dir", err,
			    "there is no HOME to put it in; name a folder that survives restarts");
	}
	if ((run != NULL && run->str == NULL) || (state != NULL && state->str == NULL))
		return no_memory(c->file, err);
	c->run_dir = run != NULL ? run->str : "";
	c->state_dir = state != NULL ? state->str : "";
	return IM_OK;
}

/* $HOME, else what the password file says; NULL if neither knows. */
static const char *
find_home(struct config *c)
{
	const char *home = secure_getenv("HOME");
	char room[4096];
	struct passwd entry, *found = NULL;

	if (home == NULL || home[0] != '/') {
		if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) != 0 || found == NULL)
			return NULL;
		home = found->pw_dir;
	}
	return home != NULL && home[0] == '/' ? arena_strdup(&c->arena, home) : NULL;
}

static enum im_rc
fill(struct config *c, const char *name, const char *text, size_t len, struct im_err *err)
{
	enum im_rc rc;

	c->root = c;
	arena_init(&c->arena, CONFIG_MEMORY_MAX);
	c->file = name;
	c->file = arena_strdup(&c->arena, name);
	c->values = arena_calloc(&c->arena, config_schema_len, sizeof(*c->values));
	if (c->file == NULL || c->values == NULL)
		return no_memory(name, err);
	c->home = find_home(c);
	rc = find_lists(c, err);
	if (rc == IM_OK)
		rc = config_read(c, text, len, err);
	if (rc == IM_OK)
		rc = set_defaults(c, err);
	if (rc == IM_OK)
		rc = config_check(c, err);
	return rc;
}

static enum im_rc
parse(const char *name, const char *text, size_t len, bool manifest, struct config **ret_config,
      struct im_err *err)
{
	struct config *c = calloc(1, sizeof(*c));
	enum im_rc rc;

	if (c == NULL)
		return no_memory(name, err);
	c->manifest = manifest;
	rc = fill(c, name, text, len, err);
	if (rc != IM_OK) {
		config_free(c);
		return rc;
	}
	*ret_config = c;
	return IM_OK;
}

enum im_rc
config_parse(const char *name, const char *text, size_t len, struct config **ret_config,
	     struct im_err *err)
{
	return parse(name, text, len, false, ret_config, err);
}

static enum im_rc
load(const char *path, bool manifest, struct config **ret_config, struct im_err *err)
{
	struct buf text = BUF_INIT(CONFIG_FILE_MAX + 1);
	enum im_rc rc = IM_OK;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "%s: cannot read the configuration", path);
	for (;;) {
		uint8_t *room = buf_reserve(&text, 4096);
		size_t want = 4096;
		ssize_t n;

		if (room == NULL) {
			/* The bound: less than a whole piece is left below it. */
			want = CONFIG_FILE_MAX + 1 - text.len;
			text.failed = false;
			room = want > 0 ? buf_reserve(&text, want) : NULL;
			if (room == NULL && want > 0)
				rc = no_memory(path, err); /* not: the half of it that was read */
			if (room == NULL)
				break;
		}
		n = read(fd, room, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_errno(err, IM_EIO, errno, "%s: cannot read the configuration",
				       path);
		if (n <= 0)
			break;
		text.len += (size_t)n;
	}
	(void)close(fd);
	if (rc == IM_OK)
		rc = parse(path, text.data != NULL ? (const char *)text.data : "", text.len,
			   manifest, ret_config, err);
	buf_done(&text);
	return rc;
}

enum im_rc
config_load(const char *path, struct config **ret_config, struct im_err *err)
{
	if (path == NULL)
		return config_parse("(defaults)", "", 0, ret_config, err);
	return load(path, false, ret_config, err);
}

enum im_rc
config_load_manifest(const char *path, struct config **ret_config, struct im_err *err)
{
	return load(path, true, ret_config, err);
}

const char *
config_path(const char *option)
{
	const char *env = secure_getenv("INFERMESH_CONFIG");

	if (option != NULL)
		return option;
	return env != NULL && env[0] != '\0' ? env : NULL;
}

void
config_free(struct config *c)
{
	struct arena arena;

	if (c == NULL)
		return;
	arena = c->arena;
	free(c);
	arena_done(&arena);
}

/* The value of a row that must exist with this type. */
static const struct config_value *
must_have(const struct config *c, const char *path, enum config_type type)
{
	for (size_t i = 0; i < config_schema_len; i++) {
		const struct config_key *row = &config_schema[i];

		if (strcmp(row->path, path) != 0)
			continue;
		if (row->type == type || (type == CONFIG_STRING && row->type == CONFIG_ENUM)) {
			/* An item may be asked for the whole file's keys too. */
			if (config_row_list_len(row) == 0)
				return &c->root->values[i];
			if (row_is_of(c, row))
				return &c->values[i];
		}
		break;
	}
	(void)fprintf(stderr, "config: '%s' is not a key of that type here\n", path);
	abort();
}

const char *
config_str(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_STRING)->str;
}

int64_t
config_int(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_INT)->num;
}

bool
config_bool(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_BOOL)->num != 0;
}

double
config_double(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_DOUBLE)->real;
}

size_t
config_strings_len(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_STRINGS)->count;
}

const char *
config_strings_at(const struct config *c, const char *path, size_t i)
{
	const struct config_value *v = must_have(c, path, CONFIG_STRINGS);

	assert(i < v->count);
	return v->texts[i];
}

size_t
config_map_len(const struct config *c, const char *path)
{
	return must_have(c, path, CONFIG_MAP)->count;
}

void
config_map_at(const struct config *c, const char *path, size_t i, const char **ret_key,
	      const char **ret_value)
{
	const struct config_value *v = must_have(c, path, CONFIG_MAP);

	assert(i < v->count);
	*ret_key = v->texts[i];
	*ret_value = v->map_values[i];
}

static const struct config_list *
find_list(const struct config *c, const char *list)
{
	for (size_t k = 0; k < c->root->list_count; k++)
		if (strcmp(c->root->lists[k].name, list) == 0)
			return &c->root->lists[k];
	(void)fprintf(stderr, "config: '%s' is not a list of maps\n", list);
	abort();
}

size_t
config_items(const struct config *c, const char *list)
{
	return find_list(c, list)->count;
}

const struct config *
config_item(const struct config *c, const char *list, size_t i)
{
	const struct config_list *l = find_list(c, list);

	assert(i < l->count);
	return &l->items[i];
}

const char *
config_file(const struct config *c)
{
	return c->root->file;
}
