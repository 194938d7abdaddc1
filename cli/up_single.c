/*
 * cli/up_single.c - 'infermesh up --single-process': every service in this process on one loop, linked in process.
 */
#include <stdio.h>
#include <stdlib.h>

#include "audit/audit.h"
#include "base/log.h"
#include "cache/cache.h"
#include "cli/command.h"
#include "cli/up.h"
#include "daemon/process.h"
#include "gateway/gateway.h"
#include "inference/worker.h"
#include "router/router.h"

static void
on_ready(void *arg, const char *address, const char *why)
{
	const struct up *up = arg;

	up_banner(up, address != NULL ? address : config_str(up->config, "gateway.listen"), why);
}

int
up_single(const struct up *up)
{
	size_t workers = config_items(up->config, "workers"), n = 0;
	struct process_spec *specs = calloc(workers + 5, sizeof(*specs));
	char(*names)[NET_NAME_MAX] = calloc(workers + 1, sizeof(*names));
	struct process_params params = { .config = up->config,
					 .specs = specs,
					 .single_process = true,
					 .stop_on_hangup = true,
					 .ready = on_ready,
					 .arg = (void *)up };
	struct im_err err;
	int status = EXIT_TROUBLE;

	if (specs == NULL || names == NULL) {
		(void)fprintf(stderr, "infermesh up: not enough memory\n");
		goto out;
	}
	/* Ended in reverse: the gateway first, audit last, so that every record lands. */
	specs[n++] = (struct process_spec){ .ops = &audit_service, .name = "audit" };
	specs[n++] = (struct process_spec){ .ops = &cache_service, .name = "cache" };
	for (size_t i = 0; i < workers; i++) {
		const struct config *item = config_item(up->config, "workers", i);

		if (daemon_worker_name(item, names[i], &err) != IM_OK) {
			(void)fprintf(stderr, "infermesh up: %s\n", err.text);
			status = EXIT_USAGE;
			goto out;
		}
		specs[n++] = (struct process_spec){ .ops = &inference_service,
						    .item = item,
						    .name = names[i] };
	}
	if (workers == 0)
		specs[n++] = (struct process_spec){ .ops = &inference_service, .name = "demo" };
	specs[n++] = (struct process_spec){ .ops = &router_service, .name = "router" };
	specs[n++] = (struct process_spec){ .ops = &gateway_service, .name = "gateway" };
	params.count = n;
	process_prepare(true);
	status = process_run(&params);
out:
	free(names);
	free(specs);
	return status;
}
