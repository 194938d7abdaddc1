/*
 * inference/local_storm_test.c - weights are replaced again and again while requests run and others are cancelled: no answer is lost, none is
 * another one's, and nothing is left. The short form is part of every run, --all does 500 requests over 50 reloads. Both cancel at least 50
 * requests a second, however slow the machine is: what time has passed decides how many are cancelled next, never whether the test passes.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/prng.h"
#include "inference/local_folder.h"

static const char *const questions[] = {
	"Where is my order A12345?",
	"我的包裹到哪里了？",
	"How long does a refund take?",
	"Do you have the blue kettle in stock?",
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

/* The storm: requests under way while weights are replaced again and again, and others that are cancelled. */

enum {
	STORM_ROUND = 10, /* answers that are read to the end, and as many that are not */
	STORM_MAX = 50,
	STORM_TOKENS = 24,
	STORM_CANCELS = 50, /* a second, beside those of the rounds */
	STORM_LEAVING = 4,  /* requests that are about to be cancelled */
	STORM_LEAVING_TOKENS = 160,
};

struct storm {
	struct rig r;
	struct folder f;
	struct prng prng;
	char expected[QUESTIONS][2][512]; /* of two seeds */
	struct answer kept[STORM_MAX * STORM_ROUND], left[STORM_MAX * STORM_ROUND];
	unsigned which[STORM_MAX * STORM_ROUND];
	struct answer leaving[STORM_LEAVING];
	unsigned begun;    /* of them, in turn */
	unsigned cancels;  /* of them, that had not ended */
	uint64_t since_us; /* 0 = not yet */
};

static void
storm_request(struct storm *s, struct answer *a, unsigned which)
{
	answer_init(a, &s->r, questions[which % QUESTIONS]);
	a->req.model = "a";
	a->req.temperature.v = 1.2;
	a->req.seed.set = true;
	a->req.seed.v = (int64_t)(which / QUESTIONS);
	a->req.max_tokens.v = STORM_TOKENS;
}

/* The eldest of those that are about to be cancelled; one that has ended before does not count. */
static void
storm_cancel(struct storm *s, struct answer *a)
{
	loop_enter(s->r.loop);
	if (!a->ended) {
		s->cancels++;
		a->cancelled = true;
		backend_local.cancel(a->job);
		s->r.open--;
	}
	loop_leave(s->r.loop);
	answer_done(a);
}

/* Cancel as many as the time that has passed asks for. */
static void
storm_keep_pace(struct storm *s)
{
	while (s->since_us != 0 &&
	       (double)s->cancels < STORM_CANCELS * (double)(clock_mono_us() - s->since_us) / 1e6) {
		struct answer *a = &s->leaving[s->begun % STORM_LEAVING];

		if (s->begun++ >= STORM_LEAVING)
			storm_cancel(s, a);
		storm_request(s, a, prng_below(&s->prng, 2 * QUESTIONS));
		a->req.max_tokens.v = STORM_LEAVING_TOKENS;
		assert_int_equal(answer_submit(a), IM_OK);
	}
}

/* Let the storm go on for a moment. */
static void
storm_look(struct storm *s)
{
	folder_look(&s->r);
	storm_keep_pace(s);
}

/* The last answers, and what the storm was. */
static void
storm_end(struct storm *s, unsigned count)
{
	unsigned cancels, in_answer = 0;
	bool all = false;
	double seconds;

	while (!all) {
		storm_look(s);
		all = true;
		loop_enter(s->r.loop);
		for (unsigned i = 0; i < count; i++)
			all = all && s->kept[i].ended;
		loop_leave(s->r.loop);
	}
	seconds = (double)(clock_mono_us() - s->since_us) / 1e6;
	storm_keep_pace(s); /* up to now at least */
	cancels = s->cancels;
	for (unsigned i = 0; i < STORM_LEAVING && i < s->begun; i++)
		storm_cancel(s, &s->leaving[(s->begun + i) % STORM_LEAVING]);
	rig_run(&s->r);
	for (unsigned i = 0; i < count; i++)
		in_answer += s->left[i].cancelled;
	print_message(
	    "%u answers beside %u cancels in %.2f s, %.1f a second; %u more after their first words\n",
	    count, cancels, seconds, cancels / seconds, in_answer);
	assert_true(cancels >= STORM_CANCELS * seconds);
	assert_true(in_answer > 0);
}

/* Weights of the same model in a file with another digest. */
static void
storm_change_file(struct storm *s)
{
	static const char key[] = "general.name";
	uint8_t *at = memmem(folder_demo, folder_demo_len, key, strlen(key));

	assert_non_null(at);
	at[strlen(key) + 12] ^= 0x20; /* behind type and length: a letter large or small */
	folder_write(&s->f, "a.gguf", folder_demo, folder_demo_len);
}

static void
storm_round(struct storm *s, unsigned round)
{
	struct turn t;

	storm_change_file(s);
	for (unsigned i = 0; i < STORM_ROUND; i++) {
		unsigned at = round * STORM_ROUND + i;

		if (i == STORM_ROUND / 2) /* some before, some after */
			while (folder_begin(&s->r, MODEL_CHANGE_RELOAD, "a", &t) == IM_EAGAIN)
				storm_look(s); /* the last but one still answers */
		s->which[at] = prng_below(&s->prng, 2 * QUESTIONS);
		storm_request(s, &s->kept[at], s->which[at]);
		assert_int_equal(answer_submit(&s->kept[at]), IM_OK);
		storm_request(s, &s->left[at], prng_below(&s->prng, 2 * QUESTIONS));
		s->left[at].cancel_at = 1 + prng_below(&s->prng, 8);
		assert_int_equal(answer_submit(&s->left[at]), IM_OK);
	}
	while (t.rc == IM_OK && !folder_done(&s->r, &t))
		storm_look(s);
	if (t.rc != IM_OK)
		fail_msg("%s", t.text);
	assert_string_not_equal(t.before, t.after);
}

static void
storm_check(struct storm *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct answer *a = &s->kept[i];
		unsigned w = s->which[i];

		assert_true(a->ended);
		if (a->failed)
			fail_msg("%s", a->err.text);
		assert_string_equal(buf_cstr(&s->kept[i].text[0]),
				    s->expected[w % QUESTIONS][w / QUESTIONS]);
		assert_true(s->left[i].cancelled || s->left[i].ended);
		assert_false(s->left[i].failed);
		answer_done(&s->kept[i]);
		answer_done(&s->left[i]);
	}
}

/* A number of /proc/self/status, such as "Threads:". */
static long
status_number(const char *name)
{
	char line[256];
	long v = -1;
	FILE *f = fopen("/proc/self/status", "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			v = strtol(line + strlen(name), NULL, 10);
	assert_int_equal(fclose(f), 0);
	return v;
}

/* What is allocated. Not what the process has: malloc keeps pages of what was freed, in a heap for each of many threads. */
static size_t
allocated_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* All that is there now is what a worker has that serves one model and has nothing to do. */
static void
wait_quiet(struct storm *s, unsigned freed)
{
	while (folder_metric(&s->r, "infermesh_local_models_freed_total") < freed ||
	       folder_metric(&s->r, "infermesh_local_sequences") > 0 || /* cancelled ones too */
	       folder_metric(&s->r, "infermesh_local_queue") > 0)
		folder_look(&s->r);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_models_retiring"), 0);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_models"), 1);
	assert_int_equal(folder_state(&s->r, "a").running, 0);
}

static void
test_reload_storm_loses_and_mixes_up_nothing(void **state)
{
	static struct storm s;
	const char *all = secure_getenv("INFERMESH_TESTS_ALL");
	unsigned rounds = all != NULL && strcmp(all, "1") == 0 ? STORM_MAX : 6;
	uint64_t seed = 5;
	size_t allocated;
	long threads;
	char yaml[512];

	(void)state;
	print_message("seed %llu, %u reloads\n", (unsigned long long)seed, rounds);
	prng_seed(&s.prng, seed);
	folder_make(&s.f, "  - {name: a, file: a.gguf, context: 256}\n");
	(void)snprintf(yaml, sizeof(yaml),
		       "%s    max_batch_size: 8\n    exact: true\n    queue_max: 1000\n",
		       s.f.manifest);
	rig_start(&s.r, yaml);
	folder_settled(&s.r, "a");
	for (unsigned w = 0; w < 2 * QUESTIONS; w++) {
		struct answer a;

		storm_request(&s, &a, w);
		(void)snprintf(s.expected[w % QUESTIONS][w / QUESTIONS], 512, "%s", answer_ask(&a));
		answer_done(&a);
	}
	storm_round(&s, 0);
	rig_run(&s.r);
	wait_quiet(&s, 1);
	threads = status_number("Threads:");
	allocated = allocated_bytes();
	s.since_us = clock_mono_us();
	for (unsigned i = 1; i < rounds; i++)
		storm_round(&s, i);
	storm_end(&s, rounds * STORM_ROUND);
	wait_quiet(&s, rounds);
	storm_check(&s, rounds * STORM_ROUND);
	assert_int_equal(status_number("Threads:"), threads);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* One set of weights and its context take 12 MiB. */
	assert_in_range(allocated_bytes(), 0, allocated + (size_t)2 * 1024 * 1024);
#else
	(void)allocated;
#endif
	rig_stop(&s.r);
	folder_remove(&s.f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reload_storm_loses_and_mixes_up_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
