/*
 * http/listen.c - opening listening sockets; see listen.h.
 */
#include "http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

/* True if somebody accepts connections on the socket file. */
static bool
unix_answers(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers;

	if (fd < 0)
		return true; /* not known: leave it alone */
	answers =
	    connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno != ECONNREFUSED;
	(void)close(fd);
	return answers;
}

static enum im_rc
unix_bind(int fd, const char *address, const struct sockaddr_un *sun, struct im_err *err)
{
	struct stat st;

	if (lstat(sun->sun_path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode)) {
			return err_set(
			    err, IM_EINVAL,
			    "cannot listen on %s: the file exists and is no socket; name another",
			    address);
		}
		if (unix_answers(sun)) {
			return err_set(
			    err, IM_EEXIST,
			    "cannot listen on %s: another process does; stop it or choose another path",
			    address);
		}
		(void)unlink(sun->sun_path);
	}
	/* On Linux bind() makes the file with the mode of the socket, so there is no moment in which others may connect. */
	if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0)
		return err_errno(err, errno == EADDRINUSE ? IM_EEXIST : IM_EINVAL, errno,
				 "cannot listen on %s; check the path and its folder", address);
	return IM_OK;
}

static enum im_rc
unix_open(const char *address, int *ret_fd, char *ret_address, size_t cap, struct im_err *err)
{
	const char *path = address + strlen("unix:");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	enum im_rc rc;
	int fd;

	if (path[0] == '\0' || strlen(path) >= sizeof(sun.sun_path)) {
		return err_set(
		    err, IM_EINVAL,
		    "cannot listen on %s: a socket's path has 1 to %zu bytes; choose a shorter one",
		    address, sizeof(sun.sun_path) - 1);
	}
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot listen on %s", address);
	rc = unix_bind(fd, address, &sun, err);
	if (rc == IM_OK && listen(fd, BACKLOG) != 0) {
		rc = err_errno(err, IM_EIO, errno, "cannot listen on %s", address);
		(void)unlink(path);
	}
	if (rc != IM_OK) {
		(void)close(fd);
		return rc;
	}
	(void)snprintf(ret_address, cap, "%s", address);
	*ret_fd = fd;
	return IM_OK;
}

/* Split "HOST:PORT" into 'host' and the port's text. */
static const char *
split(const char *address, char *host, size_t cap)
{
	const char *colon = strrchr(address, ':');
	const char *from = address, *to = colon;

	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) > 5 ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strtoul(colon + 1, NULL, 10) > UINT16_MAX)
		return NULL;
	if (address[0] == '[') {
		from++;
		to--;
		if (to < from || *to != ']')
			return NULL;
	} else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
		return NULL; /* IPv6 without brackets: where does the port begin? */
	}
	if (to == from || (size_t)(to - from) >= cap)
		return NULL;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	return colon + 1;
}

static enum im_rc
tcp_bind(const struct addrinfo *ai, const char *address, int *ret_fd, struct im_err *err)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	enum im_rc rc;

	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot listen on %s", address);
	/* TCP_NODELAY is inherited by accepted connections: one system call less for each. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
		*ret_fd = fd;
		return IM_OK;
	}
	if (errno == EADDRINUSE) {
		rc = err_set(
		    err, IM_EEXIST,
		    "cannot listen on %s: the port is in use; stop the other process or choose another port",
		    address);
	} else if (errno == EADDRNOTAVAIL || errno == EACCES) {
		rc = err_errno(
		    err, IM_EINVAL, errno,
		    "cannot listen on %s; choose an address of this host and a port above 1023",
		    address);
	} else {
		rc = err_errno(err, IM_EIO, errno, "cannot listen on %s", address);
	}
	(void)close(fd);
	return rc;
}

static void
real_address(int fd, char *ret, size_t cap)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = { .sa = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(at);
	char ip[INET6_ADDRSTRLEN] = "?";

	(void)getsockname(fd, &at.sa, &len);
	if (at.sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &at.in6.sin6_addr, ip, sizeof(ip));
		(void)snprintf(ret, cap, "[%s]:%u", ip, ntohs(at.in6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &at.in.sin_addr, ip, sizeof(ip));
		(void)snprintf(ret, cap, "%s:%u", ip, ntohs(at.in.sin_port));
	}
}

enum im_rc
http_listen_open(const char *address, int *ret_fd, char *ret_address, size_t cap,
		 struct im_err *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char host[256];
	const char *port;
	enum im_rc rc;
	int gai;

	if (address == NULL)
		return err_set(err, IM_EINVAL,
			       "there is no address to listen on; give HOST:PORT or unix:PATH");
	if (strncmp(address, "unix:", 5) == 0)
		return unix_open(address, ret_fd, ret_address, cap, err);
	port = split(address, host, sizeof(host));
	if (port == NULL)
		return err_set(err, IM_EINVAL,
			       "cannot listen on '%s': write HOST:PORT, [IPV6]:PORT or unix:PATH",
			       address);
	gai = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints, &found);
	if (gai != 0)
		return err_set(err, IM_EINVAL,
			       "cannot listen on '%s': %s; use an address of this host", address,
			       gai_strerror(gai));
	rc = tcp_bind(found, address, ret_fd, err);
	freeaddrinfo(found);
	if (rc == IM_OK)
		real_address(*ret_fd, ret_address, cap);
	return rc;
}
