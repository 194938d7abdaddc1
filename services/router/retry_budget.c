/*
 * router/retry_budget.c - tokens for retries; see retry_budget.h.
 */
#include "router/retry_budget.h"

#include <string.h>

#define SLOT_MS (RETRY_BUDGET_WINDOW_MS / RETRY_BUDGET_SLOTS)

void
retry_budget_init(struct retry_budget *b, uint32_t percent, uint32_t reserve)
{
	memset(b, 0, sizeof(*b));
	b->percent = percent;
	b->reserve = reserve;
}

static void
move_window(struct retry_budget *b, uint64_t now_ms)
{
	uint64_t no = now_ms / SLOT_MS;

	if (no - b->slot_no >= RETRY_BUDGET_SLOTS) {
		memset(b->slot, 0, sizeof(b->slot));
		b->requests = b->retries = 0;
		b->slot_no = no;
	}
	while (b->slot_no < no) {
		b->slot_no++;
		b->requests -= b->slot[b->slot_no % RETRY_BUDGET_SLOTS].requests;
		b->retries -= b->slot[b->slot_no % RETRY_BUDGET_SLOTS].retries;
		memset(&b->slot[b->slot_no % RETRY_BUDGET_SLOTS], 0, sizeof(b->slot[0]));
	}
}

void
retry_budget_request(struct retry_budget *b, uint64_t now_ms)
{
	move_window(b, now_ms);
	b->requests++;
	b->slot[b->slot_no % RETRY_BUDGET_SLOTS].requests++;
}

bool
retry_budget_take(struct retry_budget *b, uint64_t now_ms)
{
	move_window(b, now_ms);
	if ((b->retries + 1) * 100 > b->requests * b->percent + (uint64_t)b->reserve * 100) {
		return false;
	}
	b->retries++;
	b->slot[b->slot_no % RETRY_BUDGET_SLOTS].retries++;
	return true;
}
