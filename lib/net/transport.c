/*
 * net/transport.c - picks the transport of a URL. Knows the schemes and nothing else of them.
 */
#include "net/transport.h"

#include <stdio.h>
#include <string.h>

#define INPROC "inproc://"
#define IPC    "ipc://"

/* What follows 'scheme' in 'url', or NULL. */
static const char *
after(const char *url, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(url, scheme, len) == 0 ? url + len : NULL;
}

static enum im_rc
check_url(const char *url, struct im_err *err)
{
	const char *inproc = after(url, INPROC);
	const char *ipc = after(url, IPC);
	const char *tcp = after(url, "tcp://");

	if (strlen(url) >= TRANSPORT_URL_MAX)
		return err_set(err, IM_EINVAL, "the URL '%.40s...' is longer than %d bytes", url,
			       TRANSPORT_URL_MAX - 1);
	if (inproc != NULL && *inproc == '\0')
		return err_set(err, IM_EINVAL, "'%s' has no name: write inproc://NAME", url);
	if (ipc != NULL && *ipc == '\0')
		return err_set(err, IM_EINVAL, "'%s' has no path: write ipc:///PATH", url);
	if (tcp != NULL && (strrchr(tcp, ':') == NULL || strrchr(tcp, ':')[1] == '\0'))
		return err_set(err, IM_EINVAL, "'%s' has no port: write tcp://HOST:PORT", url);
	if (inproc == NULL && ipc == NULL && tcp == NULL)
		return err_set(
		    err, IM_EINVAL,
		    "'%s' is no URL of a link: write ipc:///PATH, tcp://HOST:PORT or inproc://NAME",
		    url);
	return IM_OK;
}

enum im_rc
acceptor_open(struct loop *loop, const char *url, const struct acceptor_events *events, void *user,
	      struct acceptor **ret_acceptor, char ret_url[TRANSPORT_URL_MAX], struct im_err *err)
{
	const char *name = after(url, INPROC), *path = after(url, IPC);
	struct acceptor *a = NULL;
	enum im_rc rc = check_url(url, err);

	if (rc != IM_OK)
		return rc;
	(void)snprintf(ret_url, TRANSPORT_URL_MAX, "%s", url);
	if (name != NULL)
		rc = inproc_acceptor_open(loop, name, &a, err);
	else if (path != NULL)
		rc = unix_acceptor_open(loop, url, &a, err);
	else
		rc = stream_acceptor_open(loop, url, &a, ret_url, err);
	if (rc != IM_OK)
		return rc;
	a->events = events;
	a->user = user;
	*ret_acceptor = a;
	return IM_OK;
}

enum im_rc
dialer_open(struct loop *loop, const char *url, const struct dialer_events *events, void *user,
	    struct dialer **ret_dialer, struct im_err *err)
{
	const char *name = after(url, INPROC), *path = after(url, IPC);
	struct dialer *d = NULL;
	enum im_rc rc = check_url(url, err);

	if (rc != IM_OK)
		return rc;
	if (name != NULL)
		rc = inproc_dialer_open(loop, name, &d, err);
	else if (path != NULL)
		rc = unix_dialer_open(loop, url, &d, err);
	else
		rc = stream_dialer_open(loop, url, &d, err);
	if (rc != IM_OK)
		return rc;
	d->events = events;
	d->user = user;
	*ret_dialer = d;
	return IM_OK;
}
