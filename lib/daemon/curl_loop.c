/*
 * daemon/curl_loop.c - see curl_loop.h. Source: libcurl's curl_multi_socket_action(3).
 */
#include "daemon/curl_loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "daemon/curl_late.h"

#define SOCK_BUCKETS 256

struct curl_loop {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;         /* libcurl's */
	struct loop_task reap;           /* looks for transfers that ended outside of act() */
	struct list socks[SOCK_BUCKETS]; /* of struct sock, by descriptor */
	struct list idle;                /* of struct sock, opened here, without TLS */
	bool busy;
};

/*
 * A socket that libcurl waits for. One that was opened here stays watched between two transfers of its connection, which
 * spares two epoll_ctl() a request, until close_socket(). Others (of libcurl's resolver) are closed without a word, so
 * they are watched only while libcurl says so.
 */
struct sock {
	struct list node;
	struct list
	    idle_node; /* linked from the end of a transfer to the next one on this connection */
	struct loop_fd w;
	struct curl_loop *t;
	bool ours;
	uint32_t wanted;  /* events that libcurl waits for; 0 = none */
	uint32_t watched; /* events that the loop waits for */
};

/* Watch the socket for 'events'; 0 = not at all. */
static bool
watch(struct sock *s, uint32_t events)
{
	struct loop *loop = s->t->loop;

	if (events == s->watched)
		return true;
	if (events == 0)
		loop_fd_del(
		    loop, &s->w); /* with no events epoll would report a hang-up again and again */
	else if (s->watched != 0)
		loop_fd_events(loop, &s->w, events);
	else if (loop_fd_add(loop, &s->w, events) != IM_OK)
		return false;
	s->watched = events;
	return true;
}

static void
sock_free(struct sock *s)
{
	(void)watch(s, 0);
	list_remove(&s->node);
	list_remove(&s->idle_node);
	free(s);
}

static struct list *
bucket_of(struct curl_loop *t, curl_socket_t fd)
{
	return &t->socks[(unsigned)fd % SOCK_BUCKETS];
}

static struct sock *
sock_find(struct curl_loop *t, curl_socket_t fd)
{
	LIST_FOREACH (bucket_of(t, fd), s, struct sock, node) {
		if (s->w.fd == fd)
			return s;
	}
	return NULL;
}

/* libcurl closes what it knows of a connection with the handle that opened it; close_socket() leaves the socket open. */
static int
take_socket(struct curl_loop *t, CURL *easy)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	struct sock *s;

	if (curl_late.easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return -1;
	s = sock_find(t, fd);
	if (s == NULL)
		return -1;
	sock_free(s);
	return fd;
}

/* A transfer has ended well. One that pauses is not waited for by libcurl either, but has more to come. In TLS nobody else can speak, and there may be
 * frames of HTTP/2; behind a proxy that is spoken to in TLS this only costs a new connection. */
static void
set_idle(struct curl_loop *t, CURL *easy)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	char *scheme = NULL;
	struct sock *s;

	if (curl_late.easy_getinfo(easy, CURLINFO_SCHEME, &scheme) != CURLE_OK || scheme == NULL ||
	    strcasecmp(scheme, "http") != 0 ||
	    curl_late.easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return;
	s = sock_find(t, fd);
	if (s != NULL && s->ours && s->wanted == 0 && !list_linked(&s->idle_node))
		list_push_back(&t->idle, &s->idle_node);
}

bool
connection_is_quiet(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* libcurl 7 would take what was said unasked for the next answer's begin. It does not use again what is shut down. */
static void
spoil(struct sock *s)
{
	list_remove(&s->idle_node);
	(void)shutdown(s->w.fd, SHUT_RDWR);
}

/* What an event will tell may lie there already. */
static void
look_at_idle(struct curl_loop *t)
{
	LIST_FOREACH_SAFE (&t->idle, s, struct sock, idle_node) {
		if (!connection_is_quiet(s->w.fd))
			spoil(s);
	}
}

static void
reap(struct curl_loop *t)
{
	CURLMsg *m;
	int left;

	while ((m = curl_late.multi_info_read(t->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		CURL *easy = m->easy_handle;
		struct transfer *x = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_late.easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
		x->fd = x->connect_only && code == CURLE_OK ? take_socket(t, easy) : -1;
		if (!x->connect_only && code == CURLE_OK)
			set_idle(t, easy);
		transfer_stop(t, x); /* 'm' is gone after this */
		x->done(x, code);
	}
}

static void
act(struct curl_loop *t, curl_socket_t fd, int events)
{
	int running;

	assert(!t->busy);
	t->busy = true;
	(void)curl_late.multi_socket_action(t->multi, fd, events, &running);
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

	if (s->wanted == 0) { /* idle, or the transfer pauses: what is there waits */
		(void)watch(s, 0);
		if (list_linked(&s->idle_node))
			spoil(s);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) != 0)
		mask |= CURL_CSELECT_IN;
	if ((events & EPOLLOUT) != 0)
		mask |= CURL_CSELECT_OUT;
	if ((events & EPOLLERR) != 0)
		mask |= CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR;
	act(s->t, s->w.fd, mask); /* 's' may be gone after this */
}

static struct sock *
sock_new(struct curl_loop *t, curl_socket_t fd, bool ours)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->t = t;
	s->ours = ours;
	s->w.fn = on_socket;
	s->w.arg = s;
	s->w.fd = fd;
	list_push_back(bucket_of(t, fd), &s->node);
	return s;
}

static curl_socket_t
open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *addr)
{
	int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);

	(void)purpose;
	if (fd >= 0 && sock_new(user, fd, true) == NULL) {
		(void)close(fd);
		return CURL_SOCKET_BAD;
	}
	return fd;
}

static int
close_socket(void *user, curl_socket_t fd)
{
	struct sock *s = sock_find(user, fd);

	if (s == NULL) /* taken */
		return 0;
	sock_free(s);
	return close(fd);
}

/* libcurl says what it waits for on a socket. */
static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *sock_user)
{
	struct curl_loop *t = user;
	struct sock *s = sock_find(t, fd);
	uint32_t events = 0;

	(void)easy;
	(void)sock_user;
	if (s == NULL && what != CURL_POLL_REMOVE)
		s = sock_new(t, fd, false);
	if (s == NULL)
		return what == CURL_POLL_REMOVE ? 0 : -1;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	s->wanted = events;
	if (events != 0)
		list_remove(&s->idle_node);
	if (what == CURL_POLL_REMOVE && !s->ours) {
		sock_free(s);
		return 0;
	}
	return watch(s, what == CURL_POLL_REMOVE ? s->watched & EPOLLIN : events) ? 0 : -1;
}

static int
want_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct curl_loop *t = user;

	(void)multi;
	if (timeout_ms < 0) {
		loop_timer_cancel(t->loop, &t->timer);
		return 0;
	}
	return loop_timer_set(t->loop, &t->timer, (uint64_t)timeout_ms * 1000) == IM_OK ? 0 : -1;
}

enum im_rc
curl_loop_new(struct loop *loop, long idle_max, struct curl_loop **ret, struct im_err *err)
{
	struct curl_loop *t;
	enum im_rc rc = curl_late_load(err);

	if (rc != IM_OK)
		return rc;
	t = calloc(1, sizeof(*t));
	if (t == NULL || curl_late.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(t);
		return err_set(err, IM_ENOMEM, "no memory for connections");
	}
	t->multi = curl_late.multi_init();
	if (t->multi == NULL) {
		curl_late.global_cleanup();
		free(t);
		return err_set(err, IM_ENOMEM, "no memory for connections");
	}
	t->loop = loop;
	t->timer.fn = on_timer;
	t->timer.arg = t;
	t->reap.fn = on_reap;
	t->reap.arg = t;
	list_init(&t->idle);
	for (size_t i = 0; i < SOCK_BUCKETS; i++)
		list_init(&t->socks[i]);
	(void)curl_late.multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	(void)curl_late.multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	(void)curl_late.multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	(void)curl_late.multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	(void)curl_late.multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, idle_max);
	*ret = t;
	return IM_OK;
}

void
curl_loop_free(struct curl_loop *t)
{
	if (t == NULL)
		return;
	(void)curl_late.multi_cleanup(t->multi);
	loop_timer_cancel(t->loop, &t->timer);
	loop_cancel(t->loop, &t->reap);
	for (size_t i = 0; i < SOCK_BUCKETS; i++) {
		LIST_FOREACH_SAFE (&t->socks[i], s, struct sock, node) {
			sock_free(s);
		}
	}
	curl_late.global_cleanup();
	free(t);
}

void
curl_loop_adopt(struct curl_loop *t, CURL *easy)
{
	(void)curl_late.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_late.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
	(void)curl_late.easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	(void)curl_late.easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, t);
}

enum im_rc
transfer_start(struct curl_loop *t, struct transfer *x, struct im_err *err)
{
	assert(!t->busy && !x->running);
	look_at_idle(t);
	(void)curl_late.easy_setopt(x->easy, CURLOPT_PRIVATE, x);
	if (curl_late.multi_add_handle(t->multi, x->easy) != CURLM_OK)
		return err_set(err, IM_ENOMEM, "no memory for a request over HTTP");
	x->running = true;
	return IM_OK;
}

void
transfer_stop(struct curl_loop *t, struct transfer *x)
{
	if (!x->running)
		return;
	assert(!t->busy);
	x->running = false;
	(void)curl_late.multi_remove_handle(t->multi, x->easy);
}

void
transfer_resume(struct curl_loop *t, struct transfer *x)
{
	if (!x->running)
		return;
	assert(!t->busy);
	t->busy = true;
	(void)curl_late.easy_pause(x->easy, CURLPAUSE_CONT);
	t->busy = false;
	/* libcurl may have found the transfer's end in there. */
	loop_post(t->loop, &t->reap);
}

bool
curl_loop_busy(const struct curl_loop *t)
{
	return t->busy;
}
