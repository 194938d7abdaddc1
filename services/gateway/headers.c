/*
 * gateway/headers.c - see headers.h.
 */
#include "gateway/headers.h"

#include <string.h>
#include <strings.h>

#define HEX "0123456789abcdef"

static bool
is_hex(const char *s, size_t len)
{
	return strspn(s, HEX) >= len;
}

static bool
all_zero(const char *s, size_t len)
{
	return strspn(s, "0") >= len;
}

bool
gateway_traceparent_valid(const char *s)
{
	/* 00-TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT-PPPPPPPPPPPPPPPP-FF */
	if (s == NULL || strlen(s) != TRACEPARENT_LEN)
		return false;
	if (!is_hex(s, 2) || s[2] != '-' || !is_hex(s + 3, 32) || s[35] != '-' ||
	    !is_hex(s + 36, 16) || s[52] != '-' || !is_hex(s + 53, 2))
		return false;
	return strncmp(s, "ff", 2) != 0 && !all_zero(s + 3, 32) && !all_zero(s + 36, 16);
}

static bool
is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* max-age: seconds, which may come in quotes. More than fits means: any age. */
static void
take_max_age(const char *s, size_t len, struct generate_request *req)
{
	uint64_t seconds = 0;

	if (len >= 2 && s[0] == '"' && s[len - 1] == '"') {
		s++;
		len -= 2;
	}
	if (len == 0 || len > 12 || strspn(s, "0123456789") < len)
		return;
	for (size_t i = 0; i < len; i++)
		seconds = seconds * 10 + (uint64_t)(s[i] - '0');
	if (seconds == 0)
		req->cache_no_cache = true;
	else if (seconds <= UINT32_MAX / 1000)
		req->cache_max_age_ms = (uint32_t)(seconds * 1000);
}

void
gateway_cache_control(const char *s, struct generate_request *req)
{
	while (s != NULL && *s != '\0') {
		size_t len;

		s += strspn(s, " \t,");
		len = strcspn(s, " \t,");
		if (is_word(s, len, "no-store"))
			req->cache_no_store = true;
		else if (is_word(s, len, "no-cache"))
			req->cache_no_cache = true;
		else if (len > 8 && strncasecmp(s, "max-age=", 8) == 0)
			take_max_age(s + 8, len - 8, req);
		s += len;
	}
}

enum im_rc
gateway_session(const char *s, struct generate_request *req, struct im_err *err)
{
	bool printable = true;
	size_t len = 0;

	if (s == NULL)
		return IM_OK;
	for (; s[len] != '\0' && len <= GENERATE_SESSION_MAX; len++)
		printable = printable && s[len] >= ' ' && s[len] <= '~';
	if (!printable || len > GENERATE_SESSION_MAX)
		return err_reason(
		    err, IM_EINVAL, "invalid_value",
		    "The header x-infermesh-session: allowed are at most %d printable "
		    "ASCII characters.",
		    GENERATE_SESSION_MAX);
	req->session = s;
	return IM_OK;
}

enum im_rc
gateway_priority(const char *s, int32_t *ret, struct im_err *err)
{
	static const char *const words[] = { "low", "normal", "high" };

	*ret = 0;
	for (int32_t i = 0; s != NULL && i < 3; i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*ret = i - 1;
			return IM_OK;
		}
	}
	if (s == NULL)
		return IM_OK;
	return err_reason(err, IM_EINVAL, "invalid_value",
			  "The header x-infermesh-priority: allowed are low, normal and high.");
}
