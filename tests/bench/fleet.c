/*
 * bench/fleet.c - infermesh-fleet: many workers in one process, for measuring what it costs a router that there are many. Each has a
 * link of its own, announces itself once a second as infermesh-inference does, and answers at once. It looks at no request.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "net/net.h"
#include "wire/generate.h"
#include "wire/mesh.h"

#define ANNOUNCE_US 1000000
#define CAPACITY    1024
#define COUNT_MAX   4000

struct member {
	struct loop_timer tick;
	struct link *link; /* NULL: not connected */
	uint32_t requests;
	bool announcing;
	char name[16];
};

static struct {
	struct loop *loop;
	struct buf answer, end, scratch;
} g;

static void
die(const char *why)
{
	(void)fprintf(stderr, "infermesh-fleet: %s\n", why);
	exit(1);
}

static void
on_announced(void *user, struct call *call, const struct im_err *err, const uint8_t *body,
	     size_t len)
{
	struct member *m = user;

	(void)call;
	(void)body;
	(void)len;
	m->announcing = false;
	if (err != NULL && err->rc != IM_EUNAVAILABLE)
		die(err->text);
}

static void
announce(struct member *m)
{
	static const struct call_ops ops = { .end = on_announced };
	struct model_info model = { .id = "instant", .owned_by = "bench", .digest = "" };
	struct announce a = { .worker = m->name,
			      .backend = "upstream",
			      .models = &model,
			      .model_count = 1,
			      .load = { .capacity = CAPACITY, .has_own = true } };
	struct call_request req = { .method = METHOD_ANNOUNCE, .budget_ms = 10000 };
	struct call *call;

	if (m->link == NULL || m->announcing)
		return;
	buf_clear(&g.scratch);
	announce_encode(&a, &g.scratch);
	req.body = g.scratch.data;
	req.body_len = g.scratch.len;
	m->announcing = call_start(m->link, &req, &ops, m, &call, NULL) == IM_OK;
}

static void
on_tick(void *arg)
{
	struct member *m = arg;

	announce(m);
	if (loop_timer_set(g.loop, &m->tick, ANNOUNCE_US) != IM_OK)
		die("no memory");
}

static void
on_up(void *user, struct link *link)
{
	struct member *m = user;

	m->link = link;
	announce(m);
}

static void
on_down(void *user, struct link *link, const struct im_err *why)
{
	struct member *m = user;

	(void)link;
	(void)why;
	m->link = NULL;
}

static void
on_request(void *user, struct link *link, struct served *served, const struct served_request *req)
{
	struct member *m = user;

	(void)link;
	(void)req;
	m->requests++;
	/* A failure to send is the caller's to notice. */
	(void)!served_send(served, g.answer.data, g.answer.len);
	served_end(served, NULL, g.end.data, g.end.len);
}

static void
make_answer(void)
{
	struct delta deltas[] = { { .role = "assistant", .content = "Hello world world world" },
				  { .finish_reason = "stop" } };
	struct generate_frame frame = { .deltas = deltas, .delta_count = 2 };
	struct generate_end end = { .has_usage = true,
				    .usage = { .prompt_tokens = 9, .completion_tokens = 4 },
				    .has_load = true,
				    .load = { .capacity = CAPACITY, .has_own = true } };

	generate_frame_encode(&frame, &g.answer);
	generate_end_encode(&end, &g.end);
	if (!buf_ok(&g.answer) || !buf_ok(&g.end))
		die("no memory");
}

static void
join(struct member *m, size_t i, size_t count, const char *url)
{
	static const struct endpoint_ops ops = { .up = on_up,
						 .down = on_down,
						 .request = on_request };
	struct net_params params = { .role = "inference", .name = m->name };
	struct endpoint *ep;
	struct net *net;
	struct im_err err;

	(void)snprintf(m->name, sizeof(m->name), "w%zu", i);
	m->tick.fn = on_tick;
	m->tick.arg = m;
	/* Spread over the second, as those of workers that were not started together. */
	if (net_new(g.loop, &params, &net, &err) != IM_OK ||
	    net_dial(net, url, &ops, m, &ep, &err) != IM_OK)
		die(err.text);
	if (loop_timer_set(g.loop, &m->tick, ANNOUNCE_US + ANNOUNCE_US * i / count) != IM_OK)
		die("no memory");
}

static void
on_signal(int sig)
{
	(void)sig;
	loop_stop(g.loop); /* NOLINT(bugprone-signal-handler): async-signal-safe, see loop.h */
}

int
main(int argc, char **argv)
{
	long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	struct member *all;
	struct im_err err;
	uint32_t asked = 0;

	if (count < 1 || count > COUNT_MAX) {
		(void)fputs("usage: infermesh-fleet ROUTER-URL COUNT\n", stderr);
		return 2;
	}
	all = calloc((size_t)count, sizeof(*all));
	if (all == NULL || loop_new(&g.loop, &err) != IM_OK)
		die("no memory");
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	make_answer();
	loop_enter(g.loop);
	for (long i = 0; i < count; i++)
		join(&all[i], (size_t)i, (size_t)count, argv[1]);
	loop_leave(g.loop);
	loop_run(g.loop);
	for (long i = 0; i < count; i++)
		asked += all[i].requests > 0;
	(void)fprintf(stderr, "infermesh-fleet: %u of %ld workers were asked\n", asked, count);
	return 0;
}
