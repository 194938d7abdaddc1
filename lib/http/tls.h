/*
 * http/tls.h - reading and writing a non-blocking descriptor, plain or with TLS 1.3. Used by connections; OpenSSL is known
 * in this pair of files only. Never blocks and never raises SIGPIPE.
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct tls_server; /* certificate and key */
struct tls;        /* one connection; NULL everywhere below means a plain one */

/* What a read or write says instead of a number of bytes. A read says 0 for the end of what the peer sends. */
enum {
	IO_AGAIN = -1,     /* wait until the descriptor is readable (read) or writable (write) */
	IO_ERROR = -2,     /* the connection is of no use any more */
	IO_AGAIN_IN = -3,  /* TLS: wait until it is readable, although this is a write */
	IO_AGAIN_OUT = -4, /* TLS: wait until it is writable, although this is a read */
};

/** Load the PEM files. IM_EINVAL says which file is wrong and how; a key file must not be readable by others. IM_ENOMEM. */
IM_MUST_CHECK enum im_rc http_tls_server_new(const char *cert_file, const char *key_file,
					     struct tls_server **ret_server, struct im_err *err);
void http_tls_server_free(struct tls_server *server);

/** Server side of a connection on 'fd', which stays the caller's. NULL without memory. */
struct tls *http_tls_new(struct tls_server *server, int fd);
void http_tls_free(struct tls *tls);

/** Go on with the handshake: 1 = done, or IO_AGAIN, IO_AGAIN_OUT, IO_ERROR. */
int http_tls_handshake(struct tls *tls);

/** Bytes that arrived are held here, so that the descriptor may not become readable again for them. */
bool http_tls_pending(const struct tls *tls);

/** Tell the peer that nothing follows, as far as that is possible without waiting. */
void http_tls_goodbye(struct tls *tls);

ssize_t http_io_read(int fd, struct tls *tls, void *buf, size_t cap);
ssize_t http_io_write(int fd, struct tls *tls, const void *data, size_t len);

#endif
