/*
 * net/ipc_path.c - socket files; see ipc_path.h. Never removes a file that it has not looked at.
 */
#include "net/ipc_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hex.h"

#define TRIES 8 /* others may publish or remove the same name meanwhile */

enum probe {
	PROBE_FREE,  /* no such file */
	PROBE_STALE, /* a socket on which nobody listens */
	PROBE_TAKEN, /* somebody answers */
	PROBE_ALIEN, /* no socket */
	PROBE_ERROR, /* errno says why */
};

enum im_rc
ipc_path_init(struct ipc_path *p, const char *url, struct im_err *err)
{
	const char *path, *slash;
	uint8_t salt[4];
	char digits[2 * sizeof(salt) + 1];
	int dir_len;

	memset(p, 0, sizeof(*p));
	if (strncmp(url, "ipc://", 6) != 0)
		return IM_OK;
	path = url + 6;
	slash = strrchr(path, '/');
	dir_len = slash != NULL ? (int)(slash - path) + 1 : 0;
	random_bytes(salt, sizeof(salt));
	hex_encode(salt, sizeof(salt), digits);
	(void)snprintf(p->path, sizeof(p->path), "%s", path);
	(void)snprintf(p->private_path, sizeof(p->private_path), "%.*s.%s", dir_len, path, digits);
	if (strlen(p->path) >= sizeof(((struct sockaddr_un *)0)->sun_path) ||
	    strlen(p->private_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(
		    err, IM_EINVAL,
		    "the socket path '%s' is too long for a Unix socket; choose one under 90 bytes",
		    path);
	return IM_OK;
}

static enum probe
probe(const char *path, struct stat *ret_st)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	enum probe result = PROBE_TAKEN;
	int fd;

	if (lstat(path, ret_st) != 0)
		return errno == ENOENT ? PROBE_FREE : PROBE_ERROR;
	if (!S_ISSOCK(ret_st->st_mode))
		return PROBE_ALIEN;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return PROBE_ERROR;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		if (errno == ECONNREFUSED)
			result = PROBE_STALE;
		else if (errno == ENOENT)
			result = PROBE_FREE;
		else if (errno != EAGAIN) /* EAGAIN: its backlog is full, so it is alive */
			result = PROBE_ERROR;
	}
	(void)close(fd);
	return result;
}

/* Remove the stale socket 'st' at 'path', and nothing that was put there since: it is moved aside and looked at first. */
static void
remove_stale(const struct ipc_path *p, const struct stat *st)
{
	char aside[TRANSPORT_URL_MAX + 2];
	struct stat now;

	(void)snprintf(aside, sizeof(aside), "%s~", p->private_path);
	if (renameat2(AT_FDCWD, p->path, AT_FDCWD, aside, RENAME_NOREPLACE) != 0)
		return;
	if (lstat(aside, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino) {
		(void)unlink(aside);
		return;
	}
	if (renameat2(AT_FDCWD, aside, AT_FDCWD, p->path, RENAME_NOREPLACE) != 0)
		(void)unlink(aside);
}

enum im_rc
ipc_path_publish(struct ipc_path *p, struct im_err *err)
{
	struct stat st;

	if (p->path[0] == '\0')
		return IM_OK;
	if (lstat(p->private_path, &st) != 0)
		return err_errno(err, IM_EIO, errno, "cannot make the socket file '%s'", p->path);
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	for (int i = 0; i < TRIES; i++) {
		if (renameat2(AT_FDCWD, p->private_path, AT_FDCWD, p->path, RENAME_NOREPLACE) ==
		    0) {
			p->published = true;
			return IM_OK;
		}
		if (errno != EEXIST)
			return err_errno(err, IM_EIO, errno, "cannot make the socket file '%s'",
					 p->path);
		switch (probe(p->path, &st)) {
		case PROBE_FREE:
			break;
		case PROBE_STALE:
			remove_stale(p, &st);
			break;
		case PROBE_TAKEN:
			return err_set(
			    err, IM_EEXIST,
			    "another process listens on '%s'; stop it or choose another address",
			    p->path);
		case PROBE_ALIEN:
			return err_set(
			    err, IM_EEXIST,
			    "'%s' exists and is no socket; remove it or choose another address",
			    p->path);
		case PROBE_ERROR:
			return err_errno(err, IM_EIO, errno, "cannot look at the socket file '%s'",
					 p->path);
		}
	}
	return err_set(err, IM_EEXIST, "others keep making '%s'; is the same daemon started twice?",
		       p->path);
}

void
ipc_path_remove(struct ipc_path *p)
{
	struct stat st;

	if (!p->published)
		return;
	p->published = false;
	if (lstat(p->path, &st) == 0 && st.st_dev == p->dev && st.st_ino == p->ino)
		(void)unlink(p->path);
}
