/*
 * client/callback_test.c - calls whose events come by callback, and what may be done inside one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_router.h"
#include "infermesh.h"

struct fixture {
	struct fake_router router;
	struct infermesh *mesh;
	struct infermesh_error err;
	struct infermesh_request *req;

	/* What the callback saw; by its thread until 'ends' is seen. */
	char text[256];
	enum infermesh_code code;
	atomic_uint events, ends;
	bool free_at_start, cancel_at_start, ask_inside;
	enum infermesh_code inside;
	pthread_t thread;
};

static int
start(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	fake_router_init(&f.router);
	fake_router_start(&f.router);
	if (infermesh_connect(f.router.url, "test", 10000, &f.mesh, &f.err) != INFERMESH_OK)
		fail_msg("%s", f.err.text);
	*state = &f;
	return 0;
}

static int
stop(void **state)
{
	struct fixture *f = *state;

	infermesh_close(f->mesh);
	fake_router_stop(&f->router);
	fake_router_done(&f->router);
	return 0;
}

static void
ask_inside(struct fixture *f)
{
	const struct infermesh_models *models;

	f->inside = infermesh_models(f->mesh, 10000, &models, NULL);
	if (f->inside == INFERMESH_OK)
		infermesh_models_free(models);
}

static void
on_event(void *user, struct infermesh_call *call, const struct infermesh_event *ev)
{
	struct fixture *f = user;
	size_t used = strlen(f->text);

	f->thread = pthread_self();
	if (ev->type == INFERMESH_DELTA)
		(void)snprintf(f->text + used, sizeof(f->text) - used, "%s", ev->content);
	if (ev->type == INFERMESH_START && f->ask_inside)
		ask_inside(f);
	if (ev->type == INFERMESH_START && f->cancel_at_start)
		infermesh_cancel(call);
	if (ev->type == INFERMESH_START && f->free_at_start)
		infermesh_call_free(call);
	if (ev->type == INFERMESH_ERROR) {
		f->code = ev->error->code;
		f->err = *ev->error;
	}
	atomic_fetch_add(&f->events, 1);
	if (ev->type == INFERMESH_END || ev->type == INFERMESH_ERROR)
		atomic_fetch_add(&f->ends, 1);
}

static struct infermesh_call *
ask(struct fixture *f, const char *model, const char *text)
{
	struct infermesh_request *req = infermesh_request_new(model);
	struct infermesh_call *call = NULL;

	infermesh_request_message(req, "user", text);
	if (infermesh_generate_cb(f->mesh, req, on_event, f, &call, &f->err) != INFERMESH_OK)
		fail_msg("%s", f->err.text);
	infermesh_request_free(req);
	return call;
}

static void
test_callback_gets_every_event_on_a_thread_of_the_library(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call;
	struct infermesh_event ev;

	f->ask_inside = true;
	call = ask(f, "echo", "one two three");
	fake_router_await(&f->ends, 1);
	assert_string_equal(f->text, "one two three");
	assert_int_equal(f->code, INFERMESH_OK);
	assert_int_equal(f->inside, INFERMESH_OK);
	assert_int_equal(atomic_load(&f->events), 6);
	assert_false(pthread_equal(f->thread, pthread_self()));
	assert_int_equal(infermesh_next(call, 0, &ev, &f->err), INFERMESH_EINVAL);
	infermesh_call_free(call);
}

static void
test_callback_gets_the_error(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "busy", "x");

	fake_router_await(&f->ends, 1);
	assert_int_equal(f->code, INFERMESH_ELIMIT);
	assert_int_equal(f->err.retry_after_ms, 1500);
	assert_int_equal(atomic_load(&f->events), 1);
	infermesh_call_free(call);
	call = ask(f, "garbage", "x");
	fake_router_await(&f->ends, 2);
	assert_int_equal(f->code, INFERMESH_EPROTO);
	infermesh_call_free(call);
}

static void
test_callback_may_cancel_and_free_its_call(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call;

	f->cancel_at_start = true;
	call = ask(f, "hold", "x");
	fake_router_await(&f->router.cancelled, 1);
	infermesh_call_free(call);
	f->cancel_at_start = false;
	f->free_at_start = true;
	(void)ask(f, "endless", "x");
	fake_router_await(&f->router.cancelled, 2);
	fake_router_await(&f->events, 2); /* nothing follows a cancel */
	assert_int_equal(atomic_load(&f->ends), 0);
}

static void
test_callback_does_not_run_after_cancel(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 50; i++) {
		struct infermesh_call *call = ask(f, "endless", "x");
		unsigned seen;

		while (i % 2 == 0 && atomic_load(&f->events) == 0)
			continue;
		infermesh_cancel(call);
		seen = atomic_load(&f->events);
		infermesh_call_free(call);
		fake_router_await(&f->router.cancelled, (unsigned)i + 1);
		assert_int_equal(atomic_load(&f->events), seen);
		atomic_store(&f->events, 0);
		f->text[0] = '\0';
	}
}

static void
test_callback_close_delivers_the_failure_first(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *a = ask(f, "hold", "x");
	struct infermesh_call *b = ask(f, "hold", "x");

	fake_router_await(&f->events, 2);
	infermesh_close(f->mesh);
	f->mesh = NULL;
	assert_int_equal(atomic_load(&f->ends), 2);
	assert_int_equal(f->code, INFERMESH_EUNAVAILABLE);
	infermesh_call_free(a);
	infermesh_call_free(b);
}

static void
test_callback_router_that_dies_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct infermesh_call *call = ask(f, "die", "x");

	fake_router_await(&f->events, 2);
	fake_router_stop(&f->router);
	fake_router_await(&f->ends, 1);
	assert_string_equal(f->text, "half");
	assert_int_equal(f->code, INFERMESH_EUNAVAILABLE);
	infermesh_call_free(call);
	fake_router_start(&f->router);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_callback_gets_every_event_on_a_thread_of_the_library),
		T(test_callback_gets_the_error),
		T(test_callback_may_cancel_and_free_its_call),
		T(test_callback_does_not_run_after_cancel),
		T(test_callback_close_delivers_the_failure_first),
		T(test_callback_router_that_dies_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
