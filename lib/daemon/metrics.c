/*
 * daemon/metrics.c - the Prometheus text format and histograms; see metrics.h. Pure: it only writes text.
 */
#include "daemon/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

const struct histogram_bounds histogram_seconds = {
	14, { .01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92 }
};
const struct histogram_bounds histogram_first_token = {
	16, { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10 }
};
const struct histogram_bounds histogram_per_token = {
	13, { .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5 }
};
const struct histogram_bounds histogram_tokens = { 14,
						   { 1, 4, 16, 64, 256, 1024, 4096, 16384, 65536,
						     262144, 1048576, 4194304, 16777216,
						     67108864 } };
const struct histogram_bounds histogram_overhead = { 14,
						     { .00001, .00002, .00004, .00008, .00016,
						       .00032, .00064, .00128, .00256, .00512,
						       .01024, .02048, .04096, .08192 } };

/* Backslash and line break, and in label values the quote. */
static void
put_escaped(struct buf *b, const char *s, bool quote)
{
	bool utf8 = utf8_valid(s, strlen(s));

	for (; *s != '\0'; s++) {
		if (*s == '\n')
			(void)buf_append_str(b, "\\n");
		else if (*s == '\\' || (quote && *s == '"'))
			(void)buf_printf(b, "\\%c", *s);
		else
			(void)buf_append_byte(
			    b, (uint8_t)(utf8 || (unsigned char)*s < 0x80 ? *s : '?'));
	}
}

static void
put_number(struct buf *b, double v)
{
	char text[40];

	if (isnan(v)) {
		(void)buf_append_str(b, "NaN");
	} else if (isinf(v)) {
		(void)buf_append_str(b, v > 0 ? "+Inf" : "-Inf");
	} else if (v == floor(v) && fabs(v) < 1e15) {
		(void)buf_printf(b, "%.0f", v);
	} else {
		for (int digits = 6; digits <= 17; digits++) {
			(void)snprintf(text, sizeof(text), "%.*g", digits, v);
			if (strtod(text, NULL) == v)
				break;
		}
		(void)buf_append_str(b, text);
	}
}

/* name{labels,extra} and a blank. */
static void
put_series(struct buf *b, const char *name, const char *suffix, const struct metrics_label *labels,
	   size_t count, const struct metrics_label *extra)
{
	const char *between = "{";

	(void)buf_append_str(b, name);
	(void)buf_append_str(b, suffix);
	for (size_t i = 0; i < count + (extra != NULL); i++) {
		const struct metrics_label *l = i < count ? &labels[i] : extra;

		(void)buf_printf(b, "%s%s=\"", between, l->name);
		put_escaped(b, l->value != NULL ? l->value : "", true);
		(void)buf_append_byte(b, '"');
		between = ",";
	}
	(void)buf_append_str(b, between[0] == ',' ? "} " : " ");
}

void
metrics_family(struct metrics_page *page, const char *name, const char *type, const char *help)
{
	(void)buf_printf(&page->out, "# HELP %s ", name);
	put_escaped(&page->out, help, false);
	(void)buf_printf(&page->out, "\n# TYPE %s %s\n", name, type);
}

void
metrics_value(struct metrics_page *page, const char *name, const struct metrics_label *labels,
	      size_t label_count, double value)
{
	put_series(&page->out, name, "", labels, label_count, NULL);
	put_number(&page->out, value);
	(void)buf_append_byte(&page->out, '\n');
}

void
metrics_counter(struct metrics_page *page, const char *name, const char *help, uint64_t value)
{
	metrics_family(page, name, "counter", help);
	(void)buf_printf(&page->out, "%s %" PRIu64 "\n", name, value);
}

void
metrics_gauge(struct metrics_page *page, const char *name, const char *help, double value)
{
	metrics_family(page, name, "gauge", help);
	metrics_value(page, name, NULL, 0, value);
}

void
histogram_add(struct histogram *h, double value)
{
	size_t i = 0;

	while (i < h->bounds->count && value > h->bounds->le[i])
		i++;
	h->bucket[i]++;
	h->sum += value;
}

void
metrics_histogram(struct metrics_page *page, const char *name, const struct metrics_label *labels,
		  size_t label_count, const struct histogram *h)
{
	struct buf *b = &page->out;
	uint64_t total = 0;
	char text[40];

	for (size_t i = 0; i <= h->bounds->count; i++) {
		struct metrics_label le = { "le", "+Inf" };

		if (i < h->bounds->count) {
			(void)snprintf(text, sizeof(text), "%.10g", h->bounds->le[i]);
			le.value = text;
		}
		total += h->bucket[i];
		put_series(b, name, "_bucket", labels, label_count, &le);
		(void)buf_printf(b, "%" PRIu64 "\n", total);
	}
	put_series(b, name, "_sum", labels, label_count, NULL);
	put_number(b, h->sum);
	(void)buf_append_byte(b, '\n');
	put_series(b, name, "_count", labels, label_count, NULL);
	(void)buf_printf(b, "%" PRIu64 "\n", total);
}

/* One family of one page: its HELP and TYPE lines, then its samples, all inside the page's text. */
struct family {
	const char *name, *head, *samples, *end;
	size_t name_len, page;
	bool done;
};

static const char *
next_line(const char *at, const char *end)
{
	const char *nl = memchr(at, '\n', (size_t)(end - at));

	return nl != NULL ? nl + 1 : end;
}

/* Cut a page into families. Returns how many are in 'out', which holds 'cap'; with 'out' NULL only counts. */
static size_t
cut_page(const struct metrics_page *page, size_t index, struct family *out, size_t cap)
{
	const char *at = (const char *)page->out.data, *end = at + page->out.len;
	size_t n = 0;

	if (page->out.len == 0)
		return 0;
	while (at < end) {
		struct family f = { .page = index, .head = at };

		if (end - at < 7 || memcmp(at, "# HELP ", 7) != 0)
			break;
		f.name = at + 7;
		f.name_len = strcspn(f.name, " ");
		at = next_line(next_line(at, end), end);
		f.samples = at;
		while (at < end && *at != '#')
			at = next_line(at, end);
		f.end = at;
		if (out != NULL && n < cap)
			out[n] = f;
		n++;
	}
	return n;
}

static bool
same_family(const struct family *a, const struct family *b)
{
	assert(a->name != NULL && b->name != NULL);
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

/* The samples of a family, each with one more label. */
static void
put_labelled(struct buf *b, const struct family *f, const char *label, const char *value)
{
	const char *at = f->samples;

	while (at < f->end) {
		const char *next = next_line(at, f->end);
		size_t n = strcspn(at, "{ ");

		(void)buf_append(b, at, n);
		(void)buf_printf(b, "{%s=\"", label);
		put_escaped(b, value, true);
		(void)buf_append_str(b, at[n] == '{' ? "\"," : "\"}");
		at += n + (at[n] == '{');
		(void)buf_append(b, at, (size_t)(next - at));
		at = next;
	}
}

void
metrics_join(struct metrics_page *out, struct metrics_page *pages, const char *const *names,
	     size_t count)
{
	struct family *families;
	size_t n = 0, filled = 0;

	for (size_t i = 0; i < count; i++) {
		(void)buf_cstr(&pages[i].out);
		n += cut_page(&pages[i], i, NULL, 0);
	}
	families = calloc(n + 1, sizeof(*families));
	if (families == NULL) {
		out->out.failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		filled += cut_page(&pages[i], i, families + filled, n - filled);
	for (size_t i = 0; i < filled; i++) {
		bool several = false;

		if (families[i].done)
			continue;
		for (size_t k = i + 1; k < filled; k++)
			several = several || same_family(&families[i], &families[k]);
		(void)buf_append(&out->out, families[i].head,
				 (size_t)(families[i].samples - families[i].head));
		for (size_t k = i; k < filled; k++) {
			struct family *f = &families[k];

			if (!same_family(&families[i], f))
				continue;
			if (several)
				put_labelled(&out->out, f, "service_instance", names[f->page]);
			else
				(void)buf_append(&out->out, f->samples,
						 (size_t)(f->end - f->samples));
			f->done = true;
		}
	}
	free(families);
}
