/*
 * daemon/config_check.c - what one row of the schema alone cannot tell: names that must differ, keys that need or exclude each
 * other, the grammar of addresses. Pure: nothing is opened or resolved here.
 */
#include "daemon/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "daemon/config_routes.h"
#include "daemon/worker_name.h"

bool
config_is_off(const char *s)
{
	return strcmp(s, "off") == 0;
}

/* Digits from 0 to 65535. */
static bool
is_port(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 5 && strspn(s, "0123456789") == n && strtol(s, NULL, 10) <= 65535;
}

/* HOST:PORT, [V6]:PORT */
bool
config_is_host_port(const char *s)
{
	const char *colon = strrchr(s, ':');

	if (colon == NULL || colon == s || !is_port(colon + 1))
		return false;
	if (s[0] == '[')
		return colon[-1] == ']' && colon - s > 2;
	return memchr(s, ':', (size_t)(colon - s)) == NULL &&
	       memchr(s, '/', (size_t)(colon - s)) == NULL;
}

static bool
is_http_address(const char *s)
{
	return strncmp(s, "unix:", 5) == 0 ? s[5] != '\0' : config_is_host_port(s);
}

bool
config_is_mesh_url(const char *s)
{
	if (strncmp(s, "ipc://", 6) == 0)
		/* sun_path holds 108 bytes with the NUL. */
		return s[6] != '\0' && strlen(s + 6) < 108;
	if (strncmp(s, "tcp://", 6) == 0)
		return config_is_host_port(s + 6);
	return strncmp(s, "inproc://", 9) == 0 && s[9] != '\0';
}

bool
config_is_sha256(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

enum im_rc
config_fail_key(const struct config *c, const char *path, struct im_err *err, const char *what)
{
	const struct config_value *v = config_value_at(c, path);
	unsigned line = v != NULL && v->line != 0 ? v->line : c->line;

	return config_fail(c, line, path, err, "%s", what);
}

enum im_rc
config_fail_found(const struct config *c, const char *path, const char *value, struct im_err *err,
		  const char *allowed)
{
	const struct config_value *v = config_value_at(c, path);
	char quoted[160];

	return config_fail(c, v->line != 0 ? v->line : c->line, path, err, "found %s, allowed: %s",
			   config_quote(value, strlen(value), quoted, sizeof(quoted)), allowed);
}

#define CACHE_RULES_MAX 256

static enum im_rc
check_cache_rules(const struct config *c, struct im_err *err)
{
	static const char path[] = "router.cache_rules";
	size_t count = config_map_len(c, path);

	if (count > CACHE_RULES_MAX)
		return config_fail_key(c, path, err, "has more than 256 rules");
	for (size_t i = 0; i < count; i++) {
		const char *name, *what;
		char *end;
		double t;

		config_map_at(c, path, i, &name, &what);
		t = strtod(what, &end);
		if (strcmp(what, "off") == 0 || strcmp(what, "all") == 0)
			continue;
		if (*what == '\0' || *end != '\0' || strspn(what, "0123456789.") != strlen(what) ||
		    t > 2)
			return config_fail_found(c, path, what, err,
						 "off, all or a temperature from 0 to 2");
	}
	return IM_OK;
}

#define MESH_URL "ipc://PATH (shorter than 108 bytes) or tcp://HOST:PORT"

static enum im_rc
check_mesh_list(const struct config *c, const char *path, bool may_be_off, struct im_err *err)
{
	size_t n = config_strings_len(c, path);

	if (n == 0)
		return config_fail_key(c, path, err, "found no address, allowed: at least one");
	for (size_t i = 0; i < n; i++) {
		const char *s = config_strings_at(c, path, i);

		if (!config_is_mesh_url(s) && !(may_be_off && n == 1 && config_is_off(s)))
			return config_fail_found(c, path, s, err,
						 may_be_off ? MESH_URL ", or off alone" : MESH_URL);
	}
	return IM_OK;
}

static enum im_rc
check_mesh_urls(const struct config *c, struct im_err *err)
{
	static const struct {
		const char *path;
		bool may_be_off;
	} rows[] = { { "router.listen", false },
		     { "router.door", true },
		     { "cache.listen", false },
		     { "audit.listen", false },
		     { "audit.address", true } };
	enum im_rc rc;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *s = config_str(c, rows[i].path);

		if (!config_is_mesh_url(s) && !(rows[i].may_be_off && config_is_off(s)))
			return config_fail_found(c, rows[i].path, s, err,
						 rows[i].may_be_off ? MESH_URL " or off"
								    : MESH_URL);
	}
	rc = check_mesh_list(c, "router.addresses", false, err);
	return rc == IM_OK ? check_mesh_list(c, "cache.addresses", true, err) : rc;
}

/* Number 'i' of the addresses of pages: the gateway's, the daemons', then each worker's. False: there are no more. */
static bool
http_address(const struct config *c, size_t i, const struct config **ret_in, const char **ret_path)
{
	static const char *const rows[] = { "gateway.listen", "witness.listen", "router.admin",
					    "cache.admin",    "audit.admin",    "audit.serve",
					    "witness.admin" };
	const size_t fixed = sizeof(rows) / sizeof(rows[0]);

	if (i >= fixed + config_items(c, "workers"))
		return false;
	*ret_in = i < fixed ? c : config_item(c, "workers", i - fixed);
	*ret_path = i < fixed ? rows[i] : "workers[].admin";
	return true;
}

/* No address before number 'i' may be the same. */
static enum im_rc
check_unique(const struct config *c, size_t i, const struct config *in, const char *path,
	     struct im_err *err)
{
	const char *s = config_str(in, path), *other_path;
	const struct config *other;
	size_t len = strlen(s);
	char why[128];

	/* Any free port: they will differ. */
	if (len > 2 && strcmp(s + len - 2, ":0") == 0)
		return IM_OK;
	for (size_t k = 0; k < i && http_address(c, k, &other, &other_path); k++) {
		if (strcmp(config_str(other, other_path), s) != 0)
			continue;
		(void)snprintf(why, sizeof(why), "the same address as %s; give each its own",
			       other_path);
		return config_fail_key(in, path, err, why);
	}
	return IM_OK;
}

static enum im_rc
check_http_addresses(const struct config *c, struct im_err *err)
{
	const struct config *in;
	const char *path;
	enum im_rc rc = IM_OK;

	for (size_t i = 0; rc == IM_OK && http_address(c, i, &in, &path); i++) {
		const char *s = config_str(in, path);
		bool worker = in != c, may_be_off = i > 1; /* not where it serves */

		if ((may_be_off && config_is_off(s)) || (worker && strcmp(s, "auto") == 0))
			continue;
		if (!is_http_address(s))
			rc = config_fail_found(in, path, s, err,
					       worker       ? "auto, HOST:PORT, unix:PATH or off"
					       : may_be_off ? "HOST:PORT, unix:PATH or off"
							    : "HOST:PORT or unix:PATH");
		else
			rc = check_unique(c, i, in, path, err);
	}
	return rc;
}

static enum im_rc
check_tls(const struct config *c, const char *cert, const char *key, struct im_err *err)
{
	bool has_cert = config_str(c, cert) != NULL, has_key = config_str(c, key) != NULL;
	char why[96];

	if (has_cert == has_key)
		return IM_OK;
	(void)snprintf(why, sizeof(why), "needs %s, the file of its %s", has_cert ? key : cert,
		       has_cert ? "private key" : "certificate");
	return config_fail_key(c, has_cert ? cert : key, err, why);
}

static enum im_rc
check_breaker(const struct config *c, struct im_err *err)
{
	if (config_int(c, "router.breaker_open_ms") <= config_int(c, "router.breaker_open_max_ms"))
		return IM_OK;
	return config_fail_key(
	    c, "router.breaker_open_ms", err,
	    "is more than router.breaker_open_max_ms, the longest pause; raise that one");
}

/* Keys that only the other backend understands. */
static enum im_rc
check_backend(const struct config *w, bool upstream, struct im_err *err)
{
	static const char *const upstream_only[] = {
		"workers[].url",     "workers[].api_key_file", "workers[].api_key_env",
		"workers[].ca_file", "workers[].connect_ms",   "workers[].read_ms",
		"workers[].extra"
	};
	static const char *const local_only[] = {
		"workers[].model_file",     "workers[].sha256",
		"workers[].manifest",       "workers[].operators",
		"workers[].max_batch_size", "workers[].max_context_length",
		"workers[].threads",        "workers[].queue_max",
		"workers[].batch_tokens",   "workers[].step_ms",
		"workers[].context_sinks",  "workers[].exact",
		"workers[].model_key_file"
	};
	const char *const *wrong = upstream ? local_only : upstream_only;
	size_t n = upstream ? sizeof(local_only) / sizeof(local_only[0])
			    : sizeof(upstream_only) / sizeof(upstream_only[0]);

	for (size_t i = 0; i < n; i++) {
		const struct config_value *v = config_value_at(w, wrong[i]);

		if (v != NULL && v->line != 0) {
			return config_fail_key(
			    w, wrong[i], err,
			    upstream
				? "is for 'backend: local' only; this worker's backend is upstream"
				: "is for 'backend: upstream' only; this worker's backend is local");
		}
	}
	return IM_OK;
}

static enum im_rc
check_upstream(const struct config *w, struct im_err *err)
{
	const char *url = config_str(w, "workers[].url");

	if (url == NULL)
		return config_fail_key(
		    w, "workers[].url", err,
		    "missing: 'backend: upstream' needs a URL such as https://api.deepseek.com/v1");
	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return config_fail_found(w, "workers[].url", url, err, "http://... or https://...");
	if (config_str(w, "workers[].api_key_file") != NULL &&
	    config_str(w, "workers[].api_key_env") != NULL)
		return config_fail_key(w, "workers[].api_key_env", err,
				       "is given beside workers[].api_key_file; remove one");
	for (size_t i = 0; i < config_map_len(w, "workers[].extra"); i++) {
		const char *name, *json;
		struct im_err why;
		char text[200];

		config_map_at(w, "workers[].extra", i, &name, &json);
		if (json_check(json, strlen(json), 32, &why) == IM_OK)
			continue;
		(void)snprintf(text, sizeof(text), "the value of '%.40s' is not JSON: %.100s", name,
			       why.text);
		return config_fail_key(w, "workers[].extra", err, text);
	}
	return IM_OK;
}

/* Keys that say of one model what the manifest says of each. */
static enum im_rc
check_manifest(const struct config *w, struct im_err *err)
{
	static const char *const wrong[] = { "workers[].model_file", "workers[].model_key_file",
					     "workers[].sha256", "workers[].models" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (config_value_at(w, wrong[i])->line != 0)
			return config_fail_key(
			    w, wrong[i], err,
			    "is given beside workers[].manifest, which says it of each model; remove one");
	return IM_OK;
}

static bool
is_operators(const char *s)
{
	return strcmp(s, "auto") == 0 || config_is_off(s) || config_is_mesh_url(s);
}

static enum im_rc
check_worker(const struct config *c, size_t i, struct im_err *err)
{
	const struct config *w = config_item(c, "workers", i);
	const char *name = config_str(w, "workers[].name"),
		   *sha256 = config_str(w, "workers[].sha256");
	bool upstream = strcmp(config_str(w, "workers[].backend"), "upstream") == 0;
	enum im_rc rc;

	if (name == NULL)
		return config_fail_key(w, "workers[].name", err,
				       "missing: each worker needs a name");
	if (!worker_name_is(name))
		return config_fail_found(w, "workers[].name", name, err,
					 "1 to 63 letters, digits, '-', '_' and '.'");
	for (size_t k = 0; k < i; k++)
		if (strcmp(config_str(config_item(c, "workers", k), "workers[].name"), name) == 0)
			return config_fail_found(w, "workers[].name", name, err,
						 "a name that no other worker has");
	rc = check_backend(w, upstream, err);
	if (rc == IM_OK && upstream)
		rc = check_upstream(w, err);
	if (rc == IM_OK && !upstream && config_strings_len(w, "workers[].models") > 1)
		rc = config_fail_key(w, "workers[].models", err,
				     "a local worker serves one model; name one, or add a worker");
	if (rc == IM_OK && config_str(w, "workers[].manifest") != NULL)
		rc = check_manifest(w, err);
	if (rc == IM_OK && config_str(w, "workers[].model_key_file") != NULL &&
	    config_str(w, "workers[].model_file") == NULL)
		rc = config_fail_key(
		    w, "workers[].model_key_file", err,
		    "is given without workers[].model_file, the encrypted file that it is for");
	if (rc == IM_OK && !is_operators(config_str(w, "workers[].operators")))
		rc = config_fail_found(w, "workers[].operators",
				       config_str(w, "workers[].operators"), err,
				       "auto, " MESH_URL " or off");
	if (rc == IM_OK && sha256 != NULL && !config_is_sha256(sha256))
		rc = config_fail_found(w, "workers[].sha256", sha256, err, "64 hexadecimal digits");
	return rc;
}

static enum im_rc
check_route(const struct config *c, size_t i, struct im_err *err)
{
	struct route_spec route, other;
	enum im_rc rc = config_route(c, i, &route, err);

	for (size_t k = 0; rc == IM_OK && k < i; k++) {
		rc = config_route(c, k, &other, err);
		if (rc == IM_OK && strcmp(other.model, route.model) == 0)
			rc = config_fail_found(config_item(c, "routes", i), "routes[].model",
					       route.model, err, "a model that no other route has");
	}
	return rc;
}

static enum im_rc
check_policies(const struct config *c, struct im_err *err)
{
	for (size_t i = 0; i < config_items(c, "policies"); i++) {
		const struct config *item = config_item(c, "policies", i);

		if (config_str(item, "policies[].use") == NULL)
			return config_fail_key(
			    item, "policies[].use", err,
			    "missing: each entry names a policy, such as 'use: round_robin'");
	}
	return IM_OK;
}

enum im_rc
config_check(const struct config *c, struct im_err *err)
{
	enum im_rc rc = check_mesh_urls(c, err);

	if (rc == IM_OK)
		rc = check_tls(c, "gateway.tls_cert", "gateway.tls_key", err);
	if (rc == IM_OK)
		rc = check_tls(c, "witness.tls_cert", "witness.tls_key", err);
	if (rc == IM_OK)
		rc = check_breaker(c, err);
	if (rc == IM_OK)
		rc = config_check_log(c, err);
	if (rc == IM_OK)
		rc = check_policies(c, err);
	if (rc == IM_OK)
		rc = check_cache_rules(c, err);
	for (size_t i = 0; rc == IM_OK && i < config_items(c, "workers"); i++)
		rc = check_worker(c, i, err);
	for (size_t i = 0; rc == IM_OK && i < config_items(c, "routes"); i++)
		rc = check_route(c, i, err);
	if (rc == IM_OK)
		rc = check_http_addresses(c, err);
	if (rc == IM_OK)
		rc = config_check_limits(c, err);
	if (rc == IM_OK)
		rc = config_check_models(c, err);
	if (rc == IM_OK)
		rc = config_check_cache(c, err);
	return rc;
}
