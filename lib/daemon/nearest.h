/*
 * daemon/nearest.h - "did you mean …?": how far two words are apart.
 */
#ifndef DAEMON_NEAREST_H
#define DAEMON_NEAREST_H

#include <stddef.h>

/** Edit distance (Levenshtein) of the two words; above 'max', and for words over 64 bytes, it is max + 1. */
unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len, unsigned max);

#endif
