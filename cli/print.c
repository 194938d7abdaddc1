/*
 * cli/print.c - see print.h.
 */
#include "cli/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/terminal.h"

void
print_text(const char *text)
{
	terminal_put(stdout, text, strlen(text));
}

void
print_column(const char *text, int width)
{
	int n = (int)strlen(text);

	terminal_put(stdout, text, (size_t)(n > width ? width : n));
	(void)printf("%*s", n < width ? width - n + 2 : 2, "");
}

void
print_duration(uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s >= 86400)
		(void)printf("%" PRIu64 "d%" PRIu64 "h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		(void)printf("%" PRIu64 "h%" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		(void)printf("%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
}

void
print_latency(uint64_t us, int width)
{
	char text[32] = "-";

	if (us >= 10000000)
		(void)snprintf(text, sizeof(text), "%.0f s", (double)us / 1e6);
	else if (us >= 1000000)
		(void)snprintf(text, sizeof(text), "%.1f s", (double)us / 1e6);
	else if (us >= 10000)
		(void)snprintf(text, sizeof(text), "%.0f ms", (double)us / 1e3);
	else if (us > 0)
		(void)snprintf(text, sizeof(text), "%.1f ms", (double)us / 1e3);
	(void)printf("%*s", width, text);
}

void
json_text(struct buf *b, const char *name, const char *value)
{
	(void)buf_printf(b, "\"%s\":", name);
	(void)json_put_cstr(b, value);
	(void)buf_append_byte(b, ',');
}

void
json_number(struct buf *b, const char *name, uint64_t value)
{
	(void)buf_printf(b, "\"%s\":%" PRIu64 ",", name, value);
}

void
json_bool(struct buf *b, const char *name, bool value)
{
	(void)buf_printf(b, "\"%s\":%s,", name, value ? "true" : "false");
}

void
json_close(struct buf *b, const char *end)
{
	if (b->len > 0 && b->data[b->len - 1] == ',')
		b->len--;
	(void)buf_append_str(b, end);
}

void
json_print(struct buf *b)
{
	if (buf_ok(b))
		(void)fwrite(b->data, 1, b->len, stdout);
	buf_done(b);
}
