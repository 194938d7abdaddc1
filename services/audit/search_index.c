/*
 * audit/search_index.c - the index in SQLite; see search_index.h.
 *
 * Names (pseudonyms, models, workers) are numbers in the table of records, so that a row takes some 25 bytes. Times never decrease
 * with the index, so a span of time is found by bisecting and needs no index of its own.
 */
#include "audit/search_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define APPLICATION_ID 1229801816 /* "IMIX" */
#define INDEX_VERSION  1
#define BUSY_MS        60000 /* another process is adding to it */
#define NAME_SLOTS     4096
#define NAME_MAX_BYTES 48 /* longer ones are looked up each time */

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE last(id INTEGER PRIMARY KEY, blind BLOB NOT NULL);"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE);"
    "CREATE TABLE records(idx INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " outcome INTEGER NOT NULL, status INTEGER NOT NULL, caller INTEGER, tenant INTEGER, model INTEGER, worker INTEGER);"
    "CREATE INDEX by_caller ON records(caller) WHERE caller IS NOT NULL;"
    "CREATE INDEX by_tenant ON records(tenant) WHERE tenant IS NOT NULL;"
    "CREATE INDEX by_model ON records(model) WHERE model IS NOT NULL;"
    "CREATE INDEX by_worker ON records(worker) WHERE worker IS NOT NULL;"
    "CREATE INDEX by_outcome ON records(outcome) WHERE outcome > 1;"
    "CREATE INDEX by_status ON records(status) WHERE status > 200;"
    "CREATE INDEX by_kind ON records(kind) WHERE kind > 2;"
    "PRAGMA application_id = 1229801816;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

enum statement {
	Q_NAME_FIND,
	Q_NAME_ADD,
	Q_ADD,
	Q_END,
	Q_FIRST,
	Q_TIME,
	Q_BLIND_GET,
	Q_BLIND_SET,
	Q_COUNT,
};

static const char *const sql[Q_COUNT] = {
	[Q_NAME_FIND] = "SELECT id FROM names WHERE text = ?1",
	[Q_NAME_ADD] = "INSERT INTO names(text) VALUES(?1)",
	[Q_ADD] = "INSERT OR IGNORE INTO records VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[Q_END] = "SELECT max(idx) FROM records",
	[Q_FIRST] = "SELECT min(idx) FROM records",
	[Q_TIME] = "SELECT time FROM records WHERE idx = ?1",
	[Q_BLIND_GET] = "SELECT blind FROM last WHERE id = 1",
	[Q_BLIND_SET] = "INSERT OR REPLACE INTO last VALUES(1, ?1)",
};

struct name_slot {
	sqlite3_int64 id; /* 0 = free */
	size_t len;
	uint8_t text[NAME_MAX_BYTES];
};

struct search_index {
	sqlite3 *db;
	char *path;
	sqlite3_stmt *q[Q_COUNT];
	bool adding;                       /* a transaction is open */
	uint64_t last;                     /* record that was added, */
	uint8_t blind[RECORD_BLIND_BYTES]; /* and its blind */
	struct name_slot name[NAME_SLOTS];
};

static enum im_rc
failed(struct search_index *x, int code, struct im_err *err)
{
	const char *why = x->db != NULL ? sqlite3_errmsg(x->db) : sqlite3_errstr(code);

	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return err_set(err, IM_ENOMEM, "no memory for the search index %s", x->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* another schema than ours */
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
		return err_set(err, IM_ECORRUPT, "the search index %s is damaged: %s", x->path,
			       why);
	case SQLITE_IOERR:
		return err_set(err, IM_EIO, "the search index %s: %s", x->path, why);
	default: /* full, busy, read-only, cannot be opened */
		return err_set(err, IM_EUNAVAILABLE,
			       "the search index %s cannot be used: %s; --scan searches without it",
			       x->path, why);
	}
}

static enum im_rc
run(struct search_index *x, const char *text, struct im_err *err)
{
	int code = sqlite3_exec(x->db, text, NULL, NULL, NULL);

	return code == SQLITE_OK ? IM_OK : failed(x, code, err);
}

/* One step of 'q': SQLITE_ROW or SQLITE_DONE in '*ret'. The caller resets it. */
static enum im_rc
step(struct search_index *x, sqlite3_stmt *q, int *ret, struct im_err *err)
{
	*ret = sqlite3_step(q);
	return *ret == SQLITE_ROW || *ret == SQLITE_DONE ? IM_OK : failed(x, *ret, err);
}

/* The number that 'q' selects; '*ret_found' is false if there is none, or NULL. Resets it. */
static enum im_rc
number(struct search_index *x, enum statement which, sqlite3_int64 *ret, bool *ret_found,
       struct im_err *err)
{
	sqlite3_stmt *q = x->q[which];
	int code;
	enum im_rc rc = step(x, q, &code, err);

	*ret_found = code == SQLITE_ROW && sqlite3_column_type(q, 0) == SQLITE_INTEGER;
	*ret = *ret_found ? sqlite3_column_int64(q, 0) : 0;
	(void)sqlite3_reset(q);
	return rc;
}

/* The number that a PRAGMA of ours has. */
static enum im_rc
pragma(struct search_index *x, const char *text, sqlite3_int64 *ret, struct im_err *err)
{
	sqlite3_stmt *q = NULL;
	int code = sqlite3_prepare_v2(x->db, text, -1, &q, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(q);
	*ret = code == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	(void)sqlite3_finalize(q);
	return code == SQLITE_ROW ? IM_OK : failed(x, code, err);
}

/* Tables of this version, made if the file is empty. */
static enum im_rc
prepare_tables(struct search_index *x, struct im_err *err)
{
	sqlite3_int64 application, version, tables;
	enum im_rc rc = pragma(x, "PRAGMA application_id", &application, err);

	if (rc == IM_OK)
		rc = pragma(x, "PRAGMA user_version", &version, err);
	if (rc == IM_OK)
		rc = pragma(x, "SELECT count(*) FROM sqlite_schema", &tables, err);
	if (rc == IM_OK && application == 0 && version == 0 && tables == 0)
		return run(x, schema, err);
	if (rc == IM_OK && (application != APPLICATION_ID || version != INDEX_VERSION))
		rc = err_set(err, IM_ECORRUPT, "%s is no search index of this version", x->path);
	return rc;
}

static enum im_rc
open_db(struct search_index *x, struct im_err *err)
{
	int code, fd = open(x->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	enum im_rc rc;

	if (fd < 0)
		return err_errno(
		    err, IM_EUNAVAILABLE, errno,
		    "the search index %s cannot be opened (--scan searches without it)", x->path);
	(void)close(fd);
	code = sqlite3_open_v2(x->path, &x->db, SQLITE_OPEN_READWRITE, NULL);
	if (code != SQLITE_OK)
		return failed(x, code, err);
	(void)sqlite3_busy_timeout(x->db, BUSY_MS);
	(void)sqlite3_db_config(x->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	rc = run(
	    x,
	    "PRAGMA trusted_schema = OFF; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;"
	    "PRAGMA journal_mode = DELETE;",
	    err);
	if (rc == IM_OK)
		rc = prepare_tables(x, err);
	for (int i = 0; rc == IM_OK && i < Q_COUNT; i++) {
		code = sqlite3_prepare_v3(x->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &x->q[i],
					  NULL);
		if (code != SQLITE_OK)
			rc = failed(x, code, err);
	}
	return rc;
}

enum im_rc
search_index_open(const char *path, struct search_index **ret, struct im_err *err)
{
	struct search_index *x = calloc(1, sizeof(*x));
	enum im_rc rc;

	if (x == NULL || (x->path = strdup(path)) == NULL) {
		free(x);
		return err_set(err, IM_ENOMEM, "no memory for a search index");
	}
	rc = open_db(x, err);
	if (rc == IM_OK)
		*ret = x;
	else
		search_index_close(x);
	return rc;
}

void
search_index_remove(const char *path)
{
	struct buf journal = { 0 };

	(void)unlink(path);
	if (buf_printf(&journal, "%s-journal", path))
		(void)unlink(buf_cstr(&journal));
	buf_done(&journal);
}

void
search_index_close(struct search_index *x)
{
	if (x == NULL)
		return;
	for (int i = 0; i < Q_COUNT; i++)
		(void)sqlite3_finalize(x->q[i]);
	(void)sqlite3_close(x->db); /* which undoes what was not committed */
	free(x->path);
	free(x);
}

enum im_rc
search_index_end(struct search_index *x, uint64_t *ret, uint8_t ret_blind[RECORD_BLIND_BYTES],
		 struct im_err *err)
{
	sqlite3_stmt *q = x->q[Q_BLIND_GET];
	sqlite3_int64 last;
	bool found;
	int code;
	enum im_rc rc = number(x, Q_END, &last, &found, err);

	*ret = found ? (uint64_t)last + 1 : 0;
	if (rc != IM_OK || !found)
		return rc;
	rc = step(x, q, &code, err);
	if (rc == IM_OK &&
	    (code != SQLITE_ROW || sqlite3_column_bytes(q, 0) != RECORD_BLIND_BYTES || last < 0))
		rc = err_set(err, IM_ECORRUPT, "the search index %s is damaged", x->path);
	if (rc == IM_OK)
		memcpy(ret_blind, sqlite3_column_blob(q, 0), RECORD_BLIND_BYTES);
	(void)sqlite3_reset(q);
	return rc;
}

/* FNV-1a; only for finding a place. */
static uint32_t
mix(const uint8_t *text, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ text[i]) * 16777619u;
	return hash;
}

/* The number of a name in '*ret_id': 0 if it has none and 'add' is false. */
static enum im_rc
name_id(struct search_index *x, const void *text, size_t len, bool add, sqlite3_int64 *ret_id,
	struct im_err *err)
{
	sqlite3_stmt *q = x->q[Q_NAME_FIND];
	int code;
	enum im_rc rc;

	(void)sqlite3_bind_blob(q, 1, text, (int)len, SQLITE_STATIC);
	rc = step(x, q, &code, err);
	*ret_id = code == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	(void)sqlite3_reset(q);
	if (rc != IM_OK || *ret_id != 0 || !add)
		return rc;
	q = x->q[Q_NAME_ADD];
	(void)sqlite3_bind_blob(q, 1, text, (int)len, SQLITE_STATIC);
	rc = step(x, q, &code, err);
	(void)sqlite3_reset(q);
	*ret_id = sqlite3_last_insert_rowid(x->db);
	return rc;
}

/* Bind the number of a name that a record has. */
static enum im_rc
bind_name(struct search_index *x, int column, bool has, const void *text, size_t len,
	  struct im_err *err)
{
	struct name_slot *s = &x->name[mix(text, len) % NAME_SLOTS];
	bool fits = len <= NAME_MAX_BYTES;
	sqlite3_int64 id;
	enum im_rc rc;

	if (!has || len == 0) {
		(void)sqlite3_bind_null(x->q[Q_ADD], column);
		return IM_OK;
	}
	if (fits && s->id != 0 && s->len == len && memcmp(s->text, text, len) == 0) {
		(void)sqlite3_bind_int64(x->q[Q_ADD], column, s->id);
		return IM_OK;
	}
	rc = name_id(x, text, len, true, &id, err);
	if (rc == IM_OK && fits) {
		s->id = id;
		s->len = len;
		memcpy(s->text, text, len);
	}
	(void)sqlite3_bind_int64(x->q[Q_ADD], column, id);
	return rc;
}

static enum im_rc
bind_text(struct search_index *x, int column, const char *text, struct im_err *err)
{
	return bind_name(x, column, text != NULL, text, text != NULL ? strlen(text) : 0, err);
}

enum im_rc
search_index_add(struct search_index *x, uint64_t index, const struct record *r, struct im_err *err)
{
	sqlite3_stmt *q = x->q[Q_ADD];
	enum im_rc rc = x->adding ? IM_OK : run(x, "BEGIN IMMEDIATE", err);
	int code;

	if (rc != IM_OK)
		return rc;
	x->adding = true;
	(void)sqlite3_bind_int64(q, 1, (sqlite3_int64)index);
	(void)sqlite3_bind_int64(q, 2, (sqlite3_int64)r->log_time_us);
	(void)sqlite3_bind_int64(q, 3, r->kind);
	(void)sqlite3_bind_int64(q, 4, r->outcome);
	(void)sqlite3_bind_int64(q, 5, r->status_code);
	rc = bind_name(x, 6, r->has_caller, r->caller, sizeof(r->caller), err);
	if (rc == IM_OK)
		rc = bind_name(x, 7, r->has_tenant, r->tenant, sizeof(r->tenant), err);
	if (rc == IM_OK)
		rc = bind_text(x, 8, r->model, err);
	if (rc == IM_OK)
		rc = bind_text(x, 9, r->has_routing ? r->routing.worker : NULL, err);
	if (rc == IM_OK)
		rc = step(x, q, &code, err);
	(void)sqlite3_reset(q);
	memcpy(x->blind, r->blind, sizeof(x->blind));
	x->last = index;
	return rc;
}

enum im_rc
search_index_commit(struct search_index *x, struct im_err *err)
{
	sqlite3_stmt *q = x->q[Q_BLIND_SET];
	sqlite3_int64 last;
	enum im_rc rc;
	bool found;
	int code;

	if (!x->adding)
		return IM_OK;
	rc = number(x, Q_END, &last, &found, err);
	if (rc == IM_OK && (uint64_t)last == x->last) { /* else somebody else has added more */
		(void)sqlite3_bind_blob(q, 1, x->blind, sizeof(x->blind), SQLITE_STATIC);
		rc = step(x, q, &code, err);
		(void)sqlite3_reset(q);
	}
	if (rc == IM_OK)
		rc = run(x, "COMMIT", err);
	x->adding = rc != IM_OK;
	return rc;
}

/* The first record that is not from before 'us': one of [lo, hi]; hi + 1 if all are. */
static enum im_rc
first_not_before(struct search_index *x, sqlite3_int64 lo, sqlite3_int64 hi, uint64_t us,
		 sqlite3_int64 *ret, struct im_err *err)
{
	hi++;
	while (lo < hi) {
		sqlite3_int64 mid = lo + (hi - lo) / 2, time = 0;
		enum im_rc rc;
		bool found;

		(void)sqlite3_bind_int64(x->q[Q_TIME], 1, mid);
		rc = number(x, Q_TIME, &time, &found, err);
		if (rc != IM_OK)
			return rc;
		if (!found)
			return err_set(err, IM_ECORRUPT, "the search index %s has a hole", x->path);
		if ((uint64_t)time < us)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = lo;
	return IM_OK;
}

/* " AND idx >= … AND idx < …" */
static enum im_rc
put_span(struct search_index *x, const struct search_filter *f, struct buf *b, struct im_err *err)
{
	sqlite3_int64 first = 0, last = 0, at = 0;
	bool found;
	enum im_rc rc = number(x, Q_FIRST, &first, &found, err);

	if (rc == IM_OK && found)
		rc = number(x, Q_END, &last, &found, err);
	if (rc == IM_OK && found && f->since_us != 0) {
		rc = first_not_before(x, first, last, f->since_us, &at, err);
		if (rc == IM_OK)
			(void)buf_printf(b, " AND idx >= %lld", (long long)at);
	}
	if (rc == IM_OK && found && f->until_us != 0) {
		rc = first_not_before(x, first, last, f->until_us, &at, err);
		if (rc == IM_OK)
			(void)buf_printf(b, " AND idx < %lld", (long long)at);
	}
	return rc;
}

/* " AND caller IN (1,7)"; names that no record has match nothing. */
static enum im_rc
put_names(struct search_index *x, const char *column, const void *texts, size_t len, size_t count,
	  struct buf *b, struct im_err *err)
{
	enum im_rc rc = IM_OK;

	if (count == 0)
		return IM_OK;
	(void)buf_printf(b, " AND %s IN (", column);
	for (size_t i = 0; rc == IM_OK && i < count; i++) {
		sqlite3_int64 id;

		rc = name_id(x, (const uint8_t *)texts + i * len, len, false, &id, err);
		(void)buf_printf(b, "%s%lld", i > 0 ? "," : "", (long long)id);
	}
	(void)buf_append_str(b, ")");
	return rc;
}

static enum im_rc
put_query(struct search_index *x, const struct search_filter *f, struct buf *b, struct im_err *err)
{
	enum im_rc rc;

	(void)buf_append_str(b, "SELECT idx FROM records WHERE 1");
	rc = put_span(x, f, b, err);
	if (rc == IM_OK)
		rc = put_names(x, "caller", f->caller.pseudonym, PSEUDONYM_BYTES, f->caller.count,
			       b, err);
	if (rc == IM_OK)
		rc = put_names(x, "tenant", f->tenant.pseudonym, PSEUDONYM_BYTES, f->tenant.count,
			       b, err);
	if (rc == IM_OK && f->model != NULL)
		rc = put_names(x, "model", f->model, strlen(f->model), 1, b, err);
	if (rc == IM_OK && f->worker != NULL)
		rc = put_names(x, "worker", f->worker, strlen(f->worker), 1, b, err);
	/* What the partial indices are made for must be said as they say it. */
	if (f->kind != 0)
		(void)buf_printf(b, " AND kind = %d%s", (int)f->kind,
				 f->kind > RECORD_RESPONSE ? " AND kind > 2" : "");
	if (f->outcome != OUTCOME_NONE)
		(void)buf_printf(b, " AND outcome = %d%s", (int)f->outcome,
				 f->outcome > OUTCOME_OK ? " AND outcome > 1" : "");
	if (f->status_code != 0)
		(void)buf_printf(b, " AND status = %" PRIu32 "%s", f->status_code,
				 f->status_code > 200 ? " AND status > 200" : "");
	(void)buf_append_str(b, " ORDER BY idx DESC");
	return rc;
}

enum im_rc
search_index_query(struct search_index *x, const struct search_filter *f,
		   enum im_rc (*candidate)(void *user, uint64_t index, struct im_err *err),
		   void *user, struct im_err *err)
{
	struct buf text = { 0 };
	sqlite3_stmt *q = NULL;
	int code = SQLITE_OK;
	enum im_rc rc = put_query(x, f, &text, err);

	if (rc == IM_OK && !buf_ok(&text))
		rc = err_set(err, IM_ENOMEM, "no memory for a search");
	if (rc == IM_OK) {
		code = sqlite3_prepare_v2(x->db, buf_cstr(&text), -1, &q, NULL);
		if (code != SQLITE_OK)
			rc = failed(x, code, err);
	}
	while (rc == IM_OK) {
		rc = step(x, q, &code, err);
		if (rc != IM_OK || code == SQLITE_DONE)
			break;
		rc = candidate(user, (uint64_t)sqlite3_column_int64(q, 0), err);
	}
	(void)sqlite3_finalize(q);
	buf_done(&text);
	return rc;
}
