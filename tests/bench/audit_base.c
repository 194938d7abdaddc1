/*
 * tests/bench/audit_base.c - baselines of the audit benchmark; see audit_base.h.
 */
#include "audit_base.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "evidence.h"

#define FILE_BYTES (UINT64_C(64) << 20)

double
base_sync(const char *folder, size_t bytes, unsigned per_s, uint64_t for_us, uint32_t *took_us,
	  size_t *ret_len)
{
	char path[256];
	uint8_t *data = calloc(1, bytes);
	uint64_t at = 0, count = 0, began_us;
	size_t len = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/bench-XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || data == NULL || fallocate(fd, 0, 0, (off_t)FILE_BYTES) != 0 || fsync(fd) != 0)
		evidence_die("cannot set up a file in %s", folder);
	began_us = clock_mono_us();
	for (; clock_mono_us() < began_us + for_us; count++) {
		uint64_t due_us = per_s > 0 ? began_us + count * 1000000 / per_s : 0;
		uint64_t now_us = clock_mono_us();

		if (due_us > now_us)
			(void)usleep((useconds_t)(due_us - now_us));
		now_us = clock_mono_us();
		if (pwrite(fd, data, bytes, (off_t)at) < 0 || fdatasync(fd) != 0)
			evidence_die("cannot write %s", path);
		if (took_us != NULL)
			took_us[len++] = (uint32_t)(clock_mono_us() - now_us);
		at = (at + bytes) % (FILE_BYTES - bytes);
	}
	if (ret_len != NULL)
		*ret_len = len;
	(void)close(fd);
	(void)unlink(path);
	free(data);
	return (double)count * 1e6 / (double)(clock_mono_us() - began_us);
}

static void
run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		evidence_die("sqlite: %s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *
open_database(const char *path)
{
	sqlite3 *db;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		evidence_die("sqlite: cannot open %s", path);
	run(db, "PRAGMA journal_mode=WAL");
	run(db, "PRAGMA synchronous=FULL");
	run(db,
	    "CREATE TABLE record (n INTEGER PRIMARY KEY, request_id BLOB, kind INTEGER, entry BLOB)");
	/* The log answers an event that comes again with its index. */
	run(db, "CREATE UNIQUE INDEX event ON record (request_id, kind)");
	return db;
}

double
base_sqlite(const char *folder, unsigned batch, uint64_t for_us)
{
	char dir[128], path[160];
	uint8_t entry[BASE_RECORD_BYTES] = { 0 }, id[16] = { 0 };
	uint64_t count = 0, began_us;
	sqlite3_stmt *insert;
	sqlite3 *db;
	double rate;

	(void)snprintf(dir, sizeof(dir), "%s/sqlite-XXXXXX", folder);
	if (mkdtemp(dir) == NULL)
		evidence_die("cannot make a folder in %s", folder);
	(void)snprintf(path, sizeof(path), "%s/db", dir);
	db = open_database(path);
	if (sqlite3_prepare_v2(db, "INSERT INTO record (request_id, kind, entry) VALUES (?, ?, ?)",
			       -1, &insert, NULL) != SQLITE_OK)
		evidence_die("sqlite: %s", sqlite3_errmsg(db));
	began_us = clock_mono_us();
	while (clock_mono_us() < began_us + for_us) {
		run(db, "BEGIN");
		for (unsigned i = 0; i < batch; i++, count++) {
			uint64_t number = count / 2;

			memcpy(id, &number, sizeof(number));
			memcpy(entry, &count, sizeof(count));
			(void)sqlite3_bind_blob(insert, 1, id, sizeof(id), SQLITE_STATIC);
			(void)sqlite3_bind_int(insert, 2, (int)(count % 2));
			(void)sqlite3_bind_blob(insert, 3, entry, sizeof(entry), SQLITE_STATIC);
			if (sqlite3_step(insert) != SQLITE_DONE)
				evidence_die("sqlite: %s", sqlite3_errmsg(db));
			(void)sqlite3_reset(insert);
		}
		run(db, "COMMIT");
	}
	rate = (double)count * 1e6 / (double)(clock_mono_us() - began_us);
	(void)sqlite3_finalize(insert);
	(void)sqlite3_close(db);
	evidence_remove(dir);
	return rate;
}
