/*
 * cli/cache_warm.c - 'infermesh cache warm': asks the questions of a file, one line each, so that their answers are cached
 * under the keys that callers will ask for. They are requests like any other: limited, recorded, answered by workers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/operator.h"
#include "cli/print.h"
#include "gateway/chat_request.h"

#define LINE_MAX_BYTES  (4UL << 20)
#define CALL_TIMEOUT_MS 300000

struct warm {
	const struct cli_args *args;
	struct operator_link link;
	const char *file;
	uint64_t line;
	uint64_t asked, there, made, kept_out, failed;
};

static void
complain(struct warm *w, const struct im_err *err)
{
	w->failed++;
	(void)fprintf(stderr, "infermesh cache warm: %s:%" PRIu64 ": ", w->file, w->line);
	(void)fprintf(stderr, "%s\n", err->text);
}

/* What became of one question. */
static void
count(struct warm *w, const struct generate_reply *reply)
{
	if (reply->failed)
		complain(w, &reply->err);
	else if (strncmp(reply->cache, "hit-", 4) == 0)
		w->there++;
	else if (strcmp(reply->cache, "bypass") == 0)
		w->kept_out++;
	else
		w->made++;
}

static void
ask_one(struct warm *w, const char *line, size_t len)
{
	struct buf body = { 0 }, answer = { 0 };
	struct generate_reply reply;
	struct chat_request req;
	struct arena arena;
	struct im_err err;
	enum im_rc rc;

	arena_init(&arena, (len + 4096) * 8);
	w->asked++;
	rc = chat_request_parse(OPERATION_CHAT, (const uint8_t *)line, len, &arena, &req, &err);
	if (rc == IM_OK) {
		req.generate.stream = false;
		req.generate.tenant = cli_value(w->args, "tenant");
		generate_request_encode(&req.generate, &body);
		rc = mesh_call(w->link.router, METHOD_GENERATE_ONCE, &body, CALL_TIMEOUT_MS,
			       &answer, &err);
	}
	arena_done(&arena);
	arena_init(&arena, 16 * answer.len + LINE_MAX_BYTES);
	if (rc == IM_OK)
		rc = generate_reply_decode(answer.data, answer.len, &arena, &reply, &err);
	if (rc == IM_OK)
		count(w, &reply);
	else
		complain(w, &err);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&answer);
}

static bool
ask_all(struct warm *w, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	bool read;

	while ((n = getline(&line, &room, f)) >= 0) {
		w->line++;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n == 0)
			continue;
		if ((size_t)n > LINE_MAX_BYTES) {
			struct im_err err;

			(void)err_set(&err, IM_ETOOBIG, "the line is longer than 4 MiB");
			complain(w, &err);
			continue;
		}
		ask_one(w, line, (size_t)n);
	}
	read = ferror(f) == 0;
	free(line);
	return read;
}

static void
report(const struct warm *w)
{
	struct buf b = { 0 };

	if (!cli_flag(w->args, "json")) {
		(void)printf("%" PRIu64 " asked: %" PRIu64 " answered anew, %" PRIu64
			     " were cached, %" PRIu64 " may not be cached, %" PRIu64 " failed\n",
			     w->asked, w->made, w->there, w->kept_out, w->failed);
		return;
	}
	(void)buf_append_byte(&b, '{');
	json_number(&b, "asked", w->asked);
	json_number(&b, "answered", w->made);
	json_number(&b, "cached_before", w->there);
	json_number(&b, "not_cacheable", w->kept_out);
	json_number(&b, "failed", w->failed);
	json_close(&b, "}\n");
	json_print(&b);
}

int
run_cache_warm(const struct cli_args *args)
{
	int status = EXIT_FINE;
	struct warm w = { .args = args, .file = operator_argument(args, 0, "FILE", &status) };
	struct im_err err;
	FILE *f;

	if (w.file == NULL)
		return status;
	f = strcmp(w.file, "-") == 0 ? stdin : fopen(w.file, "re");
	if (f == NULL) {
		(void)err_errno(&err, IM_EIO, errno, "%s cannot be read", w.file);
		return cli_fail(args, &err);
	}
	if (operator_open(args, &w.link, &status)) {
		if (!ask_all(&w, f)) {
			(void)err_errno(&err, IM_EIO, errno, "%s cannot be read to its end",
					w.file);
			status = cli_fail(args, &err);
		}
		report(&w);
		if (w.failed > 0)
			status = EXIT_TROUBLE;
		operator_close(&w.link);
	}
	if (f != stdin)
		(void)fclose(f);
	return status;
}
