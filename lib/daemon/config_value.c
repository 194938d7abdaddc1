/*
 * daemon/config_value.c - text of a configuration value to its meaning and back; what is allowed, in words. Part of
 * config.h's room; knows nothing of YAML.
 */
#include "daemon/config_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: the first one that divides a number is how it is written. */
static const struct unit bytes_units[] = {
	{ "GiB", 1LL << 30 }, { "MiB", 1LL << 20 }, { "KiB", 1LL << 10 }, { "", 1 }, { NULL, 0 }
};
static const struct unit time_units[] = {
	{ "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 }
};
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(const struct config_key *row)
{
	if (row->units != NULL && strcmp(row->units, "bytes") == 0)
		return bytes_units;
	if (row->units != NULL && strcmp(row->units, "ms") == 0)
		return time_units;
	return no_units;
}

void
config_format_int(const struct config_key *row, int64_t v, char *out, size_t cap)
{
	const struct unit *u = units_of(row);

	while (u[1].name != NULL && (v == 0 || v % u->factor != 0))
		u++;
	(void)snprintf(out, cap, "%" PRId64 "%s", v / u->factor, u->name);
}

void
config_format_double(double v, char *out, size_t cap)
{
	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(out, cap, "%.*g", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

void
config_allowed(const struct config_key *row, char *out, size_t cap)
{
	char lo[32], hi[32];

	switch (row->type) {
	case CONFIG_INT:
		config_format_int(row, row->min, lo, sizeof(lo));
		config_format_int(row, row->max, hi, sizeof(hi));
		if (units_of(row) == bytes_units)
			(void)snprintf(
			    out, cap, "a size from %s to %s, such as 64KiB, 16MiB or 1GiB", lo, hi);
		else if (units_of(row) == time_units)
			(void)snprintf(out, cap, "a time from %s to %s, such as 20ms, 5s, 5m or 1h",
				       lo, hi);
		else
			(void)snprintf(out, cap, "a whole number from %s to %s", lo, hi);
		return;
	case CONFIG_DOUBLE:
		(void)snprintf(out, cap, "a number from %" PRId64 " to %" PRId64, row->min,
			       row->max);
		return;
	case CONFIG_BOOL:
		(void)snprintf(out, cap, "true or false");
		return;
	case CONFIG_ENUM:
		(void)snprintf(out, cap, "one of %s", row->allowed);
		return;
	case CONFIG_STRINGS:
		(void)snprintf(out, cap, "a list of texts, or one text");
		return;
	case CONFIG_MAP:
		(void)snprintf(out, cap, "a map, such as { name: value }");
		return;
	case CONFIG_STRING:
		break;
	}
	(void)snprintf(out, cap, "a text");
}

const char *
config_quote(const char *text, size_t len, char *out, size_t cap)
{
	size_t n = 0, i = 0;

	out[n++] = '"';
	for (; i < len && n + 8 < cap; i++) {
		unsigned char c = (unsigned char)text[i];

		out[n++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
	}
	/* Never end inside a character. */
	if (i < len) {
		while (n > 1 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 1 && (unsigned char)out[n - 1] >= 0xc0)
			n--;
		memcpy(out + n, "...", 3);
		n += 3;
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

/* Digits and a unit. False if it is neither, or overflows. */
static bool
parse_int(const struct config_key *row, const char *text, int64_t *ret)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	char *end;
	long long v;

	if (digits[0] < '0' || digits[0] > '9')
		return false;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno != 0)
		return false;
	if (*end == '\0') {
		*ret = v;
		return true;
	}
	for (const struct unit *u = units_of(row); u->name != NULL; u++)
		if (strcmp(end, u->name) == 0)
			return !__builtin_mul_overflow((int64_t)v, u->factor, ret);
	return false;
}

static bool
parse_double(const char *text, double *ret)
{
	char *end;

	/* Only decimal notation: strtod() alone would take "nan", "inf" and hexadecimal. */
	if (text[0] == '\0' || text[strspn(text, "0123456789.+-eE")] != '\0')
		return false;
	errno = 0;
	*ret = strtod(text, &end);
	return *end == '\0' && errno == 0 && isfinite(*ret);
}

static bool
allowed_word(const char *words, const char *text)
{
	size_t len = strlen(text);

	while (words != NULL && len > 0) {
		const char *bar = strchr(words, '|');
		size_t n = bar != NULL ? (size_t)(bar - words) : strlen(words);

		if (n == len && memcmp(words, text, n) == 0)
			return true;
		words = bar != NULL ? bar + 1 : NULL;
	}
	return false;
}

/* The longest run of 'text' that is copied as it is; at its end a ${…} or the end. */
static size_t
plain_prefix(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && !(text[i] == '$' && i + 1 < len && text[i + 1] == '{'))
		i++;
	return i;
}

/* The '${…}' at 'text', of 'len' bytes: what stands for it, or NULL. */
static const char *
variable(const struct config *root, const char *text, size_t len)
{
	if (len == strlen("${run_dir}") && memcmp(text, "${run_dir}", len) == 0)
		return root->run_dir;
	if (len == strlen("${state_dir}") && memcmp(text, "${state_dir}", len) == 0)
		return root->state_dir;
	return NULL;
}

/* Append 'text' to 'out', each ${…} replaced. */
static enum im_rc
expand_variables(const struct config *c, const struct config_key *row, unsigned line,
		 const char *text, size_t len, struct buf *out, struct im_err *err)
{
	const struct config *root = c->root;
	const char *end = text + len;
	char quoted[80];

	while (text < end) {
		size_t n = plain_prefix(text, (size_t)(end - text));
		const char *close, *value;

		(void)buf_append(out, text, n);
		text += n;
		if (text == end)
			break;
		close = memchr(text, '}', (size_t)(end - text));
		n = (size_t)((close != NULL ? close + 1 : end) - text);
		value = variable(root, text, n);
		if (value == NULL)
			return config_fail(c, line, row->path, err,
					   "found %s, allowed: ${run_dir} and ${state_dir}%s",
					   config_quote(text, n, quoted, sizeof(quoted)),
					   root->run_dir == NULL ? ", and not here" : "");
		(void)buf_append_str(out, value);
		text += n;
	}
	return IM_OK;
}

enum im_rc
config_expand(struct config *c, const struct config_key *row, unsigned line, const char *text,
	      size_t len, const char **ret, struct im_err *err)
{
	struct config *root = c->root;
	struct buf out = BUF_INIT(64UL * 1024);
	enum im_rc rc;

	if (len >= 2 && memcmp(text, "~/", 2) == 0) {
		if (root->home == NULL)
			return config_fail(c, line, row->path, err,
					   "found ~/, but there is no HOME; write the whole path");
		(void)buf_append_str(&out, root->home);
		text++;
		len--;
	}
	rc = expand_variables(c, row, line, text, len, &out, err);
	if (rc == IM_OK && !buf_ok(&out))
		rc = config_fail(c, line, row->path, err, "the text is longer than 64 KiB");
	if (rc == IM_OK) {
		*ret = arena_strndup(&root->arena, out.data != NULL ? (const char *)out.data : "",
				     out.len);
		if (*ret == NULL)
			rc = err_set(err, IM_ENOMEM, "%s: not enough memory for the configuration",
				     root->file);
	}
	buf_done(&out);
	return rc;
}

static bool
parse_number(const struct config_key *row, const char *text, struct config_value *v)
{
	switch (row->type) {
	case CONFIG_INT:
		return parse_int(row, text, &v->num) && v->num >= row->min && v->num <= row->max;
	case CONFIG_BOOL:
		v->num = strcmp(text, "true") == 0;
		return v->num != 0 || strcmp(text, "false") == 0;
	case CONFIG_DOUBLE:
		return parse_double(text, &v->real) && v->real >= (double)row->min &&
		       v->real <= (double)row->max;
	default:
		return false;
	}
}

enum im_rc
config_value_parse(struct config *c, const struct config_key *row, unsigned line, const char *text,
		   size_t len, struct config_value *ret, struct im_err *err)
{
	struct config_value v = { .line = line };
	char quoted[80], allowed[256], word[64];
	enum im_rc rc;

	/* A NUL would cut the value short behind the operator's back. */
	if (memchr(text, '\0', len) != NULL)
		return config_fail(c, line, row->path, err,
				   "the text contains a NUL character; remove it");
	if (row->type == CONFIG_STRING && len > 0) {
		rc = config_expand(c, row, line, text, len, &v.str, err);
		if (rc == IM_OK)
			*ret = v;
		return rc;
	}
	if (len < sizeof(word)) {
		memcpy(word, text, len);
		word[len] = '\0';
		if (row->type == CONFIG_ENUM && allowed_word(row->allowed, word)) {
			v.str = arena_strdup(&c->root->arena, word);
			if (v.str == NULL)
				return err_set(err, IM_ENOMEM,
					       "%s: not enough memory for the configuration",
					       c->root->file);
			*ret = v;
			return IM_OK;
		}
		if (parse_number(row, word, &v)) {
			*ret = v;
			return IM_OK;
		}
	}
	config_allowed(row, allowed, sizeof(allowed));
	return config_fail(c, line, row->path, err, "found %s, allowed: %s",
			   config_quote(text, len, quoted, sizeof(quoted)), allowed);
}
