/*
 * base/copy.h - a text into a fixed place: what snprintf("%s") does at the cost of a copy. Any thread.
 */
#ifndef BASE_COPY_H
#define BASE_COPY_H

#include <stddef.h>
#include <string.h>

/** Copy 's' into 'dst', which has 'cap' bytes (at least 1), cut off where it does not fit. Always ends in NUL. */
static inline void
copy_text(char *dst, size_t cap, const char *s)
{
	size_t len = strlen(s);

	if (len >= cap)
		len = cap - 1;
	memcpy(dst, s, len);
	dst[len] = '\0';
}

#endif
