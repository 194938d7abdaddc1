/*
 * net/raw_peer.h - a peer on a plain Unix socket that says whatever a test wants, for hostile_test.c. Not part of any
 * program.
 */
#ifndef NET_RAW_PEER_H
#define NET_RAW_PEER_H

#include "net/rig.h"
#include "wire/wire.h"

struct raw_peer {
	int fd;
};

/** Connect to the socket file of 'url'. */
void raw_connect(struct raw_peer *p, const char *url);
void raw_close(struct raw_peer *p);

/** Write all of it. False if the other side closed. */
bool raw_write(struct raw_peer *p, const void *data, size_t len);
bool raw_frame(struct raw_peer *p, uint32_t id, uint8_t kind, const void *body, size_t len);

/** Append the bytes of our HELLO frame to 'out'; version 0 = ours. */
void raw_hello_bytes(struct buf *out, uint32_t version);
bool raw_hello(struct raw_peer *p);
/** Append the bytes of a REQUEST frame. */
void raw_request_bytes(struct buf *out, uint32_t id, const char *method);

/** Append the bytes of an empty PING frame. */
void raw_ping_bytes(struct buf *out);

/** Read exactly 'len' bytes. False at the end of the stream. Fails the test after the deadline. */
bool raw_read_bytes(struct raw_peer *p, uint8_t *out, size_t len);

/** Read one frame; its body goes to 'body'. False at the end of the stream. Fails the test after the deadline. */
bool raw_read(struct raw_peer *p, struct frame_header *ret, struct buf *body);

/** Read until a frame of 'kind' comes; false if the stream ends before. */
bool raw_expect(struct raw_peer *p, enum frame_kind kind, struct frame_header *ret,
		struct buf *body);

/** Read until the other side closes. Fails the test after the deadline. */
void raw_expect_end(struct raw_peer *p);

#endif
