/*
 * cli/model_encrypt.c - 'infermesh model encrypt': an encrypted model file for a local worker. It needs no mesh.
 */
#include <inttypes.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hex.h"
#include "cli/command.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "inference/sealed_file.h"

#define MIB (UINT64_C(1) << 20)

/* False once SIGINT or SIGTERM, which are blocked, have come. */
static bool
on_progress(void *user, uint64_t done, uint64_t total)
{
	sigset_t pending;

	(void)progress_show(user, done / MIB, total / MIB);
	return sigpending(&pending) != 0 ||
	       (sigismember(&pending, SIGINT) != 1 && sigismember(&pending, SIGTERM) != 1);
}

static void
tell(const struct cli_args *args, const char *key_file, const struct sealed_key *key,
     const char *digest)
{
	char id[2 * SEALED_ID_BYTES + 1];
	struct buf b = { 0 };

	hex_encode(key->id, SEALED_ID_BYTES, id);
	if (cli_flag(args, "json")) {
		(void)buf_append_byte(&b, '{');
		json_text(&b, "file", args->rest[1]);
		json_text(&b, "sha256", digest);
		json_text(&b, "key_file", key_file);
		json_text(&b, "key", id);
		json_close(&b, "}\n");
		json_print(&b);
		return;
	}
	(void)printf("encrypted with the key %s; for the manifest:\n    file: ", id);
	print_text(args->rest[1]);
	(void)printf("\n    key_file: ");
	print_text(key_file);
	(void)printf("\n    sha256: %s\n", digest);
}

static enum im_rc
encrypt_file(const struct cli_args *args, const char *key_file, struct im_err *err)
{
	struct progress progress;
	struct sealed_key key;
	char digest[65];
	sigset_t stop;
	enum im_rc rc = cli_flag(args, "new-key") ? sealed_key_create(key_file, &key, err)
						  : sealed_key_load(key_file, &key, err);

	if (rc == IM_ENOTFOUND)
		(void)err_set(err, rc, "the key file %s is missing; --new-key makes one", key_file);
	if (rc != IM_OK)
		return rc;
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL);
	progress_begin(&progress, "encrypting ");
	progress.unit = "MiB";
	rc = sealed_file_make(args->rest[0], args->rest[1], &key, cli_flag(args, "force"),
			      on_progress, &progress, digest, err);
	progress_end(&progress);
	if (rc == IM_OK)
		tell(args, key_file, &key, digest);
	else if (cli_flag(args, "new-key") && access(args->rest[1], F_OK) != 0)
		(void)unlink(key_file); /* nothing is encrypted with it */
	OPENSSL_cleanse(&key, sizeof(key));
	return rc;
}

int
run_model_encrypt(const struct cli_args *args)
{
	const char *key_file = cli_value(args, "key-file");
	struct im_err err;
	int status = EXIT_FINE;

	if (operator_argument(args, 0, "IN", &status) == NULL ||
	    operator_argument(args, 1, "OUT", &status) == NULL)
		return status;
	if (key_file == NULL) {
		(void)fprintf(
		    stderr,
		    "infermesh model encrypt: missing --key-file FILE; with --new-key it is made\n");
		return EXIT_USAGE;
	}
	return encrypt_file(args, key_file, &err) == IM_OK ? EXIT_FINE : cli_fail(args, &err);
}
