/*
 * audit/search_index.h - an index of a log's published records by who, what and how it ended: a SQLite file beside the log, made from
 * the log and never more than a hint. Whoever uses it reads the log again.
 *
 * Several processes may use one at once. A failure of any call that says IM_ECORRUPT means: not an index of this version, or
 * damaged; delete the file and begin anew.
 */
#ifndef AUDIT_SEARCH_INDEX_H
#define AUDIT_SEARCH_INDEX_H

#include "audit/search.h"

struct search_index;

/** Open the index 'path', made if missing, with mode 0600. IM_ECORRUPT, IM_EUNAVAILABLE, IM_EIO, IM_ENOMEM. */
IM_MUST_CHECK enum im_rc search_index_open(const char *path, struct search_index **ret,
					   struct im_err *err);

/** Delete the file, and the journal beside it that would be played back into the next one. */
void search_index_remove(const char *path);

/** What was added since the last search_index_commit() is forgotten. NULL is fine. */
void search_index_close(struct search_index *x);

/** Index after the last record that is in it; 0 = none is. 'ret_blind' is the blind of that last one. */
IM_MUST_CHECK enum im_rc search_index_end(struct search_index *x, uint64_t *ret,
					  uint8_t ret_blind[RECORD_BLIND_BYTES],
					  struct im_err *err);

/** Take up record 'index'. In order. */
IM_MUST_CHECK enum im_rc search_index_add(struct search_index *x, uint64_t index,
					  const struct record *r, struct im_err *err);

/** Make durable what was added. */
IM_MUST_CHECK enum im_rc search_index_commit(struct search_index *x, struct im_err *err);

/** Tell 'candidate' the indices of the records that may match, the newest first. Anything but IM_OK ends it, and is returned. */
IM_MUST_CHECK enum im_rc search_index_query(struct search_index *x, const struct search_filter *f,
					    enum im_rc (*candidate)(void *user, uint64_t index,
								    struct im_err *err),
					    void *user, struct im_err *err);

#endif
