/*
 * router/route_plan.c - see route_plan.h.
 */
#include "router/route_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

#define FNV_BASIS 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

static uint64_t
hash_more(uint64_t h, const char *text)
{
	for (; *text != '\0'; text++) {
		h = (h ^ (uint8_t)*text) * FNV_PRIME;
	}
	return h * FNV_PRIME; /* the end counts too: "ab","c" is not "a","bc" */
}

uint64_t
route_hash(const char *text)
{
	uint64_t h = hash_more(FNV_BASIS, text);

	return prng_splitmix(&h);
}

/* Copy 'text' to where '*at' points, and move that on. */
static const char *
keep(char **at, const char *text)
{
	size_t len = strlen(text) + 1;
	const char *kept = *at;

	memcpy(*at, text, len);
	*at += len;
	return kept;
}

struct route_plan *
route_plan_new(const struct route_spec *spec)
{
	size_t bytes = strlen(spec->model) + 1 + strlen(spec->answer) + 1;
	struct route_plan *p;
	char *at;

	for (size_t i = 0; i < spec->arm_count; i++) {
		bytes += strlen(spec->arms[i].model) + 1;
	}
	for (size_t i = 0; i < spec->fallback_count; i++) {
		bytes += strlen(spec->fallback[i]) + 1;
	}
	p = calloc(1, sizeof(*p) + bytes);
	if (p == NULL) {
		return NULL;
	}
	at = (char *)(p + 1);
	p->refs = 1;
	p->spec = *spec;
	p->spec.model = keep(&at, spec->model);
	p->spec.answer = keep(&at, spec->answer);
	p->alias_hash = route_hash(spec->model);
	for (size_t i = 0; i < spec->arm_count; i++) {
		p->spec.arms[i].model = keep(&at, spec->arms[i].model);
		p->arm_hash[i] = route_hash(spec->arms[i].model);
	}
	for (size_t i = 0; i < spec->fallback_count; i++) {
		p->spec.fallback[i] = keep(&at, spec->fallback[i]);
	}
	return p;
}

void
route_plan_ref(struct route_plan *p)
{
	p->refs++;
}

void
route_plan_unref(struct route_plan *p)
{
	if (p != NULL && --p->refs == 0) {
		free(p);
	}
}

uint64_t
route_plan_key(const struct route_plan *p, char sort, const char *tenant, const char *who)
{
	uint64_t h = hash_more(hash_more(p->alias_hash ^ (uint8_t)sort, tenant), who);

	return prng_splitmix(&h);
}

/* From 0 to 1, both excluded, by what the key and the arm have in common. */
static double
unit_of(uint64_t key, uint64_t arm)
{
	uint64_t h = key ^ arm;

	return ((double)(prng_splitmix(&h) >> 11) + 0.5) * 0x1p-53;
}

size_t
route_plan_choose(const struct route_plan *p, uint64_t key)
{
	double least = INFINITY;
	size_t best = 0;

	if (p->spec.arm_count == 1) {
		return 0;
	}
	for (size_t i = 0; i < p->spec.arm_count; i++) {
		double cost;

		if (p->spec.arms[i].weight == 0) {
			continue;
		}
		cost = -log(unit_of(key, p->arm_hash[i])) / p->spec.arms[i].weight;
		if (cost < least) {
			least = cost;
			best = i;
		}
	}
	return best;
}
