/*
 * inference/local_storm_test.c - weights are replaced again and again while requests run and others are cancelled: no answer is lost, none is
 * another one's, and nothing is left. The short form is part of every run, --all does 500 requests over 50 reloads.
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
};

struct storm {
	struct rig r;
	struct folder f;
	struct prng prng;
	char expected[QUESTIONS][2][512]; /* of two seeds */
	struct answer kept[STORM_MAX * STORM_ROUND], left[STORM_MAX * STORM_ROUND];
	unsigned which[STORM_MAX * STORM_ROUND];
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
				folder_look(&s->r); /* the last but one still answers */
		s->which[at] = prng_below(&s->prng, 2 * QUESTIONS);
		storm_request(s, &s->kept[at], s->which[at]);
		assert_int_equal(answer_submit(&s->kept[at]), IM_OK);
		storm_request(s, &s->left[at], prng_below(&s->prng, 2 * QUESTIONS));
		s->left[at].cancel_at = 1 + prng_below(&s->prng, 8);
		assert_int_equal(answer_submit(&s->left[at]), IM_OK);
	}
	while (t.rc == IM_OK && !folder_done(&s->r, &t))
		folder_look(&s->r);
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

static long
resident_kib(void)
{
	(void)malloc_trim(0); /* what is free, and kept for the next one */
	return status_number("VmRSS:");
}

/* All that is there now is what a worker has that serves one model and has nothing to do. */
static void
wait_quiet(struct storm *s, unsigned freed)
{
	while (folder_metric(&s->r, "infermesh_local_models_freed_total") < freed)
		folder_look(&s->r);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_models_retiring"), 0);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_models"), 1);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_sequences"), 0);
	assert_int_equal((int)folder_metric(&s->r, "infermesh_local_queue"), 0);
	assert_int_equal(folder_state(&s->r, "a").running, 0);
}

static void
test_reload_storm_loses_and_mixes_up_nothing(void **state)
{
	static struct storm s;
	const char *all = secure_getenv("INFERMESH_TESTS_ALL");
	unsigned rounds = all != NULL && strcmp(all, "1") == 0 ? STORM_MAX : 6;
	uint64_t seed = 5;
	long threads, rss_kib;
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
	rss_kib = resident_kib();
	for (unsigned i = 1; i < rounds; i++)
		storm_round(&s, i);
	rig_run(&s.r);
	wait_quiet(&s, rounds);
	storm_check(&s, rounds * STORM_ROUND);
	assert_int_equal(status_number("Threads:"), threads);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	/* One set of weights and its context take 12 MiB: a few that are not given back would show. */
	assert_in_range(resident_kib(), 0, rss_kib + 24L * 1024);
#else
	(void)rss_kib;
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
