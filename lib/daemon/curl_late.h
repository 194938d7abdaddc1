/*
 * daemon/curl_late.h - libcurl, loaded when something is configured that needs it: with the libraries that it brings along it takes 3 MiB
 * of memory, which an audit service without witnesses and a cache without an object store need not have.
 */
#ifndef DAEMON_CURL_LATE_H
#define DAEMON_CURL_LATE_H

#include <curl/curl.h>

#include "base/err.h"

/* Names without "curl_", as used below. */
#define CURL_LATE_FUNCTIONS(X)                                                                     \
	X(global_init)                                                                             \
	X(global_cleanup)                                                                          \
	X(easy_init)                                                                               \
	X(easy_cleanup)                                                                            \
	X(easy_setopt)                                                                             \
	X(easy_getinfo)                                                                            \
	X(easy_pause)                                                                              \
	X(easy_strerror)                                                                           \
	X(multi_init)                                                                              \
	X(multi_cleanup)                                                                           \
	X(multi_add_handle)                                                                        \
	X(multi_remove_handle)                                                                     \
	X(multi_setopt)                                                                            \
	X(multi_socket_action)                                                                     \
	X(multi_perform)                                                                           \
	X(multi_info_read)                                                                         \
	X(multi_poll)                                                                              \
	X(multi_wakeup)                                                                            \
	X(slist_append)                                                                            \
	X(slist_free_all)

#define CURL_LATE_POINTER(name) __typeof__(curl_##name) *name;

/* curl_late.easy_init() is curl_easy_init(), after curl_late_load(). */
extern struct curl_late {
	CURL_LATE_FUNCTIONS(CURL_LATE_POINTER)
} curl_late;

/** Load it, once for the process, however often this is called. Before the threads that use it. IM_OK; IM_EUNAVAILABLE: says what is missing. */
IM_MUST_CHECK enum im_rc curl_late_load(struct im_err *err);

#endif
