/*
 * audit/verify_seen.h - checkpoints that somebody kept outside of the log: verification compares each with the tree as it grows
 * past its size. This is what shows a log that was rolled back, or forked by whoever holds its key. Inside verification only.
 */
#ifndef AUDIT_VERIFY_SEEN_H
#define AUDIT_VERIFY_SEEN_H

#include "audit/verify.h"

struct verify_seen {
	const struct checkpoint *list; /* by size, ascending */
	size_t count, next;            /* 'next' is of this shard */
	const char *origin;            /* of this shard */
	size_t found;                  /* of any shard so far */
	struct verify_report *report;
};

/** The options' list; IM_EINVAL unless its sizes ascend. */
IM_MUST_CHECK enum im_rc verify_seen_init(struct verify_seen *s,
					  const struct verify_options *options,
					  struct verify_report *report, struct im_err *err);

/** A shard begins. 'origin' must live until it ends; "" = all that was kept is of this one. */
void verify_seen_begin(struct verify_seen *s, const char *origin);

/** The tree is 'range' now. Called after each leaf; costs nothing between the sizes that were seen. */
void verify_seen_at(struct verify_seen *s, const struct tlog_range *range, struct hasher *h);

/** The shard ends at record 'size'. */
void verify_seen_end(struct verify_seen *s, uint64_t size);

/** The log ends. */
void verify_seen_done(const struct verify_seen *s);

#endif
