/*
 * inference/local_watch.h - how far the loading of one model is, and the wish to give it up. Written by the thread that loads, read by
 * anybody. Long files are told to the log every few seconds.
 */
#ifndef INFERENCE_LOCAL_WATCH_H
#define INFERENCE_LOCAL_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum watch_stage {
	WATCH_IDLE,
	WATCH_DECRYPTING,
	WATCH_CHECKING, /* its SHA-256 */
	WATCH_LOADING,
};

struct load_watch {
	const char *name; /* for the log */
	atomic_uint stage, percent;
	atomic_bool give_up;
	uint64_t told_us; /* the loading thread's */
};

/** 'done' of 'all' are done. False: give up. 'w' NULL is fine. By the loading thread. */
bool watch_step(struct load_watch *w, enum watch_stage stage, uint64_t done, uint64_t all);

/** "decrypting", "checking", "loading", or "" for nothing. */
const char *watch_doing(const struct load_watch *w);

#endif
