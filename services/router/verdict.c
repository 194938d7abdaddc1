/*
 * router/verdict.c - what the end of an attempt says; the table is in verdict.h.
 */
#include "router/verdict.h"

#include <string.h>

#include "wire/generate.h"

static struct judgement
pause_for(const struct im_err *err)
{
	uint32_t ms = err->retry_after_ms;
	struct judgement j = { VERDICT_PAUSE, AGAIN_RETRY, ms, err->rc == IM_ELIMIT };

	if (ms == 0) {
		j.pause_ms = VERDICT_PAUSE_MS;
	} else if (ms > VERDICT_PAUSE_MAX_MS) {
		j.pause_ms = VERDICT_PAUSE_MAX_MS;
	}
	return j;
}

static const struct judgement moves = { VERDICT_NOTHING, AGAIN_MOVE, 0, false };
static const struct judgement no = { VERDICT_NOTHING, AGAIN_NO, 0, false };
static const struct judgement fails = { VERDICT_FAILED, AGAIN_RETRY, 0, false };

struct judgement
verdict_of_error(const struct im_err *err, bool opened)
{
	switch (err->rc) {
	case IM_EAGAIN:
		return (struct judgement){ VERDICT_NOTHING, AGAIN_FULL, 0, false };
	case IM_ELIMIT:
		return strcmp(err->reason, "insufficient_quota") == 0 ? fails : pause_for(err);
	case IM_EUNAVAILABLE:
		/* Links say so too, and workers that stop; an upstream's word has this reason. */
		if (strcmp(err->reason, "upstream_error") != 0) {
			return moves;
		}
		return err->retry_after_ms > 0 ? pause_for(err) : fails;
	case IM_EUPSTREAM:
	case IM_EDEADLINE:
	case IM_EIO:
	case IM_EINTERNAL:
	case IM_EPROTO:
	case IM_ECORRUPT:
	case IM_EMETHOD:
	case IM_ENOMEM:
		return opened ? fails : moves; /* not opened: it is ours */
	case IM_ENOTFOUND:
		if (strcmp(err->reason, MODEL_UNLOADED) == 0) {
			return moves;
		}
		return no;
	default:
		return no;
	}
}

enum verdict
verdict_of_deadline(uint64_t silent_ms, uint32_t silence_ms)
{
	return silent_ms >= silence_ms ? VERDICT_FAILED : VERDICT_NOTHING;
}
