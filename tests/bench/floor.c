/*
 * bench/floor.c - infermesh-floor: what one step takes that no daemon of this shape can do without, as the kernel and the disk of this
 * machine do it: a record of the log made durable, the wake-up of one process by another, and a message through one of many sockets,
 * where no two go together. Prints one JSON object; µs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK         4096U
#define FRAME_BYTES   736U /* of the log, with both records of a request */
#define RECORDS       2000
#define WARM          200
#define ZEROED        ((size_t)BLOCK * 128)
#define MESSAGE_BYTES 700 /* about a request's, on its way */
#define TRIPS         8000

static void
die(const char *what)
{
	(void)fprintf(stderr, "infermesh-floor: %s (%m)\n", what);
	exit(1);
}

static double
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
say(const char *name, double *us, size_t count, const char *behind)
{
	qsort(us, count, sizeof(*us), by_value);
	(void)printf("\"%s\": {\"p50\": %.2f, \"p99\": %.2f}%s", name, us[count / 2],
		     us[count * 99 / 100], behind);
}

/*
 * As services/audit/wal.c and direct.c do it: in space that was set aside and has zeros in it, whole blocks past the page cache, what
 * is in the first of them again, then fdatasync(). The work between two records is not in it.
 */
static int
record(const char *dir)
{
	static double write_us[RECORDS], sync_us[RECORDS], both_us[RECORDS];
	static _Alignas(BLOCK) char piece[ZEROED];
	char path[PATH_MAX];
	off_t at = 0, zeroed = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/floor-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || unlink(path) != 0)
		die(path);
	(void)fallocate(fd, 0, 0, (off_t)FRAME_BYTES * (WARM + RECORDS) + 2 * (off_t)ZEROED);
	if (fsync(fd) != 0)
		die("fsync");
	if (fcntl(fd, F_SETFL, O_DIRECT) !=
	    0) /* else the same through the cache, as the log does */
		(void)fcntl(fd, F_SETFL, 0);
	for (int i = -WARM; i < RECORDS; i++, at += FRAME_BYTES) {
		off_t first = at / BLOCK * BLOCK;
		size_t len = (size_t)((at + FRAME_BYTES - 1) / BLOCK * BLOCK + BLOCK - first);
		double begun = now_us(), written;

		if (pwrite(fd, piece, len, first) != (ssize_t)len)
			die("pwrite");
		if (first + (off_t)len > zeroed) {
			if (pwrite(fd, piece, ZEROED, first + (off_t)len) != (ssize_t)ZEROED)
				die("pwrite");
			zeroed = first + (off_t)len + (off_t)ZEROED;
		}
		written = now_us();
		if (fdatasync(fd) != 0)
			die("fdatasync");
		if (i >= 0) {
			write_us[i] = written - begun;
			sync_us[i] = now_us() - written;
			both_us[i] = write_us[i] + sync_us[i];
		}
	}
	(void)putchar('{');
	say("write", write_us, RECORDS, ", ");
	say("sync", sync_us, RECORDS, ", ");
	say("both", both_us, RECORDS, "}\n");
	return 0;
}

/* The two ends of one connection. */
static void
connect_pair(int ends[2], int tcp)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener, one = 1;

	if (!tcp) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
			die("socketpair");
		return;
	}
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || ends[0] < 0 || bind(listener, (struct sockaddr *)&a, len) != 0 ||
	    listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&a, &len) != 0 ||
	    connect(ends[0], (struct sockaddr *)&a, len) != 0 ||
	    (ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		die("loopback");
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)close(listener);
}

static int
new_epoll(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll");
	return ep;
}

/* False: the other side is gone. */
static int
take(int ep, int fd)
{
	static char buf[MESSAGE_BYTES];
	struct epoll_event ev;

	for (size_t have = 0; have < MESSAGE_BYTES;) {
		ssize_t n;

		if (epoll_wait(ep, &ev, 1, -1) < 0)
			continue;
		n = recv(fd, buf, MESSAGE_BYTES - have, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return 0;
		have += n > 0 ? (size_t)n : 0;
	}
	return 1;
}

static int
give(int fd)
{
	static const char message[MESSAGE_BYTES];

	return send(fd, message, sizeof(message), MSG_NOSIGNAL) == MESSAGE_BYTES;
}

/* On the 'n'th processor of those that we may use, counted from the last one. */
static void
stay_on(const cpu_set_t *all, int n)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
		if (CPU_ISSET(cpu, all) && n-- == 0)
			CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		die("there are fewer processors");
}

/* 'cores': "one" for both, "two", or "free" = as the scheduler likes. */
static int
wake(int tcp, const char *cores)
{
	static double us[TRIPS];
	cpu_set_t all;
	int ends[2], ep;
	pid_t child;

	(void)sched_getaffinity(0, sizeof(all), &all);
	connect_pair(ends, tcp);
	child = fork();
	if (child < 0)
		die("fork");
	if (cores[0] != 'f')
		stay_on(&all, child == 0 && cores[0] == 't');
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(ends[0]);
		ep = new_epoll(ends[1]);
		while (take(ep, ends[1]) && give(ends[1]))
			;
		_exit(0);
	}
	(void)close(ends[1]);
	ep = new_epoll(ends[0]);
	for (int i = -WARM; i < TRIPS; i++) {
		double begun = now_us();

		if (!give(ends[0]) || !take(ep, ends[0]))
			die("the other end is gone");
		if (i >= 0)
			us[i] = (now_us() - begun) / 2;
	}
	(void)close(ends[0]);
	(void)waitpid(child, NULL, 0);
	(void)putchar('{');
	say("wake", us, TRIPS, "}\n");
	return 0;
}

/* Each time another one of 'count' Unix sockets gets a message and is read: what that costs while nobody has to be woken. */
static int
many(size_t count)
{
	static double us[TRIPS];
	struct rlimit files;
	int(*pairs)[2] = calloc(count, sizeof(*pairs));
	char buf[MESSAGE_BYTES];
	unsigned next = 1;

	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (pairs == NULL)
		die("memory");
	for (size_t i = 0; i < count; i++)
		connect_pair(pairs[i], 0);
	for (int i = -WARM; i < TRIPS; i++) {
		const int *ends;
		double begun = now_us();

		next = next * 1103515245 + 12345;
		ends = pairs[(next >> 8) % count];
		if (!give(ends[0]) || recv(ends[1], buf, sizeof(buf), 0) != MESSAGE_BYTES)
			die("a socket");
		if (i >= 0)
			us[i] = now_us() - begun;
	}
	free(pairs);
	(void)putchar('{');
	say("message", us, TRIPS, "}\n");
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "record") == 0)
		return record(argv[2]);
	if (argc == 4 && strcmp(argv[1], "wake") == 0 &&
	    (strcmp(argv[3], "one") == 0 || strcmp(argv[3], "two") == 0 ||
	     strcmp(argv[3], "free") == 0))
		return wake(strcmp(argv[2], "tcp") == 0, argv[3]);
	if (argc == 3 && strcmp(argv[1], "many") == 0 && strtoul(argv[2], NULL, 10) > 0)
		return many(strtoul(argv[2], NULL, 10));
	(void)fputs(
	    "usage: infermesh-floor record DIR | wake unix|tcp one|two|free | many SOCKETS\n",
	    stderr);
	return 2;
}
