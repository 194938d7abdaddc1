/*
 * audit/wal_frame.c - frames of the write-ahead log, to bytes and back; see wal_frame.h.
 */
#include "audit/wal_frame.h"

#include <pthread.h>
#include <string.h>

#include "audit/tile.h"

#define POLY 0x82f63b78U /* CRC-32C, reflected */

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ ((c & 1) != 0 ? POLY : 0);
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t
get_u64(const uint8_t *p)
{
	return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static void
put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static void
put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)v);
	put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Eight bytes a step: "slicing by 8". */
uint32_t
wal_crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t c = ~crc;

	(void)pthread_once(&table_once, table_make);
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t lo = c ^ get_u32(p), hi = get_u32(p + 4);

		c = table[7][lo & 0xff] ^ table[6][lo >> 8 & 0xff] ^ table[5][lo >> 16 & 0xff] ^
		    table[4][lo >> 24] ^ table[3][hi & 0xff] ^ table[2][hi >> 8 & 0xff] ^
		    table[1][hi >> 16 & 0xff] ^ table[0][hi >> 24];
	}
	for (; len > 0; p++, len--)
		c = c >> 8 ^ table[0][(c ^ *p) & 0xff];
	return ~c;
}

/* a · b modulo the polynomial; the highest bit is x^0. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; a != 0; a <<= 1) {
		if ((a & UINT32_C(1) << 31) != 0)
			product ^= b;
		b = b >> 1 ^ ((b & 1) != 0 ? POLY : 0);
	}
	return product;
}

/* What comes of a checksum when 'zeros' bytes of zeros follow: it times x^(8 zeros). */
static uint32_t
crc_shift(uint32_t crc, size_t zeros)
{
	uint32_t power = UINT32_C(1) << 23; /* x^8 */

	for (; zeros > 0; zeros >>= 1) {
		if ((zeros & 1) != 0)
			crc = multiply(power, crc);
		power = multiply(power, power);
	}
	return crc;
}

#ifdef __x86_64__
#	define LANE_BYTES ((size_t)1024)

static uint32_t shifted[4][256]; /* by a lane's length: linear in the checksum, so byte by byte */
static pthread_once_t shifted_once = PTHREAD_ONCE_INIT;

static void
shifted_make(void)
{
	for (int k = 0; k < 4; k++)
		for (uint32_t i = 0; i < 256; i++)
			shifted[k][i] = crc_shift(i << 8 * k, LANE_BYTES);
}

static uint32_t
shift_lane(uint32_t c)
{
	return shifted[0][c & 0xff] ^ shifted[1][c >> 8 & 0xff] ^ shifted[2][c >> 16 & 0xff] ^
	       shifted[3][c >> 24];
}

/* Eight bytes as this processor has them; get_u64() is too much for a compiler to put into the loops below. */
static inline uint64_t
load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The processor's own instruction, five times faster; and it can begin three before the first is done, so three lanes go at once. */
__attribute__((target("sse4.2"))) static uint32_t
crc_by_processor(uint32_t c, const uint8_t *p, size_t len)
{
	uint64_t wide = c;

	if (len >= 3 * LANE_BYTES)
		(void)pthread_once(&shifted_once, shifted_make);
	for (; len >= 3 * LANE_BYTES; p += 3 * LANE_BYTES, len -= 3 * LANE_BYTES) {
		uint64_t second = 0, third = 0;

		for (size_t i = 0; i < LANE_BYTES; i += 8) {
			if (i % 64 == 0)
				for (size_t k = 3; k < 6; k++)
					__builtin_prefetch(p + k * LANE_BYTES + i);
			wide = __builtin_ia32_crc32di(wide, load_u64(p + i));
			second = __builtin_ia32_crc32di(second, load_u64(p + LANE_BYTES + i));
			third = __builtin_ia32_crc32di(third, load_u64(p + 2 * LANE_BYTES + i));
		}
		wide = shift_lane(shift_lane((uint32_t)wide) ^ (uint32_t)second) ^ third;
	}
	for (; len >= 8; p += 8, len -= 8)
		wide = __builtin_ia32_crc32di(wide, load_u64(p));
	for (c = (uint32_t)wide; len > 0; p++, len--)
		c = __builtin_ia32_crc32qi(c, *p);
	return c;
}
#endif

uint32_t
wal_crc32c(uint32_t crc, const void *data, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_processor(~crc, data, len);
#endif
	return wal_crc32c_by_table(crc, data, len);
}

size_t
wal_frame_bytes(const struct wal_frame *f)
{
	return WAL_HEADER_BYTES + f->records_len + HASH_BYTES + f->checkpoint_len +
	       WAL_TRAILER_BYTES;
}

bool
wal_frame_put(struct buf *out, const struct wal_frame *f)
{
	uint8_t header[WAL_HEADER_BYTES] = { 0 };
	uint8_t crc[WAL_TRAILER_BYTES];
	size_t start = out->len;

	memcpy(header, WAL_MAGIC, 8); // NOLINT(bugprone-not-null-terminated-result): bytes, no text
	put_u64(header + 8, f->generation);
	put_u64(header + 16, f->first);
	put_u32(header + 24, f->count);
	put_u32(header + 28, (uint32_t)f->records_len);
	put_u32(header + 32, (uint32_t)f->checkpoint_len);
	put_u32(header + 40, wal_crc32c(0, header, 40));
	(void)buf_append(out, header, sizeof(header));
	(void)buf_append(out, f->records, f->records_len);
	(void)buf_append(out, f->root.b, HASH_BYTES);
	if (!buf_append(out, f->checkpoint, f->checkpoint_len))
		return false;
	/* It covers the header too: a payload must not pass for that of another frame at the same place. */
	put_u32(crc, wal_crc32c(0, out->data + start, out->len - start));
	return buf_append(out, crc, sizeof(crc));
}

void
wal_frame_renumber(uint8_t *frame, size_t total, uint64_t generation)
{
	uint8_t *crc = frame + total - WAL_TRAILER_BYTES;
	uint32_t was = wal_crc32c(0, frame, WAL_HEADER_BYTES);

	put_u64(frame + 8, generation);
	put_u32(frame + 40, wal_crc32c(0, frame, 40));
	/* crc(header ‖ payload) = crc(header) shifted by the payload's length, xor crc(payload). */
	put_u32(crc, get_u32(crc) ^ crc_shift(was ^ wal_crc32c(0, frame, WAL_HEADER_BYTES),
					      total - WAL_HEADER_BYTES - WAL_TRAILER_BYTES));
}

bool
wal_header_get(const uint8_t *data, struct wal_frame *ret, size_t *ret_total)
{
	struct wal_frame f = { 0 };

	if (memcmp(data, WAL_MAGIC, 8) != 0 || get_u32(data + 40) != wal_crc32c(0, data, 40))
		return false;
	f.generation = get_u64(data + 8);
	f.first = get_u64(data + 16);
	f.count = get_u32(data + 24);
	f.records_len = get_u32(data + 28);
	f.checkpoint_len = get_u32(data + 32);
	if (f.count == 0 || f.records_len > WAL_RECORDS_MAX || f.records_len / 2 < f.count ||
	    f.checkpoint_len == 0 || f.checkpoint_len > WAL_CHECKPOINT_MAX ||
	    get_u32(data + 36) != 0 || f.first > UINT64_MAX - f.count)
		return false;
	*ret_total = wal_frame_bytes(&f);
	*ret = f;
	return true;
}

enum im_rc
wal_frame_get(const uint8_t *data, size_t len, struct wal_frame *ret, struct im_err *err)
{
	struct wal_frame f;
	size_t total;

	if (len < WAL_HEADER_BYTES || !wal_header_get(data, &f, &total))
		return err_set(err, IM_EPROTO, "malformed frame header");
	if (len != total)
		return err_set(err, IM_EPROTO, "the frame has %zu bytes, not %zu", len, total);
	if (get_u32(data + len - WAL_TRAILER_BYTES) != wal_crc32c(0, data, len - WAL_TRAILER_BYTES))
		return err_set(err, IM_EPROTO, "wrong checksum of the frame");
	f.records = data + WAL_HEADER_BYTES;
	if (!bundle_check(f.records, f.records_len, f.count))
		return err_set(err, IM_EPROTO, "the frame does not hold %u records", f.count);
	memcpy(f.root.b, f.records + f.records_len, HASH_BYTES);
	f.checkpoint = (const char *)f.records + f.records_len + HASH_BYTES;
	*ret = f;
	return IM_OK;
}
