/*
 * base/log.h - one line an event: JSON with ECS names, or short text for a person at a terminal. Only daemons and the command line log; libraries return errors.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {   /* what the operator should do */
	LOG_DEBUG, /* nothing; for us */
	LOG_INFO,  /* know it */
	LOG_WARN,  /* look at it today */
	LOG_ERROR, /* act now */
};

struct log_field {
	const char *name; /* ECS name, such as "http.request.id"; NULL ends the list */
	enum {
		LOG_FIELD_STR,
		LOG_FIELD_INT,
		LOG_FIELD_UINT,
		LOG_FIELD_BOOL
	} type;
	const char *str; /* quoted, and cut after 1024 bytes: it may come from a stranger */
	int64_t num;
};

#define LOG_STR(n, v)                                                                              \
	{                                                                                          \
		.name = (n), .type = LOG_FIELD_STR, .str = (v)                                     \
	}
#define LOG_INT(n, v)                                                                              \
	{                                                                                          \
		.name = (n), .type = LOG_FIELD_INT, .num = (int64_t)(v)                            \
	}
#define LOG_UINT(n, v)                                                                             \
	{                                                                                          \
		.name = (n), .type = LOG_FIELD_UINT, .num = (int64_t)(uint64_t)(v)                 \
	}
#define LOG_BOOL(n, v)                                                                             \
	{                                                                                          \
		.name = (n), .type = LOG_FIELD_BOOL, .num = (v)                                    \
	}

/* log_info("worker joined", LOG_STR("worker.name", name), LOG_INT("slots", 4)); */
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)
#define LOG_AT(level, msg, ...)                                                                    \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write((level), (msg),                                                  \
				  (const struct log_field[]){                                      \
				      __VA_ARGS__ __VA_OPT__(, ){ .name = 0 } });                  \
	} while (0)

/** Who logs (service.name) and from which level on. Before the first call: "infermesh", info. Call before any thread. */
void log_setup(const char *service, enum log_level level);

/** From now on lines for a person: "HH:MM:SS service  message  name=value", names without their prefix, and nothing that could
 *  command a terminal; with colours by level, if so asked. false: JSON again. Call before any thread. */
void log_set_text(bool text, bool colours);

/** Give each line to 'fn' instead of standard error; NULL undoes it. For tests. Call before any thread. */
void log_capture(void (*fn)(void *arg, const char *line), void *arg);

bool log_enabled(enum log_level level);

/** Write one line to standard error with one write(2). Any thread; never fails, a line that cannot be written is lost. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/** "debug", "info", "warn", "error" → level. False for anything else. */
bool log_level_parse(const char *s, enum log_level *ret_level);

#endif
