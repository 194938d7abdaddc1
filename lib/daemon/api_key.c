/*
 * daemon/api_key.c - see api_key.h.
 */
#include "daemon/api_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
forget(struct api_key *k)
{
	if (k->key != NULL)
		explicit_bzero(k->key, strlen(k->key));
	free(k->key);
	k->key = NULL;
}

/* Keep a copy of the 'len' bytes at 'text' without blanks at the end. The key goes into a header: nothing may end it. */
static enum im_rc
take(struct api_key *k, const char *text, size_t len, const char *source, struct im_err *err)
{
	char *copy;

	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	if (len == 0)
		return err_set(err, IM_EINVAL, "%s holds no key", source);
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return err_set(err, IM_EINVAL,
				       "%s: a key is one line of visible ASCII characters", source);
	copy = strndup(text, len);
	if (copy == NULL)
		return err_set(err, IM_ENOMEM, "no memory for a key");
	forget(k);
	k->key = copy;
	return IM_OK;
}

static bool
unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum im_rc
read_open(struct api_key *k, int fd, struct im_err *err)
{
	char text[API_KEY_MAX + 2];
	size_t len = 0;
	struct stat st;
	enum im_rc rc;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return err_errno(err, IM_EIO, errno, "%s", k->file);
	if (!S_ISREG(st.st_mode))
		return err_set(err, IM_EINVAL, "%s is not a file", k->file);
	if ((st.st_mode & 027) != 0)
		return err_set(err, IM_EPERM, "%s may be read or changed by others: chmod 0600 %s",
			       k->file, k->file);
	while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, IM_EIO, errno, "%s", k->file);
		len += (size_t)n;
	}
	if (len > API_KEY_MAX)
		rc = err_set(err, IM_EINVAL, "%s is longer than a key can be", k->file);
	else
		rc = take(k, text, len, k->file, err);
	explicit_bzero(text, sizeof(text));
	if (rc == IM_OK)
		k->seen = st;
	return rc;
}

static enum im_rc
read_file(struct api_key *k, struct im_err *err)
{
	int fd = open(k->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	enum im_rc rc;

	if (fd < 0)
		return err_errno(err, errno == EACCES ? IM_EPERM : IM_EIO, errno,
				 "cannot read the key in %s", k->file);
	rc = read_open(k, fd, err);
	(void)close(fd);
	return rc;
}

enum im_rc
api_key_init(struct api_key *k, const char *file, const char *env, struct im_err *err)
{
	const char *value, *ignored;
	enum im_rc rc;

	memset(k, 0, sizeof(*k));
	if (file != NULL) {
		k->file = strdup(file);
		if (k->file == NULL)
			return err_set(err, IM_ENOMEM, "no memory for a key");
		rc = api_key_get(k, &ignored, err);
	} else if (env != NULL) {
		/* NOLINTNEXTLINE(concurrency-mt-unsafe): at start; nothing changes the environment */
		value = getenv(env);
		if (value == NULL)
			return err_set(err, IM_EINVAL,
				       "the environment has no %s, which the configuration names",
				       env);
		rc = take(k, value, strlen(value), env, err);
	} else {
		return IM_OK;
	}
	if (rc != IM_OK)
		api_key_done(k);
	return rc;
}

void
api_key_done(struct api_key *k)
{
	forget(k);
	free(k->file);
	k->file = NULL;
}

enum im_rc
api_key_get(struct api_key *k, const char **ret_key, struct im_err *err)
{
	struct stat st;
	enum im_rc rc;

	if (k->file != NULL &&
	    (k->key == NULL || stat(k->file, &st) < 0 || !unchanged(&st, &k->seen))) {
		rc = read_file(k, err);
		if (rc != IM_OK)
			return rc;
	}
	*ret_key = k->key != NULL ? k->key : "";
	return IM_OK;
}
