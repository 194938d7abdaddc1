/*
 * cli/print.h - columns for people and members for programs: what all commands that show something share. Names come from the
 * mesh, so nothing here lets a control character through.
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/** 'text' to standard output. */
void print_text(const char *text);

/** 'text' in a column of 'width' and two blanks; cut if need be. */
void print_column(const char *text, int width);

/** "3d4h", "2h5m", "4m7s". */
void print_duration(uint64_t ms);

/** "0.3 ms", "45 ms", "1.2 s" right-aligned in 'width'; 0 = "-". */
void print_latency(uint64_t us, int width);

/* Members of a JSON object, each with a comma behind it. */
void json_text(struct buf *b, const char *name, const char *value);
void json_number(struct buf *b, const char *name, uint64_t value);
void json_bool(struct buf *b, const char *name, bool value);

/** Turn the comma after the last member into 'end'. */
void json_close(struct buf *b, const char *end);

/** Write all of it to standard output, unless it failed for want of memory, and free it. */
void json_print(struct buf *b);

#endif
