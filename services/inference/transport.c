/*
 * inference/transport.c - see transport.h. Source: libcurl's curl_multi_socket_action(3).
 */
#include "inference/transport.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/list.h"

struct transport {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* libcurl's */
	struct loop_task reap;   /* looks for transfers that ended outside of act() */
	struct list socks;       /* of struct sock */
	bool busy;
};

struct sock {
	struct list node;
	struct loop_fd w;
	struct transport *t;
};

static void
reap(struct transport *t)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(t->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		CURL *easy = m->easy_handle;
		struct transfer *x = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
		transfer_stop(t, x); /* 'm' is gone after this */
		x->done(x, code);
	}
}

static void
act(struct transport *t, curl_socket_t fd, int events)
{
	int running;

	assert(!t->busy);
	t->busy = true;
	(void)curl_multi_socket_action(t->multi, fd, events, &running);
	t->busy = false;
	reap(t);
}

static void
on_reap(void *arg)
{
	reap(arg);
}

static void
on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_socket(void *arg, uint32_t events)
{
	struct sock *s = arg;
	int mask = 0;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0)
		mask |= CURL_CSELECT_IN;
	if ((events & EPOLLOUT) != 0)
		mask |= CURL_CSELECT_OUT;
	if ((events & EPOLLERR) != 0)
		mask |= CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR;
	act(s->t, s->w.fd, mask); /* 's' may be gone after this */
}

static void
sock_free(struct sock *s)
{
	loop_fd_del(s->t->loop, &s->w);
	list_remove(&s->node);
	free(s);
}

static struct sock *
sock_new(struct transport *t, curl_socket_t fd)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->t = t;
	s->w.fn = on_socket;
	s->w.arg = s;
	s->w.fd = fd;
	list_push_back(&t->socks, &s->node);
	(void)curl_multi_assign(t->multi, fd, s);
	return s;
}

/* libcurl says what it waits for on a socket. */
static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *sock_user)
{
	struct transport *t = user;
	struct sock *s = sock_user;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			sock_free(s);
		(void)curl_multi_assign(t->multi, fd, NULL);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (s == NULL)
		s = sock_new(t, fd);
	if (s == NULL)
		return -1;
	if (events == 0) { /* epoll would report a hang-up again and again */
		loop_fd_del(t->loop, &s->w);
	} else if (s->w.slot != 0) {
		loop_fd_events(t->loop, &s->w, events);
	} else if (loop_fd_add(t->loop, &s->w, events) != IM_OK) {
		return -1;
	}
	return 0;
}

static int
want_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct transport *t = user;

	(void)multi;
	if (timeout_ms < 0) {
		loop_timer_cancel(t->loop, &t->timer);
		return 0;
	}
	return loop_timer_set(t->loop, &t->timer, (uint64_t)timeout_ms * 1000) == IM_OK ? 0 : -1;
}

enum im_rc
transport_new(struct loop *loop, long idle_max, struct transport **ret, struct im_err *err)
{
	struct transport *t = calloc(1, sizeof(*t));

	if (t == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(t);
		return err_set(err, IM_ENOMEM, "no memory for the upstream's connections");
	}
	t->multi = curl_multi_init();
	if (t->multi == NULL) {
		curl_global_cleanup();
		free(t);
		return err_set(err, IM_ENOMEM, "no memory for the upstream's connections");
	}
	t->loop = loop;
	t->timer.fn = on_timer;
	t->timer.arg = t;
	t->reap.fn = on_reap;
	t->reap.arg = t;
	list_init(&t->socks);
	(void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	(void)curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	(void)curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	(void)curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, idle_max);
	*ret = t;
	return IM_OK;
}

void
transport_free(struct transport *t)
{
	struct list *node;

	if (t == NULL)
		return;
	(void)curl_multi_cleanup(t->multi);
	loop_timer_cancel(t->loop, &t->timer);
	loop_cancel(t->loop, &t->reap);
	while ((node = list_pop_front(&t->socks)) != NULL)
		sock_free(CONTAINER_OF(node, struct sock, node));
	curl_global_cleanup();
	free(t);
}

enum im_rc
transfer_start(struct transport *t, struct transfer *x, struct im_err *err)
{
	assert(!t->busy && !x->running);
	(void)curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
	if (curl_multi_add_handle(t->multi, x->easy) != CURLM_OK)
		return err_set(err, IM_ENOMEM, "no memory for a request to the upstream");
	x->running = true;
	return IM_OK;
}

void
transfer_stop(struct transport *t, struct transfer *x)
{
	if (!x->running)
		return;
	assert(!t->busy);
	x->running = false;
	(void)curl_multi_remove_handle(t->multi, x->easy);
}

void
transfer_resume(struct transport *t, struct transfer *x)
{
	if (!x->running)
		return;
	assert(!t->busy);
	t->busy = true;
	(void)curl_easy_pause(x->easy, CURLPAUSE_CONT);
	t->busy = false;
	/* libcurl may have found the transfer's end in there. */
	loop_post(t->loop, &t->reap);
}

bool
transport_busy(const struct transport *t)
{
	return t->busy;
}
