/*
 * inference/local_watch.c - see local_watch.h.
 */
#include "inference/local_watch.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"

#define TELL_US 5000000

static const char *const doing[] = {
	[WATCH_IDLE] = "",
	[WATCH_DECRYPTING] = "decrypting",
	[WATCH_CHECKING] = "checking",
	[WATCH_LOADING] = "loading",
};

bool
watch_step(struct load_watch *w, enum watch_stage stage, uint64_t done, uint64_t all)
{
	uint64_t now_us = clock_mono_us();
	unsigned percent = all == 0 ? 0 : (unsigned)(done * 100 / all);

	if (w == NULL)
		return true;
	if (w->told_us == 0)
		w->told_us = now_us;
	atomic_store(&w->stage, (unsigned)stage);
	atomic_store(&w->percent, percent);
	if (now_us - w->told_us >= TELL_US) {
		w->told_us = now_us;
		log_info("a model is being loaded", LOG_STR("infermesh.model", w->name),
			 LOG_STR("infermesh.stage", doing[stage]),
			 LOG_UINT("infermesh.percent", percent));
	}
	return !atomic_load(&w->give_up);
}

const char *
watch_doing(const struct load_watch *w)
{
	return doing[atomic_load(&w->stage)];
}
