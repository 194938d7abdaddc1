/*
 * http/tls_test.c - the server with TLS 1.3, against OpenSSL as a client and a certificate made here.
 */
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/harness.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
	char dir[32], cert[64], key[64];
	struct harness h;
	SSL_CTX *ctx;
};

static X509 *
self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_set_pubkey(x, key);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test",
					 -1, -1, 0);
	(void)X509_set_issuer_name(x, name);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

static void
write_files(struct fixture *f)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = self_signed(key);
	FILE *out = fopen(f->cert, "we");

	assert_non_null(out);
	assert_int_equal(PEM_write_X509(out, cert), 1);
	(void)fclose(out);
	out = fopen(f->key, "we");
	assert_non_null(out);
	assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(out);
	assert_int_equal(chmod(f->key, 0600), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int
start(void **state)
{
	static struct fixture f;

	(void)snprintf(f.dir, sizeof(f.dir), "/tmp/http-tls-XXXXXX");
	assert_non_null(mkdtemp(f.dir));
	(void)snprintf(f.cert, sizeof(f.cert), "%s/cert.pem", f.dir);
	(void)snprintf(f.key, sizeof(f.key), "%s/key.pem", f.dir);
	write_files(&f);
	harness_start(&f.h, (struct http_params){ .tls_cert_file = f.cert,
						  .tls_key_file = f.key,
						  .header_timeout_ms = 300,
						  .write_timeout_ms = 300 });
	f.ctx = SSL_CTX_new(TLS_client_method());
	assert_non_null(f.ctx);
	*state = &f;
	return 0;
}

static int
stop(void **state)
{
	struct fixture *f = *state;

	harness_stop(&f->h);
	SSL_CTX_free(f->ctx);
	(void)unlink(f->cert);
	(void)unlink(f->key);
	(void)rmdir(f->dir);
	return 0;
}

static SSL *
tls_connect(struct fixture *f, int rcvbuf)
{
	SSL *ssl = SSL_new(f->ctx);

	assert_non_null(ssl);
	assert_int_equal(SSL_set_fd(ssl, client_connect(f->h.address, rcvbuf)), 1);
	return ssl;
}

static void
tls_close(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	(void)close(fd);
}

/* All that comes until the end; true if the server said that nothing follows. */
static bool
read_to_end(SSL *ssl, size_t *ret_len, char *first, size_t cap)
{
	static char buf[65536];
	int n;

	*ret_len = 0;
	while ((n = SSL_read(ssl, buf, sizeof(buf))) > 0) {
		for (int i = 0; i < n && *ret_len + (size_t)i + 1 < cap; i++)
			first[*ret_len + (size_t)i] = buf[i];
		*ret_len += (size_t)n;
	}
	first[*ret_len < cap ? *ret_len : cap - 1] = '\0';
	return SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static void
test_tls_13_serves_requests(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	static const char two[] =
	    GET("/hello") "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	char text[1024];
	size_t len;

	assert_int_equal(SSL_connect(ssl), 1);
	assert_string_equal(SSL_get_version(ssl), "TLSv1.3");
	assert_int_equal(SSL_write(ssl, two, sizeof(two) - 1), sizeof(two) - 1);
	assert_true(read_to_end(ssl, &len, text, sizeof(text)));
	assert_non_null(strstr(text, "\r\n\r\nhelloHTTP/1.1 200 OK\r\n"));
	assert_string_equal(text + len - 5, "hello");
	tls_close(ssl);
}

static void
test_tls_alpn_is_http11(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	const unsigned char *proto;
	unsigned len;

	assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12),
			 0);
	assert_int_equal(SSL_connect(ssl), 1);
	SSL_get0_alpn_selected(ssl, &proto, &len);
	assert_int_equal(len, 8);
	assert_memory_equal(proto, "http/1.1", 8);
	tls_close(ssl);
}

static void
test_tls_12_is_refused(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);

	assert_int_equal(SSL_set_max_proto_version(ssl, TLS1_2_VERSION), 1);
	assert_int_not_equal(SSL_connect(ssl), 1);
	ERR_clear_error();
	tls_close(ssl);
	harness_await_connections(&f->h, 0);
}

static void
test_tls_large_body_and_stream_arrive_whole(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	static char body[300000], text[400000];
	char head[128];
	size_t len, total = 0;
	int n =
	    snprintf(head, sizeof(head),
		     "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizeof(body));

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)('a' + i % 26);
	assert_int_equal(SSL_connect(ssl), 1);
	assert_int_equal(SSL_write(ssl, head, n), n);
	assert_int_equal(SSL_write(ssl, body, sizeof(body)), sizeof(body));
	while (total < sizeof(body) &&
	       (n = SSL_read(ssl, text + total, (int)(sizeof(text) - total))) > 0) {
		total += (size_t)n;
	}
	assert_true(total > sizeof(body));
	assert_memory_equal(strstr(text, "\r\n\r\n") + 4, body,
			    total - (size_t)(strstr(text, "\r\n\r\n") + 4 - text));
	tls_close(ssl);

	ssl = tls_connect(f, 65536);
	assert_int_equal(SSL_connect(ssl), 1);
	n = snprintf(head, sizeof(head), "GET /stream?16777216 HTTP/1.0\r\n\r\n");
	assert_int_equal(SSL_write(ssl, head, n), n);
	assert_true(read_to_end(ssl, &len, text, sizeof(text)));
	assert_int_equal(len - (size_t)(strstr(text, "\r\n\r\n") + 4 - text), 16777216);
	tls_close(ssl);
}

static void
test_tls_abort_is_a_truncation(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	char text[1024];
	size_t len;

	assert_int_equal(SSL_connect(ssl), 1);
	assert_true(SSL_write(ssl, GET("/abort"), sizeof(GET("/abort")) - 1) > 0);
	assert_false(read_to_end(ssl, &len, text, sizeof(text)));
	assert_non_null(strstr(text, "part"));
	assert_null(strstr(text, "\r\n0\r\n"));
	ERR_clear_error();
	tls_close(ssl);
}

static void
test_tls_client_that_leaves_or_stalls_is_noticed(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	int silent = client_connect(f->h.address, 0);
	int plain = client_connect(f->h.address, 0);

	assert_int_equal(SSL_connect(ssl), 1);
	assert_true(SSL_write(ssl, GET("/hold"), sizeof(GET("/hold")) - 1) > 0);
	harness_await(&f->h.held_count, 1);
	tls_close(ssl);
	harness_await(&f->h.gone, 1);
	assert_true(client_try_send(plain, GET("/hello"), sizeof(GET("/hello")) - 1));
	harness_await_connections(&f->h, 0); /* the silent one at its handshake's deadline */
	(void)close(silent);
	(void)close(plain);
}

static void
drain(struct harness *h)
{
	http_server_drain(h->server);
}

static void
test_tls_handshake_that_ends_while_draining_is_closed(void **state)
{
	struct fixture *f = *state;
	SSL *ssl = tls_connect(f, 0);
	char text[64];
	size_t len;

	harness_await_connections(&f->h, 1);
	harness_on_loop(&f->h, drain);
	assert_int_equal(SSL_connect(ssl), 1);
	(void)read_to_end(ssl, &len, text, sizeof(text));
	assert_int_equal(len, 0);
	harness_await_connections(&f->h, 0); /* at once, not after the idle time of 75 s */
	ERR_clear_error();
	tls_close(ssl);
}

static enum im_rc
open_with(struct fixture *f, const char *cert, const char *key, struct im_err *err)
{
	struct http_params params = { .listen = "127.0.0.1:0",
				      .tls_cert_file = cert,
				      .tls_key_file = key };
	const struct http_ops none = { 0 };
	struct http_server *s = NULL;
	enum im_rc rc;

	loop_enter(f->h.loop);
	rc = http_server_open(f->h.loop, &params, &none, NULL, &s, err);
	if (rc == IM_OK)
		http_server_close(s);
	loop_leave(f->h.loop);
	return rc;
}

/* Ed25519 beside a P-256 certificate: OpenSSL keeps it as the key of a certificate yet to come. */
static void
test_tls_key_of_another_kind_is_refused(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	FILE *out = fopen(f->key, "we");
	struct im_err err;

	assert_non_null(key);
	assert_non_null(out);
	assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(out);
	EVP_PKEY_free(key);
	assert_int_equal(open_with(f, f->cert, f->key, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "is not the key of the certificate"));
}

static void
test_tls_bad_files_are_named(void **state)
{
	struct fixture *f = *state;
	struct im_err err;
	char missing[64];

	(void)snprintf(missing, sizeof(missing), "%s/none", f->dir);
	assert_int_equal(open_with(f, f->cert, f->key, &err), IM_OK);
	assert_int_equal(open_with(f, f->cert, NULL, &err), IM_EINVAL);
	assert_int_equal(open_with(f, missing, f->key, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, missing));
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(open_with(f, f->cert, missing, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, missing));
	assert_int_equal(open_with(f, f->cert, f->cert, &err), IM_EINVAL);
	assert_int_equal(chmod(f->key, 0640), 0);
	assert_int_equal(open_with(f, f->cert, f->key, &err), IM_OK);
	assert_int_equal(chmod(f->key, 0644), 0);
	assert_int_equal(open_with(f, f->cert, f->key, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "chmod 600"));
}

/* Standard input holds the passphrase: it must not be read, for at a terminal the daemon would wait there. */
static void
test_tls_key_with_passphrase_is_refused_without_asking(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *out = fopen(f->key, "we");
	int pipes[2], saved = fcntl(0, F_DUPFD_CLOEXEC, 3);
	struct im_err err;
	char left[8];

	assert_non_null(out);
	assert_int_equal(PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(),
					      (const unsigned char *)"secret", 6, NULL, NULL),
			 1);
	(void)fclose(out);
	EVP_PKEY_free(key);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "secret\n", 7), 7);
	assert_int_equal(dup2(pipes[0], 0), 0);
	assert_int_equal(open_with(f, f->cert, f->key, &err), IM_EINVAL);
	assert_non_null(strstr(err.text, "without a passphrase"));
	assert_int_equal(read(pipes[0], left, sizeof(left)), 7); /* nobody took it */
	assert_int_equal(dup2(saved, 0), 0);
	(void)close(saved);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_tls_13_serves_requests),
		T(test_tls_alpn_is_http11),
		T(test_tls_12_is_refused),
		T(test_tls_large_body_and_stream_arrive_whole),
		T(test_tls_abort_is_a_truncation),
		T(test_tls_client_that_leaves_or_stalls_is_noticed),
		T(test_tls_handshake_that_ends_while_draining_is_closed),
		T(test_tls_bad_files_are_named),
		T(test_tls_key_of_another_kind_is_refused),
		T(test_tls_key_with_passphrase_is_refused_without_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
