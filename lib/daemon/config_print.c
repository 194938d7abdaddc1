/*
 * daemon/config_print.c - the effective configuration as YAML with comments, and its digest. What it prints, config_read.c
 * reads back to the same digest.
 */
#include "daemon/config_internal.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* The next character at 's'; '?' where it is cut short. */
static uint32_t
next_character(const char *s, size_t *ret_len)
{
	unsigned char c = (unsigned char)s[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t cp = n == 1 ? c : c & (0x7fU >> n);

	*ret_len = strnlen(s, n);
	if (*ret_len < n)
		return '?';
	for (size_t i = 1; i < n; i++)
		cp = cp << 6 | ((unsigned char)s[i] & 0x3f);
	return cp;
}

/* A double-quoted scalar on one line: YAML's line breaks and what its reader refuses are escaped. Values are valid UTF-8,
 * because libyaml's reader checked it; what the environment gave (folders) may not be, and then reads back as '?'. */
static void
print_text(const char *s, FILE *out)
{
	(void)fputc('"', out);
	while (*s != '\0') {
		size_t n = 0;
		uint32_t cp = next_character(s, &n);

		if (cp == '"' || cp == '\\')
			(void)fprintf(out, "\\%c", (int)cp);
		else if (cp == '\n')
			(void)fputs("\\n", out);
		else if (cp == '\t')
			(void)fputs("\\t", out);
		else if (cp < 0x20 || (cp >= 0x7f && cp <= 0xa0))
			(void)fprintf(out, "\\x%02x", cp);
		else if (cp == 0x2028 || cp == 0x2029 || cp == 0xfeff || cp == 0xfffe ||
			 cp == 0xffff)
			(void)fprintf(out, "\\u%04x", cp);
		else if (cp == '?')
			(void)fputc('?', out);
		else
			(void)fwrite(s, 1, n, out);
		s += n;
	}
	(void)fputc('"', out);
}

static void
print_value(const struct config_key *row, const struct config_value *v, const char *indent,
	    FILE *out)
{
	char text[64];

	switch (row->type) {
	case CONFIG_STRING:
		print_text(v->str, out);
		break;
	case CONFIG_ENUM:
		(void)fputs(v->str, out);
		break;
	case CONFIG_INT:
		config_format_int(row, v->num, text, sizeof(text));
		(void)fputs(text, out);
		break;
	case CONFIG_BOOL:
		(void)fputs(v->num != 0 ? "true" : "false", out);
		break;
	case CONFIG_DOUBLE:
		config_format_double(v->real, text, sizeof(text));
		(void)fputs(text, out);
		break;
	case CONFIG_STRINGS:
		(void)fputc('[', out);
		for (size_t i = 0; i < v->count; i++) {
			(void)fputs(i > 0 ? ", " : "", out);
			print_text(v->texts[i], out);
		}
		(void)fputc(']', out);
		break;
	case CONFIG_MAP:
		if (v->count == 0)
			(void)fputs("{}", out);
		for (size_t i = 0; i < v->count; i++) {
			(void)fprintf(out, "\n%s  ? ", indent);
			print_text(v->texts[i], out);
			(void)fprintf(out, "\n%s  : ", indent);
			print_text(v->map_values[i], out);
		}
		break;
	}
	(void)fputc('\n', out);
}

/* Has the row something to print, or is it only named in a comment? Of an item only what was given is printed: a default of
 * one backend beside the other would be refused when read back. */
static bool
has_value(const struct config_key *row, const struct config_value *v)
{
	if (config_row_list_len(row) > 0)
		return v->line != 0;
	if (row->type == CONFIG_STRING || row->type == CONFIG_ENUM)
		return v->str != NULL;
	return v->line != 0 || row->def != NULL;
}

static void
print_comment(const struct config_key *row, const char *indent, FILE *out)
{
	char allowed[256];

	(void)fprintf(out, "%s# %s.\n", indent, row->help);
	config_allowed(row, allowed, sizeof(allowed));
	(void)fprintf(out, "%s# Allowed: %s. Default: %s.\n", indent, allowed,
		      row->def != NULL ? row->def : "none");
}

static void
print_members(const struct config *c, const char *prefix, const char *indent, bool dash,
	      bool comments, FILE *out)
{
	size_t n = strlen(prefix);

	for (size_t i = 0; i < config_schema_len; i++) {
		const struct config_key *row = &config_schema[i];

		if (strncmp(row->path, prefix, n) != 0)
			continue;
		if (comments)
			print_comment(row, indent, out);
		if (!has_value(row, &c->values[i])) {
			if (comments)
				(void)fprintf(out, "%s#%s:\n", indent, row->path + n);
			continue;
		}
		if (dash)
			(void)fprintf(out, "%.*s- %s: ", (int)strlen(indent) - 2, indent,
				      row->path + n);
		else
			(void)fprintf(out, "%s%s: ", indent, row->path + n);
		dash = false;
		print_value(row, &c->values[i], indent, out);
	}
}

/* A list without items: what an item could have, as comments. */
static void
print_absent(const char *prefix, FILE *out)
{
	size_t n = strlen(prefix);

	for (size_t i = 0; i < config_schema_len; i++) {
		const struct config_key *row = &config_schema[i];

		if (strncmp(row->path, prefix, n) == 0) {
			print_comment(row, "  ", out);
			(void)fprintf(out, "  #%s:\n", row->path + n);
		}
	}
}

void
config_print(const struct config *config, FILE *out)
{
	const struct config *c = config->root;
	const char *last = "";
	size_t last_len = 0;
	char prefix[64];

	(void)fprintf(out, "# The effective configuration, from %s.\n", c->file);
	for (size_t i = 0; i < config_schema_len; i++) {
		const char *path = config_schema[i].path;
		size_t n = strcspn(path, ".[");
		const struct config_list *list = NULL;

		if (n == last_len && memcmp(path, last, n) == 0)
			continue;
		last = path;
		last_len = n;
		for (size_t k = 0; path[n] == '[' && k < c->list_count; k++)
			if (strlen(c->lists[k].name) == n && memcmp(c->lists[k].name, path, n) == 0)
				list = &c->lists[k];
		if (list == NULL) {
			(void)fprintf(out, "\n%.*s:\n", (int)n, path);
			(void)snprintf(prefix, sizeof(prefix), "%.*s.", (int)n, path);
			print_members(c, prefix, "  ", false, true, out);
			continue;
		}
		(void)fprintf(out, "\n%s:%s\n", list->name, list->count == 0 ? " []" : "");
		(void)snprintf(prefix, sizeof(prefix), "%s[].", list->name);
		if (list->count == 0)
			print_absent(prefix, out);
		for (size_t k = 0; k < list->count; k++)
			print_members(&list->items[k], prefix, "    ", true, k == 0, out);
	}
}

/* Each piece with its length before it, so that no two configurations give the same bytes. */
static void
digest_bytes(EVP_MD_CTX *md, const void *data, size_t len)
{
	uint8_t size[8];

	for (unsigned i = 0; i < 8; i++)
		size[i] = (uint8_t)(len >> (56 - 8 * i));
	(void)EVP_DigestUpdate(md, size, sizeof(size));
	(void)EVP_DigestUpdate(md, data, len);
}

static void
digest_text(EVP_MD_CTX *md, const char *s)
{
	digest_bytes(md, s, strlen(s));
}

static void
digest_value(EVP_MD_CTX *md, const struct config_key *row, const struct config_value *v)
{
	char text[64];

	digest_text(md, row->path);
	switch (row->type) {
	case CONFIG_STRING:
	case CONFIG_ENUM:
		digest_text(md, v->str != NULL ? v->str : "");
		break;
	case CONFIG_INT:
	case CONFIG_BOOL:
		(void)snprintf(text, sizeof(text), "%" PRId64, v->num);
		digest_text(md, text);
		break;
	case CONFIG_DOUBLE:
		config_format_double(v->real, text, sizeof(text));
		digest_text(md, text);
		break;
	case CONFIG_STRINGS:
	case CONFIG_MAP:
		(void)snprintf(text, sizeof(text), "%zu", v->count);
		digest_text(md, text);
		for (size_t i = 0; i < v->count; i++) {
			digest_text(md, v->texts[i]);
			if (row->type == CONFIG_MAP)
				digest_text(md, v->map_values[i]);
		}
		break;
	}
}

static void
digest_config(EVP_MD_CTX *md, const struct config *c)
{
	for (size_t i = 0; i < config_schema_len; i++)
		if (config_value_at(c, config_schema[i].path) != NULL)
			digest_value(md, &config_schema[i], &c->values[i]);
}

void
config_digest(const struct config *config, uint8_t ret_digest[32])
{
	const struct config *c = config->root;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	/* Fails only when memory is out at start: then a digest of zeros says that there is none. */
	memset(ret_digest, 0, 32);
	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(md);
		return;
	}
	digest_text(md, "infermesh-config/v1");
	digest_config(md, c);
	for (size_t k = 0; k < c->list_count; k++) {
		digest_text(md, c->lists[k].name);
		for (size_t i = 0; i < c->lists[k].count; i++)
			digest_config(md, &c->lists[k].items[i]);
	}
	(void)EVP_DigestFinal_ex(md, ret_digest, NULL);
	EVP_MD_CTX_free(md);
}
