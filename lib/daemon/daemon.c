/*
 * daemon/daemon.c - the main() of every daemon: arguments, configuration, help; then process_run(). See daemon.h.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/health.h"
#include "daemon/process.h"
#include "daemon/worker_name.h"

#define HEALTH_TIMEOUT_MS 3000

enum {
	EXIT_FINE = 0,
	EXIT_TROUBLE = 1,
	EXIT_USAGE = 2,
};

struct options {
	const char *config, *name;
	bool check, print_config, check_health, help, version;
};

enum {
	OPT_CHECK = 256,
	OPT_PRINT,
	OPT_HEALTH
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "name", required_argument, NULL, 'n' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "print-config", no_argument, NULL, OPT_PRINT },
	{ "check-health", no_argument, NULL, OPT_HEALTH },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static bool
is_inference(const struct service_ops *ops)
{
	return strcmp(ops->name, "inference") == 0;
}

/* "audit": what follows "infermesh-". */
static const char *
program(const struct service_ops *ops)
{
	return ops->program != NULL ? ops->program : ops->name;
}

static void
print_keys(const struct service_ops *ops)
{
	bool router = strcmp(ops->name, "router") == 0;
	const char *const sections[] = {
		"mesh.",       "log.",      is_inference(ops) ? "workers[]." : ops->name,
		"policies[].", "routes[].", "limits[]."
	};

	(void)printf("\nCONFIGURATION KEYS\n");
	for (size_t s = 0; s < (router ? 6 : 3); s++) {
		const char *prefix = sections[s];

		for (size_t i = 0; i < config_schema_len; i++) {
			const struct config_key *k = &config_schema[i];

			if (strncmp(k->path, prefix, strlen(prefix)) == 0) {
				(void)printf("  %-28s %s.%s%s%s\n", k->path, k->help,
					     k->def != NULL ? " Default: " : "",
					     k->def != NULL ? k->def : "",
					     k->def != NULL ? "." : "");
			}
		}
	}
}

static void
print_help(const struct service_ops *ops)
{
	const char *name = program(ops);

	(void)printf("NAME\n  infermesh-%s - %s\n\n", name, ops->summary);
	(void)printf("SYNOPSIS\n"
		     "  infermesh-%s [--config FILE] [--name NAME]\n"
		     "  infermesh-%s [--config FILE] --check | --print-config | --check-health\n"
		     "  infermesh-%s --help | --version\n%s%s%s\n",
		     name, name, name, ops->also != NULL ? "  " : "",
		     ops->also != NULL ? ops->also : "", ops->also != NULL ? "\n" : "");
	(void)printf(
	    "DESCRIPTION\n"
	    "  One daemon of an infermesh. It serves until SIGTERM or SIGINT, then takes no new work, finishes what is\n"
	    "  in flight (mesh.drain_ms at most) and ends. It logs one line an event to standard error (log.format), tells\n"
	    "  systemd when it is ready (Type=notify) and alive (WatchdogSec=), and has pages for metrics and health.\n\n");
	(void)printf(
	    "OPTIONS\n"
	    "  -c, --config FILE   read FILE; else $INFERMESH_CONFIG; else the built-in defaults\n"
	    "  -n, --name NAME     %s\n"
	    "      --check         check the configuration and end\n"
	    "      --print-config  print the effective configuration with every key explained, and end\n"
	    "      --check-health  ask the running daemon's /readyz: status 0 if it is ready, else 1\n"
	    "  -h, --help          this page\n"
	    "  -V, --version       the version\n\n",
	    is_inference(ops) ? "which entry of 'workers' to be"
			      : "name of this instance for logs and peers");
	(void)printf(
	    "FILES\n"
	    "  mesh.run_dir        sockets, by default $XDG_RUNTIME_DIR/infermesh or /tmp/infermesh-UID\n"
	    "  mesh.state_dir      what survives restarts, by default ~/.local/state/infermesh\n\n"
	    "SIGNALS\n"
	    "  SIGTERM, SIGINT     drain and stop; a second one ends at once\n"
	    "  SIGHUP, SIGPIPE     ignored\n\n"
	    "EXIT STATUS\n"
	    "  0 stopped as asked; 1 could not start, or ended at once; 2 wrong arguments or configuration\n\n");
	(void)printf("EXAMPLES\n"
		     "  infermesh-%s --config /etc/infermesh/infermesh.yaml --check\n"
		     "  infermesh-%s --config /etc/infermesh/infermesh.yaml%s\n",
		     name, name, is_inference(ops) ? " --name deepseek" : "");
	print_keys(ops);
}

/* Returns -1 to go on, else the exit status. */
static int
parse_arguments(int argc, char **argv, const struct service_ops *ops, struct options *o)
{
	int c;

	optind = 1;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
	while ((c = getopt_long(argc, argv, "c:n:hV", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case OPT_CHECK:
			o->check = true;
			break;
		case OPT_PRINT:
			o->print_config = true;
			break;
		case OPT_HEALTH:
			o->check_health = true;
			break;
		case 'h':
			print_help(ops);
			return EXIT_FINE;
		case 'V':
			(void)printf("infermesh-%s %s\n", program(ops), INFERMESH_VERSION);
			return EXIT_FINE;
		default:
			(void)fprintf(stderr, "Try 'infermesh-%s --help'.\n", program(ops));
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		(void)fprintf(
		    stderr, "infermesh-%s: unexpected argument '%s'\nTry 'infermesh-%s --help'.\n",
		    program(ops), argv[optind], program(ops));
		return EXIT_USAGE;
	}
	return -1;
}

/* The entry of 'workers' that this process is. False with a message when it cannot be told. */
static bool
choose_worker(const struct config *config, const char *name, const struct config **ret_item)
{
	size_t n = config_items(config, "workers");

	*ret_item = NULL;
	if (n == 0 && (name == NULL || strcmp(name, "demo") == 0))
		return true;
	if (n == 1 && name == NULL) {
		*ret_item = config_item(config, "workers", 0);
		return true;
	}
	for (size_t i = 0; i < n && name != NULL; i++) {
		const struct config *item = config_item(config, "workers", i);

		if (strcmp(config_str(item, "workers[].name"), name) == 0) {
			*ret_item = item;
			return true;
		}
	}
	if (name == NULL) {
		(void)fprintf(
		    stderr,
		    "infermesh-inference: %s has several workers; say which one: --name NAME, with NAME of\n",
		    config_file(config));
	} else {
		(void)fprintf(stderr, "infermesh-inference: %s has no worker '%s'; allowed:%s\n",
			      config_file(config), name, n == 0 ? " demo" : "");
	}
	for (size_t i = 0; i < n; i++)
		(void)fprintf(stderr, "  %s\n",
			      config_str(config_item(config, "workers", i), "workers[].name"));
	return false;
}

/* Which entry of 'workers' this process is, and what it is called. False with a message when that cannot be told. */
static bool
name_worker(const struct config *config, const char *name, const struct config **ret_item,
	    char ret_name[NET_NAME_MAX])
{
	struct im_err err;

	if (!choose_worker(config, name, ret_item))
		return false;
	if (daemon_worker_name(*ret_item, ret_name, &err) == IM_OK)
		return true;
	(void)fprintf(stderr, "infermesh-inference: %s\n", err.text);
	return false;
}

enum im_rc
daemon_worker_name(const struct config *item, char ret_name[NET_NAME_MAX], struct im_err *err)
{
	char host[HOST_NAME_MAX + 1] = "";

	if (gethostname(host, sizeof(host)) < 0)
		return err_errno(err, IM_EIO, errno, "cannot find out what this machine is called");
	return worker_name(item, host, ret_name, err);
}

const char *
daemon_admin_key(const struct config *config, const struct config *item,
		 const struct service_ops *ops)
{
	if (is_inference(ops))
		return item != NULL ? config_str(item, "workers[].admin") : "auto";
	if (strcmp(ops->name, "router") == 0)
		return config_str(config, "router.admin");
	if (strcmp(ops->name, "cache") == 0)
		return config_str(config, "cache.admin");
	if (strcmp(ops->name, "audit") == 0)
		return config_str(config, "audit.admin");
	if (strcmp(ops->name, "witness") == 0)
		return config_str(config, "witness.admin");
	return NULL;
}

static int
check_health(const struct config *config, const struct process_spec *spec)
{
	const char *address = spec->admin_listen;
	bool tls = false;
	struct im_err err;

	if (address == NULL) {
		address = config_str(config, "gateway.listen");
		tls = config_str(config, "gateway.tls_cert") != NULL;
	}
	if (strcmp(address, "off") == 0) {
		(void)fprintf(stderr, "infermesh-%s: its pages are off; set %s in %s\n",
			      program(spec->ops),
			      is_inference(spec->ops) ? "workers[].admin" : "the key 'admin'",
			      config_file(config));
		return EXIT_TROUBLE;
	}
	if (health_check(address, tls, HEALTH_TIMEOUT_MS, &err) == IM_OK)
		return EXIT_FINE;
	(void)fprintf(stderr, "infermesh-%s: not ready: %s\n", program(spec->ops), err.text);
	return EXIT_TROUBLE;
}

void
daemon_log_setup(const struct config *config, const char *service)
{
	const char *format = config_str(config, "log.format");
	/* Before any thread. */
	const char *no_color = getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe) */
	bool terminal = isatty(STDERR_FILENO) != 0;
	enum log_level level = LOG_INFO;

	(void)log_level_parse(config_str(config, "log.level"), &level);
	log_setup(service, level);
	log_set_text(strcmp(format, "text") == 0 || (strcmp(format, "auto") == 0 && terminal),
		     terminal && (no_color == NULL || no_color[0] == '\0'));
}

static void
set_up_log(const struct config *config, const struct process_spec *spec)
{
	char service[128];

	if (is_inference(spec->ops))
		(void)snprintf(service, sizeof(service), "inference/%s", spec->name);
	else
		(void)snprintf(service, sizeof(service), "%s", spec->ops->name);
	daemon_log_setup(config, service);
}

static int
run(const struct config *config, const struct options *o, const struct service_ops *ops)
{
	struct process_spec spec = { .ops = ops };
	const struct process_params params = { .config = config, .specs = &spec, .count = 1 };
	char admin[PATH_MAX], worker[NET_NAME_MAX];

	if (is_inference(ops) && !name_worker(config, o->name, &spec.item, worker))
		return EXIT_USAGE;
	spec.admin_listen = daemon_admin_key(config, spec.item, ops);
	if (is_inference(ops))
		spec.name = worker;
	else
		spec.name = o->name != NULL ? o->name : ops->name;
	if (strlen(spec.name) >= NET_NAME_MAX) {
		(void)fprintf(stderr, "infermesh-%s: --name is longer than %d bytes\n",
			      program(ops), NET_NAME_MAX - 1);
		return EXIT_USAGE;
	}
	if (spec.admin_listen != NULL && strcmp(spec.admin_listen, "auto") == 0) {
		(void)snprintf(admin, sizeof(admin), "unix:%s/%s.http",
			       config_str(config, "mesh.run_dir"), spec.name);
		spec.admin_listen = admin;
	}
	if (o->print_config)
		config_print(config, stdout);
	if (o->check)
		(void)printf("%s: ok\n", config_file(config));
	if (o->print_config || o->check)
		return EXIT_FINE;
	if (o->check_health)
		return check_health(config, &spec);
	set_up_log(config, &spec);
	process_prepare(false);
	return process_run(&params);
}

int
daemon_run(int argc, char **argv, const struct service_ops *ops)
{
	struct options o = { 0 };
	struct config *config = NULL;
	struct im_err err;
	int status = parse_arguments(argc, argv, ops, &o);

	if (status >= 0)
		return status;
	if (config_load(config_path(o.config), &config, &err) != IM_OK) {
		(void)fprintf(stderr, "infermesh-%s: %s\n", program(ops), err.text);
		return EXIT_USAGE;
	}
	status = run(config, &o, ops);
	config_free(config);
	return status;
}
