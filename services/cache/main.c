/*
 * cache/main.c - entry point of infermesh-cache. Behaviour is in cache.c.
 */
#include "cache/cache.h"

int
main(int argc, char **argv)
{
	return daemon_run(argc, argv, &cache_service);
}
