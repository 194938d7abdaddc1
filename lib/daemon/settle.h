/*
 * daemon/settle.h - gives back what only the start needed. Never touches what was written to.
 */
#ifndef DAEMON_SETTLE_H
#define DAEMON_SETTLE_H

/**
 * Drop the code and constants of shared libraries from this process's page tables: most of what a start touches (OpenSSL's
 * providers, the dynamic linker's symbols) is never needed again, and counts as resident in every daemon. What is needed is mapped again from
 * the page cache when it is touched: some hundred small page faults, once. Any thread, at any time.
 */
void settle(void);

#endif
