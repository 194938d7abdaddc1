/*
 * gateway/embedding_test.c - POST /v1/embeddings through the whole gateway: both forms of vectors, and answers that are broken.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/gateway_rig.h"
#include "wire/float32.h"

static struct rig rig;
static const struct usage usage = { 7, 0, 0, 0 };

static int
setup(void **state)
{
	(void)state;
	rig_start(&rig, "", false);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_check_idle(&rig);
	rig_stop(&rig);
	return 0;
}

/* A frame of vectors of 'dimensions' numbers. */
static void
send_vectors(const float *numbers, size_t count, uint32_t dimensions, const char *finish_reason)
{
	uint8_t bytes[16 * FLOAT32_BYTES];
	struct delta d = { .finish_reason = finish_reason };
	const struct generate_frame frame = { .deltas = &d,
					      .delta_count = 1,
					      .dimensions = dimensions };
	struct buf out = { 0 };

	assert_true(count <= 16);
	for (size_t i = 0; i < count; i++)
		float32_put(bytes + i * FLOAT32_BYTES, numbers[i]);
	d.embedding = (struct wire_bytes){ bytes, count * FLOAT32_BYTES };
	generate_frame_encode(&frame, &out);
	rig_bytes(&rig, out.data, out.len);
	buf_done(&out);
}

static const float two[] = { 1, -0.5F, 0.1F, 1e-9F };

static void
ask(int fd, const char *json)
{
	static unsigned calls;

	rig_post(fd, calls % 2 == 0 ? "/v1/embeddings" : "/embeddings", "", json);
	calls++;
}

static void
test_gateway_vectors_come_in_the_form_that_was_asked_for(void **state)
{
	static const char *const format[] = { "", ",\"encoding_format\":\"float\"",
					      ",\"encoding_format\":\"base64\"" };
	static const char *const wanted[][2] = {
		{ "[1,-0.5]", "[0.100000001,9.99999972e-10]" },
		{ "[1,-0.5]", "[0.100000001,9.99999972e-10]" },
		{ "\"AACAPwAAAL8=\"", "\"zczMPV9wiTA=\"" },
	};
	int fd = client_connect(rig.address, 0);
	char json[256], body[512];
	struct response r;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(json, sizeof(json),
			       "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":2%s}",
			       format[i]);
		ask(fd, json);
		rig_await_calls(&rig, i + 1);
		assert_int_equal(rig.req.operation, OPERATION_EMBEDDING);
		assert_int_equal(rig.req.input_count, 2);
		assert_string_equal(rig.req.inputs[1].text, "b");
		assert_int_equal(rig.req.message_count, 0);
		assert_true(rig.req.dimensions.set && rig.req.dimensions.v == 2);
		assert_false(rig.req.stream);
		assert_true(rig.req.has_input_sha256);
		rig_head(&rig, "routed", "miss");
		if (i == 0) {
			send_vectors(two, 2, 2, "");
			send_vectors(two + 2, 2, 2, "");
			send_vectors(NULL, 0, 0, "stop");
		} else {
			send_vectors(two, 4, 2, "stop");
		}
		rig_end(&rig, &usage);
		client_read(fd, &r, false);
		assert_int_equal(r.status, 200);
		assert_string_equal(response_header(&r, "content-type"), "application/json");
		assert_string_equal(response_header(&r, "x-infermesh-cache"), "miss");
		(void)snprintf(body, sizeof(body),
			       "{\"object\":\"list\",\"model\":\"routed\",\"data\":["
			       "{\"object\":\"embedding\",\"index\":0,\"embedding\":%s},"
			       "{\"object\":\"embedding\",\"index\":1,\"embedding\":%s}],"
			       "\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}",
			       wanted[i][0], wanted[i][1]);
		assert_string_equal(r.body, body);
		response_done(&r);
	}
	(void)close(fd);
}

static void
test_gateway_vectors_that_are_broken_are_an_error_and_not_sent(void **state)
{
	static const float infinite[] = { 1, INFINITY };
	int fd = client_connect(rig.address, 0);
	struct response r;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		ask(fd, "{\"model\":\"m\",\"input\":[\"a\",\"b\"]}");
		rig_await_calls(&rig, i + 1);
		rig_head(&rig, "routed", "miss");
		switch (i) {
		case 0: /* one for two */
			send_vectors(two, 2, 2, "stop");
			rig_end(&rig, &usage);
			break;
		case 1: /* three for two */
			send_vectors(two, 3, 1, "stop");
			break;
		case 2: /* lengths differ */
			send_vectors(two, 2, 2, "");
			send_vectors(two, 3, 3, "");
			break;
		default:
			send_vectors(infinite, 2, 2, "");
			break;
		}
		client_read(fd, &r, false);
		assert_int_equal(r.status, 502);
		assert_non_null(strstr(r.body, "\"code\":\"upstream_error\""));
		assert_null(strstr(r.body, "embedding"));
		response_done(&r);
	}
	rig_await_cancels(&rig, 3);
	(void)close(fd);
}

static void
test_gateway_embedding_whose_client_leaves_is_cancelled(void **state)
{
	int fd = client_connect(rig.address, 0);

	(void)state;
	ask(fd, "{\"model\":\"m\",\"input\":[[1,2,3]]}");
	rig_await_calls(&rig, 1);
	assert_int_equal(rig.req.inputs[0].token_count, 3);
	assert_int_equal(rig.req.inputs[0].tokens[2], 3);
	rig_head(&rig, "routed", "miss");
	(void)close(fd);
	rig_await_cancels(&rig, 1);
}

static void
test_gateway_embedding_is_counted_as_one(void **state)
{
	int fd = client_connect(rig.address, 0);
	struct response r;
	char *page;

	(void)state;
	ask(fd, "{\"model\":\"m\",\"input\":\"a\"}");
	rig_await_calls(&rig, 1);
	rig_head(&rig, "m", "miss");
	send_vectors(two, 4, 4, "stop");
	rig_end(&rig, &usage);
	client_read(fd, &r, false);
	assert_int_equal(r.status, 200);
	response_done(&r);
	(void)close(fd);
	page = rig_metrics(&rig);
	assert_non_null(strstr(
	    page,
	    "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"embeddings\",gen_ai_request_model=\"m\"} 1\n"));
	assert_non_null(strstr(page, "route=\"/v1/embeddings\""));
	assert_null(strstr(page, "gen_ai_operation_name=\"chat\""));
	free(page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_gateway_vectors_come_in_the_form_that_was_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_gateway_vectors_that_are_broken_are_an_error_and_not_sent, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_gateway_embedding_whose_client_leaves_is_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gateway_embedding_is_counted_as_one, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
