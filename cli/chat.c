/*
 * cli/chat.c - 'infermesh chat': one answer or a conversation, streamed to the terminal over the mesh.
 */
#include <editline/readline.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "cli/answer.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "cli/user.h"
#include "wire/mesh.h"

#define TEXT_MAX        (4UL * 1024 * 1024)
#define MEMORY_MAX      (64UL * 1024 * 1024) /* of a conversation */
#define CALL_TIMEOUT_MS 5000

struct chat {
	const struct cli_args *args;
	struct peer *router;
	unsigned budget_ms;
	struct generate_request request; /* all but the messages */
	struct arena memory;             /* of the messages */
	struct message *messages;        /* GENERATE_MESSAGES_MAX */
	size_t count;
	char model[GENERATE_MODEL_MAX + 1];
	char user[NET_NAME_MAX];
	int stop_fd;   /* SIGINT, SIGTERM */
	bool terminal; /* of standard output */
	bool dim;      /* reasoning is being shown */
};

static void
end_dim(struct chat *c)
{
	if (c->dim)
		(void)fputs(c->terminal ? "\033[0m\n\n" : "\n\n", c->terminal ? stdout : stderr);
	c->dim = false;
}

static void
on_content(void *user, const char *text, size_t len)
{
	struct chat *c = user;

	end_dim(c);
	if (c->terminal)
		terminal_put(stdout, text, len);
	else
		(void)fwrite(text, 1, len, stdout);
	(void)fflush(stdout);
}

/* What the model thinks before it answers: dim, and only for people, so that a pipe gets the answer alone. */
static void
on_reasoning(void *user, const char *text, size_t len)
{
	struct chat *c = user;

	if (!c->terminal)
		return;
	if (!c->dim)
		(void)fputs("\033[2m", stdout);
	c->dim = true;
	terminal_put(stdout, text, len);
	(void)fflush(stdout);
}

static bool
add_message(struct chat *c, const char *role, const char *text, size_t len)
{
	struct message *m;

	if (c->count == GENERATE_MESSAGES_MAX)
		return false;
	m = &c->messages[c->count];
	*m = (struct message){ .role = role, .content = arena_strndup(&c->memory, text, len) };
	c->count += m->content != NULL;
	return m->content != NULL;
}

/* One turn. The messages stay as they were when it fails. */
static enum im_rc
say(struct chat *c, const char *text, size_t len, struct im_err *err)
{
	static const struct answer_ops ops = { .content = on_content, .reasoning = on_reasoning };
	struct buf whole = BUF_INIT(TEXT_MAX);
	size_t before = c->count;
	enum im_rc rc;

	if (!add_message(c, "user", text, len)) {
		c->count = before;
		return err_set(err, IM_ETOOBIG,
			       "the conversation is too long; begin a new one with /new");
	}
	c->request.model = c->model;
	c->request.messages = c->messages;
	c->request.message_count = c->count;
	rc = answer_get(c->router, &c->request, c->budget_ms, c->stop_fd, &ops, c, &whole, err);
	end_dim(c);
	if (whole.len > 0 && (c->terminal || whole.data[whole.len - 1] != '\n'))
		(void)putchar('\n');
	(void)fflush(stdout);
	if (rc == IM_OK && !add_message(c, "assistant", buf_cstr(&whole), whole.len))
		rc = err_set(err, IM_ETOOBIG,
			     "the conversation is too long; begin a new one with /new");
	if (rc != IM_OK)
		c->count = before;
	buf_done(&whole);
	return rc;
}

/* '*ret' lives in 'arena'. */
static enum im_rc
list_models(const struct chat *c, struct arena *arena, struct model_list *ret, struct im_err *err)
{
	struct buf empty = { 0 }, reply = { 0 };
	enum im_rc rc =
	    mesh_call(c->router, METHOD_LIST_MODELS, &empty, CALL_TIMEOUT_MS, &reply, err);

	if (rc == IM_OK)
		rc = model_list_decode(reply.data, reply.len, arena, ret, err);
	buf_done(&reply);
	return rc;
}

/* The first model of the mesh, unless one was named. */
static enum im_rc
choose_model(struct chat *c, struct im_err *err)
{
	const char *named = cli_value(c->args, "model");
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct model_list list;
	enum im_rc rc;

	if (named != NULL && strlen(named) >= sizeof(c->model))
		return err_set(err, IM_EINVAL, "--model is longer than %zu bytes",
			       sizeof(c->model) - 1);
	if (named != NULL) {
		(void)snprintf(c->model, sizeof(c->model), "%s", named);
		return IM_OK;
	}
	rc = list_models(c, &arena, &list, err);
	if (rc == IM_OK && list.count == 0)
		rc = err_set(err, IM_EUNAVAILABLE,
			     "the mesh has no model yet; 'infermesh status' shows its workers");
	if (rc == IM_OK)
		(void)snprintf(c->model, sizeof(c->model), "%s", list.models[0].id);
	arena_done(&arena);
	return rc;
}

/* Say why there is no answer, and which models there are if the one that was asked for is not. Returns the status. */
static int
fail(const struct chat *c, const struct im_err *err)
{
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct model_list list;

	(void)cli_fail(c->args, err);
	if (err->rc == IM_ENOTFOUND && list_models(c, &arena, &list, NULL) == IM_OK) {
		(void)fputs("This mesh has:", stderr);
		for (size_t i = 0; i < list.count; i++) {
			(void)fputs(i > 0 ? ", " : " ", stderr);
			terminal_put(stderr, list.models[i].id, strlen(list.models[i].id));
		}
		(void)fputs(list.count > 0 ? "\n" : " no model yet\n", stderr);
	}
	arena_done(&arena);
	return EXIT_TROUBLE;
}

static bool
parse_numbers(struct chat *c)
{
	const char *temperature = cli_value(c->args, "temperature"),
		   *tokens = cli_value(c->args, "max-tokens");
	char *end;

	if (temperature != NULL) {
		c->request.temperature.set = true;
		c->request.temperature.v = strtod(temperature, &end);
		if (*end != '\0' || end == temperature ||
		    !(c->request.temperature.v >= 0 && c->request.temperature.v <= 2)) {
			(void)fprintf(
			    stderr,
			    "infermesh chat: --temperature: found '%s', allowed: a number from 0 to 2\n",
			    temperature);
			return false;
		}
	}
	if (tokens != NULL) {
		unsigned long n = strtoul(tokens, &end, 10);

		if (*end != '\0' || tokens[0] < '0' || tokens[0] > '9' || n == 0 ||
		    n > 1000000000) {
			(void)fprintf(
			    stderr,
			    "infermesh chat: --max-tokens: found '%s', allowed: a whole number from 1\n",
			    tokens);
			return false;
		}
		c->request.max_tokens = (struct opt_u32){ .set = true, .v = (uint32_t)n };
	}
	return true;
}

static void
forget(struct chat *c)
{
	const char *system = cli_value(c->args, "system");

	arena_done(&c->memory);
	c->count = 0;
	if (system != NULL)
		(void)add_message(c, "system", system, strlen(system));
}

/* "/word rest". Returns false to leave. Cuts blanks off the end of 'line'. */
static bool
do_command(struct chat *c, char *line)
{
	size_t len = strlen(line);

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		line[--len] = '\0';
	if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
		return false;
	if (strcmp(line, "/new") == 0) {
		forget(c);
		(void)fprintf(stderr, "A new conversation.\n");
	} else if (strcmp(line, "/model") == 0) {
		(void)fprintf(stderr, "The model is %s; change it with /model NAME.\n", c->model);
	} else if (strncmp(line, "/model ", 7) == 0 && strlen(line + 7) < sizeof(c->model)) {
		(void)snprintf(c->model, sizeof(c->model), "%s", line + 7 + strspn(line + 7, " "));
		(void)fprintf(stderr, "The model is now %s.\n", c->model);
	} else {
		if (strcmp(line, "/help") != 0)
			(void)fprintf(stderr, "There is no command like this:\n");
		(void)fprintf(stderr,
			      "/new          forget the conversation and begin again\n"
			      "/model [NAME] show or change the model\n"
			      "/quit         leave, as Ctrl-D does\n"
			      "/help         this list\n"
			      "Everything else is said to the model. Ctrl-C cancels an answer.\n");
	}
	return true;
}

/* Take the signals that are there, such as the one that cancelled an answer. True if SIGTERM was among them: then we
 * leave. */
static bool
take_signal(const struct chat *c)
{
	struct signalfd_siginfo info;
	bool term = false;

	while (read(c->stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		term = term || info.ssi_signo == SIGTERM;
	return term;
}

/* A line of the terminal or of a pipe, without its line break; the caller frees it. NULL at the end. */
static char *
next_line(bool editing)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	sigset_t stop, old;

	if (!editing) {
		n = getline(&line, &cap, stdin);
		if (n < 0) {
			free(line);
			return NULL;
		}
		line[strcspn(line, "\r\n")] = '\0';
		return line;
	}
	/* At the prompt Ctrl-C leaves: libedit restores the terminal and lets the signal through. */
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)pthread_sigmask(SIG_UNBLOCK, &stop, &old);
	line = readline("> ");
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (line != NULL && line[0] != '\0')
		(void)add_history(line);
	return line;
}

static int
converse(struct chat *c)
{
	bool editing = isatty(STDIN_FILENO) != 0, going = true;
	int status = EXIT_FINE;

	if (editing)
		(void)fprintf(stderr,
			      "Talking to %s. /help shows what else there is; Ctrl-D leaves.\n",
			      c->model);
	while (going) {
		/* A Ctrl-C that came too late for the answer must not end the conversation at the prompt. */
		char *line = take_signal(c) ? NULL : next_line(editing);
		struct im_err err;

		if (line == NULL)
			break;
		if (line[0] == '/') {
			going = do_command(c, line);
		} else if (line[strspn(line, " \t")] != '\0' &&
			   say(c, line, strlen(line), &err) != IM_OK) {
			if (err.rc == IM_ECANCELED) {
				going = !take_signal(c);
				(void)fprintf(stderr, "\n(cancelled)\n");
			} else {
				status = fail(c, &err);
			}
		}
		free(line);
	}
	if (editing)
		(void)fputc('\n', stderr);
	/* A pipe's reader wants to know; a person has read it. */
	return editing ? EXIT_FINE : status;
}

static bool
read_input(struct buf *text)
{
	char piece[4096];
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
		if (!buf_append(text, piece, n))
			return false;
	return !ferror(stdin);
}

static int
answer_once(struct chat *c)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct im_err err;
	int status = EXIT_FINE;
	bool ok = true;

	if (c->args->rest_count == 1 && strcmp(c->args->rest[0], "-") == 0) {
		ok = read_input(&text);
	} else {
		for (int i = 0; i < c->args->rest_count; i++)
			ok = buf_append_str(&text, i > 0 ? " " : "") &&
			     buf_append_str(&text, c->args->rest[i]);
	}
	if (!ok || text.len == 0) {
		(void)err_set(&err, IM_EINVAL,
			      ok ? "there is nothing to say"
				 : "cannot read the text, or it is over 4 MiB");
		status = cli_fail(c->args, &err);
	} else if (say(c, (const char *)text.data, text.len, &err) != IM_OK) {
		status = err.rc == IM_ECANCELED ? 130 : fail(c, &err);
	}
	buf_done(&text);
	return status;
}

static int
open_stop_fd(void)
{
	sigset_t stop;

	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	return signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
run_chat(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct chat c = { .args = args, .memory = { .max_bytes = MEMORY_MAX }, .stop_fd = -1 };
	struct mesh *mesh = NULL;
	struct im_err err;
	int status;

	if (config == NULL || !parse_numbers(&c)) {
		config_free(config);
		return EXIT_USAGE;
	}
	user_name(c.user, sizeof(c.user));
	c.request.stream = true;
	c.request.caller = c.user;
	c.request.tenant = "local";
	c.budget_ms = (unsigned)config_int(config, "gateway.request_ms");
	c.terminal = isatty(STDOUT_FILENO) != 0;
	c.messages = calloc(GENERATE_MESSAGES_MAX, sizeof(*c.messages));
	c.stop_fd = open_stop_fd();
	if (c.messages == NULL || c.stop_fd < 0) {
		(void)err_set(&err, IM_ENOMEM, "not enough memory or descriptors");
		status = cli_fail(args, &err);
	} else if (mesh_open(config, "client", c.user, &mesh, &err) != IM_OK ||
		   mesh_dial_router(mesh, config, &c.router, &err) != IM_OK ||
		   choose_model(&c, &err) != IM_OK) {
		status = cli_fail(args, &err);
	} else {
		forget(&c);
		status = args->rest_count > 0 ? answer_once(&c) : converse(&c);
	}
	mesh_close(mesh);
	if (c.stop_fd >= 0)
		(void)close(c.stop_fd);
	arena_done(&c.memory);
	free(c.messages);
	config_free(config);
	return status;
}
