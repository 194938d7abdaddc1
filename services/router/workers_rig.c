/*
 * router/workers_rig.c - see workers_rig.h.
 */
#include "router/workers_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Links are compared and handed back only: any distinct addresses do. */
static char link_places[8];
const uint8_t instances[8][16] = { { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 }, { 7 }, { 8 } };

struct link *
link_no(size_t i)
{
	return (struct link *)(void *)&link_places[i];
}

struct model_info models[] = {
	{ .id = "m1", .owned_by = "us", .digest = "aa" },
	{ .id = "m2", .owned_by = "us", .digest = "bb" },
	{ .id = "m1", .owned_by = "us", .digest = "cc" },
};

struct announced
announce(struct workers *ws, size_t link, size_t instance, struct worker *w, const char *name,
	 size_t first, size_t count, uint32_t in_flight, uint32_t capacity, uint64_t now_ms)
{
	struct announce a = { .worker = name,
			      .backend = "local",
			      .models = &models[first],
			      .model_count = count,
			      .load = { .in_flight = in_flight, .capacity = capacity } };
	struct announced ret;
	struct im_err err;

	assert_int_equal(
	    workers_announce(ws, link_no(link), instances[instance], w, &a, now_ms, &ret, &err),
	    IM_OK);
	return ret;
}

struct worker *
pick(struct workers *ws, const char *model, const uint64_t *tried, size_t tried_count)
{
	struct pick p;
	struct worker *w;

	workers_pick(ws, workers_find_model(ws, model),
		     &(struct pick_ask){ .tried = tried, .tried_count = tried_count }, &p);
	w = p.worker;
	if (w != NULL) {
		assert_string_equal(p.seen[0].name->text, w->name->text); /* the chosen one first */
	}
	workers_pick_done(&p);
	return w;
}
