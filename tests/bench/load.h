/*
 * bench/load.h - the parts of the load generator: options, statistics, and the response reader.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_options {
	const char *host, *port, *path, *key;
	const char *body; /* "%d" in it becomes the request's number, "%z" so many bytes of text: */
	size_t filler;
	uint32_t connections;
	uint64_t requests;  /* 0 = by time */
	double seconds;     /* 0 = by count */
	double rate;        /* requests begun a second; 0 = as fast as the connections allow */
	double cancel;      /* share of requests whose client leaves at a random moment */
	uint32_t cancel_ms; /* the latest such moment */
	uint32_t timeout_ms;
	unsigned seed;
	const char *ledger; /* file for a line about each request; NULL = none */
};

enum load_result {
	LOAD_OK,           /* 200, whole; a stream with [DONE] */
	LOAD_HTTP_ERROR,   /* another status, whole */
	LOAD_STREAM_ERROR, /* an error event, then closed */
	LOAD_BROKEN,       /* closed before the end without an error event, or not HTTP */
	LOAD_CANCELLED,    /* we left */
	LOAD_TIMEOUT,
	LOAD_RESULTS,
};

extern const char *const load_result_names[LOAD_RESULTS];

/* Reads one HTTP/1.1 response; zero-initialised. Test code: it believes its server, but checks what it counts. */
struct response {
	int status;
	bool head_done, chunked, sse, close, saw_token, saw_done, saw_error, done;
	uint64_t body_left; /* of the body or the chunk */
	enum {
		CHUNK_SIZE,
		CHUNK_DATA,
		CHUNK_CRLF,
		CHUNK_TRAILER
	} chunk;
	char id[33]; /* x-request-id; "" = none came */
	char line[512];
	size_t line_len;
	char tail[16]; /* the last body bytes, to find marks that were cut */
	size_t tail_len;
	uint64_t body_bytes;
	uint64_t events; /* of an SSE stream, whole: each ends in an empty line */
};

/** Take 'len' bytes. False when they are no HTTP. r->done when the response is over. */
bool response_feed(struct response *r, const char *at, size_t len);

/* Microseconds by count, exact to 1/64. */
#define LOAD_BUCKETS 2048
struct histo {
	uint64_t count[LOAD_BUCKETS];
	uint64_t total, max;
};
void histo_add(struct histo *h, uint64_t us);
uint64_t histo_at(const struct histo *h, double share);

/* What came of a run. Zero-initialised. */
struct load_count {
	uint64_t ended, connects, took_us;
	uint64_t result[LOAD_RESULTS];
	uint64_t status[600];
	uint64_t longest_us; /* however it ended */
	uint64_t unbegun;    /* streams that ended in an error before the first token */
	uint64_t chunks;     /* events of streams */
	struct histo latency, first, gap;
};

/** Print it as one JSON line. */
void load_report(const struct load_count *n);

/** The command line. Ends the program with a message when it is wrong; the strings stay argv's. */
void load_options_parse(struct load_options *o, int argc, char **argv);

#endif
