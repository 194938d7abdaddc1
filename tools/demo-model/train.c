/*
 * demo-model/train.c - demo-train CORPUS WEIGHTS: one pass through the corpus, from nothing to weights. Says on stdout how it goes, keeps
 * a checkpoint beside WEIGHTS, and goes on from there when it was stopped. The number of threads changes the time, never a bit.
 */
#include "optimizer.h"
#include "reader.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LANES                                                                                      \
	4 /* always so many parts of a step, whatever the threads are: their sum is taken in this order */
#define LANE_TOKENS  1024
#define WARM_STEPS   60
#define COOLING      0.5f /* the last part of the pass, in which the rate falls to 0 */
#define MUON_RATE    0.02f
#define ADAM_RATE    0.004f
#define SAVE_STEPS   200
#define SPEAK_STEPS  20
#define THREADS_MOST LANES

struct trainer {
	struct shape s;
	struct reader reader;
	struct optimizer optimizer;
	float *weights, *gradient[LANES];
	struct lane *lane[LANES];
	struct batch batch[LANES];
	struct muon_room *muon[THREADS_MOST];
	double loss[LANES];
	float scale, pace; /* of the derivatives; of the rates: 0 to 1 */
	unsigned threads;
	atomic_size_t next; /* part of the work that nobody does yet */
	uint64_t seed;
};

struct helper {
	struct trainer *t;
	unsigned index;
	void (*work)(struct trainer *t, unsigned index);
};

static void *
helper_main(void *arg)
{
	struct helper *h = arg;

	h->work(h->t, h->index);
	return NULL;
}

/* Run 'work' on all threads; each takes parts by 't->next'. */
static void
together(struct trainer *t, void (*work)(struct trainer *t, unsigned index))
{
	pthread_t thread[THREADS_MOST];
	struct helper h[THREADS_MOST];
	bool begun[THREADS_MOST] = { false };

	atomic_store(&t->next, 0);
	for (unsigned i = 1; i < t->threads; i++) {
		h[i] = (struct helper){ t, i, work };
		begun[i] = pthread_create(&thread[i], NULL, helper_main, &h[i]) == 0;
	}
	work(t, 0); /* and what a thread that could not begin would have done */
	for (unsigned i = 1; i < t->threads; i++)
		if (begun[i])
			pthread_join(thread[i], NULL);
}

static void
derive(struct trainer *t, unsigned index)
{
	size_t i;

	(void)index;
	while ((i = atomic_fetch_add(&t->next, 1)) < LANES) {
		t->loss[i] = 0;
		if (t->batch[i].tokens > 0)
			t->loss[i] = lane_run(t->lane[i], t->weights, &t->batch[i], t->scale,
					      t->gradient[i]);
		else
			memset(t->gradient[i], 0, t->optimizer.floats * sizeof(float));
	}
}

static void
add_up(struct trainer *t, unsigned index)
{
	const size_t floats = t->optimizer.floats, part = 1 << 16;
	size_t i;

	(void)index;
	while ((i = atomic_fetch_add(&t->next, 1)) * part < floats) {
		const size_t end = (i + 1) * part < floats ? (i + 1) * part : floats;

		for (size_t lane = 1; lane < LANES; lane++)
			for (size_t k = i * part; k < end; k++)
				t->gradient[0][k] += t->gradient[lane][k];
	}
}

static void
move(struct trainer *t, unsigned index)
{
	size_t i;

	while ((i = atomic_fetch_add(&t->next, 1)) <= t->optimizer.matrices) {
		if (i == 0)
			optimizer_rest(&t->optimizer, t->weights, t->gradient[0],
				       ADAM_RATE * t->pace);
		else
			optimizer_matrix(&t->optimizer, i - 1, t->muon[index], t->weights,
					 t->gradient[0], MUON_RATE * t->pace);
	}
}

/* How fast to go after so much of the pass. */
static float
pace_at(uint32_t step, float done)
{
	const float warm = step < WARM_STEPS ? (float)(step + 1) / WARM_STEPS : 1.0f;
	const float left = (1.0f - done) / COOLING;

	return warm * (left < 1.0f ? left : 1.0f);
}

/* One step. Returns the tokens that counted, 0 at the end; adds to '*loss'. */
static size_t
step(struct trainer *t, double *loss)
{
	const float done = (float)t->reader.at / (float)t->reader.count;
	size_t learned = 0;

	for (size_t i = 0; i < LANES; i++)
		learned += reader_next(&t->reader, &t->batch[i], LANE_TOKENS);
	if (learned == 0)
		return 0;
	t->scale = 1.0f / (float)learned;
	t->pace = pace_at(t->optimizer.step, done);
	together(t, derive);
	together(t, add_up);
	t->optimizer.step++;
	together(t, move);
	for (size_t i = 0; i < LANES; i++)
		*loss += t->loss[i];
	return learned;
}

/* Write or read the state of a stopped run: false when that fails. */
static bool
state_io(struct trainer *t, FILE *f, bool writing)
{
	const size_t n = t->optimizer.floats;
	uint64_t head[] = { t->seed, t->reader.count, t->reader.at, t->optimizer.step, n };
	const uint64_t here[] = { t->seed, t->reader.count, 0, 0, n };
	float *part[] = { t->weights, t->optimizer.moment, t->optimizer.variance };

	if (writing) {
		bool ok = fwrite(head, sizeof(head), 1, f) == 1;

		for (size_t i = 0; ok && i < 3; i++)
			ok = fwrite(part[i], sizeof(float), n, f) == n;
		return ok;
	}
	if (fread(head, sizeof(head), 1, f) != 1 || head[0] != here[0] || head[1] != here[1] ||
	    head[4] != here[4])
		return false;
	for (size_t i = 0; i < 3; i++)
		if (fread(part[i], sizeof(float), n, f) != n)
			return false;
	t->reader.at = head[2];
	t->optimizer.step = (uint32_t)head[3];
	return true;
}

/* Write a file whole or not at all: the weights, or with 'state' all that a later run goes on with. */
static bool
save(struct trainer *t, const char *path, bool state)
{
	char part[4096];
	FILE *f;
	bool ok;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return false;
	f = fopen(part, "wbe");
	if (!f) {
		(void)fprintf(stderr, "demo-train: %s: %m\n", part);
		return false;
	}
	ok = state
		 ? state_io(t, f, true)
		 : fwrite(t->weights, sizeof(float), t->optimizer.floats, f) == t->optimizer.floats;
	ok = fclose(f) == 0 && ok && rename(part, path) == 0;
	if (!ok)
		(void)fprintf(stderr, "demo-train: %s could not be written: %m\n", path);
	return ok;
}

static void
go_on(struct trainer *t, const char *path)
{
	FILE *f = fopen(path, "rbe");

	if (!f)
		return;
	if (state_io(t, f, false))
		printf("going on after step %u\n", t->optimizer.step);
	else {
		printf("%s is of another run and is not used\n", path);
		weights_begin(&t->s, t->weights, t->seed);
		memset(t->optimizer.moment, 0, t->optimizer.floats * sizeof(float));
		memset(t->optimizer.variance, 0, t->optimizer.floats * sizeof(float));
	}
	(void)fclose(f); /* it was only read */
}

static bool
trainer_init(struct trainer *t, const char *corpus)
{
	if (!reader_open(&t->reader, corpus, &t->s) || !optimizer_init(&t->optimizer, &t->s) ||
	    t->optimizer.floats == 0)
		return false;
	t->weights = calloc(t->optimizer.floats, sizeof(float));
	for (size_t i = 0; i < LANES; i++) {
		t->lane[i] = lane_new(&t->s, LANE_TOKENS);
		t->gradient[i] = calloc(t->optimizer.floats, sizeof(float));
		if (!t->lane[i] || !t->gradient[i] || !batch_init(&t->batch[i], LANE_TOKENS))
			return false;
	}
	for (size_t i = 0; i < t->threads; i++) {
		t->muon[i] = muon_room_new(&t->s);
		if (!t->muon[i])
			return false;
	}
	if (!t->weights)
		return false;
	weights_begin(&t->s, t->weights, t->seed);
	return true;
}

static void
trainer_done(struct trainer *t)
{
	reader_close(&t->reader);
	optimizer_done(&t->optimizer);
	free(t->weights);
	for (size_t i = 0; i < LANES; i++) {
		lane_free(t->lane[i]);
		free(t->gradient[i]);
		batch_done(&t->batch[i]);
	}
	for (size_t i = 0; i < THREADS_MOST; i++)
		muon_room_free(t->muon[i]);
}

static double
cpu_seconds(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* only told, never used */
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool
train(struct trainer *t, const char *weights, const char *checkpoint)
{
	double loss = 0;
	size_t learned = 0, n;

	while ((n = step(t, &loss)) > 0) {
		learned += n;
		if (t->optimizer.step % SPEAK_STEPS == 0) {
			printf("step %u, %.1f %% of the corpus, loss %.4f, %.0f s of CPU\n",
			       t->optimizer.step,
			       100.0 * (double)t->reader.at / (double)t->reader.count,
			       loss / (double)learned, cpu_seconds());
			(void)fflush(stdout); /* for who watches a log */
			loss = 0;
			learned = 0;
		}
		if (t->optimizer.step % SAVE_STEPS == 0 && !save(t, checkpoint, true))
			return false;
	}
	printf("%u steps, %.0f s of CPU\n", t->optimizer.step, cpu_seconds());
	return save(t, weights, false);
}

static void
usage(FILE *to)
{
	(void)fputs(
	    "usage: demo-train [OPTION...] CORPUS WEIGHTS\n"
	    "  --vocabulary N, --width N, --layers N, --heads N, --hidden N   the model's shape\n"
	    "  --threads N   at most 4 (2); the result does not depend on it\n"
	    "  --seed N      of the first weights (1)\n",
	    to);
}

/* What the command line says. Returns the exit status, or -1 to go on. */
static int
options_read(struct trainer *t, size_t *threads, size_t *seed, int argc, char **argv)
{
	static const struct option options[] = {
		{ "vocabulary", 1, NULL, 0 }, { "width", 1, NULL, 0 },  { "layers", 1, NULL, 0 },
		{ "heads", 1, NULL, 0 },      { "hidden", 1, NULL, 0 }, { "threads", 1, NULL, 0 },
		{ "seed", 1, NULL, 0 },       { "help", 0, NULL, 'h' }, { 0 },
	};
	const struct {
		size_t *value, least, most;
	} bounds[] = {
		{ &t->s.vocabulary, 1, 0x7fff }, { &t->s.width, 32, 4096 },
		{ &t->s.layers, 1, 64 },         { &t->s.heads, 1, 64 },
		{ &t->s.hidden, 32, 16384 },     { threads, 1, THREADS_MOST },
		{ seed, 1, 1u << 30 },
	};
	int option, which = 0;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread yet */
	while ((option = getopt_long(argc, argv, "h", options, &which)) == 0) {
		char *end;
		const unsigned long n = strtoul(optarg, &end, 10);

		if (*optarg == '\0' || *end != '\0' || n < bounds[which].least ||
		    n > bounds[which].most) {
			(void)fprintf(
			    stderr, "demo-train: --%s '%s' is no number from %zu to %zu\n",
			    options[which].name, optarg, bounds[which].least, bounds[which].most);
			return 2;
		}
		*bounds[which].value = n;
	}
	if (option == -1 && argc - optind == 2 && t->s.width % (2 * t->s.heads) == 0 &&
	    t->s.width % 32 == 0 && t->s.hidden % 32 == 0)
		return -1;
	usage(option == 'h' ? stdout : stderr);
	return option == 'h' ? 0 : 2;
}

int
main(int argc, char **argv)
{
	struct trainer t = { .s = { 2048, 192, 4, 6, 512, 384 } };
	size_t threads = 2, seed = 1;
	char checkpoint[4096];
	int status = options_read(&t, &threads, &seed, argc, argv);

	if (status >= 0)
		return status;
	t.threads = (unsigned)threads;
	t.seed = seed;
	status = 1;
	if (snprintf(checkpoint, sizeof(checkpoint), "%s.checkpoint", argv[optind + 1]) >=
	    (int)sizeof(checkpoint))
		(void)fputs("demo-train: that path is too long\n", stderr);
	else if (!trainer_init(&t, argv[optind]))
		(void)fputs("demo-train: could not begin\n", stderr);
	else {
		printf("%zu weights, %zu dialogues, %zu tokens\n", t.optimizer.floats,
		       t.reader.dialogues, t.reader.tokens);
		go_on(&t, checkpoint);
		status = train(&t, argv[optind + 1], checkpoint) ? 0 : 1;
	}
	trainer_done(&t);
	return status;
}
