/*
 * audit/tile.c - tile paths and widths, entry bundles, the tree's right edge; see tile.h.
 */
#include "audit/tile.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LEVEL_BITS       8   /* log2(TILE_WIDTH) */
#define LEAVES_TOGETHER  256 /* so that many of them have as many blocks */
#define CACHE_LINE_BYTES 64
#define AHEAD_BYTES      2048 /* some entries: that is how long memory takes */

void
tile_path(const struct tile *t, char ret_path[TILE_PATH_MAX])
{
	unsigned group[8];
	unsigned groups = 0;
	uint64_t n = t->n;
	size_t at;

	do {
		group[groups++] = (unsigned)(n % 1000);
		n /= 1000;
	} while (n > 0);
	if (t->level == TILE_ENTRIES)
		at = (size_t)snprintf(ret_path, TILE_PATH_MAX, "tile/entries");
	else
		at = (size_t)snprintf(ret_path, TILE_PATH_MAX, "tile/%d", t->level);
	while (groups-- > 0)
		at += (size_t)snprintf(ret_path + at, TILE_PATH_MAX - at, "/%s%03u",
				       groups > 0 ? "x" : "", group[groups]);
	if (t->width != TILE_WIDTH)
		(void)snprintf(ret_path + at, TILE_PATH_MAX - at, ".p/%u", t->width);
}

/* A decimal number without leading zeros, at most 'max'. */
static bool
parse_small(const char **p, unsigned max, unsigned *ret)
{
	unsigned v = 0;
	const char *s = *p;

	if (*s < '0' || *s > '9' || (s[0] == '0' && s[1] >= '0' && s[1] <= '9'))
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (unsigned)(*s - '0');
		if (v > max)
			return false;
	}
	*p = s;
	*ret = v;
	return true;
}

/* Three digits. */
static bool
parse_group(const char *s, unsigned *ret)
{
	unsigned v = 0;

	for (int i = 0; i < 3; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	*ret = v;
	return true;
}

/* "x001/x234/067" */
static bool
parse_number(const char **p, uint64_t *ret)
{
	uint64_t n = 0;
	unsigned v;
	bool first = true;
	const char *s = *p;

	for (;;) {
		bool more = *s == 'x';

		if (more)
			s++;
		if (!parse_group(s, &v) || (first && more && v == 0))
			return false;
		if (__builtin_mul_overflow(n, UINT64_C(1000), &n) ||
		    __builtin_add_overflow(n, v, &n))
			return false;
		s += 3;
		first = false;
		if (!more)
			break;
		if (*s++ != '/')
			return false;
	}
	*p = s;
	*ret = n;
	return true;
}

bool
tile_path_parse(const char *path, struct tile *ret)
{
	struct tile t = { .width = TILE_WIDTH };
	const char *s = path;
	unsigned level;

	if (strncmp(s, "tile/", 5) != 0)
		return false;
	s += 5;
	if (strncmp(s, "entries/", 8) == 0) {
		t.level = TILE_ENTRIES;
		s += 8;
	} else {
		if (!parse_small(&s, TILE_LEVEL_MAX, &level) || *s++ != '/')
			return false;
		t.level = (int)level;
	}
	if (!parse_number(&s, &t.n))
		return false;
	if (*s != '\0') {
		if (strncmp(s, ".p/", 3) != 0)
			return false;
		s += 3;
		if (!parse_small(&s, TILE_WIDTH - 1, &t.width) || t.width == 0 || *s != '\0')
			return false;
	}
	*ret = t;
	return true;
}

uint64_t
tile_level_count(uint64_t size, int level)
{
	if (level == TILE_ENTRIES)
		return size;
	return level >= TILE_LEVELS ? 0 : size >> (LEVEL_BITS * level);
}

unsigned
tile_width(uint64_t size, int level, uint64_t n)
{
	uint64_t count = tile_level_count(size, level);

	if (n < count / TILE_WIDTH)
		return TILE_WIDTH;
	return n == count / TILE_WIDTH ? (unsigned)(count % TILE_WIDTH) : 0;
}

bool
bundle_put(struct buf *b, const void *entry, size_t len)
{
	assert(len <= BUNDLE_ENTRY_MAX);
	(void)buf_append_byte(b, (uint8_t)(len >> 8));
	(void)buf_append_byte(b, (uint8_t)len);
	return buf_append(b, entry, len);
}

/* Ask for 'len' bytes of what comes later: where an entry begins is known when the length before it is there, so the processor asks for
 * nothing by itself, and would wait for memory at each. */
static void
fetch_ahead(const struct bundle_iter *it, size_t len)
{
	for (size_t i = 0; i < len && AHEAD_BYTES + i < it->left; i += CACHE_LINE_BYTES)
		__builtin_prefetch(it->at + AHEAD_BYTES + i);
}

bool
bundle_next(struct bundle_iter *it, const uint8_t **ret_entry, size_t *ret_len)
{
	size_t len;

	if (it->left < 2)
		return false;
	len = (size_t)it->at[0] << 8 | it->at[1];
	if (len > it->left - 2)
		return false;
	*ret_entry = it->at + 2;
	*ret_len = len;
	it->at += 2 + len;
	it->left -= 2 + len;
	fetch_ahead(it, len);
	return true;
}

bool
bundle_check(const uint8_t *data, size_t len, uint64_t count)
{
	uint64_t found = 0;
	size_t at = 0;

	/* bundle_next() in registers: each step waits for the one before. */
	for (; len - at >= 2; found++) {
		size_t entry = (size_t)data[at] << 8 | data[at + 1];

		if (entry > len - at - 2)
			break;
		at += 2 + entry;
	}
	return at == len && found == count;
}

size_t
bundle_leaves(struct hasher *h, const uint8_t *data, size_t len, size_t count, struct hash *ret)
{
	struct bundle_iter it = { data, len };
	struct hash_part entry[LEAVES_TOGETHER];
	size_t done = 0, n;

	do {
		const uint8_t *at;

		for (n = 0; n < LEAVES_TOGETHER && done + n < count &&
			    bundle_next(&it, &at, &entry[n].len);
		     n++) {
			entry[n].data = at;
		}
		tlog_leaves(h, entry, n, ret + done);
		done += n;
	} while (n == LEAVES_TOGETHER);
	return done;
}

struct edge_add {
	struct tile_edge *e;
	tile_full_fn fn;
	void *user;
};

static void
edge_node(void *user, unsigned height, uint64_t index, const struct hash *hash)
{
	struct edge_add *a = user;
	unsigned level = height / LEVEL_BITS;

	(void)index;
	if (height % LEVEL_BITS != 0 || level >= TILE_LEVELS)
		return;
	a->e->level[level].hash[a->e->level[level].count++] = *hash;
	if (a->e->level[level].count < TILE_WIDTH)
		return;
	if (a->fn != NULL)
		a->fn(a->user, (int)level, a->e->level[level].n, a->e->level[level].hash);
	a->e->level[level].n++;
	a->e->level[level].count = 0;
}

void
tile_edge_add(struct tile_edge *e, struct hasher *h, const struct hash *leaf, tile_full_fn fn,
	      void *user)
{
	struct edge_add a = { e, fn, user };

	tlog_range_add(&e->range, h, leaf, edge_node, &a);
}

/* The peaks that the 'count' last hashes of a level stand for: heights 8 * level + 0..7. */
static void
edge_peaks(struct tile_edge *e, struct hasher *h, int level)
{
	unsigned count = e->level[level].count;
	const struct hash *hash = e->level[level].hash;

	for (int bit = LEVEL_BITS - 1; bit >= 0; bit--) {
		struct tlog_range sub = { 0 };

		if ((count >> bit & 1) == 0)
			continue;
		for (unsigned i = 0; i < 1U << bit; i++)
			tlog_range_add(&sub, h, hash++, NULL, NULL);
		e->range.peak[level * LEVEL_BITS + bit] = sub.peak[bit];
	}
}

enum im_rc
tile_edge_load(struct tile_edge *e, struct hasher *h, uint64_t size, tile_read_fn read, void *user,
	       struct im_err *err)
{
	memset(e, 0, sizeof(*e));
	e->range.size = size;
	for (int level = 0; level < TILE_LEVELS; level++) {
		uint64_t count = tile_level_count(size, level);
		struct tile t = { level, (unsigned)(count % TILE_WIDTH), count / TILE_WIDTH };
		enum im_rc rc;

		e->level[level].n = t.n;
		e->level[level].count = t.width;
		if (t.width == 0)
			continue;
		rc = read(user, &t, e->level[level].hash, err);
		if (rc != IM_OK)
			return rc;
		edge_peaks(e, h, level);
	}
	return IM_OK;
}
