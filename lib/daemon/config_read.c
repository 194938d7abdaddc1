/*
 * daemon/config_read.c - YAML to values by the schema's table, with the place of every mistake. The only file of the project
 * that knows libyaml. Everything is bounded: bytes, nesting (libyaml's own limit, and the schema's two levels), entries,
 * and memory, also when anchors repeat a part.
 */
#include "daemon/config_internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "daemon/nearest.h"

struct reader {
	struct config *c;
	yaml_document_t *doc;
	struct im_err *err;
};

static unsigned
line_of(const yaml_node_t *node)
{
	return (unsigned)node->start_mark.line + 1;
}

static const char *
scalar_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* What stands there, in words, for "found …". */
static const char *
found(const yaml_node_t *node, char *out, size_t cap)
{
	if (node->type == YAML_SEQUENCE_NODE)
		return "a list";
	if (node->type == YAML_MAPPING_NODE)
		return "a map";
	if (node->type != YAML_SCALAR_NODE)
		return "nothing";
	if (node->data.scalar.length == 0)
		return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? "nothing"
									  : "an empty text";
	return config_quote(scalar_text(node), node->data.scalar.length, out, cap);
}

/* Nothing behind the colon, or the words that YAML has for it. */
static bool
is_null(const yaml_node_t *node)
{
	const char *s;

	if (node->type == YAML_NO_NODE)
		return true;
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	s = scalar_text(node);
	return s[0] == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0;
}

static enum im_rc
no_memory(const struct reader *r)
{
	return err_set(r->err, IM_ENOMEM, "%s: not enough memory for the configuration",
		       r->c->root->file);
}

/* The next name in the schema at the given level: sections and lists at the root ('prefix' empty), keys below a prefix.
 * Returns its length and sets '*ret_name', 0 when row 'i' has none there. */
static size_t
name_at(size_t i, const char *prefix, const char **ret_name)
{
	const char *path = config_schema[i].path;
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0)
		return 0;
	*ret_name = path + n;
	return n == 0 ? strcspn(path, ".[") : strlen(path + n);
}

/* "unknown key; did you mean 'queue_max'?" or the list of known ones. */
static enum im_rc
unknown_key(const struct reader *r, const yaml_node_t *key, const char *prefix)
{
	const char *best = NULL, *name = NULL;
	size_t best_len = 0, len = key->data.scalar.length;
	unsigned limit = len < 4 ? 1 : 3, best_distance = limit + 1;
	char quoted[80], known[320], where[64];
	size_t used = 0, last_len = 0;
	const char *last = "";

	known[0] = '\0';
	for (size_t i = 0; i < config_schema_len; i++) {
		size_t n = name_at(i, prefix, &name);
		unsigned d;

		if (n == 0 || (n == last_len && memcmp(name, last, n) == 0))
			continue;
		last = name;
		last_len = n;
		d = edit_distance(scalar_text(key), len, name, n, limit);
		if (d < best_distance) {
			best_distance = d;
			best = name;
			best_len = n;
		}
		if (used < sizeof(known) - 1)
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%.*s",
						 used > 0 ? ", " : "", (int)n, name);
	}
	(void)config_quote(scalar_text(key), len, quoted, sizeof(quoted));
	(void)snprintf(where, sizeof(where), "%.*s",
		       prefix[0] != '\0' ? (int)strlen(prefix) - 1 : 0, prefix);
	if (best != NULL)
		return config_fail(r->c, line_of(key), where, r->err,
				   "%s is no key here; did you mean \"%.*s\"?", quoted,
				   (int)best_len, best);
	return config_fail(r->c, line_of(key), where, r->err, "%s is no key here, allowed: %s%s",
			   quoted, known, used >= sizeof(known) ? "..." : "");
}

/* The text of a map's key, bounded and NUL-free. */
static enum im_rc
key_text(const struct reader *r, const yaml_node_t *key, const char *where)
{
	char quoted[80];

	if (key->type != YAML_SCALAR_NODE)
		return config_fail(r->c, line_of(key), where, r->err,
				   "found %s as a key, allowed: a text",
				   found(key, quoted, sizeof(quoted)));
	if (memchr(scalar_text(key), '\0', key->data.scalar.length) != NULL)
		return config_fail(r->c, line_of(key), where, r->err,
				   "a key contains a NUL character; remove it");
	return IM_OK;
}

static enum im_rc
wrong_kind(const struct reader *r, const struct config_key *row, const yaml_node_t *node)
{
	char quoted[80], allowed[256];

	config_allowed(row, allowed, sizeof(allowed));
	return config_fail(r->c, line_of(node), row->path, r->err, "found %s, allowed: %s",
			   found(node, quoted, sizeof(quoted)), allowed);
}

static enum im_rc
read_strings(const struct reader *r, struct config *c, const struct config_key *row,
	     const yaml_node_t *node, struct config_value *v)
{
	size_t count = 1;

	if (node->type == YAML_SEQUENCE_NODE)
		count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (count > CONFIG_ENTRIES_MAX)
		return config_fail(c, line_of(node), row->path, r->err,
				   "found %zu entries, allowed: at most %d", count,
				   CONFIG_ENTRIES_MAX);
	v->texts = arena_calloc(&c->root->arena, count + 1, sizeof(*v->texts));
	if (v->texts == NULL)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *entry = node;
		struct config_key as_text = *row;
		struct config_value one;
		enum im_rc rc;

		if (node->type == YAML_SEQUENCE_NODE)
			entry = yaml_document_get_node(r->doc, node->data.sequence.items.start[i]);
		if (entry->type != YAML_SCALAR_NODE || is_null(entry))
			return wrong_kind(r, row, entry);
		as_text.type = CONFIG_STRING;
		rc = config_value_parse(c, &as_text, line_of(entry), scalar_text(entry),
					entry->data.scalar.length, &one, r->err);
		if (rc != IM_OK)
			return rc;
		v->texts[i] = one.str;
	}
	v->count = count;
	return IM_OK;
}

static enum im_rc
read_map(const struct reader *r, struct config *c, const struct config_key *row,
	 const yaml_node_t *node, struct config_value *v)
{
	size_t count;

	if (node->type != YAML_MAPPING_NODE)
		return wrong_kind(r, row, node);
	count = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
	if (count > CONFIG_ENTRIES_MAX)
		return config_fail(c, line_of(node), row->path, r->err,
				   "found %zu entries, allowed: at most %d", count,
				   CONFIG_ENTRIES_MAX);
	v->texts = arena_calloc(&c->root->arena, count + 1, sizeof(*v->texts));
	v->map_values = arena_calloc(&c->root->arena, count + 1, sizeof(*v->map_values));
	if (v->texts == NULL || v->map_values == NULL)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		const yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
		const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
		const yaml_node_t *value = yaml_document_get_node(r->doc, pair->value);
		char quoted[80];
		enum im_rc rc = key_text(r, key, row->path);

		if (rc != IM_OK)
			return rc;
		if (value->type != YAML_SCALAR_NODE || is_null(value) ||
		    memchr(scalar_text(value), '\0', value->data.scalar.length) != NULL)
			return wrong_kind(r, row, value);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(v->texts[k], scalar_text(key)) == 0) {
				return config_fail(c, line_of(key), row->path, r->err,
						   "%s is given twice; remove one",
						   config_quote(scalar_text(key),
								key->data.scalar.length, quoted,
								sizeof(quoted)));
			}
		}
		v->texts[i] = arena_strdup(&c->root->arena, scalar_text(key));
		v->map_values[i] = arena_strdup(&c->root->arena, scalar_text(value));
		if (v->texts[i] == NULL || v->map_values[i] == NULL)
			return no_memory(r);
	}
	v->count = count;
	return IM_OK;
}

static enum im_rc
read_value(const struct reader *r, struct config *c, const struct config_key *row,
	   const yaml_node_t *key, const yaml_node_t *node, struct config_value *v)
{
	struct config_value fresh = { .line = line_of(key) };
	enum im_rc rc;

	if (v->line != 0)
		return config_fail(c, line_of(key), row->path, r->err,
				   "given twice, first in line %u; remove one", v->line);
	if (is_null(node))
		return wrong_kind(r, row, node);
	if (row->type == CONFIG_STRINGS)
		rc = read_strings(r, c, row, node, &fresh);
	else if (row->type == CONFIG_MAP)
		rc = read_map(r, c, row, node, &fresh);
	else if (node->type != YAML_SCALAR_NODE)
		rc = wrong_kind(r, row, node);
	else
		rc = config_value_parse(c, row, line_of(node), scalar_text(node),
					node->data.scalar.length, &fresh, r->err);
	if (rc == IM_OK) {
		fresh.line = line_of(key);
		*v = fresh;
	}
	return rc;
}

/* The keys below 'prefix' ("router." or "workers[].") into 'c'. */
static enum im_rc
read_members(const struct reader *r, struct config *c, const char *prefix, const yaml_node_t *map)
{
	const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

	for (; pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
		const char *name;
		size_t i = 0;
		enum im_rc rc = key_text(r, key, NULL);

		if (rc != IM_OK)
			return rc;
		while (i < config_schema_len) {
			size_t n = name_at(i, prefix, &name);

			if (n > 0 && n == key->data.scalar.length &&
			    memcmp(name, scalar_text(key), n) == 0)
				break;
			i++;
		}
		if (i == config_schema_len)
			return unknown_key(r, key, prefix);
		rc = read_value(r, c, &config_schema[i], key,
				yaml_document_get_node(r->doc, pair->value), &c->values[i]);
		if (rc != IM_OK)
			return rc;
	}
	return IM_OK;
}

static enum im_rc
read_list(const struct reader *r, struct config_list *list, const yaml_node_t *key,
	  const yaml_node_t *node)
{
	struct config *root = r->c;
	char prefix[64], quoted[80];
	size_t count;

	if (list->line != 0)
		return config_fail(root, line_of(key), list->name, r->err,
				   "given twice, first in line %u; remove one", list->line);
	list->line = line_of(key);
	if (is_null(node))
		return IM_OK;
	if (node->type != YAML_SEQUENCE_NODE)
		return config_fail(root, line_of(node), list->name, r->err,
				   "found %s, allowed: a list of maps ('- name: ...')",
				   found(node, quoted, sizeof(quoted)));
	count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	if (count > CONFIG_ITEMS_MAX)
		return config_fail(root, line_of(node), list->name, r->err,
				   "found %zu entries, allowed: at most %d", count,
				   CONFIG_ITEMS_MAX);
	(void)snprintf(prefix, sizeof(prefix), "%s[].", list->name);
	list->items = arena_calloc(&root->arena, count + 1, sizeof(*list->items));
	if (list->items == NULL)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item =
		    yaml_document_get_node(r->doc, node->data.sequence.items.start[i]);
		struct config *c = &list->items[i];
		enum im_rc rc;

		if (item->type != YAML_MAPPING_NODE)
			return config_fail(root, line_of(item), list->name, r->err,
					   "found %s, allowed: a map ('- name: ...')",
					   found(item, quoted, sizeof(quoted)));
		c->root = root;
		c->list = list->name;
		c->line = line_of(item);
		c->values = arena_calloc(&root->arena, config_schema_len, sizeof(*c->values));
		if (c->values == NULL)
			return no_memory(r);
		rc = read_members(r, c, prefix, item);
		if (rc != IM_OK)
			return rc;
	}
	list->count = count;
	return IM_OK;
}

static enum im_rc
read_section(const struct reader *r, const yaml_node_t *key, const yaml_node_t *node,
	     unsigned *seen)
{
	char prefix[64], quoted[80];

	if (*seen != 0)
		return config_fail(r->c, line_of(key), scalar_text(key), r->err,
				   "given twice, first in line %u; join the two", *seen);
	*seen = line_of(key);
	if (is_null(node))
		return IM_OK;
	if (node->type != YAML_MAPPING_NODE)
		return config_fail(r->c, line_of(node), scalar_text(key), r->err,
				   "found %s, allowed: a map ('key: value' lines)",
				   found(node, quoted, sizeof(quoted)));
	(void)snprintf(prefix, sizeof(prefix), "%s.", scalar_text(key));
	return read_members(r, r->c, prefix, node);
}

/* Sections and lists. mesh comes first wherever it stands, because other values refer to its folders. */
static enum im_rc
read_root(const struct reader *r, const yaml_node_t *map, bool mesh)
{
	unsigned *seen = arena_calloc(&r->c->arena, config_schema_len, sizeof(*seen));
	const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

	if (seen == NULL)
		return no_memory(r);
	for (; pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
		const yaml_node_t *value = yaml_document_get_node(r->doc, pair->value);
		const char *name = "";
		size_t i = 0, n = 0;
		enum im_rc rc = key_text(r, key, NULL);

		if (rc != IM_OK)
			return rc;
		if (mesh != (strcmp(scalar_text(key), "mesh") == 0))
			continue;
		while (i < config_schema_len) {
			n = name_at(i, "", &name);
			if (n == key->data.scalar.length && memcmp(name, scalar_text(key), n) == 0)
				break;
			i++;
		}
		if (i == config_schema_len)
			return unknown_key(r, key, "");
		if (name[n] == '.') {
			rc = read_section(r, key, value, &seen[i]);
		} else {
			size_t k = 0;

			while (k + 1 < r->c->list_count &&
			       strcmp(r->c->lists[k].name, scalar_text(key)) != 0)
				k++;
			rc = read_list(r, &r->c->lists[k], key, value);
		}
		if (rc != IM_OK)
			return rc;
	}
	return IM_OK;
}

/* Does the line begin with a tab? The commonest mistake, and libyaml's words do not name it. */
static bool
line_has_tab(const char *text, size_t len, size_t line)
{
	size_t i = 0;

	while (line > 0 && i < len)
		line -= text[i++] == '\n';
	while (i < len && (text[i] == ' ' || text[i] == '\t'))
		if (text[i++] == '\t')
			return true;
	return false;
}

static enum im_rc
syntax_error(struct config *c, const yaml_parser_t *parser, const char *text, size_t len,
	     struct im_err *err)
{
	size_t line = parser->problem_mark.line;
	const char *what = parser->problem != NULL ? parser->problem : "it cannot be read";

	if (parser->error == YAML_MEMORY_ERROR)
		return err_set(err, IM_ENOMEM, "%s: not enough memory for the configuration",
			       c->file);
	if (parser->error == YAML_READER_ERROR) {
		/* The reader knows an offset only. */
		line = 0;
		for (size_t i = 0; i < len && i < parser->problem_offset; i++)
			line += text[i] == '\n';
		return config_fail(c, (unsigned)line + 1, NULL, err,
				   "not YAML: %s; the file must be UTF-8 text", what);
	}
	if (line_has_tab(text, len, line))
		return config_fail(c, (unsigned)line + 1, NULL, err,
				   "not YAML: the line is indented with a tab; use spaces");
	return config_fail(c, (unsigned)line + 1, NULL, err, "not YAML: %s (column %zu)", what,
			   parser->problem_mark.column + 1);
}

static enum im_rc
read_document(struct config *c, yaml_document_t *doc, struct im_err *err)
{
	struct reader r = { .c = c, .doc = doc, .err = err };
	const yaml_node_t *root = yaml_document_get_root_node(doc);
	char quoted[80];
	enum im_rc rc;

	if (root == NULL || is_null(root))
		return config_resolve_dirs(c, err);
	if (root->type != YAML_MAPPING_NODE)
		return config_fail(c, line_of(root), NULL, err,
				   "found %s, allowed: a map of sections such as 'gateway:'",
				   found(root, quoted, sizeof(quoted)));
	rc = read_root(&r, root, true);
	if (rc == IM_OK)
		rc = config_resolve_dirs(c, err);
	return rc == IM_OK ? read_root(&r, root, false) : rc;
}

enum im_rc
config_read(struct config *c, const char *text, size_t len, struct im_err *err)
{
	yaml_parser_t parser;
	yaml_document_t first, second;
	enum im_rc rc;

	if (len > CONFIG_FILE_MAX)
		return err_set(err, IM_EINVAL, "%s: larger than %lu bytes; is it the right file?",
			       c->file, CONFIG_FILE_MAX);
	if (!yaml_parser_initialize(&parser))
		return err_set(err, IM_ENOMEM, "%s: not enough memory for the configuration",
			       c->file);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	/* Said, not guessed: a file that begins like UTF-16 is refused with its place. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	if (!yaml_parser_load(&parser, &first)) {
		rc = syntax_error(c, &parser, text, len, err);
		yaml_parser_delete(&parser);
		return rc;
	}
	rc = read_document(c, &first, err);
	if (rc == IM_OK && yaml_document_get_root_node(&first) != NULL) {
		if (!yaml_parser_load(&parser, &second)) {
			rc = syntax_error(c, &parser, text, len, err);
		} else {
			const yaml_node_t *root = yaml_document_get_root_node(&second);

			if (root != NULL)
				rc = config_fail(c, line_of(root), NULL, err,
						 "a second document begins ('---'); allowed: one");
			yaml_document_delete(&second);
		}
	}
	yaml_document_delete(&first);
	yaml_parser_delete(&parser);
	return rc;
}
