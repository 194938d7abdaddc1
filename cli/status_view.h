/*
 * cli/status_view.h - what a router says of itself, for people and for programs. Asks nobody.
 */
#ifndef CLI_STATUS_VIEW_H
#define CLI_STATUS_VIEW_H

#include "wire/mesh.h"

/* The answers of a mesh. */
struct status_view {
	struct arena arena;
	struct router_status router;
	bool has_cache, has_audit;
	struct cache_stats cache;
	struct audit_status audit;
};

void status_print(const struct status_view *v);
void status_json(const struct status_view *v);

/** The table of workers alone. */
void status_print_workers(const struct router_status *s);
void status_json_workers(const struct router_status *s);

#endif
