/*
 * inference/local_spec.c - see local_spec.h.
 */
#include "inference/local_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t
spec_setting(const struct config *item, const char *path)
{
	if (item != NULL)
		return (uint32_t)config_int(item, path);
	for (size_t i = 0; i < config_schema_len; i++)
		if (strcmp(config_schema[i].path, path) == 0 && config_schema[i].def != NULL)
			return (uint32_t)strtoul(config_schema[i].def, NULL, 10);
	return 0;
}

static void
copy(char *to, size_t cap, const char *from)
{
	(void)snprintf(to, cap, "%s", from != NULL ? from : "");
}

/* The path that the key 'row' of model 'm' says; a relative one begins in the manifest's folder. "" if it says none. */
static enum im_rc
copy_path(const struct config *manifest, const struct config *m, const char *row,
	  char to[SPEC_PATH_MAX], struct im_err *err)
{
	const char *file = config_str(m, row), *path = config_file(manifest);
	const char *slash = strrchr(path, '/');
	int folder;

	to[0] = '\0';
	if (file == NULL)
		return IM_OK;
	folder = file[0] == '/' || slash == NULL ? 0 : (int)(slash + 1 - path);
	if (snprintf(to, SPEC_PATH_MAX, "%.*s%s", folder, path, file) >= SPEC_PATH_MAX)
		return err_set(err, IM_EINVAL, "%s: %s of '%s' is too long", path, row,
			       config_str(m, "models[].name"));
	return IM_OK;
}

enum im_rc
spec_at(const struct config *manifest, size_t i, struct local_spec *ret, struct im_err *err)
{
	const struct config *m = config_item(manifest, "models", i);
	enum im_rc rc;

	*ret = (struct local_spec){
		.context_tokens = (uint32_t)config_int(m, "models[].context"),
		.gpu = { .layers = (int32_t)config_int(m, "models[].gpu_layers"),
			 .split = gpu_split_parse(config_str(m, "models[].split_mode")),
			 .main = (uint32_t)config_int(m, "models[].main_gpu") },
		.load = config_bool(m, "models[].load"),
	};
	copy(ret->name, sizeof(ret->name), config_str(m, "models[].name"));
	copy(ret->sha256, sizeof(ret->sha256), config_str(m, "models[].sha256"));
	copy(ret->chat_template, sizeof(ret->chat_template), config_str(m, "models[].template"));
	copy(ret->quantisation, sizeof(ret->quantisation), config_str(m, "models[].quantisation"));
	rc = copy_path(manifest, m, "models[].file", ret->file, err);
	return rc == IM_OK ? copy_path(manifest, m, "models[].key_file", ret->key_file, err) : rc;
}

enum im_rc
spec_find(const char *path, const char *name, struct local_spec *ret, struct im_err *err)
{
	struct config *manifest = NULL;
	enum im_rc rc = config_load_manifest(path, &manifest, err);
	size_t i = 0;

	if (rc != IM_OK)
		return rc;
	while (i < config_items(manifest, "models") &&
	       strcmp(config_str(config_item(manifest, "models", i), "models[].name"), name) != 0)
		i++;
	if (i == config_items(manifest, "models"))
		rc =
		    err_set(err, IM_ENOTFOUND, "%s has no model '%.80s'; add it there", path, name);
	else
		rc = spec_at(manifest, i, ret, err);
	config_free(manifest);
	return rc;
}
