/*
 * net/resolve_test.c - addresses come back as they are, names are looked up, and who cancels is left alone.
 */
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/resolve.h"

struct answer {
	struct loop *loop;
	bool told, found;
	char ip[RESOLVE_IP_MAX];
	struct im_err why;
};

static void
take(void *arg, const char *ip, const struct im_err *why)
{
	struct answer *a = arg;

	a->told = true;
	a->found = ip != NULL;
	if (ip != NULL)
		(void)snprintf(a->ip, sizeof(a->ip), "%s", ip);
	else
		a->why = *why;
	loop_stop(a->loop);
}

static void
ask(const char *host, uint32_t attempt, struct answer *a)
{
	struct resolve *r;

	memset(a, 0, sizeof(*a));
	assert_int_equal(loop_new(&a->loop, NULL), IM_OK);
	loop_enter(a->loop);
	assert_int_equal(resolve_start(a->loop, host, attempt, take, a, &r, NULL), IM_OK);
	assert_false(a->told);
	loop_leave(a->loop);
	loop_run(a->loop);
	assert_true(a->told);
	loop_free(a->loop);
}

static void
test_resolve_address_comes_back_as_it_is(void **state)
{
	struct answer a;

	(void)state;
	ask("127.0.0.1", 0, &a);
	assert_true(a.found);
	assert_string_equal(a.ip, "127.0.0.1");
	ask("[::1]", 7, &a);
	assert_string_equal(a.ip, "::1");
}

static void
test_resolve_name_is_looked_up(void **state)
{
	struct answer a;

	(void)state;
	ask("localhost", 0, &a);
	assert_true(a.found);
	assert_true(strcmp(a.ip, "127.0.0.1") == 0 || strcmp(a.ip, "::1") == 0);
}

static void
test_resolve_attempts_come_to_every_address(void **state)
{
	struct addrinfo want = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	uint32_t attempt = 0;
	struct answer a;

	(void)state;
	assert_int_equal(getaddrinfo("localhost", NULL, &want, &found), 0);
	for (int round = 0; round < 2; round++) {
		for (struct addrinfo *one = found; one != NULL; one = one->ai_next) {
			char ip[RESOLVE_IP_MAX];

			assert_int_equal(getnameinfo(one->ai_addr, one->ai_addrlen, ip, sizeof(ip),
						     NULL, 0, NI_NUMERICHOST),
					 0);
			ask("localhost", attempt++, &a);
			assert_true(a.found);
			assert_string_equal(a.ip, ip);
		}
	}
	freeaddrinfo(found);
}

static void
test_resolve_what_is_no_name_says_so(void **state)
{
	struct answer a;

	(void)state;
	ask("no name..", 0, &a);
	assert_false(a.found);
	assert_int_equal(a.why.rc, IM_EUNAVAILABLE);
	assert_non_null(strstr(a.why.text, "cannot look up the host no name..: "));
}

static void
stop(void *arg)
{
	loop_stop(arg);
}

static void
test_resolve_cancelled_tells_nobody(void **state)
{
	struct answer a = { 0 };
	struct loop_timer timer;

	(void)state;
	assert_int_equal(loop_new(&a.loop, NULL), IM_OK);
	timer = (struct loop_timer){ .fn = stop, .arg = a.loop };
	loop_enter(a.loop);
	for (int i = 0; i < 100; i++) {
		struct resolve *r;

		assert_int_equal(resolve_start(a.loop, "127.0.0.1", 0, take, &a, &r, NULL), IM_OK);
		resolve_cancel(r);
	}
	resolve_cancel(NULL);
	assert_int_equal(loop_timer_set(a.loop, &timer, 20000), IM_OK);
	loop_leave(a.loop);
	loop_run(a.loop);
	assert_false(a.told);
	loop_free(a.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve_address_comes_back_as_it_is),
		cmocka_unit_test(test_resolve_name_is_looked_up),
		cmocka_unit_test(test_resolve_attempts_come_to_every_address),
		cmocka_unit_test(test_resolve_what_is_no_name_says_so),
		cmocka_unit_test(test_resolve_cancelled_tells_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
