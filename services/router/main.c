/*
 * router/main.c - entry point of infermesh-router. Behaviour is in router.c.
 */
#include "router/router.h"

int
main(int argc, char **argv)
{
	return daemon_run(argc, argv, &router_service);
}
