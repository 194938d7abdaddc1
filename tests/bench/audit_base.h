/*
 * tests/bench/audit_base.h - what the audit daemon is compared with, on the same disk: a bare loop of writes and fdatasync, and
 * SQLite (WAL, synchronous=FULL) that inserts as many bytes.
 */
#ifndef BENCH_AUDIT_BASE_H
#define BENCH_AUDIT_BASE_H

#include <stddef.h>
#include <stdint.h>

#define BASE_RECORD_BYTES 300 /* of an entry of the log, about */

/** write + fdatasync a second, 'bytes' each, in a file that was set aside. With 'per_s' so many a second, and how long each took
 *  into 'took_us' ('*ret_len' of them, unsorted). */
double base_sync(const char *folder, size_t bytes, unsigned per_s, uint64_t for_us,
		 uint32_t *took_us, size_t *ret_len);

/** Rows a second that SQLite inserts durably, 'batch' in each transaction, from one connection. */
double base_sqlite(const char *folder, unsigned batch, uint64_t for_us);

#endif
