/*
 * cache/trace.c - traces and other ways of evicting; see trace.h.
 */
#include "cache/trace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

static void *
need(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (p == NULL) {
		(void)fprintf(stderr, "cache_bench: no memory\n");
		exit(1); // NOLINT(concurrency-mt-unsafe): there is one thread
	}
	return p;
}

void
trace_init(struct trace *t, size_t len)
{
	*t = (struct trace){ .at = need(len, sizeof(*t->at)), .len = len };
}

void
trace_done(struct trace *t)
{
	free(t->at);
}

/* sums[i]: probability of ranks up to i. */
static double *
zipf_sums(uint32_t questions, double s)
{
	double *sums = need(questions, sizeof(*sums)), sum = 0;

	for (uint32_t i = 0; i < questions; i++)
		sums[i] = sum += pow(i + 1, -s);
	for (uint32_t i = 0; i < questions; i++)
		sums[i] /= sum;
	return sums;
}

static uint32_t
zipf_draw(const double *sums, uint32_t questions, struct prng *rng)
{
	double u = prng_unit(rng);
	uint32_t low = 0, high = questions - 1;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (sums[mid] < u)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void
trace_zipf(struct trace *t, struct prng *rng, uint32_t questions, double s)
{
	trace_scans(t, rng, questions, s, t->len, 0);
}

void
trace_scans(struct trace *t, struct prng *rng, uint32_t questions, double s, size_t every,
	    size_t scan)
{
	double *sums = zipf_sums(questions, s);
	size_t i = 0;

	t->questions = questions;
	while (i < t->len) {
		for (size_t k = 0; k < every && i < t->len; k++)
			t->at[i++] = zipf_draw(sums, questions, rng);
		for (size_t k = 0; k < scan && i < t->len; k++)
			t->at[i++] = t->questions++;
	}
	free(sums);
}

void
trace_shifts(struct trace *t, struct prng *rng, uint32_t questions, double s, size_t every)
{
	double *sums = zipf_sums(questions, s);
	uint32_t step = questions / 10;

	t->questions = questions + (uint32_t)(t->len / every + 1) * step;
	for (size_t i = 0; i < t->len; i++)
		t->at[i] = zipf_draw(sums, questions, rng) + (uint32_t)(i / every) * step;
	free(sums);
}

/* Queues of questions. */

struct kept {
	struct list order;
	bool here, asked;
};

size_t
trace_lru(const struct trace *t, size_t room)
{
	struct kept *all = need(t->questions, sizeof(*all));
	size_t hits = 0, used = 0;
	struct list order;

	list_init(&order);
	for (size_t i = 0; i < t->len; i++) {
		struct kept *k = &all[t->at[i]];

		hits += k->here;
		if (k->here)
			list_remove(&k->order);
		else if (used == room)
			CONTAINER_OF(list_pop_front(&order), struct kept, order)->here = false;
		else
			used++;
		k->here = true;
		list_push_back(&order, &k->order);
	}
	free(all);
	return hits;
}

/* The one that the hand stops at, which moves on. */
static struct kept *
sieve_victim(struct list *order, struct list **hand)
{
	for (;; *hand = (*hand)->next) {
		struct kept *k = CONTAINER_OF(*hand, struct kept, order);

		if (*hand == order)
			continue;
		if (!k->asked) {
			*hand = (*hand)->next;
			return k;
		}
		k->asked = false;
	}
}

size_t
trace_sieve(const struct trace *t, size_t room)
{
	struct kept *all = need(t->questions, sizeof(*all));
	struct list order, *hand = &order;
	size_t hits = 0, used = 0;

	list_init(&order);
	for (size_t i = 0; i < t->len; i++) {
		struct kept *k = &all[t->at[i]];

		hits += k->here;
		k->asked = k->here;
		if (k->here)
			continue;
		if (used == room) {
			struct kept *victim = sieve_victim(&order, &hand);

			list_remove(&victim->order);
			victim->here = false;
		} else {
			used++;
		}
		k->here = true;
		list_push_back(&order, &k->order);
	}
	free(all);
	return hits;
}

/* Belady: a heap of (next use, question), the farthest first; one that is out of date is skipped when it comes up. */

struct use {
	uint32_t next, question;
};

struct heap {
	struct use *at;
	size_t len;
};

static void
heap_push(struct heap *h, struct use u)
{
	size_t i = h->len++;

	for (; i > 0 && h->at[(i - 1) / 2].next < u.next; i = (i - 1) / 2)
		h->at[i] = h->at[(i - 1) / 2];
	h->at[i] = u;
}

static struct use
heap_pop(struct heap *h)
{
	struct use top = h->at[0], last = h->at[--h->len];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= h->len)
			break;
		if (child + 1 < h->len && h->at[child + 1].next > h->at[child].next)
			child++;
		if (h->at[child].next <= last.next)
			break;
		h->at[i] = h->at[child];
		i = child;
	}
	h->at[i] = last;
	return top;
}

size_t
trace_belady(const struct trace *t, size_t room)
{
	uint32_t *next = need(t->len, sizeof(*next)); /* of each place in the trace */
	uint32_t *due = need(t->questions, sizeof(*due));
	bool *here = need(t->questions, sizeof(*here));
	struct heap heap = { .at = need(t->len, sizeof(*heap.at)) };
	size_t hits = 0, used = 0;

	memset(due, 0xff, t->questions * sizeof(*due));
	for (size_t i = t->len; i-- > 0;) {
		next[i] = due[t->at[i]];
		due[t->at[i]] = (uint32_t)i;
	}
	for (size_t i = 0; i < t->len; i++) {
		uint32_t q = t->at[i];

		hits += here[q];
		if (!here[q] && used == room) {
			struct use u = heap_pop(&heap);

			while (!here[u.question] || due[u.question] != u.next)
				u = heap_pop(&heap);
			here[u.question] = false;
		} else if (!here[q]) {
			used++;
		}
		here[q] = true;
		due[q] = next[i];
		heap_push(&heap, (struct use){ next[i], q });
	}
	free(next);
	free(due);
	free(here);
	free(heap.at);
	return hits;
}

static int
by_count(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

size_t
trace_most_asked(const struct trace *t, size_t room)
{
	uint32_t *count = need(t->questions, sizeof(*count));
	size_t hits = 0;

	for (size_t i = 0; i < t->len; i++)
		count[t->at[i]]++;
	qsort(count, t->questions, sizeof(*count), by_count);
	for (size_t i = 0; i < room && i < t->questions; i++)
		hits += count[i] > 0 ? count[i] - 1 : 0; /* the first one is no hit */
	free(count);
	return hits;
}
