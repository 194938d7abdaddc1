/*
 * cli/notify.c - see notify.h.
 */
#include "cli/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hex.h"

#define STATUS "STATUS="

struct notify {
	int fd;
	char address[64]; /* "@name": sd_notify's way to say abstract */
};

enum im_rc
notify_open(struct notify **ret_notify, struct im_err *err)
{
	struct notify *n = calloc(1, sizeof(*n));
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int on = 1;
	uint8_t id[8];
	char hex[2 * sizeof(id) + 1];

	if (n == NULL)
		return err_set(err, IM_ENOMEM, "not enough memory");
	random_bytes(id, sizeof(id));
	hex_encode(id, sizeof(id), hex);
	(void)snprintf(n->address, sizeof(n->address), "@infermesh-up-%s", hex);
	memcpy(sun.sun_path + 1, n->address + 1, strlen(n->address + 1));
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0 || setsockopt(n->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(n->fd, (struct sockaddr *)&sun,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(n->address))) < 0) {
		(void)err_errno(err, IM_EIO, errno,
				"cannot make the socket on which daemons say that they are ready");
		notify_close(n);
		return IM_EIO;
	}
	*ret_notify = n;
	return IM_OK;
}

void
notify_close(struct notify *n)
{
	if (n == NULL)
		return;
	if (n->fd >= 0)
		(void)close(n->fd);
	free(n);
}

const char *
notify_address(const struct notify *n)
{
	return n->address;
}

int
notify_fd(const struct notify *n)
{
	return n->fd;
}

void
notify_read(struct notify *n, void (*fn)(void *user, pid_t pid, bool ready, const char *status),
	    void *user)
{
	for (;;) {
		char text[1024],
		    control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t len = recvmsg(n->fd, &msg, MSG_CMSG_CLOEXEC);
		const struct cmsghdr *c;
		struct ucred who;
		char *status;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return;
		text[len] = '\0';
		c = CMSG_FIRSTHDR(&msg);
		if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		status = strstr(text, STATUS);
		if (status != NULL)
			status[strcspn(status, "\n")] = '\0';
		fn(user, who.pid, strncmp(text, "READY=1", 7) == 0,
		   status != NULL ? status + strlen(STATUS) : "");
	}
}
