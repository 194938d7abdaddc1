/*
 * cli/key.c - 'infermesh key create'.
 */
#include <openssl/crypto.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/user.h"
#include "daemon/keys.h"

void
user_name(char *out, size_t cap)
{
	struct passwd entry, *found = NULL;
	char room[4096];

	if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) == 0 && found != NULL &&
	    found->pw_name[0] != '\0')
		(void)snprintf(out, cap, "%s", found->pw_name);
	else
		(void)snprintf(out, cap, "uid-%u", (unsigned)geteuid());
}

int
run_key_create(const struct cli_args *args)
{
	const char *name = cli_value(args, "name"), *tenant = cli_value(args, "tenant");
	struct config *config = cli_config(args);
	char key[KEYS_KEY_LEN + 1], user[KEYS_NAME_MAX + 1];
	struct im_err err;
	int status = EXIT_FINE;

	if (config == NULL)
		return EXIT_USAGE;
	user_name(user, sizeof(user));
	if (name == NULL)
		name = user;
	if (tenant == NULL)
		tenant = "default";
	if (keys_create(config_str(config, "gateway.keys_file"), name, tenant, key, &err) ==
	    IM_OK) {
		/* The key alone on standard output, so that $(…) takes it. */
		(void)printf("%s\n", key);
		(void)fprintf(
		    stderr,
		    "This is the only time the key is shown. Caller '%s' of tenant '%s', in %s.\n",
		    name, tenant, config_str(config, "gateway.keys_file"));
	} else {
		status = cli_fail(args, &err);
	}
	OPENSSL_cleanse(key, sizeof(key));
	config_free(config);
	return status;
}
