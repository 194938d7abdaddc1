/*
 * audit/main.c - entry point of infermesh-audit. Behaviour is in audit.c.
 */
#include "audit/audit.h"

int
main(int argc, char **argv)
{
	return daemon_run(argc, argv, &audit_service);
}
