/*
 * base/log.c - one line an event; see log.h. Field names: Elastic Common Schema.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#define LOG_STR_BYTES  1024                /* of a field; the rest is cut */
#define LOG_LINE_BYTES ((size_t)64 * 1024) /* a longer line is lost */

static char log_service[64] = "infermesh";
static enum log_level log_from = LOG_INFO;
static void (*capture_fn)(void *arg, const char *line);
static void *capture_arg;

static bool log_text, log_colours;

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void
log_setup(const char *service, enum log_level level)
{
	(void)snprintf(log_service, sizeof(log_service), "%s", service);
	log_from = level;
}

void
log_set_text(bool text, bool colours)
{
	log_text = text;
	log_colours = colours;
}

void
log_capture(void (*fn)(void *arg, const char *line), void *arg)
{
	capture_fn = fn;
	capture_arg = arg;
}

bool
log_enabled(enum log_level level)
{
	return level >= log_from;
}

bool
log_level_parse(const char *s, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void
put_time(struct buf *out, uint64_t wall_us)
{
	time_t sec = (time_t)(wall_us / 1000000);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&sec, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) > 0)
		(void)buf_printf(out, "{\"@timestamp\":\"%s.%06uZ\"", text,
				 (unsigned)(wall_us % 1000000));
	else
		(void)buf_append_str(out, "{\"@timestamp\":null");
}

/* A string that may come from a stranger: cut, but never inside a character. */
static void
put_str(struct buf *out, const char *s)
{
	size_t len;

	if (s == NULL) {
		(void)buf_append_str(out, "null");
		return;
	}
	len = strnlen(s, LOG_STR_BYTES + 1);
	if (len > LOG_STR_BYTES)
		len = utf8_whole_prefix(s, LOG_STR_BYTES);
	(void)json_put_string(out, s, len);
}

static void
put_field(struct buf *out, const struct log_field *f)
{
	(void)buf_append_byte(out, ',');
	(void)json_put_cstr(out, f->name);
	(void)buf_append_byte(out, ':');
	switch (f->type) {
	case LOG_FIELD_STR:
		put_str(out, f->str);
		break;
	case LOG_FIELD_INT:
		(void)buf_printf(out, "%" PRId64, f->num);
		break;
	case LOG_FIELD_UINT:
		(void)buf_printf(out, "%" PRIu64, (uint64_t)f->num);
		break;
	case LOG_FIELD_BOOL:
		(void)buf_append_str(out, f->num != 0 ? "true" : "false");
		break;
	}
}

static void
put_json(struct buf *out, enum log_level level, const char *message, const struct log_field *fields)
{
	put_time(out, clock_wall_us());
	(void)buf_printf(out, ",\"log.level\":\"%s\",\"message\":", level_names[level]);
	put_str(out, message);
	(void)buf_append_str(out, ",\"service.name\":");
	(void)json_put_cstr(out, log_service);
	(void)buf_printf(out, ",\"process.pid\":%ld", (long)getpid());
	for (; fields != NULL && fields->name != NULL; fields++)
		put_field(out, fields);
	(void)buf_append_byte(out, '}');
}

/* As it is if it is one plain word, else as JSON has it: then nothing in it is a control character of ASCII. */
static void
put_word(struct buf *out, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+.:,;/@()[]{}*~%?&=$'";

	if (s != NULL && s[0] != '\0' && strspn(s, plain) == strlen(s) &&
	    strlen(s) <= LOG_STR_BYTES)
		(void)buf_append_str(out, s);
	else
		put_str(out, s);
}

static void
put_text_field(struct buf *out, const struct log_field *f)
{
	const char *dot = strrchr(f->name, '.');

	(void)buf_printf(out, " %s=", dot != NULL ? dot + 1 : f->name);
	/* ECS has it in nanoseconds. */
	if (strcmp(f->name, "event.duration") == 0)
		(void)buf_printf(out, "%.1fms", (double)f->num / 1e6);
	else if (f->type == LOG_FIELD_STR)
		put_word(out, f->str);
	else if (f->type == LOG_FIELD_INT)
		(void)buf_printf(out, "%" PRId64, f->num);
	else if (f->type == LOG_FIELD_UINT)
		(void)buf_printf(out, "%" PRIu64, (uint64_t)f->num);
	else
		(void)buf_append_str(out, f->num != 0 ? "yes" : "no");
}

/* The control characters beyond ASCII (U+0080 to U+009F) command some terminals too. */
static void
defuse(struct buf *out)
{
	for (size_t i = 0; i + 1 < out->len; i++)
		if (out->data[i] == 0xc2 && out->data[i + 1] >= 0x80 && out->data[i + 1] <= 0x9f)
			out->data[i] = out->data[i + 1] = '?';
}

static void
put_text(struct buf *out, enum log_level level, const char *message, const struct log_field *fields)
{
	static const char *const colour[] = { "\033[2m", "", "\033[33m", "\033[1;31m" };
	static const char *const mark[] = { "debug: ", "", "warning: ", "ERROR: " };
	time_t sec = (time_t)(clock_wall_us() / 1000000);
	char time_text[16] = "--:--:--";
	struct tm tm;

	if (localtime_r(&sec, &tm) != NULL)
		(void)strftime(time_text, sizeof(time_text), "%H:%M:%S", &tm);
	(void)buf_printf(out, "%s%s %-14s ", log_colours ? "\033[2m" : "", time_text, log_service);
	(void)buf_printf(out, "%s%s%s%s%s", log_colours ? "\033[0m" : "",
			 log_colours ? colour[level] : "", mark[level], message,
			 log_colours ? "\033[0;2m" : "");
	for (; fields != NULL && fields->name != NULL; fields++)
		put_text_field(out, fields);
	if (log_colours)
		(void)buf_append_str(out, "\033[0m");
	defuse(out);
}

void
log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	struct buf out = BUF_INIT(LOG_LINE_BYTES);
	ssize_t n;

	if (log_text)
		put_text(&out, level, message, fields);
	else
		put_json(&out, level, message, fields);
	if (capture_fn != NULL) {
		if (buf_ok(&out))
			capture_fn(capture_arg, buf_cstr(&out));
	} else if (buf_append_byte(&out, '\n')) {
		n = write(STDERR_FILENO, out.data, out.len);
		(void)n; /* there is nowhere left to say that it failed */
	}
	buf_done(&out);
}
