/*
 * inference/main.c - entry point of infermesh-inference. Behaviour is in worker.c.
 */
#include "daemon/daemon.h"
#include "inference/worker.h"

int
main(int argc, char **argv)
{
	return daemon_run(argc, argv, &inference_service);
}
