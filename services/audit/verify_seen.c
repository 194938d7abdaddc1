/*
 * audit/verify_seen.c - comparing the tree with checkpoints kept outside of it; see verify_seen.h.
 */
#include "audit/verify_seen.h"

#include <inttypes.h>
#include <string.h>

#include "audit/verify_records.h"

enum im_rc
verify_seen_init(struct verify_seen *s, const struct verify_options *options,
		 struct verify_report *report, struct im_err *err)
{
	*s = (struct verify_seen){ .list = options->seen,
				   .count = options->seen_count,
				   .report = report };
	for (size_t i = 1; i < s->count; i++)
		if (s->list[i].size < s->list[i - 1].size)
			return err_set(err, IM_EINVAL,
				       "checkpoints that were seen must be sorted by size");
	while (s->found < s->count && s->list[s->found].size == 0) /* every log continues it */
		s->found++;
	return IM_OK;
}

/* Move on to the next one of this shard from 'at' on. */
static void
move_to(struct verify_seen *s, size_t at)
{
	while (at < s->count &&
	       (s->list[at].size == 0 ||
		(s->origin[0] != '\0' && strcmp(s->list[at].origin, s->origin) != 0)))
		at++;
	s->next = at;
}

void
verify_seen_begin(struct verify_seen *s, const char *origin)
{
	s->origin = origin;
	for (size_t i = 0; i < s->count; i++)
		s->found += s->list[i].size > 0 &&
			    (origin[0] == '\0' || strcmp(s->list[i].origin, origin) == 0);
	move_to(s, 0);
}

void
verify_seen_at(struct verify_seen *s, const struct tlog_range *range, struct hasher *h)
{
	struct hash root;

	if (s->next == s->count || s->list[s->next].size > range->size)
		return;
	tlog_range_root(range, h, &root);
	for (; s->next < s->count && s->list[s->next].size <= range->size;
	     move_to(s, s->next + 1)) {
		if (s->list[s->next].size == range->size &&
		    !tlog_equal(&s->list[s->next].root, &root))
			verify_problem(
			    s->report,
			    "the first %" PRIu64
			    " records do not have the root that the checkpoint of them that was kept says: the log was "
			    "written anew, or forked",
			    range->size);
	}
}

void
verify_seen_end(struct verify_seen *s, uint64_t size)
{
	uint64_t most = 0;

	for (; s->next < s->count; move_to(s, s->next + 1))
		most = s->list[s->next].size;
	if (most > 0)
		verify_problem(s->report,
			       "the log ends at record %" PRIu64 ", but a checkpoint of %" PRIu64
			       " was kept: the log was rolled back or files are missing",
			       size, most);
}

void
verify_seen_done(const struct verify_seen *s)
{
	if (s->found < s->count)
		verify_problem(
		    s->report,
		    "%zu checkpoints that were kept are of no shard of this log: it was rolled back, or "
		    "they are of another one",
		    s->count - s->found);
}
