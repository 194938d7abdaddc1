/*
 * audit/main.c - entry point of infermesh-audit. Behaviour is in audit.c, with --witness in witness.c.
 */
#include <string.h>

#include "audit/audit.h"
#include "audit/witness.h"

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--witness") == 0) {
		argv[1] = argv[0];
		return daemon_run(argc - 1, argv + 1, &witness_service);
	}
	return daemon_run(argc, argv, &audit_service);
}
