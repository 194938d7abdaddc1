/*
 * inference/local_folder.c - for tests; see local_folder.h.
 */
#include "inference/local_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEMO       "deploy/models/demo-q8_0.gguf"
#define LOOK_US    5000
#define PATH_BYTES 128

uint8_t folder_demo[8 * 1024 * 1024];
size_t folder_demo_len;

void
folder_write(const struct folder *f, const char *name, const void *data, size_t len)
{
	char path[PATH_BYTES], fresh[PATH_BYTES + 4];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	out = fopen(fresh, "wbe");
	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(rename(fresh, path),
			 0); /* as an operator should: weights in use are mapped */
}

void
folder_write_manifest(const struct folder *f, const char *models)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "models:\n%s", models);

	assert_in_range(n, 1, sizeof(text) - 1);
	folder_write(f, "models.yaml", text, (size_t)n);
}

void
folder_make(struct folder *f, const char *models)
{
	FILE *in = fopen(DEMO, "rbe");

	assert_non_null(in);
	folder_demo_len = fread(folder_demo, 1, sizeof(folder_demo), in);
	assert_int_equal(fclose(in), 0);
	(void)snprintf(f->path, sizeof(f->path), "/tmp/infermesh-models-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	(void)snprintf(f->manifest, sizeof(f->manifest), "    manifest: %s/models.yaml\n", f->path);
	folder_write(f, "a.gguf", folder_demo, folder_demo_len);
	folder_write_manifest(f, models);
}

void
folder_remove(struct folder *f)
{
	static const char *const names[] = { "a.gguf",    "b.gguf",     "cut.gguf",    "none.gguf",
					     "huge.gguf", "arch.gguf",  "models.yaml", "a.imdl",
					     "b.imdl",    "models.key", "other.key" };
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(f->path), 0);
}

static void
stop_looking(void *arg)
{
	loop_stop(arg);
}

void
folder_look(struct rig *r)
{
	struct loop_timer t = { .fn = stop_looking, .arg = r->loop };

	loop_enter(r->loop);
	assert_int_equal(loop_timer_set(r->loop, &t, LOOK_US), IM_OK);
	loop_leave(r->loop);
	loop_run(r->loop);
	loop_enter(r->loop);
	loop_timer_cancel(r->loop, &t);
	loop_leave(r->loop);
}

struct model_state
folder_state(struct rig *r, const char *name)
{
	static struct model_states s;
	static char digest[65], error[512];
	struct model_state m = { .name = "", .state = "" };

	loop_enter(r->loop);
	backend_local.list(r->backend, &s);
	for (size_t i = 0; i < s.count; i++)
		if (strcmp(s.model[i].name, name) == 0)
			m = s.model[i];
	(void)snprintf(digest, sizeof(digest), "%s", m.digest != NULL ? m.digest : "");
	(void)snprintf(error, sizeof(error), "%s", m.error != NULL ? m.error : "");
	loop_leave(r->loop);
	m.digest = digest;
	m.error = error;
	return m;
}

void
folder_settled(struct rig *r, const char *name)
{
	while (strcmp(folder_state(r, name).state, "loading") == 0)
		folder_look(r);
}

static void
on_changed(void *user, const struct im_err *err, const struct backend_changed *changed)
{
	struct turn *t = user;

	t->rc = err != NULL ? err->rc : IM_OK;
	(void)snprintf(t->text, sizeof(t->text), "%s", err != NULL ? err->text : "");
	(void)snprintf(t->before, sizeof(t->before), "%s", changed->before);
	(void)snprintf(t->after, sizeof(t->after), "%s", changed->after);
	t->done = true;
}

enum im_rc
folder_begin(struct rig *r, enum model_change what, const char *name, struct turn *t)
{
	struct im_err err = { 0 };
	enum im_rc rc;

	*t = (struct turn){ 0 };
	loop_enter(r->loop);
	rc = backend_local.change(r->backend, what, name, on_changed, t, &err);
	/* Behind loop_leave() it may be done already. */
	t->rc = rc;
	(void)snprintf(t->text, sizeof(t->text), "%s", err.text);
	loop_leave(r->loop);
	return rc;
}

bool
folder_done(struct rig *r, const struct turn *t)
{
	bool done;

	loop_enter(r->loop);
	done = t->done;
	loop_leave(r->loop);
	return done;
}

enum im_rc
folder_change(struct rig *r, enum model_change what, const char *name, struct turn *t)
{
	if (folder_begin(r, what, name, t) != IM_OK)
		return t->rc;
	while (!folder_done(r, t))
		folder_look(r);
	return t->rc;
}

double
folder_metric(struct rig *r, const char *name)
{
	struct metrics_page page = { 0 };
	const char *at;
	char want[128];
	double v;

	loop_enter(r->loop);
	backend_local.metrics(r->backend, &page);
	loop_leave(r->loop);
	(void)snprintf(want, sizeof(want), "\n%s ", name);
	at = strstr(buf_cstr(&page.out), want);
	assert_non_null(at);
	v = strtod(at + strlen(want), NULL);
	buf_done(&page.out);
	return v;
}
