/*
 * http/chunk.c - the decoder of the chunked coding; see chunk.h.
 *
 *            digit          CR          LF, size > 0      size bytes      CR          LF
 * SIZE_FIRST ────▶ SIZE ──────▶ SIZE_LF ────────────▶ DATA ─────▶ DATA_CR ─▶ DATA_LF ─┐
 *     ▲             │ ';'        ▲  │ LF, size = 0                                    │
 *     │             ▼      CR    │  ▼             CR             LF                   │
 *     │           EXTENSION ─────┘ TRAILER_FIRST ───▶ LAST_LF ──────▶ DONE            │
 *     │                             │ other    ▲ LF                                   │
 *     │                             ▼     CR   │                                      │
 *     │                            TRAILER ─▶ TRAILER_LF                              │
 *     └───────────────────────────────────────────────────────────────────────────────┘
 */
#include "http/chunk.h"

#include "base/hex.h"

#include <stdbool.h>

static bool
is_text(uint8_t c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static enum chunk_rc
go(struct chunk_decoder *d, enum chunk_state state)
{
	d->state = state;
	return CHUNK_MORE;
}

static enum chunk_rc
expect(struct chunk_decoder *d, uint8_t got, uint8_t wanted, enum chunk_state next)
{
	return got == wanted ? go(d, next) : CHUNK_BAD;
}

/* A byte of the size line up to its CR. Blanks around the size are refused: some readers take them, some do not. */
static enum chunk_rc
size_byte(struct chunk_decoder *d, uint8_t c)
{
	int digit = hex_digit(c);

	if (++d->line > CHUNK_LINE_MAX)
		return CHUNK_BAD;
	if (d->state == CHUNK_EXTENSION) {
		if (c == '\r')
			return go(d, CHUNK_SIZE_LF);
		return is_text(c) ? CHUNK_MORE : CHUNK_BAD;
	}
	if (digit >= 0) {
		if (d->left >> 60 != 0)
			return CHUNK_BAD;
		d->left = d->left << 4 | (uint64_t)digit;
		return go(d, CHUNK_SIZE);
	}
	if (d->state == CHUNK_SIZE_FIRST)
		return CHUNK_BAD;
	if (c == '\r')
		return go(d, CHUNK_SIZE_LF);
	return expect(d, c, ';', CHUNK_EXTENSION);
}

static enum chunk_rc
trailer_byte(struct chunk_decoder *d, uint8_t c)
{
	if (++d->trailer > CHUNK_TRAILER_MAX)
		return CHUNK_BAD;
	if (c == '\r')
		return go(d, d->state == CHUNK_TRAILER_FIRST ? CHUNK_LAST_LF : CHUNK_TRAILER_LF);
	return is_text(c) ? go(d, CHUNK_TRAILER) : CHUNK_BAD;
}

/* Any byte that is not of a chunk's data. */
static enum chunk_rc
frame_byte(struct chunk_decoder *d, uint8_t c, size_t room)
{
	switch (d->state) {
	case CHUNK_SIZE_FIRST:
	case CHUNK_SIZE:
	case CHUNK_EXTENSION:
		return size_byte(d, c);
	case CHUNK_SIZE_LF:
		if (c != '\n')
			return CHUNK_BAD;
		if (d->left > room)
			return CHUNK_TOOBIG;
		return go(d, d->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_FIRST);
	case CHUNK_DATA_CR:
		return expect(d, c, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF:
		d->line = 0;
		return expect(d, c, '\n', CHUNK_SIZE_FIRST);
	case CHUNK_TRAILER_FIRST:
	case CHUNK_TRAILER:
		return trailer_byte(d, c);
	case CHUNK_TRAILER_LF:
		return expect(d, c, '\n', CHUNK_TRAILER_FIRST);
	case CHUNK_LAST_LF:
		return expect(d, c, '\n', CHUNK_DONE);
	case CHUNK_DATA:
	case CHUNK_DONE:
		break;
	}
	return CHUNK_BAD;
}

enum chunk_rc
http_chunk_decode(struct chunk_decoder *d, const uint8_t *in, size_t len, size_t max_bytes,
		  struct buf *body, size_t *ret_used)
{
	enum chunk_rc rc = CHUNK_MORE;
	size_t i = 0;

	while (i < len && rc == CHUNK_MORE && d->state != CHUNK_DONE) {
		if (d->state == CHUNK_DATA) {
			size_t n = len - i < d->left ? len - i : (size_t)d->left;

			if (!buf_append(body, in + i, n)) {
				rc = CHUNK_NOMEM;
				break;
			}
			i += n;
			d->left -= n;
			if (d->left == 0)
				d->state = CHUNK_DATA_CR;
			continue;
		}
		rc = frame_byte(d, in[i++], max_bytes - body->len);
	}
	*ret_used = i;
	return rc == CHUNK_MORE && d->state == CHUNK_DONE ? CHUNK_END : rc;
}
