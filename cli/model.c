/*
 * cli/model.c - 'infermesh model list', 'load', 'unload', 'reload' and 'verify': the operator's side of a local worker's models.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "cli/command.h"
#include "cli/mesh.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/user.h"
#include "daemon/daemon.h"
#include "daemon/worker_name.h"
#include "wire/model_admin.h"

#define DIAL_TIMEOUT_MS   5000
#define LIST_TIMEOUT_MS   10000
#define CHANGE_TIMEOUT_MS 3600000 /* a long file is read twice */
#define MEMORY_MAX        (4UL << 20)
#define DIGEST_SHOWN      12

/* A local worker of the configuration. */
struct target {
	char name[NET_NAME_MAX];
	char url[WORKER_URL_MAX];
};

/* Number 'i' of the workers, those that have nothing to load left out; without any the demo worker. False: there are no more. */
static bool
target_at(const struct config *c, size_t i, struct target *ret)
{
	size_t count = config_items(c, "workers");

	for (size_t k = 0; k < (count > 0 ? count : 1); k++) {
		const struct config *item = count > 0 ? config_item(c, "workers", k) : NULL;

		if (daemon_worker_name(item, ret->name, NULL) != IM_OK)
			continue;
		worker_operators(c, item, ret->name, ret->url);
		if (ret->url[0] != '\0' && i-- == 0)
			return true;
	}
	return false;
}

/* The worker that --worker names, or the only one. */
static enum im_rc
choose(const struct cli_args *args, const struct config *c, struct target *ret, struct im_err *err)
{
	const char *want = cli_value(args, "worker");
	struct target t;

	for (size_t i = 0; want != NULL && target_at(c, i, &t); i++)
		if (strcmp(t.name, want) == 0) {
			*ret = t;
			return IM_OK;
		}
	if (want != NULL)
		return err_set(
		    err, IM_ENOTFOUND,
		    "the configuration has no local worker '%.64s' that operators may reach", want);
	if (!target_at(c, 0, ret))
		return err_set(err, IM_ENOTFOUND,
			       "the configuration has no local worker that operators may reach");
	if (target_at(c, 1, &t))
		return err_set(
		    err, IM_EINVAL,
		    "there are several local workers, such as '%s' and '%s': say which with --worker",
		    ret->name, t.name);
	return IM_OK;
}

static enum im_rc
open_mesh(const struct config *config, struct mesh **ret, struct im_err *err)
{
	char name[NET_NAME_MAX];

	user_name(name, sizeof(name));
	return mesh_open(config, "operator", name, ret, err);
}

static enum im_rc
ask(struct mesh *mesh, const struct target *t, const char *method, const struct buf *body,
    unsigned timeout_ms, struct buf *reply, struct im_err *err)
{
	struct peer *peer;
	enum im_rc rc = mesh_dial(mesh, t->url, DIAL_TIMEOUT_MS, &peer, err);

	if (rc != IM_OK) {
		err_prefix(err, "worker %s is not reached", t->name);
		return rc;
	}
	return mesh_call(peer, method, body, timeout_ms, reply, err);
}

/* List. */

static void
print_models(const struct target *t, const struct model_states *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct model_state *m = &s->model[i];

		print_column(t->name, 12);
		print_column(m->name, 20);
		print_column(m->state, 8);
		(void)printf("%-*.*s  ", DIGEST_SHOWN, DIGEST_SHOWN,
			     m->digest[0] != '\0' ? m->digest : "-");
		(void)printf("%7" PRIu32 " %5" PRIu32 " %7" PRIu32 "  ", m->context_tokens,
			     m->sequences, m->running);
		print_text(m->file);
		if (m->doing[0] != '\0') {
			(void)printf("; ");
			print_text(m->doing);
			(void)printf(" %" PRIu32 " %%", m->percent);
		}
		if (m->retiring > 0)
			(void)printf("; requests still run on %" PRIu32 " older weights",
				     m->retiring);
		if (m->error[0] != '\0') {
			(void)printf("; ");
			print_text(m->error);
		}
		(void)putchar('\n');
	}
}

static void
json_models(struct buf *b, const struct model_states *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct model_state *m = &s->model[i];

		(void)buf_append_byte(b, '{');
		json_text(b, "name", m->name);
		json_text(b, "state", m->state);
		json_text(b, "doing", m->doing);
		json_number(b, "percent", m->percent);
		json_text(b, "file", m->file);
		json_text(b, "digest", m->digest);
		json_text(b, "quantisation", m->quantisation);
		json_text(b, "error", m->error);
		json_number(b, "context_tokens", m->context_tokens);
		json_number(b, "sequences", m->sequences);
		json_number(b, "running", m->running);
		json_number(b, "retiring", m->retiring);
		json_close(b, "},");
	}
}

/* One worker's models into 'b', or printed. */
static enum im_rc
list_one(const struct cli_args *args, struct mesh *mesh, const struct target *t, struct buf *b,
	 struct im_err *err)
{
	struct arena arena = { .max_bytes = MEMORY_MAX };
	const struct buf empty = { 0 };
	struct buf reply = { 0 };
	struct model_states s = { .count = 0 };
	enum im_rc rc = ask(mesh, t, METHOD_MODELS, &empty, LIST_TIMEOUT_MS, &reply, err);

	if (rc == IM_OK)
		rc = model_states_decode(reply.data, reply.len, &arena, &s, err);
	(void)buf_append_byte(b, '{');
	json_text(b, "worker", t->name);
	json_text(b, "error", rc == IM_OK ? "" : err->text);
	(void)buf_append_str(b, "\"models\":[");
	json_models(b, &s);
	json_close(b, "]},");
	if (!cli_flag(args, "json"))
		print_models(t, &s);
	arena_done(&arena);
	buf_done(&reply);
	return rc;
}

static int
list_all(const struct cli_args *args, const struct config *config, struct mesh *mesh)
{
	const char *want = cli_value(args, "worker");
	bool json = cli_flag(args, "json");
	struct buf b = { 0 };
	int status = EXIT_FINE;
	struct im_err err;
	struct target t;

	(void)buf_append_str(&b, "{\"workers\":[");
	if (!json)
		(void)printf("%-12s  %-20s  %-8s  %-*s  %7s %5s %7s  FILE\n", "WORKER", "MODEL",
			     "STATE", DIGEST_SHOWN, "DIGEST", "CONTEXT", "SEATS", "RUNNING");
	for (size_t i = 0; target_at(config, i, &t); i++) {
		if ((want != NULL && strcmp(want, t.name) != 0) ||
		    list_one(args, mesh, &t, &b, &err) == IM_OK)
			continue;
		status = cli_fail(args, &err);
	}
	json_close(&b, "]}\n");
	if (json)
		json_print(&b);
	else
		buf_done(&b);
	return status;
}

int
run_model_list(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct mesh *mesh = NULL;
	struct im_err err;
	struct target t;
	int status;

	if (config == NULL)
		return EXIT_USAGE;
	if ((cli_value(args, "worker") != NULL && choose(args, config, &t, &err) != IM_OK) ||
	    open_mesh(config, &mesh, &err) != IM_OK)
		status = cli_fail(args, &err);
	else
		status = list_all(args, config, mesh);
	mesh_close(mesh);
	config_free(config);
	return status;
}

/* Changes. */

static int
tell(const struct cli_args *args, const struct target *t, enum model_change what,
     const struct model_changed *c)
{
	bool in_use = c->before[0] == '\0' || strcmp(c->before, c->after) == 0;
	struct buf b = { 0 };

	(void)buf_append_byte(&b, '{');
	json_text(&b, "worker", t->name);
	json_text(&b, "model", args->rest[0]);
	json_text(&b, "before", c->before);
	json_text(&b, "after", c->after);
	json_close(&b, "}\n");
	if (cli_flag(args, "json")) {
		json_print(&b);
	} else {
		buf_done(&b);
		print_text(t->name);
		if (what == MODEL_CHANGE_VERIFY)
			(void)printf(": the file is whole, its SHA-256 %s%s\n", c->after,
				     in_use ? "" : "; other weights are in use");
		else
			(void)printf(": before %s, now %s\n",
				     c->before[0] != '\0' ? c->before : "none",
				     c->after[0] != '\0' ? c->after : "none");
	}
	return what == MODEL_CHANGE_VERIFY && !in_use ? EXIT_TROUBLE : EXIT_FINE;
}

static int
change(const struct cli_args *args, enum model_change what)
{
	struct arena arena = { .max_bytes = MEMORY_MAX };
	struct buf body = { 0 }, reply = { 0 };
	struct config *config;
	struct mesh *mesh = NULL;
	struct model_changed changed;
	struct target t;
	struct im_err err;
	int status = EXIT_FINE;
	const char *model = operator_argument(args, 0, "MODEL", &status);
	enum im_rc rc;

	if (model == NULL)
		return status;
	config = cli_config(args);
	if (config == NULL)
		return EXIT_USAGE;
	change_model_encode(&(struct change_model){ model, what }, &body);
	rc = choose(args, config, &t, &err);
	if (rc == IM_OK)
		rc = open_mesh(config, &mesh, &err);
	if (rc == IM_OK)
		rc = ask(mesh, &t, METHOD_CHANGE_MODEL, &body, CHANGE_TIMEOUT_MS, &reply, &err);
	if (rc == IM_OK)
		rc = model_changed_decode(reply.data, reply.len, &arena, &changed, &err);
	status = rc == IM_OK ? tell(args, &t, what, &changed) : cli_fail(args, &err);
	arena_done(&arena);
	buf_done(&body);
	buf_done(&reply);
	mesh_close(mesh);
	config_free(config);
	return status;
}

int
run_model_load(const struct cli_args *args)
{
	return change(args, MODEL_CHANGE_LOAD);
}

int
run_model_unload(const struct cli_args *args)
{
	return change(args, MODEL_CHANGE_UNLOAD);
}

int
run_model_reload(const struct cli_args *args)
{
	return change(args, MODEL_CHANGE_RELOAD);
}

int
run_model_verify(const struct cli_args *args)
{
	return change(args, MODEL_CHANGE_VERIFY);
}
