/*
 * cli/model_quantize.c - 'infermesh model quantize': starts the quantizer of infermesh-inference (inference/local_quantize.h), shows how far it
 * is, and puts the file into its place when it is whole. What is half done never shows under its name, and nothing is left of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/spawn.h"
#include "daemon/durable.h"
#include "inference/local_quantize.h"

#define LINE_MAX_BYTES 2048
#define DIGEST_CHARS   64

#define NAME(name, llama) name,
static const char *const types[] = { QUANTIZE_TYPES(NAME) };
#undef NAME
#define LISTED(name, llama) ", " name

struct work {
	const char *type, *in, *out;
	bool force, again;
	char threads[16];
	char temporary[PATH_MAX];
	struct progress progress;
	char before[DIGEST_CHARS + 1], after[DIGEST_CHARS + 1]; /* what the quantizer says */
	char error[LINE_MAX_BYTES];
	uint64_t in_bytes, out_bytes;
};

/* What the command line says. False: 'ret_status' has the exit status, after a message. */
static bool
read_arguments(const struct cli_args *args, struct work *w, int *ret_status)
{
	const char *threads = cli_value(args, "threads");
	uint32_t n = 0;
	struct im_err err;

	w->type = cli_value(args, "type");
	w->force = cli_flag(args, "force");
	w->again = cli_flag(args, "requantize");
	w->in = operator_argument(args, 0, "IN", ret_status);
	w->out = w->in != NULL ? operator_argument(args, 1, "OUT", ret_status) : NULL;
	if (w->out == NULL)
		return false;
	*ret_status = EXIT_USAGE;
	for (size_t i = 0; w->type != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i], w->type) == 0)
			*ret_status = EXIT_FINE;
	if (*ret_status != EXIT_FINE) {
		(void)err_set(&err, IM_EINVAL, "%s%.40s%s; give --type one of%s",
			      w->type != NULL ? "there is no type '" : "the type is missing",
			      w->type != NULL ? w->type : "", w->type != NULL ? "'" : "",
			      &QUANTIZE_TYPES(LISTED)[1]);
		(void)cli_fail(args, &err);
		return false;
	}
	if (threads != NULL && !operator_parse_number(threads, 1, QUANTIZE_THREADS_MAX, &n)) {
		(void)err_set(&err, IM_EINVAL, "--threads is a number from 1 to %d, not '%.40s'",
			      QUANTIZE_THREADS_MAX, threads);
		(void)cli_fail(args, &err);
		*ret_status = EXIT_USAGE;
		return false;
	}
	(void)snprintf(w->threads, sizeof(w->threads), "%" PRIu32, n);
	return true;
}

/* What the files must be before it is worth the work. */
static enum im_rc
check_files(struct work *w, struct im_err *err)
{
	struct stat in, out;

	if (stat(w->in, &in) != 0)
		return err_errno(err, IM_EIO, errno, "%s cannot be read", w->in);
	if (!S_ISREG(in.st_mode))
		return err_set(err, IM_EINVAL, "%s is no file; give a model in GGUF format", w->in);
	w->in_bytes = (uint64_t)in.st_size;
	if (stat(w->out, &out) != 0)
		return IM_OK;
	if (in.st_dev == out.st_dev && in.st_ino == out.st_ino)
		return err_set(err, IM_EINVAL, "%s and %s are the same file; give another name",
			       w->in, w->out);
	if (!S_ISREG(out.st_mode))
		return err_set(err, IM_EINVAL, "%s is there and is no file; give another name",
			       w->out);
	if (!w->force)
		return err_set(err, IM_EEXIST, "%s is there already; --force replaces it", w->out);
	return IM_OK;
}

/* An empty file beside OUT, which the quantizer writes and which gets the rights of any new file. */
static enum im_rc
make_temporary(struct work *w, struct im_err *err)
{
	mode_t mask = umask(0);
	int fd;

	(void)umask(mask);
	if (snprintf(w->temporary, sizeof(w->temporary), "%s.XXXXXX", w->out) >=
	    (int)sizeof(w->temporary)) {
		w->temporary[0] = '\0';
		return err_set(err, IM_EINVAL, "the name of OUT is too long");
	}
	fd = mkostemp(w->temporary, O_CLOEXEC);
	if (fd < 0) {
		w->temporary[0] = '\0';
		return err_errno(err, IM_EIO, errno, "%s cannot be written", w->out);
	}
	(void)fchmod(fd, 0666 & ~mask);
	(void)close(fd);
	return IM_OK;
}

/* A line of the quantizer. */
static void
take_line(struct work *w, const char *line)
{
	if (strncmp(line, "tensor ", 7) == 0) {
		char *end;
		uint64_t at = strtoull(line + 7, &end, 10), all = strtoull(end, NULL, 10);

		(void)progress_show(&w->progress, at > 0 ? at - 1 : 0, all);
	} else if (strncmp(line, "before ", 7) == 0) {
		(void)snprintf(w->before, sizeof(w->before), "%s", line + 7);
	} else if (strncmp(line, "after ", 6) == 0) {
		(void)snprintf(w->after, sizeof(w->after), "%s", line + 6);
	} else if (strncmp(line, "error ", 6) == 0) {
		(void)snprintf(w->error, sizeof(w->error), "%s", line + 6);
	}
}

/* Read its lines until it closes the pipe. False: a signal came that asks us to end. */
static bool
read_lines(struct work *w, int pipe_fd, int signal_fd)
{
	struct pollfd fds[2] = { { .fd = pipe_fd, .events = POLLIN },
				 { .fd = signal_fd, .events = POLLIN } };
	char line[LINE_MAX_BYTES], *end;
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return false;
		if (fds[1].revents != 0)
			return false;
		n = read(pipe_fd, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			return true;
		len += (size_t)n;
		line[len] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end = '\0';
			take_line(w, line);
			len -= (size_t)(end + 1 - line);
			memmove(line, end + 1, len + 1);
		}
		if (len == sizeof(line) - 1)
			len = 0; /* longer than any that it writes */
	}
}

/* What became of it. */
static enum im_rc
judge(const struct work *w, bool asked_to_end, int status, struct im_err *err)
{
	if (asked_to_end)
		return err_set(err, IM_ECANCELED, "ended before it was done; %s was not written",
			       w->out);
	if (w->error[0] != '\0')
		return err_set(err, IM_EINVAL, "%s", w->error);
	if (WIFSIGNALED(status))
		return err_set(err, IM_EINTERNAL,
			       "the quantizer was ended by signal %d (%s); %s was not written",
			       WTERMSIG(status), sigabbrev_np(WTERMSIG(status)), w->out);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || w->after[0] == '\0')
		return err_set(err, IM_EINTERNAL,
			       "the quantizer failed with status %d; %s was not written",
			       WEXITSTATUS(status), w->out);
	return IM_OK;
}

/* Run the quantizer to its end, or to ours. */
static enum im_rc
run_quantizer(struct work *w, int signal_fd, struct im_err *err)
{
	const char *argv[] = { NULL,       "--quantize", w->type,      w->again ? "again" : "once",
			       w->threads, w->in,        w->temporary, NULL };
	int fds[2], status = 0;
	bool whole;
	pid_t pid;
	enum im_rc rc;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_errno(err, IM_EIO, errno, "cannot make a pipe");
	rc = spawn_tool("inference", argv, fds[1], &pid, err);
	(void)close(fds[1]);
	if (rc != IM_OK) {
		(void)close(fds[0]);
		return rc;
	}
	progress_begin(&w->progress, "");
	w->progress.unit = "tensors";
	whole = read_lines(w, fds[0], signal_fd);
	if (!whole)
		(void)kill(
		    pid,
		    SIGKILL); /* it holds nothing but the file, and llama.cpp cannot be asked */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	progress_end(&w->progress);
	(void)close(fds[0]);
	return judge(w, !whole, status, err);
}

static enum im_rc
not_durable(const char *path, struct im_err *err)
{
	return err_errno(err, IM_EIO, errno, "%s cannot be made durable", path);
}

/* Durably under its name; without --force never over a file that came meanwhile. */
static enum im_rc
put_in_place(struct work *w, struct im_err *err)
{
	int fd = open(w->temporary, O_RDONLY | O_CLOEXEC);
	struct stat st;
	enum im_rc rc = IM_OK;

	if (fd < 0 || fsync(fd) != 0)
		rc = not_durable(w->temporary, err);
	else if (fstat(fd, &st) == 0)
		w->out_bytes = (uint64_t)st.st_size;
	if (fd >= 0)
		(void)close(fd);
	if (rc != IM_OK)
		return rc;
	if (!durable_rename(w->temporary, w->out, w->force)) {
		if (errno == EEXIST)
			return err_set(err, IM_EEXIST,
				       "%s came to be meanwhile; --force replaces it", w->out);
		return err_errno(err, IM_EIO, errno, "%s cannot get its name", w->out);
	}
	w->temporary[0] = '\0';
	return durable_sync_folder(w->out) ? IM_OK : not_durable(w->out, err);
}

static int
tell(const struct cli_args *args, const struct work *w)
{
	struct buf b = { 0 };

	if (!cli_flag(args, "json")) {
		print_text(w->out);
		(void)printf(": %s, %.1f MiB instead of %.1f MiB\nsha256: %s\n", w->type,
			     (double)w->out_bytes / (1 << 20), (double)w->in_bytes / (1 << 20),
			     w->after);
		return EXIT_FINE;
	}
	(void)buf_append_byte(&b, '{');
	json_text(&b, "in", w->in);
	json_text(&b, "in_sha256", w->before);
	json_number(&b, "in_bytes", w->in_bytes);
	json_text(&b, "out", w->out);
	json_text(&b, "out_sha256", w->after);
	json_number(&b, "out_bytes", w->out_bytes);
	json_text(&b, "type", w->type);
	json_close(&b, "}\n");
	json_print(&b);
	return EXIT_FINE;
}

/* The signals that ask us to end come in this file from now on, so that none slips by between two looks. */
static int
take_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int
run_model_quantize(const struct cli_args *args)
{
	static struct work w;
	int status = EXIT_FINE, signal_fd;
	struct im_err err;
	enum im_rc rc;

	if (!read_arguments(args, &w, &status))
		return status;
	signal_fd = take_signals();
	rc = signal_fd < 0 ? err_errno(&err, IM_EIO, errno, "cannot watch for signals")
			   : check_files(&w, &err);
	if (rc == IM_OK)
		rc = make_temporary(&w, &err);
	if (rc == IM_OK)
		rc = run_quantizer(&w, signal_fd, &err);
	if (rc == IM_OK)
		rc = put_in_place(&w, &err);
	if (w.temporary[0] != '\0')
		(void)unlink(w.temporary);
	if (signal_fd >= 0)
		(void)close(signal_fd);
	return rc == IM_OK ? tell(args, &w) : cli_fail(args, &err);
}
