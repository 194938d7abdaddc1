/*
 * router/smooth.h - smooth weighted round robin over numbered places: weights 5, 1, 1 give a a b a c a a. Pure.
 *
 * The sequence is exactly that of nginx (ngx_http_upstream_get_peer() in src/http/ngx_http_upstream_round_robin.c, since
 * 1.3.1): each pick adds to every place its weight, takes the place with the largest sum (the lowest of equals), and takes
 * the sum of all weights off it. Places that take no part keep their sum.
 *
 * nginx visits every place at every pick. Here a sum is a line over the number of the pick, at + weight * turn, and the
 * places stand in a kinetic tournament (Basch, Guibas, Hershberger, "Data Structures for Mobile Data", 1999): each node knows
 * who is largest below it and until which pick that cannot change. With equal weights nothing ever changes but the path of
 * the picked one, log2(n) nodes; with unequal ones lines cross now and then and only the nodes where they do are visited.
 */
#ifndef ROUTER_SMOOTH_H
#define ROUTER_SMOOTH_H

#include <stdbool.h>
#include <stdint.h>

#define SMOOTH_NONE UINT32_MAX

/* A leaf is a place, and a node above repeats the best of its children. */
struct smooth_node {
	int64_t at;
	int64_t until;    /* the first pick at which another place may be the largest here */
	uint32_t weight;  /* 0 = takes no part: 'at' is its sum as it stays */
	uint32_t largest; /* the place, or SMOOTH_NONE */
};

struct smooth {
	uint32_t places;           /* a power of two, or 0 */
	int64_t turn;              /* picks so far */
	int64_t total;             /* weights of all that take part */
	struct smooth_node *nodes; /* 2 * places; [1] is the root, [places + i] is place i */
};

/** Zeroed memory is empty. */
void smooth_done(struct smooth *s);

/** Make room for 'places', a power of two. False without memory: nothing has changed. */
bool smooth_grow(struct smooth *s, uint32_t places);

/** The weight of 'place' from now on; 0 = it takes no part until it gets one again. */
void smooth_set(struct smooth *s, uint32_t place, uint32_t weight);

/** 'place', which takes no part, is somebody else's from now on: its sum is 0. */
void smooth_forget(struct smooth *s, uint32_t place);

/** The place whose turn it is, or SMOOTH_NONE when none takes part. */
uint32_t smooth_pick(struct smooth *s);

#endif
