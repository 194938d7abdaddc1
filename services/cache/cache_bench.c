/*
 * cache/cache_bench.c - the memory tier and the frames of values, measured by themselves: './dev bench cache'.
 *
 * usage: cache_bench [--trace] [--json] [--seed N]
 *
 * --trace: hits of L1 in traces of a million questions, against LRU, SIEVE and Belady. Else: how long a hit takes, how memory keeps
 * to its bound, and what packing costs and saves. Exits 1 where a figure misses what docs/cache.md promises of it.
 */
#include <lz4.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "cache/blocks.h"
#include "cache/l1.h"
#include "cache/trace.h"
#include "cache/value.h"

#define QUESTIONS   10000U
#define TRACE_LEN   1000000
#define HIT_HOT     1000 /* answers: a tenth of 10,000 questions */
#define HIT_MANY    20000
#define HIT_TIMES   20000
#define HIT_ROUNDS  9
#define HIT_MAX_NS  1000
#define BOUND_BYTES ((size_t)64 << 20)
#define BOUND_OPS   10000000
#define TEXT_MAX    ((size_t)256 << 10)
#define DICT_BYTES  16384
#define HEAD_BYTES  (VALUE_HEADER_BYTES + 16) /* with the names of a tenant and a model */

static bool json, failed;
static uint64_t seed = 1;
static struct buf lines; /* of JSON */

static void
die(const char *what)
{
	(void)fprintf(stderr, "cache_bench: %s\n", what);
	exit(2); // NOLINT(concurrency-mt-unsafe): there is one thread
}

static void
key_of(uint32_t n, uint8_t key[CACHE_KEY_BYTES])
{
	uint64_t state = n;

	for (size_t i = 0; i < CACHE_KEY_BYTES; i += 8) {
		uint64_t word = prng_splitmix(&state);

		memcpy(key + i, &word, 8);
	}
}

static struct l1 *
l1_of(size_t max_bytes)
{
	struct l1 *l1;

	if (l1_new(max_bytes, &l1) != IM_OK)
		die("no memory");
	return l1;
}

/* Traces. */

static size_t
trace_l1(const struct trace *t, size_t room)
{
	static const uint8_t data[100];
	struct l1 *l1 = l1_of(room * l1_cost(sizeof(data)));
	size_t hits = 0;

	for (size_t i = 0; i < t->len; i++) {
		uint8_t key[CACHE_KEY_BYTES];
		struct l1_found found;

		key_of(t->at[i], key);
		if (l1_get(l1, key, 0, &found))
			hits++;
		else if (l1_put(l1, key, data, sizeof(data), 0, 1000) != IM_OK)
			die("an entry does not fit");
	}
	l1_free(l1);
	return hits;
}

static double
percent(size_t hits)
{
	return 100.0 * (double)hits / TRACE_LEN;
}

/* One line. L1 has at least as many hits as LRU, less 'slack' points, and at least 'min' percent; within 'near' points of Belady
 * if that is above 0. */
static void
judge(const char *name, const struct trace *t, size_t room, double slack, double min, double near)
{
	double l1 = percent(trace_l1(t, room)), lru = percent(trace_lru(t, room));
	double sieve = percent(trace_sieve(t, room)), belady = percent(trace_belady(t, room));
	double most = percent(trace_most_asked(t, room));
	bool good = l1 >= lru - slack && l1 >= min && (near == 0 || l1 >= belady - near);

	failed = failed || !good;
	(void)buf_printf(&lines,
			 "%s{\"trace\":\"%s\",\"room\":%zu,\"l1\":%.2f,\"lru\":%.2f,\"sieve\":%.2f,"
			 "\"most_asked\":%.2f,\"belady\":%.2f,\"ok\":%s}",
			 lines.len > 0 ? "," : "", name, room, l1, lru, sieve, most, belady,
			 good ? "true" : "false");
	if (!json)
		(void)printf("| %-28s | %5zu | %5.1f | %5.1f | %5.1f | %5.1f | %5.1f | %s |\n",
			     name, room, l1, lru, sieve, most, belady, good ? "ok" : "MISSED");
}

static void
bench_traces(void)
{
	static const double skews[] = { 0.8, 0.9, 1.0, 1.1, 1.2 };
	struct prng rng;
	struct trace t;

	prng_seed(&rng, seed);
	trace_init(&t, TRACE_LEN);
	if (!json)
		(void)printf(
		    "Hits in %%, %d questions asked of %u different ones, seed %llu\n\n"
		    "| trace                        | room  | L1    | LRU   | SIEVE | most asked | Belady | |\n"
		    "|---|---|---|---|---|---|---|---|\n",
		    TRACE_LEN, QUESTIONS, (unsigned long long)seed);
	for (size_t i = 0; i < sizeof(skews) / sizeof(skews[0]); i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "Zipf %.1f", skews[i]);
		trace_zipf(&t, &rng, QUESTIONS, skews[i]);
		judge(name, &t, QUESTIONS / 10, 0, skews[i] == 1.0 ? 60 : 0, 0);
		if (skews[i] != 1.0)
			continue;
		judge(name, &t, QUESTIONS / 100, 0, 0, 0);
		judge(name, &t, QUESTIONS / 4, 0, 0, 0);
		judge(name, &t, QUESTIONS / 2, 0, 0, 5);
	}
	trace_scans(&t, &rng, QUESTIONS, 1.0, 20000, 5000);
	judge("Zipf 1.0, scans of 5,000", &t, QUESTIONS / 10, 0, 0, 0);
	trace_scans(&t, &rng, QUESTIONS, 1.0, 2, 1);
	judge("Zipf 1.0, a third asked once", &t, QUESTIONS / 10, 0, 0, 0);
	trace_shifts(&t, &rng, QUESTIONS, 1.0, 50000);
	judge("Zipf 1.0, shifts each 50,000", &t, QUESTIONS / 10, 0, 0, 0);
	trace_shifts(&t, &rng, QUESTIONS, 1.0, 10000);
	judge("Zipf 1.0, shifts each 10,000", &t, QUESTIONS / 10, 0, 0, 0);
	trace_shifts(&t, &rng, QUESTIONS, 1.0, 5000);
	judge("Zipf 1.0, shifts each 5,000", &t, QUESTIONS / 10, 0.5, 0, 0);
	trace_done(&t);
}

/* Texts like answers: this project's documents. */

static char text[TEXT_MAX];
static size_t text_len;

static void
read_texts(void)
{
	static const char *const names[] = { "docs/routing.md", "docs/audit-log.md", "docs/wire.md",
					     "ARCHITECTURE.md", "README.md" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		FILE *f = fopen(names[i], "re");

		if (f == NULL)
			die("run it at the root of the repository: the texts that it packs are there");
		text_len += fread(text + text_len, 1, sizeof(text) - text_len, f);
		(void)fclose(f);
	}
	if (text_len < (size_t)5 * DICT_BYTES)
		die("the texts are too short");
}

/* A hit. */

static int
by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_double);
	return v[n / 2];
}

enum step {
	STEP_FIND,
	STEP_CHECK,
	STEP_UNPACK
};

/* Nanoseconds of one hit, entries in an order that no processor's cache foresees. */
static double
hit_ns(struct l1 *l1, const uint32_t *order, size_t entries, enum step step, struct buf *out)
{
	double ns[HIT_ROUNDS];

	for (size_t round = 0; round < HIT_ROUNDS; round++) {
		uint64_t begin_us = clock_mono_us();

		for (size_t i = 0; i < HIT_TIMES; i++) {
			uint8_t key[CACHE_KEY_BYTES];
			struct value_meta meta;
			struct l1_found found;

			key_of(order[i % entries], key);
			buf_clear(out);
			if (!l1_get(l1, key, 0, &found) ||
			    (step == STEP_CHECK &&
			     value_check(key, found.data, found.len, &meta) != IM_OK) ||
			    (step == STEP_UNPACK &&
			     value_unpack(key, found.data, found.len, 1 << 20, NULL, out) != IM_OK))
				die("an entry is gone");
		}
		ns[round] = (double)(clock_mono_us() - begin_us) * 1000 / HIT_TIMES;
	}
	return median(ns, HIT_ROUNDS);
}

static void
bench_hit(size_t len, size_t entries)
{
	struct l1 *l1 = l1_of((size_t)1 << 30);
	static uint32_t order[HIT_MANY];
	struct buf frame = { 0 };
	struct prng rng;
	double find, check, unpack;

	prng_seed(&rng, seed);
	for (uint32_t i = 0; i < entries; i++) {
		uint8_t key[CACHE_KEY_BYTES];
		const struct value_meta meta = { .key = key };
		uint32_t k = prng_below(&rng, i + 1);

		key_of(i, key);
		buf_clear(&frame);
		if (value_pack(&meta, (const uint8_t *)text + i % (text_len - len), len, &frame) !=
			IM_OK ||
		    l1_put(l1, key, frame.data, frame.len, 0, 1000) != IM_OK)
			die("an entry does not fit");
		order[i] = order[k];
		order[k] = i;
	}
	find = hit_ns(l1, order, entries, STEP_FIND, &frame);
	check = hit_ns(l1, order, entries, STEP_CHECK, &frame);
	unpack = hit_ns(l1, order, entries, STEP_UNPACK, &frame);
	failed = failed || (len == 4096 && entries == HIT_HOT && check > HIT_MAX_NS);
	(void)buf_printf(
	    &lines,
	    "%s{\"hit_bytes\":%zu,\"answers\":%zu,\"find_ns\":%.0f,\"check_ns\":%.0f,\"unpack_ns\":%.0f}",
	    lines.len > 0 ? "," : "", len, entries, find, check, unpack);
	if (!json)
		(void)printf("| %6zu | %6zu | %6.0f | %6.0f | %6.0f |\n", len, entries, find, check,
			     unpack);
	buf_done(&frame);
	l1_free(l1);
}

/* Memory. */

static size_t
resident_bytes(void)
{
	char line[128] = "", *at;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		die("/proc/self/statm cannot be read");
	(void)fclose(f);
	(void)strtoul(line, &at, 10); /* the size; resident pages follow */
	return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void
bench_bound(void)
{
	struct l1 *l1 = l1_of(BOUND_BYTES);
	static uint8_t data[1 << 16];
	size_t before = resident_bytes(), most = before;
	struct l1_counters n;
	struct prng rng;
	double over;

	prng_seed(&rng, seed);
	for (size_t i = 0; i < BOUND_OPS; i++) {
		uint8_t key[CACHE_KEY_BYTES];
		struct l1_found found;
		/* Lengths from 100 bytes to 60 KiB, short ones more often; the mean drifts, which is what makes holes. */
		double octaves = prng_unit(&rng) * (4 + 5 * (double)(i % 1000000) / 1000000);
		size_t len = (size_t)(100 * pow(2, octaves));

		key_of(prng_below(&rng, 100000), key);
		if (!l1_get(l1, key, i / 100, &found) &&
		    l1_put(l1, key, data, len, i / 100, 5000) != IM_OK)
			die("an entry does not fit");
		if (i % 1000 == 0) {
			size_t now = resident_bytes();

			(void)l1_sweep(l1, i / 100, 1000);
			most = now > most ? now : most;
		}
	}
	most -= before;
	l1_counters(l1, &n);
	over = 100.0 * ((double)most / BOUND_BYTES - 1);
	failed = failed || over > 10;
	(void)buf_printf(
	    &lines,
	    ",{\"operations\":%d,\"bound_bytes\":%zu,\"most_resident_bytes\":%zu,\"over\":%.1f}",
	    BOUND_OPS, BOUND_BYTES, most, over);
	if (!json)
		(void)printf(
		    "Memory over %d operations, values of 100 bytes to 50 KiB: at most %.1f MiB "
		    "resident, the bound is %.1f MiB (%+.1f %%); %llu evicted, %llu expired\n\n",
		    BOUND_OPS, (double)most / (1 << 20), (double)BOUND_BYTES / (1 << 20), over,
		    (unsigned long long)n.evicted, (unsigned long long)n.expired);
	l1_free(l1);
}

/* Packing. */

struct codec {
	const char *name;
	int (*pack)(const char *raw, int len, char *out, int room);
	int (*unpack)(const char *packed, int len, char *out, int room);
};

static LZ4_stream_t *dict_stream;
static ZSTD_CCtx *zstd_in;
static ZSTD_DCtx *zstd_out;

static int
copy(const char *from, int len, char *out, int room)
{
	(void)room;
	memcpy(out, from, (size_t)len);
	return len;
}

static int
pack_dict(const char *raw, int len, char *out, int room)
{
	LZ4_stream_t working = *dict_stream; /* 16 KiB: cheaper than to load it again */

	return LZ4_compress_fast_continue(&working, raw, out, len, room, 1);
}

static int
unpack_dict(const char *packed, int len, char *out, int room)
{
	return LZ4_decompress_safe_usingDict(packed, out, len, room, text, DICT_BYTES);
}

static int
pack_zstd(const char *raw, int len, char *out, int room)
{
	return (int)ZSTD_compressCCtx(zstd_in, out, (size_t)room, raw, (size_t)len, 1);
}

static int
unpack_zstd(const char *packed, int len, char *out, int room)
{
	return (int)ZSTD_decompressDCtx(zstd_out, out, (size_t)room, packed, (size_t)len);
}

/* Of memory, that an answer packed to 'n' bytes takes with its head. */
static size_t
blocks_of(int n)
{
	return ((size_t)n + HEAD_BYTES + BLOCK_DATA - 1) / BLOCK_DATA;
}

static void
bench_codec(const struct codec *c, int len)
{
	enum {
		TIMES = 4000
	};
	static char packed[TEXT_MAX], raw[TEXT_MAX];
	const char *end = text + text_len - len;
	double pack_us = 0, unpack_us = 0, bytes = 0, blocks = 0;
	const char *at = text + DICT_BYTES;

	for (int i = 0; i < TIMES; i++, at += 997) {
		uint64_t t0, t1;
		int n;

		if (at > end)
			at -= (size_t)(end - text) - DICT_BYTES;
		t0 = clock_mono_us();
		for (int k = 0; k < 4; k++)
			n = c->pack(at, len, packed, sizeof(packed));
		t1 = clock_mono_us();
		for (int k = 0; k < 4; k++)
			if (c->unpack(packed, n, raw, sizeof(raw)) != len ||
			    memcmp(raw, at, 16) != 0)
				die("a codec does not give back what it got");
		unpack_us += (double)(clock_mono_us() - t1) / 4;
		pack_us += (double)(t1 - t0) / 4;
		bytes += n;
		blocks += (double)blocks_of(n < len ? n : len);
	}
	(void)buf_printf(
	    &lines,
	    ",{\"codec\":\"%s\",\"bytes\":%d,\"packed\":%.3f,\"blocks\":%.2f,\"pack_us\":%.2f,\"unpack_us\":%.2f}",
	    c->name, len, bytes / TIMES / len, blocks / TIMES, pack_us / TIMES, unpack_us / TIMES);
	if (!json)
		(void)printf("| %6d | %-8s | %5.1f | %6.2f | %6.2f | %6.2f |\n", len, c->name,
			     100 * bytes / TIMES / len, blocks / TIMES, pack_us / TIMES,
			     unpack_us / TIMES);
}

static int
pack_lz4(const char *raw, int len, char *out, int room)
{
	return LZ4_compress_default(raw, out, len, room);
}

static int
unpack_lz4(const char *packed, int len, char *out, int room)
{
	return LZ4_decompress_safe(packed, out, len, room);
}

static void
bench_codecs(void)
{
	static const struct codec codecs[] = { { "none", copy, copy },
					       { "lz4", pack_lz4, unpack_lz4 },
					       { "lz4+dict", pack_dict, unpack_dict },
					       { "zstd-1", pack_zstd, unpack_zstd } };
	static const int sizes[] = { 256, 512, 1024, 2048, 4096, 16384 };

	dict_stream = LZ4_createStream();
	zstd_in = ZSTD_createCCtx();
	zstd_out = ZSTD_createDCtx();
	if (dict_stream == NULL || zstd_in == NULL || zstd_out == NULL)
		die("no memory");
	(void)LZ4_loadDict(dict_stream, text, DICT_BYTES);
	if (!json)
		(void)printf(
		    "\n| bytes | codec | packed to %% | blocks | pack us | unpack us |\n|---|---|---|---|---|---|\n");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++)
			bench_codec(&codecs[i], sizes[s]);
	(void)LZ4_freeStream(dict_stream);
	(void)ZSTD_freeCCtx(zstd_in);
	(void)ZSTD_freeDCtx(zstd_out);
}

int
main(int argc, char **argv)
{
	bool traces = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0)
			traces = true;
		else if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else
			die("usage: cache_bench [--trace] [--json] [--seed N]");
	}
	if (traces) {
		bench_traces();
	} else {
		bench_bound(); /* first: nothing else has made holes */
		read_texts();
		if (!json)
			(void)printf(
			    "| bytes | answers | found, ns | and checked | and unpacked |\n|---|---|---|---|---|\n");
		bench_hit(1024, HIT_HOT);
		bench_hit(4096, HIT_HOT);
		bench_hit(16384, HIT_HOT);
		bench_hit(4096, HIT_MANY);
		bench_codecs();
	}
	if (json)
		(void)printf("[%s]\n", buf_cstr(&lines));
	buf_done(&lines);
	return failed ? 1 : 0;
}
