/*
 * gateway/main.c - entry point of infermesh-gateway. Behaviour is in gateway.c.
 */
#include "gateway/gateway.h"

int
main(int argc, char **argv)
{
	return daemon_run(argc, argv, &gateway_service);
}
