/*
 * daemon/config_log.c - checks of the audit log's name, its witnesses, and the logs that a witness cosigns: names, addresses and
 * verifier keys (https://c2sp.org/signed-note). Pure.
 */
#include "daemon/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/sha256.h"

#define KEY_OF_LOG     0x01
#define KEY_OF_WITNESS 0x04
#define NAME_MAX_BYTES 255
#define SHARD_BYTES    16 /* that later shards append to audit.origin */
#define WITNESSES_MAX  16
#define URL_MAX        1024

/* As it may stand in a signature line. */
static bool
is_key_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == '+' || (unsigned char)s[i] == 0x7f)
			return false;
	return len > 0 && len <= NAME_MAX_BYTES;
}

/* NAME+HASH+KEY: the hash is that of name and key, and the key is of this kind. */
static bool
is_vkey(const char *s, size_t len, uint8_t kind)
{
	const char *plus = memchr(s, '+', len);
	size_t name_len = plus != NULL ? (size_t)(plus - s) : 0, raw_len;
	uint8_t in[NAME_MAX_BYTES + 1 + 33], md[SHA256_BYTES], id[4];
	char digits[9];

	if (plus == NULL || !is_key_name(s, name_len) || len < name_len + 11 || plus[9] != '+')
		return false;
	memcpy(digits, plus + 1, 8);
	digits[8] = '\0';
	memcpy(in, s, name_len);
	in[name_len] = '\n';
	return strspn(digits, "0123456789abcdef") == 8 && hex_decode(digits, id, sizeof(id)) &&
	       base64_decode(plus + 10, len - name_len - 10, in + name_len + 1, 33, &raw_len) &&
	       raw_len == 33 && in[name_len + 1] == kind && sha256_of(in, name_len + 1 + 33, md) &&
	       memcmp(md, id, sizeof(id)) == 0;
}

static enum im_rc
check_name(const struct config *c, const char *path, const char *example, size_t max,
	   struct im_err *err)
{
	const char *s = config_str(c, path);
	char allowed[128];

	if (is_key_name(s, strlen(s)) && strlen(s) <= max)
		return IM_OK;
	if (strlen(s) > max) {
		(void)snprintf(allowed, sizeof(allowed), "at most %zu bytes", max);
		return config_fail_found(c, path, s, err, allowed);
	}
	(void)snprintf(allowed, sizeof(allowed), "a name such as %s, no spaces and no +", example);
	return config_fail_found(c, path, s, err, allowed);
}

static enum im_rc
check_witnesses(const struct config *c, struct im_err *err)
{
	static const char path[] = "audit.witnesses";
	size_t n = config_map_len(c, path);
	int64_t quorum = config_int(c, "audit.witness_quorum");
	char why[128];

	if (n > WITNESSES_MAX)
		return config_fail_key(c, path, err, "names more than 16 witnesses");
	for (size_t i = 0; i < n; i++) {
		const char *url, *vkey, *other;

		config_map_at(c, path, i, &url, &vkey);
		if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) ||
		    strlen(url) > URL_MAX || strpbrk(url, " ?#") != NULL)
			return config_fail_found(c, path, url, err,
						 "http://... or https://..., what comes before "
						 "/add-checkpoint");
		if (!is_vkey(vkey, strlen(vkey), KEY_OF_WITNESS))
			return config_fail_found(c, path, vkey, err,
						 "a witness's verifier key, NAME+HASH+KEY");
		for (size_t k = 0; k < i; k++) {
			config_map_at(c, path, k, &url, &other);
			if (strcmp(vkey, other) == 0)
				return config_fail_found(c, path, vkey, err,
							 "a key that no other witness has");
		}
	}
	if (quorum <= (int64_t)n)
		return IM_OK;
	(void)snprintf(why, sizeof(why), "is %d, but audit.witnesses names %zu", (int)quorum, n);
	return config_fail_key(c, "audit.witness_quorum", err, why);
}

static enum im_rc
check_witness(const struct config *c, struct im_err *err)
{
	static const char path[] = "witness.logs";
	const char *prefix = config_str(c, "witness.prefix");
	size_t prefix_len = strlen(prefix);

	if (prefix[0] != '/' || (prefix_len > 1 && prefix[prefix_len - 1] == '/') ||
	    strpbrk(prefix, " ?#%") != NULL)
		return config_fail_found(c, "witness.prefix", prefix, err,
					 "/, or a path such as /w1 without a / at its end");
	for (size_t i = 0; i < config_map_len(c, path); i++) {
		const char *origin, *keys;

		config_map_at(c, path, i, &origin, &keys);
		if (*origin == '\0' || strlen(origin) > NAME_MAX_BYTES)
			return config_fail_found(c, path, origin, err,
						 "an origin of 1 to 255 bytes");
		do {
			size_t len = strcspn(keys, " ");

			if (!is_vkey(keys, len, KEY_OF_LOG))
				return config_fail_found(c, path, keys, err,
							 "a log's verifier key, NAME+HASH+KEY");
			keys += len;
			keys += strspn(keys, " ");
		} while (*keys != '\0');
	}
	return IM_OK;
}

enum im_rc
config_check_log(const struct config *c, struct im_err *err)
{
	enum im_rc rc =
	    check_name(c, "audit.origin", "example.com/log", NAME_MAX_BYTES - SHARD_BYTES, err);

	if (rc == IM_OK)
		rc = check_name(c, "witness.name", "example.com/witness", NAME_MAX_BYTES, err);
	if (rc == IM_OK)
		rc = check_witnesses(c, err);
	if (rc == IM_OK)
		rc = check_witness(c, err);
	return rc;
}
