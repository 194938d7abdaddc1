/*
 * daemon/config_models.c - checks of a manifest, the file of models[] that workers[].manifest names; called by config_check.c. Pure.
 */
#include "daemon/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "wire/generate.h"

#define CONTEXT_MIN  64
#define TEMPLATE_MAX 63

static enum im_rc
check_model(const struct config *c, size_t i, struct im_err *err)
{
	const struct config *m = config_item(c, "models", i);
	const char *name = config_str(m, "models[].name"), *file = config_str(m, "models[].file"),
		   *sha256 = config_str(m, "models[].sha256"),
		   *chat = config_str(m, "models[].template");
	int64_t context = config_int(m, "models[].context");
	bool one_gpu = strcmp(config_str(m, "models[].split_mode"), "none") == 0;
	char found[24];

	if (name == NULL)
		return config_fail_key(m, "models[].name", err, "missing: each model needs a name");
	if (name[0] == '\0' || strlen(name) > GENERATE_MODEL_MAX)
		return config_fail_found(m, "models[].name", name, err, "1 to 256 bytes");
	for (size_t k = 0; k < i; k++)
		if (strcmp(config_str(config_item(c, "models", k), "models[].name"), name) == 0)
			return config_fail_found(m, "models[].name", name, err,
						 "a name that no other model has");
	if (file == NULL || file[0] == '\0')
		return config_fail_key(m, "models[].file", err,
				       "missing: each model needs its GGUF file");
	if (sha256 != NULL && !config_is_sha256(sha256))
		return config_fail_found(m, "models[].sha256", sha256, err,
					 "64 hexadecimal digits");
	if (chat != NULL && strlen(chat) > TEMPLATE_MAX)
		return config_fail_found(m, "models[].template", chat, err, "1 to 63 bytes");
	if (config_int(m, "models[].main_gpu") > 0 && !one_gpu)
		return config_fail_key(m, "models[].main_gpu", err,
				       "is for 'split_mode: none' only, where one GPU has it all");
	(void)snprintf(found, sizeof(found), "%lld", (long long)context);
	if (context > 0 && context < CONTEXT_MIN)
		return config_fail_found(m, "models[].context", found, err,
					 "0, or a whole number from 64 to 1048576");
	return IM_OK;
}

/* Nothing of infermesh.yaml stands there. */
static enum im_rc
check_alone(const struct config *c, struct im_err *err)
{
	static const char why[] =
	    "a manifest has models and nothing else; move this to infermesh.yaml";

	for (size_t i = 0; i < config_schema_len; i++)
		if (config_row_list_len(&config_schema[i]) == 0 && c->values[i].line != 0)
			return config_fail_key(c, config_schema[i].path, err, why);
	for (size_t k = 0; k < c->list_count; k++)
		if (c->lists[k].count > 0 && strcmp(c->lists[k].name, "models") != 0)
			return config_fail(c, c->lists[k].line, c->lists[k].name, err, "%s", why);
	return IM_OK;
}

enum im_rc
config_check_models(const struct config *c, struct im_err *err)
{
	size_t count = config_items(c, "models");
	enum im_rc rc;

	if (!c->manifest && count > 0)
		return config_fail(
		    c, config_item(c, "models", 0)->line, "models", err,
		    "stands in a file of its own, which workers[].manifest names; move it there");
	if (!c->manifest)
		return IM_OK;
	if (count == 0 || count > CONFIG_MODELS_MAX)
		return config_fail(c, 0, "models", err,
				   "found %zu, allowed: 1 to %d ('- name: ...')", count,
				   CONFIG_MODELS_MAX);
	rc = check_alone(c, err);
	for (size_t i = 0; rc == IM_OK && i < count; i++)
		rc = check_model(c, i, err);
	return rc;
}
