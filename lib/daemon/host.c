/*
 * daemon/host.c - one service on a loop: its net, its pages, its start and end; see daemon.h. Knows no signals and no
 * arguments (process.c, daemon.c), and never what the service does.
 *
 * Life:  host_start ──▶ serving ──host_drain──▶ draining ──host_stop──▶ service stops ──▶ net closes ──▶ gone
 *             └─ fails ────────────────────────────────────────────────────────────────────┘
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "daemon/host_internal.h"
#include "daemon/process_metrics.h"

/* Every host of this process, those included that still close after they failed to start. On the loop: all hosts of a
 * process share one. */
static struct list hosts = { &hosts, &hosts };

static bool
is_off(const char *s)
{
	return s == NULL || strcmp(s, "off") == 0;
}

const char *
mesh_address(const struct service_env *env, const char *role)
{
	const struct config *c = env->config;

	if (strcmp(role, "router") == 0)
		return env->single_process ? "inproc://router"
					   : config_strings_at(c, "router.addresses", 0);
	if (strcmp(role, "cache") == 0) {
		if (is_off(config_strings_at(c, "cache.addresses", 0)))
			return NULL;
		return env->single_process ? "inproc://cache"
					   : config_strings_at(c, "cache.addresses", 0);
	}
	assert(strcmp(role, "audit") == 0);
	if (is_off(config_str(c, "audit.address")))
		return NULL;
	return env->single_process ? "inproc://audit" : config_str(c, "audit.address");
}

const char *
mesh_cache_address(const struct service_env *env, size_t i)
{
	size_t n = config_strings_len(env->config, "cache.addresses");

	if (n == 1 && i == 0)
		return mesh_address(env, "cache");
	return i < n ? config_strings_at(env->config, "cache.addresses", i) : NULL;
}

/* The net is closed: nothing is left. */
static void
host_gone(void *arg)
{
	struct host *h = arg;
	loop_fn stopped = h->stopped;
	void *stopped_arg = h->stopped_arg;

	net_free(h->net);
	list_remove(&h->node);
	free(h->name);
	free(h);
	if (stopped != NULL)
		stopped(stopped_arg);
}

static void
service_gone(void *arg)
{
	struct host *h = arg;

	h->service = NULL;
	reporter_stop(&h->reporter);
	admin_close(h->admin);
	h->admin = NULL;
	net_close(h->net, host_gone, h);
}

static enum im_rc
make_net(struct host *h, struct im_err *err)
{
	const struct config *c = h->env.config;
	const struct net_params params = {
		.role = h->ops->name,
		.name = h->name,
		.max_frame_bytes = (size_t)config_int(c, "mesh.max_frame_bytes"),
		.heartbeat_ms = (uint32_t)config_int(c, "mesh.heartbeat_ms"),
		.reconnect_max_ms = (uint32_t)config_int(c, "mesh.reconnect_max_ms"),
	};

	return net_new(h->loop, &params, &h->net, err);
}

/* Nowhere, if nobody keeps a log. */
static void
make_reporter(struct host *h)
{
	const char *mode = config_str(h->env.config, "router.audit_mode");

	reporter_init(&h->reporter, h->loop, h->net,
		      h->ops->reports && strcmp(mode, "off") != 0 ? mesh_address(&h->env, "audit")
								  : NULL);
	h->env.reporter = &h->reporter;
}

enum im_rc
host_start(struct loop *loop, const struct config *config, const struct config *item,
	   const struct service_ops *ops, const char *name, bool single_process,
	   const char *admin_listen, struct host **ret_host, struct im_err *err)
{
	struct host *h = calloc(1, sizeof(*h));
	struct config_change report;
	enum im_rc rc;

	assert(loop_is_held(loop));
	if (h == NULL || (h->name = strdup(name)) == NULL) {
		free(h);
		return err_set(err, IM_ENOMEM, "not enough memory to start %s", name);
	}
	h->loop = loop;
	h->ops = ops;
	h->env = (struct service_env){ .loop = loop,
				       .config = config,
				       .item = item,
				       .name = h->name,
				       .single_process = single_process };
	rc = make_net(h, err);
	if (rc != IM_OK) {
		free(h->name);
		free(h);
		return rc;
	}
	h->env.net = h->net;
	make_reporter(h);
	list_push_back(&hosts, &h->node);
	rc = ops->start(&h->env, &h->service, err);
	if (rc != IM_OK) {
		h->failed = true;
		reporter_stop(&h->reporter);
		net_close(h->net, host_gone, h);
		return rc;
	}
	if (!is_off(admin_listen))
		rc = admin_open(h, admin_listen, &h->admin, err);
	if (rc != IM_OK) {
		h->failed = h->stopping = true;
		ops->stop(h->service, service_gone, h);
		return rc;
	}
	config_change_start(&report, h->name, config);
	reporter_submit(&h->reporter, &report);
	*ret_host = h;
	return IM_OK;
}

void
host_drain(struct host *h)
{
	if (h->draining)
		return;
	h->draining = true;
	h->ops->drain(h->service);
}

bool
host_drained(const struct host *h)
{
	return h->ops->drained(h->service);
}

void
host_stop(struct host *h, loop_fn stopped, void *arg)
{
	h->draining = h->stopping = true;
	h->stopped = stopped;
	h->stopped_arg = arg;
	h->ops->stop(h->service, service_gone, h);
}

const char *
host_admin_address(const struct host *h)
{
	return h->admin != NULL ? admin_address(h->admin) : "off";
}

const char *
host_address(const struct host *h)
{
	return h->service != NULL && h->ops->address != NULL ? h->ops->address(h->service) : NULL;
}

bool
host_any(void)
{
	return !list_empty(&hosts);
}

void
host_ready_one(const struct host *h, struct buf *why)
{
	struct buf own = { 0 };

	if (h->failed || h->service == NULL)
		(void)buf_append_str(&own, "not running");
	else if (h->draining)
		(void)buf_append_str(&own, "draining");
	else if (h->ops->ready != NULL)
		h->ops->ready(h->service, &own);
	if (own.len == 0 && !buf_ok(&own))
		why->failed = true;
	if (own.len > 0)
		(void)buf_printf(why, "%s%s: %s", why->len > 0 ? "; " : "", h->name,
				 buf_cstr(&own));
	buf_done(&own);
}

void
host_ready(struct buf *why)
{
	LIST_FOREACH (&hosts, h, struct host, node)
		host_ready_one(h, why);
}

static void
net_metrics(const struct net *net, struct metrics_page *page)
{
	struct net_counters n;

	net_counters(net, &n);
	metrics_gauge(page, "infermesh_links", "Live links to other daemons.", n.links);
	metrics_gauge(page, "infermesh_calls",
		      "Calls that this daemon opened and that have not ended.", n.calls);
	metrics_gauge(page, "infermesh_served",
		      "Calls that others opened here and that have not ended.", n.served);
	metrics_counter(page, "infermesh_frames_received_total", "Frames read from links.",
			n.frames_in);
	metrics_counter(page, "infermesh_frames_sent_total", "Frames written to links.",
			n.frames_out);
	metrics_counter(page, "infermesh_link_received_bytes_total", "Bytes read from links.",
			n.bytes_in);
	metrics_counter(page, "infermesh_link_sent_bytes_total", "Bytes written to links.",
			n.bytes_out);
	metrics_counter(page, "infermesh_protocol_errors_total",
			"Links closed because the peer broke the rules.", n.protocol_errors);
}

static void
host_page(const struct host *h, struct metrics_page *page)
{
	const struct metrics_label labels[] = { { "service", h->ops->name },
						{ "version", INFERMESH_VERSION } };

	metrics_family(page, "infermesh_build_info", "gauge",
		       "Always 1; the labels say what runs.");
	metrics_value(page, "infermesh_build_info", labels, 2, 1);
	net_metrics(h->net, page);
	/* What is being taken apart is not asked. */
	if (h->service != NULL && !h->stopping && h->ops->metrics != NULL)
		h->ops->metrics(h->service, page);
}

void
host_metrics(const struct host *host, struct metrics_page *page)
{
	struct metrics_page *pages;
	const char **names;
	size_t count = 0, n = 0;

	process_metrics(page);
	if (host != NULL) {
		host_page(host, page);
		return;
	}
	LIST_FOREACH (&hosts, h, struct host, node)
		count++;
	pages = calloc(count + 1, sizeof(*pages));
	names = calloc(count + 1, sizeof(*names));
	if (pages != NULL && names != NULL) {
		LIST_FOREACH (&hosts, h, struct host, node) {
			names[n] = h->name;
			host_page(h, &pages[n++]);
		}
		metrics_join(page, pages, names, count);
	} else {
		page->out.failed = true;
	}
	for (size_t i = 0; i < n; i++)
		buf_done(&pages[i].out);
	free(pages);
	free(names);
}
