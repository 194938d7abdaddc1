/*
 * router/queue_test.c - who is next, who may wait and who is told to come back, on virtual time; and random queues against a
 * plain list.
 */
#include "router/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define NOW   1000
#define LATER (NOW + 60000)

static const struct queue_settings usual = {
	.line_max = 10000,
	.all_max = 10000,
	.weight = { [QUEUE_LOW] = 1, [QUEUE_NORMAL] = 4, [QUEUE_HIGH] = 8 }
};

static void
join(struct queue *q, struct queue_line *line, struct queue_entry *e, enum queue_class cls,
     uint64_t deadline_ms)
{
	e->cls = cls;
	e->deadline_ms = deadline_ms;
	assert_int_equal(queue_join(q, line, e, NOW, NULL), IM_OK);
}

static bool
anybody(struct queue_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

static struct queue_entry *
take(struct queue *q, struct queue_line *line)
{
	struct queue_entry *e = queue_next(line, anybody, NULL);

	if (e != NULL) {
		queue_take(q, e, NOW);
	}
	return e;
}

static void
test_queue_classes_share_places_by_weight(void **state)
{
	static struct queue_entry entries[QUEUE_CLASSES][1300];
	struct queue_line line = { 0 };
	struct queue q;
	int got[QUEUE_CLASSES] = { 0 };

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 1300; i++) {
		for (int cls = 0; cls < QUEUE_CLASSES; cls++) {
			entries[cls][i] = (struct queue_entry){ 0 };
			join(&q, &line, &entries[cls][i], (enum queue_class)cls, LATER);
		}
	}
	for (int i = 1; i <= 1300; i++) {
		got[take(&q, &line)->cls]++;
		/* At any time, not only in the end, each class has its share up to one request. */
		assert_in_range(got[QUEUE_HIGH] * 13, 8 * i < 13 ? 0 : 8 * i - 13, 8 * i + 13);
		assert_in_range(got[QUEUE_LOW] * 13, i < 13 ? 0 : i - 13, i + 13);
	}
	assert_in_range(got[QUEUE_HIGH], 799, 801);
	assert_in_range(got[QUEUE_NORMAL], 399, 401);
	assert_in_range(got[QUEUE_LOW], 99, 101);
}

static void
test_queue_idle_class_saves_nothing_up(void **state)
{
	static struct queue_entry normal[400], high[100];
	struct queue_line line = { 0 };
	struct queue q;
	int got_high = 0;

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 400; i++) {
		normal[i] = (struct queue_entry){ 0 };
		join(&q, &line, &normal[i], QUEUE_NORMAL, LATER);
	}
	for (int i = 0; i < 300; i++) {
		assert_int_equal(take(&q, &line)->cls, QUEUE_NORMAL);
	}
	for (int i = 0; i < 100; i++) {
		high[i] = (struct queue_entry){ 0 };
		join(&q, &line, &high[i], QUEUE_HIGH, LATER);
	}
	for (int i = 0; i < 30; i++) {
		got_high += take(&q, &line)->cls == QUEUE_HIGH;
	}
	assert_in_range(got_high, 19, 21); /* two of three, not all */
}

static void
test_queue_one_class_alone_gets_everything(void **state)
{
	struct queue_entry low[3] = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 3; i++) {
		join(&q, &line, &low[i], QUEUE_LOW, LATER);
	}
	for (int i = 0; i < 3; i++) {
		assert_ptr_equal(take(&q, &line), &low[i]);
	}
	assert_null(take(&q, &line));
	assert_int_equal(q.count, 0);
	assert_true(list_empty(&q.lines));
}

static void
test_queue_earliest_deadline_goes_first_then_who_came_first(void **state)
{
	struct queue_entry a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	join(&q, &line, &a, QUEUE_NORMAL, 5000);
	join(&q, &line, &b, QUEUE_NORMAL, 3000);
	join(&q, &line, &c, QUEUE_NORMAL, 5000);
	join(&q, &line, &d, QUEUE_NORMAL, 4000);
	assert_ptr_equal(take(&q, &line), &b);
	assert_ptr_equal(take(&q, &line), &d);
	assert_ptr_equal(take(&q, &line), &a);
	assert_ptr_equal(take(&q, &line), &c);
}

static void
test_queue_retried_request_has_its_old_place_and_is_never_turned_away(void **state)
{
	struct queue_settings set = usual;
	struct queue_entry a = { 0 }, b = { 0 }, c = { .cls = QUEUE_NORMAL, .deadline_ms = LATER };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	set.line_max = 1;
	queue_init(&q, &set);
	join(&q, &line, &a, QUEUE_NORMAL, LATER);
	assert_ptr_equal(take(&q, &line), &a);
	join(&q, &line, &b, QUEUE_NORMAL, LATER);
	assert_int_equal(queue_join(&q, &line, &c, NOW, NULL), IM_EUNAVAILABLE);
	a.picky = true;
	join(&q, &line, &a, QUEUE_NORMAL, LATER);
	assert_int_equal(line.count, 2);
	assert_ptr_equal(take(&q, &line), &a);
	assert_ptr_equal(take(&q, &line), &b);
}

static void
test_queue_retry_of_one_that_never_waited_stands_before_later_ones(void **state)
{
	struct queue_settings set = usual;
	struct queue_entry a = { 0 }, b = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	set.line_max = 1;
	queue_init(&q, &set);
	queue_pass(&q, &a);
	join(&q, &line, &b, QUEUE_NORMAL, LATER);
	a.picky = true;
	join(&q, &line, &a, QUEUE_NORMAL, LATER); /* nor is it turned away */
	assert_ptr_equal(take(&q, &line), &a);
	assert_ptr_equal(take(&q, &line), &b);
}

static void
test_queue_who_leaves_is_gone_at_once(void **state)
{
	struct queue_entry e[5] = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 5; i++) {
		join(&q, &line, &e[i], QUEUE_NORMAL, LATER);
	}
	queue_leave(&q, &e[2]);
	queue_leave(&q, &e[2]);
	queue_leave(&q, &e[0]);
	queue_leave(&q, &e[4]);
	assert_int_equal(q.count, 2);
	assert_ptr_equal(take(&q, &line), &e[1]);
	assert_ptr_equal(take(&q, &line), &e[3]);
	assert_null(take(&q, &line));
}

struct asked {
	int picky, others;
	const struct queue_entry *can; /* the only one that can go */
};

static bool
only_one(struct queue_entry *e, void *arg)
{
	struct asked *a = arg;

	a->picky += e->picky;
	a->others += !e->picky;
	return e == a->can;
}

static void
test_queue_look_for_a_place_is_short_however_many_wait(void **state)
{
	static struct queue_entry picky[1000], fresh[1000];
	struct asked a = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 1000; i++) {
		picky[i] = (struct queue_entry){ .picky = true };
		fresh[i] = (struct queue_entry){ 0 };
		join(&q, &line, &picky[i], i % 2 == 0 ? QUEUE_HIGH : QUEUE_NORMAL, LATER);
		join(&q, &line, &fresh[i], i % 2 == 0 ? QUEUE_HIGH : QUEUE_LOW, LATER);
	}
	assert_null(queue_next(&line, only_one, &a));
	assert_int_equal(a.picky, 2 * QUEUE_LOOK_MAX);
	assert_int_equal(a.others, 1); /* where one of these cannot go no other can */

	a = (struct asked){ .can = &picky[8] };
	assert_ptr_equal(queue_next(&line, only_one, &a), &picky[8]);
	a = (struct asked){ .can = &fresh[0] }; /* the picky ones before it cannot go */
	assert_ptr_equal(queue_next(&line, only_one, &a), &fresh[0]);
}

static void
test_queue_class_that_cannot_go_lets_another_go_and_keeps_its_claim(void **state)
{
	struct queue_entry high = { .picky = true }, low[3] = { 0 };
	struct asked a = { .can = &low[0] };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	join(&q, &line, &high, QUEUE_HIGH, LATER);
	for (int i = 0; i < 3; i++) {
		join(&q, &line, &low[i], QUEUE_LOW, LATER);
	}
	assert_ptr_equal(queue_next(&line, only_one, &a), &low[0]);
	queue_take(&q, &low[0], NOW);
	assert_ptr_equal(take(&q, &line), &high);
}

static void
test_queue_bounds_hold_for_a_line_and_in_all(void **state)
{
	struct queue_settings set = usual;
	struct queue_entry e[4] = { 0 };
	struct queue_line x = { 0 }, y = { 0 };
	struct im_err err;
	struct queue q;

	(void)state;
	set.line_max = 2;
	set.all_max = 3;
	queue_init(&q, &set);
	join(&q, &x, &e[0], QUEUE_LOW, LATER);
	join(&q, &x, &e[1], QUEUE_HIGH, LATER);
	assert_int_equal(queue_admits(&q, &x, QUEUE_HIGH, LATER, NOW, &err), IM_EUNAVAILABLE);
	assert_string_equal(err.reason, "queue_full");
	assert_non_null(strstr(err.text, "router.queue_max"));
	assert_int_equal(err.retry_after_ms, QUEUE_RETRY_MS);
	join(&q, &y, &e[2], QUEUE_LOW, LATER);
	assert_int_equal(queue_admits(&q, &y, QUEUE_HIGH, LATER, NOW, &err), IM_EUNAVAILABLE);
	assert_non_null(strstr(err.text, "router.queue_all_max"));
	queue_leave(&q, &e[0]);
	assert_int_equal(queue_admits(&q, &y, QUEUE_HIGH, LATER, NOW, &err), IM_OK);
}

/* Ten wait in each class; two places are held for 500 ms each, on average. */
static void
busy_line(struct queue *q, struct queue_line *line, struct queue_entry e[3 * 10])
{
	queue_init(q, &usual);
	for (int i = 0; i < QUEUE_SAMPLES_MIN; i++) {
		queue_line_began(line);
		queue_line_ended(line, 500);
	}
	queue_line_began(line);
	queue_line_refused(line); /* changes nothing */
	queue_line_began(line);
	queue_line_began(line);
	for (int i = 0; i < 30; i++) {
		join(q, line, &e[i], (enum queue_class)(i % 3), LATER);
	}
}

static void
test_queue_deadline_that_cannot_be_met_is_refused_at_once(void **state)
{
	struct queue_entry e[30] = { 0 };
	struct queue_line line = { 0 };
	struct im_err err;
	struct queue q;

	(void)state;
	busy_line(&q, &line, e);
	/* Ten of its class and, meanwhile, all of the others: 20 or more × 500 ms / 2. With its deadline behind theirs. */
	assert_int_equal(queue_admits(&q, &line, QUEUE_NORMAL, LATER, LATER - 5400, &err),
			 IM_EUNAVAILABLE);
	assert_string_equal(err.reason, "deadline_unmeetable");
	assert_int_equal(err.retry_after_ms, 5500 - 5400); /* 10 + 10 high + 2 low = 22 × 250 */
	assert_int_equal(queue_admits(&q, &line, QUEUE_NORMAL, LATER, LATER - 5500, &err), IM_OK);
	/* The high class waits for 10 of its own, 5 normal and 1 low. */
	assert_int_equal(queue_admits(&q, &line, QUEUE_HIGH, LATER, LATER - 4000, &err), IM_OK);
	assert_int_equal(queue_admits(&q, &line, QUEUE_HIGH, LATER, LATER - 3999, &err),
			 IM_EUNAVAILABLE);
	/* Low: behind everybody. */
	assert_int_equal(queue_admits(&q, &line, QUEUE_LOW, LATER, LATER - 7499, &err),
			 IM_EUNAVAILABLE);
	assert_int_equal(queue_admits(&q, &line, QUEUE_LOW, LATER, LATER - 7500, &err), IM_OK);
	/* An earlier deadline than all others': nobody is known to go before it. */
	assert_int_equal(queue_admits(&q, &line, QUEUE_LOW, NOW + 10, NOW, &err), IM_OK);
}

static void
test_queue_without_data_refuses_nobody_for_its_deadline(void **state)
{
	struct queue_entry e[30] = { 0 };
	struct queue_line line = { 0 };
	struct queue q;

	(void)state;
	queue_init(&q, &usual);
	for (int i = 0; i < 30; i++) {
		join(&q, &line, &e[i], QUEUE_NORMAL, NOW);
	}
	for (int i = 0; i < QUEUE_SAMPLES_MIN - 1; i++) {
		queue_line_began(&line);
		queue_line_ended(&line, 60000);
	}
	queue_line_began(&line);
	assert_int_equal(queue_admits(&q, &line, QUEUE_NORMAL, NOW + 1, NOW, NULL), IM_OK);
	queue_line_ended(
	    &line, 60000); /* enough samples, but nothing is at work: why they wait is not known */
	assert_int_equal(queue_admits(&q, &line, QUEUE_NORMAL, NOW + 1, NOW, NULL), IM_OK);
	queue_line_began(&line);
	assert_int_equal(queue_admits(&q, &line, QUEUE_NORMAL, NOW + 1, NOW, NULL),
			 IM_EUNAVAILABLE);
}

static void
test_queue_full_says_when_a_place_may_come_free(void **state)
{
	struct queue_settings set = usual;
	struct queue_entry e[30] = { 0 };
	struct queue_line line = { 0 };
	struct im_err err;
	struct queue q;

	(void)state;
	busy_line(&q, &line, e);
	set.line_max = 30;
	q.set = set;
	assert_int_equal(queue_admits(&q, &line, QUEUE_HIGH, LATER, NOW, &err), IM_EUNAVAILABLE);
	assert_int_equal(err.retry_after_ms, 250);
}

static void
test_queue_class_of_priorities(void **state)
{
	(void)state;
	assert_int_equal(queue_class_of(0), QUEUE_NORMAL);
	assert_int_equal(queue_class_of(1), QUEUE_HIGH);
	assert_int_equal(queue_class_of(INT32_MAX), QUEUE_HIGH);
	assert_int_equal(queue_class_of(-1), QUEUE_LOW);
	assert_int_equal(queue_class_of(INT32_MIN), QUEUE_LOW);
	assert_string_equal(queue_class_text(QUEUE_HIGH), "high");
}

/* --- random queues against a plain list --- */

#define MANY 200

struct random_queue {
	struct prng p;
	struct queue q;
	struct queue_line lines[3];
	struct queue_entry e[MANY];
	uint64_t now_ms;
};

static void
check_random(struct random_queue *w)
{
	uint32_t all = 0, lines = 0;

	for (size_t l = 0; l < 3; l++) {
		uint32_t count = 0;

		for (size_t i = 0; i < MANY; i++) {
			count += w->e[i].line == &w->lines[l];
		}
		assert_int_equal(w->lines[l].count, count);
		assert_int_equal(list_linked(&w->lines[l].node), count > 0);
		all += count;
		lines += count > 0;
	}
	assert_int_equal(w->q.count, all);
	LIST_FOREACH (&w->q.lines, line, struct queue_line, node) {
		assert_true(line->count > 0);
		lines--;
	}
	assert_int_equal(lines, 0);
}

/* Nobody of the same line and class goes before 'got', by looking at all. */
static void
check_is_first(const struct random_queue *w, const struct queue_entry *got)
{
	for (size_t i = 0; i < MANY; i++) {
		const struct queue_entry *e = &w->e[i];

		if (e->line == got->line && e->cls == got->cls && e != got) {
			assert_true(e->deadline_ms > got->deadline_ms ||
				    (e->deadline_ms == got->deadline_ms && e->seq > got->seq));
		}
	}
}

static void
random_step(struct random_queue *w)
{
	struct queue_entry *e = &w->e[prng_below(&w->p, MANY)];
	struct queue_line *line = &w->lines[prng_below(&w->p, 3)];

	w->now_ms += prng_below(&w->p, 5);
	if (prng_below(&w->p, 3) == 0) {
		struct queue_entry *got = queue_next(line, anybody, NULL);

		if (got == NULL) {
			assert_int_equal(line->count, 0);
			return;
		}
		check_is_first(w, got);
		queue_take(&w->q, got, w->now_ms);
		got->picky = prng_below(&w->p, 4) == 0; /* if it waits again */
		got->seq = got->picky ? got->seq : 0;
	} else if (e->line != NULL) {
		queue_leave(&w->q, e);
		e->seq = 0;
		e->picky = false;
	} else {
		if (e->seq == 0) {
			e->cls = (enum queue_class)prng_below(&w->p, QUEUE_CLASSES);
			e->deadline_ms = w->now_ms + prng_below(&w->p, 50);
		}
		(void)!queue_join(&w->q, line, e, w->now_ms, NULL);
	}
}

static void
test_queue_random_lives_keep_order_and_counts(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct random_queue *w = calloc(1, sizeof(*w));
		struct queue_settings set = usual;

		assert_non_null(w);
		prng_seed(&w->p, seed);
		set.line_max = 60;
		set.all_max = 120;
		set.salt = seed;
		queue_init(&w->q, &set);
		for (int step = 0; step < 4000; step++) {
			random_step(w);
			check_random(w);
			assert_true(w->q.count <= MANY);
		}
		free(w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue_classes_share_places_by_weight),
		cmocka_unit_test(test_queue_idle_class_saves_nothing_up),
		cmocka_unit_test(test_queue_one_class_alone_gets_everything),
		cmocka_unit_test(test_queue_earliest_deadline_goes_first_then_who_came_first),
		cmocka_unit_test(
		    test_queue_retried_request_has_its_old_place_and_is_never_turned_away),
		cmocka_unit_test(
		    test_queue_retry_of_one_that_never_waited_stands_before_later_ones),
		cmocka_unit_test(test_queue_who_leaves_is_gone_at_once),
		cmocka_unit_test(test_queue_look_for_a_place_is_short_however_many_wait),
		cmocka_unit_test(
		    test_queue_class_that_cannot_go_lets_another_go_and_keeps_its_claim),
		cmocka_unit_test(test_queue_bounds_hold_for_a_line_and_in_all),
		cmocka_unit_test(test_queue_deadline_that_cannot_be_met_is_refused_at_once),
		cmocka_unit_test(test_queue_without_data_refuses_nobody_for_its_deadline),
		cmocka_unit_test(test_queue_full_says_when_a_place_may_come_free),
		cmocka_unit_test(test_queue_class_of_priorities),
		cmocka_unit_test(test_queue_random_lives_keep_order_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
