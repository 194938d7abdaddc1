/*
 * http/tls.c - TLS 1.3 by OpenSSL, and plain sockets; see tls.h.
 */
#include "http/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct tls_server {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
};

struct tls {
	SSL *ssl;
};

/* OpenSSL's own socket BIO calls write(), which raises SIGPIPE in a process that did not ignore it. Hence this one. */

static int
bio_fd(BIO *bio)
{
	return (int)(intptr_t)BIO_get_data(bio);
}

static int
bio_write(BIO *bio, const char *data, int len)
{
	ssize_t n = send(bio_fd(bio), data, (size_t)len, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)n;
}

static int
bio_read(BIO *bio, char *buf, int cap)
{
	ssize_t n = recv(bio_fd(bio), buf, (size_t)cap, 0);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *
bio_method_new(void)
{
	BIO_METHOD *m =
	    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "infermesh socket");

	if (m == NULL)
		return NULL;
	if (BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_read(m, bio_read) == 1 &&
	    BIO_meth_set_ctrl(m, bio_ctrl) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* A client that offers protocols is told that we speak HTTP/1.1, if that is among them. */
static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		const unsigned char *in, unsigned int in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static const char *
openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "unknown reason";
}

static enum im_rc
check_key_mode(const char *key_file, struct im_err *err)
{
	struct stat st;

	if (stat(key_file, &st) != 0)
		return err_errno(err, IM_EINVAL, errno, "TLS key %s", key_file);
	if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
		return err_set(
		    err, IM_EINVAL,
		    "TLS key %s: others can read or change it (mode %04o); run 'chmod 600 %s'",
		    key_file, (unsigned)(st.st_mode & 07777), key_file);
	}
	return IM_OK;
}

/* OpenSSL would ask at the terminal, or read standard input, and a daemon would wait there for ever. */
static int
/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type */
no_passphrase(char *out, int cap, int writing, void *arg)
{
	(void)out;
	(void)cap;
	(void)writing;
	(void)arg;
	return -1;
}

static enum im_rc
load_files(SSL_CTX *ctx, const char *cert_file, const char *key_file, struct im_err *err)
{
	enum im_rc rc = check_key_mode(key_file, err);

	if (rc != IM_OK)
		return rc;
	/* OpenSSL would say "system lib". */
	if (access(cert_file, R_OK) != 0)
		return err_errno(err, IM_EINVAL, errno, "TLS certificate %s", cert_file);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		return err_set(err, IM_EINVAL, "TLS certificate %s: %s; it must be a chain in PEM",
			       cert_file, openssl_reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
		return err_set(
		    err, IM_EINVAL,
		    "TLS key %s: %s; it must be the certificate's private key in PEM, without a passphrase",
		    key_file, openssl_reason());
	}
	/* A key of another kind is taken without a word, and every handshake fails. */
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_set(err, IM_EINVAL, "TLS key %s is not the key of the certificate in %s",
			       key_file, cert_file);
	return IM_OK;
}

enum im_rc
http_tls_server_new(const char *cert_file, const char *key_file, struct tls_server **ret_server,
		    struct im_err *err)
{
	struct tls_server *s = calloc(1, sizeof(*s));
	enum im_rc rc;

	if (s == NULL)
		return err_set(err, IM_ENOMEM, "no memory for TLS");
	s->ctx = SSL_CTX_new(TLS_server_method());
	s->bio = bio_method_new();
	if (s->ctx == NULL || s->bio == NULL ||
	    SSL_CTX_set_min_proto_version(s->ctx, TLS1_3_VERSION) != 1) {
		rc = err_set(err, IM_ENOMEM, "cannot set TLS up: %s", openssl_reason());
		goto fail;
	}
	/* A write may be repeated from a buffer that has moved, and says how much went out. */
	(void)SSL_CTX_set_mode(s->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					   SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_num_tickets(s->ctx, 1);
	SSL_CTX_set_alpn_select_cb(s->ctx, select_protocol, NULL);
	rc = load_files(s->ctx, cert_file, key_file, err);
	if (rc != IM_OK)
		goto fail;
	*ret_server = s;
	return IM_OK;
fail:
	http_tls_server_free(s);
	return rc;
}

void
http_tls_server_free(struct tls_server *server)
{
	if (server == NULL)
		return;
	SSL_CTX_free(server->ctx);
	BIO_meth_free(server->bio);
	free(server);
}

struct tls *
http_tls_new(struct tls_server *server, int fd)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	BIO *bio = BIO_new(server->bio);

	if (tls != NULL)
		tls->ssl = SSL_new(server->ctx);
	if (tls == NULL || bio == NULL || tls->ssl == NULL) {
		BIO_free(bio);
		http_tls_free(tls);
		return NULL;
	}
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the BIO's one slot is a pointer. */
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void
http_tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

int
http_tls_handshake(struct tls *tls)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(tls->ssl);
	if (rc == 1)
		return 1;
	switch (SSL_get_error(tls->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return IO_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN_OUT;
	default:
		return IO_ERROR;
	}
}

bool
http_tls_pending(const struct tls *tls)
{
	return tls != NULL && SSL_has_pending(tls->ssl) == 1;
}

void
http_tls_goodbye(struct tls *tls)
{
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl);
}

static ssize_t
tls_read(struct tls *tls, uint8_t *buf, size_t cap)
{
	size_t done = 0;

	while (done < cap) {
		size_t n = 0;
		int rc;

		ERR_clear_error();
		rc = SSL_read_ex(tls->ssl, buf + done, cap - done, &n);
		if (rc == 1) {
			done += n;
			if (SSL_has_pending(tls->ssl) == 0)
				break;
			continue;
		}
		if (done > 0)
			break; /* whatever it is, the next read says it again */
		switch (SSL_get_error(tls->ssl, rc)) {
		case SSL_ERROR_WANT_READ:
			return IO_AGAIN;
		case SSL_ERROR_WANT_WRITE:
			return IO_AGAIN_OUT;
		case SSL_ERROR_ZERO_RETURN:
			return 0;
		default:
			return IO_ERROR;
		}
	}
	return (ssize_t)done;
}

static ssize_t
tls_write(struct tls *tls, const uint8_t *data, size_t len)
{
	size_t n = 0;
	int rc;

	ERR_clear_error();
	rc = SSL_write_ex(tls->ssl, data, len, &n);
	if (rc == 1)
		return (ssize_t)n;
	switch (SSL_get_error(tls->ssl, rc)) {
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN;
	case SSL_ERROR_WANT_READ:
		return IO_AGAIN_IN;
	default:
		return IO_ERROR;
	}
}

ssize_t
http_io_read(int fd, struct tls *tls, void *buf, size_t cap)
{
	ssize_t n;

	if (tls != NULL)
		return tls_read(tls, buf, cap);
	do
		n = recv(fd, buf, cap, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? IO_AGAIN : IO_ERROR;
	return n;
}

ssize_t
http_io_write(int fd, struct tls *tls, const void *data, size_t len)
{
	ssize_t n;

	if (tls != NULL)
		return tls_write(tls, data, len);
	do
		n = send(fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? IO_AGAIN : IO_ERROR;
	return n;
}
