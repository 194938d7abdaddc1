/*
 * inference/main.c - entry point of infermesh-inference. Behaviour is in worker.c, with --quantize in local_quantize.c.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "inference/worker.h"
#ifdef HAVE_LLAMA
#	include "inference/local_quantize.h"
#endif

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--quantize") == 0) {
#ifdef HAVE_LLAMA
		return quantize_main(argc, argv);
#else
		(void)printf("error this infermesh-inference was built without llama.cpp\n");
		return 1;
#endif
	}
	return daemon_run(argc, argv, &inference_service);
}
