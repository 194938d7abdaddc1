/*
 * cli/up.c - 'infermesh up': checks, the first key, and the words that tell how to use what was started.
 */
#include "cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "daemon/daemon.h"
#include "daemon/keys.h"
#include "daemon/paths.h"

/* The model of the curl line: the first that is known without asking. */
static const char *
example_model(const struct config *config)
{
	const struct config *w;

	if (config_items(config, "workers") == 0)
		return "demo";
	w = config_item(config, "workers", 0);
	if (config_strings_len(w, "workers[].models") > 0)
		return config_strings_at(w, "workers[].models", 0);
	return config_str(w, "workers[].model_file") == NULL &&
		       strcmp(config_str(w, "workers[].backend"), "local") == 0
		   ? "demo"
		   : "MODEL";
}

static void
print_curl(const struct up *up, const char *url, const char *socket)
{
	const char *cert = config_str(up->config, "gateway.tls_cert");

	(void)printf("  try   curl%s%s %s/v1/chat/completions \\\n",
		     socket != NULL ? " --unix-socket " : "", socket != NULL ? socket : "", url);
	/* Works for a self-signed certificate too. */
	if (cert != NULL)
		(void)printf("          --cacert '%s' \\\n", cert);
	if (up->key_file[0] != '\0')
		(void)printf("          -H \"Authorization: Bearer $(cat '%s')\" \\\n",
			     up->key_file);
	else
		(void)printf("          -H \"Authorization: Bearer $KEY\" \\\n");
	(void)printf(
	    "          -H 'Content-Type: application/json' \\\n"
	    "          -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n",
	    example_model(up->config));
}

/* How to start this very program from anywhere: its name if PATH finds it, else its whole path. */
static void
own_name(char *out, size_t cap)
{
	char self[PATH_MAX], candidate[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	/* Nothing changes the environment of this process. */
	const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe) */
	struct stat ours, theirs;

	self[n > 0 ? n : 0] = '\0';
	(void)snprintf(out, cap, "%s", n > 0 ? self : "infermesh");
	if (n <= 0 || stat(self, &ours) < 0)
		return;
	while (path != NULL && *path != '\0') {
		size_t len = strcspn(path, ":");

		(void)snprintf(candidate, sizeof(candidate), "%.*s/infermesh", (int)len, path);
		if (stat(candidate, &theirs) == 0 && access(candidate, X_OK) == 0) {
			if (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)
				(void)snprintf(out, cap, "infermesh");
			return;
		}
		path += len + (path[len] == ':');
	}
}

static void
print_key(const struct up *up, const char *program)
{
	char key[KEYS_KEY_LEN + 1];
	ssize_t n = -1;
	int fd = up->new_key ? open(up->key_file, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		n = read(fd, key, KEYS_KEY_LEN);
		(void)close(fd);
	}
	if (n == KEYS_KEY_LEN) {
		key[n] = '\0';
		(void)printf("  key   %s (made for this machine, kept in %s)\n", key, up->key_file);
	} else if (up->key_file[0] != '\0') {
		(void)printf("  key   in %s\n", up->key_file);
	} else {
		(void)printf("  keys  in %s; make one: %s key create\n",
			     config_str(up->config, "gateway.keys_file"), program);
	}
	OPENSSL_cleanse(key, sizeof(key));
}

void
up_banner(const struct up *up, const char *address, const char *missing)
{
	bool tls = config_str(up->config, "gateway.tls_cert") != NULL;
	bool local = strncmp(address, "unix:", 5) == 0;
	const char *more = up->config_file != NULL ? up->config_file : "";
	char url[300], program[PATH_MAX];

	/* Where it listens on every address, this machine is one of them. */
	if (local)
		(void)snprintf(url, sizeof(url), "%s://localhost", tls ? "https" : "http");
	else if (strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0)
		(void)snprintf(url, sizeof(url), "%s://localhost:%.8s", tls ? "https" : "http",
			       strrchr(address, ':') + 1);
	else
		(void)snprintf(url, sizeof(url), "%s://%.250s", tls ? "https" : "http", address);
	if (missing[0] == '\0')
		(void)printf("\ninfermesh is ready at %s\n\n", local ? address : url);
	else
		(void)printf("\ninfermesh is up at %s, but cannot answer yet: %s\n\n",
			     local ? address : url, missing);
	own_name(program, sizeof(program));
	print_key(up, program);
	print_curl(up, url, local ? address + 5 : NULL);
	(void)printf("  chat  %s chat%s%s\n", program, more[0] != '\0' ? " --config " : "", more);
	(void)printf("  stop  Ctrl-C\n\n");
	(void)fflush(stdout);
}

/* Write the plain key where only we read it. */
static enum im_rc
keep_key(const char *path, const char *key, struct im_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char line[KEYS_KEY_LEN + 2];
	int n = snprintf(line, sizeof(line), "%s\n", key);
	bool written;

	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot write %s", path);
	written = fchmod(fd, 0600) == 0 && write(fd, line, (size_t)n) == n && fsync(fd) == 0;
	OPENSSL_cleanse(line, sizeof(line));
	if (close(fd) < 0 || !written)
		return err_errno(err, IM_EIO, errno, "cannot write %s", path);
	return IM_OK;
}

/* The first start, when there is no file of keys: a key for this machine. */
static enum im_rc
first_key(struct up *up, struct im_err *err)
{
	const char *keys = config_str(up->config, "gateway.keys_file");
	char key[KEYS_KEY_LEN + 1];
	enum im_rc rc;

	if (snprintf(up->key_file, sizeof(up->key_file), "%s/local.key",
		     config_str(up->config, "mesh.state_dir")) >= (int)sizeof(up->key_file))
		return err_set(err, IM_EINVAL, "mesh.state_dir: the path is too long");
	if (access(keys, F_OK) == 0 || errno != ENOENT) {
		if (access(up->key_file, R_OK) < 0)
			up->key_file[0] = '\0';
		return IM_OK;
	}
	rc = keys_create(keys, "local", "local", key, err);
	if (rc == IM_OK)
		rc = keep_key(up->key_file, key, err);
	OPENSSL_cleanse(key, sizeof(key));
	up->new_key = rc == IM_OK;
	return rc;
}

/* Two meshes on the same folder of sockets would take turns at killing each other's. The lock ends with the process. */
static enum im_rc
lock_run_dir(const struct config *config, int *ret_fd, struct im_err *err)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/up.lock", config_str(config, "mesh.run_dir"));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, IM_EIO, errno, "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int why = errno;

		(void)close(fd);
		if (why == EWOULDBLOCK) {
			return err_set(
			    err, IM_EEXIST,
			    "a mesh is running already (%s is locked): see 'infermesh status', or give this one "
			    "another mesh.run_dir and mesh.state_dir",
			    path);
		}
		return err_errno(err, IM_EIO, why, "cannot lock %s", path);
	}
	*ret_fd = fd;
	return IM_OK;
}

/* --print-config and --check: nothing is started. */
static int
look_only(const struct cli_args *args, const struct config *config)
{
	struct im_err err;

	if (cli_flag(args, "print-config"))
		config_print(config, stdout);
	if (cli_flag(args, "check") && config_check_files(config, &err) != IM_OK) {
		(void)fflush(stdout);
		(void)cli_fail(args, &err);
		return EXIT_USAGE;
	}
	if (cli_flag(args, "check"))
		(void)fprintf(cli_flag(args, "print-config") ? stderr : stdout, "%s: ok\n",
			      config_file(config));
	return fflush(stdout) == 0 ? EXIT_FINE : EXIT_TROUBLE;
}

int
run_up(const struct cli_args *args)
{
	struct config *config = cli_config(args);
	struct up up = { .config = config, .config_file = config_path(cli_value(args, "config")) };
	struct im_err err;
	int lock = -1, status;

	if (config == NULL)
		return EXIT_USAGE;
	if (cli_flag(args, "print-config") || cli_flag(args, "check")) {
		status = look_only(args, config);
		config_free(config);
		return status;
	}
	daemon_log_setup(config, cli_flag(args, "single-process") ? "infermesh" : "up");
	if (paths_make_dirs(config, &err) != IM_OK || lock_run_dir(config, &lock, &err) != IM_OK ||
	    first_key(&up, &err) != IM_OK)
		status = cli_fail(args, &err);
	else
		status = cli_flag(args, "single-process") ? up_single(&up) : up_children(&up);
	if (lock >= 0)
		(void)close(lock);
	config_free(config);
	return status;
}
