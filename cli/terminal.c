/*
 * cli/terminal.c - see terminal.h.
 */
#include "cli/terminal.h"

void
terminal_put(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		/* C1 controls are C2 80 to C2 9F in UTF-8. */
		if (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0) {
			i++;
			continue;
		}
		if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
			(void)putc(c, out);
	}
}
