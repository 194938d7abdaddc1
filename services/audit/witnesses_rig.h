/*
 * audit/witnesses_rig.h - a log and three real witnesses of it, in this process: what the tests of witnesses.h share. cmocka's
 * setup and teardown; a failing helper fails the test.
 */
#ifndef AUDIT_WITNESSES_RIG_H
#define AUDIT_WITNESSES_RIG_H

#include <pthread.h>

#include "audit/testlog.h"
#include "audit/witness_host.h"
#include "audit/witnesses.h"

#define WITNESSES  3
#define RIG_ORIGIN "test.example/log" /* of the log, as testlog.c makes it */

struct witnesses_rig {
	struct testlog t;
	struct audit_log *log;
	struct witnesses *w;
	struct loop *loop; /* of the witnesses */
	pthread_t thread;
	struct witness_host daemon[WITNESSES];
	char dir[64];                                                    /* of the witnesses */
	char url[WITNESSES][sizeof(((struct witness_host *)NULL)->url)]; /* as the log knows them */
	const struct disk_ops *ops; /* of rig_open_witnesses(); NULL = the real disk */
};

int witnesses_rig_setup(void **state);
int witnesses_rig_teardown(void **state);

/** Run a command of the test's own. */
void rig_shell(const char *cmd);

/** Start or stop witness 'i'. It knows the log's first shard, and 'more' ("origin: 'key'", may be ""). */
void rig_daemon_up(struct witnesses_rig *f, unsigned i, const char *listen, const char *more);
void rig_daemon_down(struct witnesses_rig *f, unsigned i);

void rig_open_log(struct witnesses_rig *f);
IM_MUST_CHECK enum im_rc rig_open_witnesses(struct witnesses_rig *f, size_t count, unsigned quorum);
/** Both. */
void rig_close_log(struct witnesses_rig *f);

/** Two more records a pair, published; the size then. */
uint64_t rig_grow(struct witnesses_rig *f, uint64_t from, uint64_t pairs);

typedef bool (*rig_stats_fn)(const struct witnesses_stats *s, uint64_t arg);

void rig_wait_for(struct witnesses_rig *f, rig_stats_fn fn, uint64_t arg, const char *what);
bool rig_file_says(const struct witnesses_stats *s, uint64_t size);
bool rig_all_cosigned(const struct witnesses_stats *s, uint64_t size);
bool rig_first_is(const struct witnesses_stats *s, uint64_t state);

/** What checkpoint.cosigned says to a reader who knows the keys: how many of the witnesses, of which size. */
unsigned rig_read_file(struct witnesses_rig *f, uint64_t *ret_size);

#endif
