/*
 * daemon/nearest.c - see nearest.h. Pure.
 */
#include "daemon/nearest.h"

unsigned
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len, unsigned max)
{
	unsigned row[65];

	if (a_len > 64 || b_len > 64)
		return max + 1;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len] > max ? max + 1 : row[b_len];
}
