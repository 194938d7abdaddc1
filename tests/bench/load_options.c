/*
 * bench/load_options.c - the command line of the load generator and the line it prints; see load.h.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

const char *const load_result_names[LOAD_RESULTS] = { "ok",     "http_error", "stream_error",
						      "broken", "cancelled",  "timeout" };

static void
usage(int status)
{
	fputs(
	    "usage: infermesh-load [OPTION...] HOST:PORT\n"
	    "Sends chat completions, in a closed loop or at a rate, and prints one JSON line: how each ended, rates, latencies.\n\n"
	    "  -c N        connections (64)\n"
	    "  -n N        requests; or\n"
	    "  -t SECONDS  duration (10)\n"
	    "  -r RATE     so many requests a second, their times counted from when each was due (as many as the connections can)\n"
	    "  -k KEY      API key\n"
	    "  -b BODY     JSON body; %d in it becomes the request's number, %z so many bytes of text:\n"
	    "  -z BYTES    (0)\n"
	    "  -p PATH     path (/v1/chat/completions)\n"
	    "  -x SHARE    share of requests whose client leaves (0)\n"
	    "  -m MS       the latest moment to leave (100)\n"
	    "  -w MS       give up after so long (30000)\n"
	    "  -s SEED     of the random numbers (1)\n"
	    "  -l FILE     a line for each request, when it ended: x-request-id or -, status, how it ended\n",
	    status == 0 ? stdout : stderr);
	exit(status);
}

static void
option(struct load_options *o, int opt, const char *arg)
{
	switch (opt) {
	case 'c':
		o->connections = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'n':
		o->requests = strtoull(arg, NULL, 10);
		break;
	case 'r':
		o->rate = strtod(arg, NULL);
		break;
	case 't':
		o->seconds = strtod(arg, NULL);
		break;
	case 'k':
		o->key = arg;
		break;
	case 'b':
		o->body = arg;
		break;
	case 'p':
		o->path = arg;
		break;
	case 'x':
		o->cancel = strtod(arg, NULL);
		break;
	case 'm':
		o->cancel_ms = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'w':
		o->timeout_ms = (uint32_t)strtoul(arg, NULL, 10);
		break;
	case 'l':
		o->ledger = arg;
		break;
	case 'z':
		o->filler = strtoull(arg, NULL, 10);
		break;
	case 's':
		o->seed = (unsigned)strtoul(arg, NULL, 10);
		break;
	default:
		usage(opt == 'h' ? 0 : 2);
	}
}

void
load_options_parse(struct load_options *o, int argc, char **argv)
{
	char *colon = NULL;
	int opt;

	*o = (struct load_options){
		.connections = 64,
		.seconds = 10,
		.path = "/v1/chat/completions",
		.body =
		    "{\"model\":\"instant\",\"messages\":[{\"role\":\"user\",\"content\":\"hello %d\"}]}",
		.cancel_ms = 100,
		.timeout_ms = 30000,
		.seed = 1
	};
	while ((opt = getopt(argc, argv, "c:n:t:r:k:b:z:p:x:m:w:s:l:h")) != -1)
		option(o, opt, optarg);
	if (optind + 1 != argc || (colon = strrchr(argv[optind], ':')) == NULL ||
	    o->connections == 0)
		usage(2);
	*colon = '\0';
	o->host = argv[optind];
	o->port = colon + 1;
}

static void
print_histo(const char *name, const struct histo *h)
{
	printf(",\"%s\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu}", name,
	       (unsigned long long)histo_at(h, .5), (unsigned long long)histo_at(h, .9),
	       (unsigned long long)histo_at(h, .99), (unsigned long long)h->max);
}

void
load_report(const struct load_count *n)
{
	double seconds = (double)n->took_us / 1e6;
	const char *sep = "";

	printf("{\"requests\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"connects\":%llu",
	       (unsigned long long)n->ended, seconds, (double)n->ended / seconds,
	       (unsigned long long)n->connects);
	for (int i = 0; i < LOAD_RESULTS; i++)
		printf(",\"%s\":%llu", load_result_names[i], (unsigned long long)n->result[i]);
	printf(",\"status\":{");
	for (int i = 0; i < 600; i++)
		if (n->status[i] != 0) {
			printf("%s\"%d\":%llu", sep, i, (unsigned long long)n->status[i]);
			sep = ",";
		}
	printf("},\"longest_us\":%llu,\"unbegun\":%llu", (unsigned long long)n->longest_us,
	       (unsigned long long)n->unbegun);
	printf(",\"chunks\":%llu,\"chunks_per_second\":%.1f", (unsigned long long)n->chunks,
	       (double)n->chunks / seconds);
	print_histo("latency_us", &n->latency);
	print_histo("first_byte_us", &n->first);
	print_histo("gap_us", &n->gap);
	printf("}\n");
}
