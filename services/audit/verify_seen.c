/*
 * audit/verify_seen.c - comparing the tree with checkpoints kept outside of it; see verify_seen.h.
 */
#include "audit/verify_seen.h"

#include <inttypes.h>

#include "audit/verify_records.h"

enum im_rc
verify_seen_init(struct verify_seen *s, const struct verify_options *options,
		 struct verify_report *report, struct im_err *err)
{
	*s = (struct verify_seen){ options->seen, options->seen_count, 0, report };
	for (size_t i = 1; i < s->count; i++)
		if (s->list[i].size < s->list[i - 1].size)
			return err_set(err, IM_EINVAL,
				       "checkpoints that were seen must be sorted by size");
	while (s->next < s->count && s->list[s->next].size == 0) /* every log continues it */
		s->next++;
	return IM_OK;
}

void
verify_seen_at(struct verify_seen *s, const struct tlog_range *range, struct hasher *h)
{
	struct hash root;

	if (s->next == s->count || s->list[s->next].size > range->size)
		return;
	tlog_range_root(range, h, &root);
	for (; s->next < s->count && s->list[s->next].size <= range->size; s->next++)
		if (s->list[s->next].size == range->size &&
		    !tlog_equal(&s->list[s->next].root, &root))
			verify_problem(
			    s->report,
			    "the first %" PRIu64
			    " records do not have the root that the checkpoint of them that was kept says: the log was "
			    "written anew, or forked",
			    range->size);
}

void
verify_seen_end(const struct verify_seen *s, uint64_t size)
{
	if (s->next < s->count)
		verify_problem(s->report,
			       "the log ends at record %" PRIu64 ", but a checkpoint of %" PRIu64
			       " was kept: the log was rolled back or files are missing",
			       size, s->list[s->count - 1].size);
}
