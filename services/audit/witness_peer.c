/*
 * audit/witness_peer.c - see witness_peer.h.
 */
#include "audit/witness_peer.h"

const char *
witness_peer_text(enum witness_peer_state state)
{
	static const char *const texts[WITNESS_PEER_STATES] = {
		[WITNESS_PEER_NEW] = "new",           [WITNESS_PEER_FINE] = "fine",
		[WITNESS_PEER_SILENT] = "silent",     [WITNESS_PEER_REFUSED] = "refused",
		[WITNESS_PEER_AHEAD] = "rolled_back", [WITNESS_PEER_FORK] = "forked",
	};

	return texts[state];
}

bool
witness_peer_due(const struct witness_peer *p, uint64_t target, uint64_t now_ms,
		 uint64_t *ret_wait_ms)
{
	*ret_wait_ms = UINT64_MAX;
	if (p->asking || p->cosigned >= target)
		return false;
	*ret_wait_ms = p->due_ms > now_ms ? p->due_ms - now_ms : 0;
	return *ret_wait_ms == 0;
}

void
witness_peer_asked(struct witness_peer *p, uint64_t target)
{
	p->asking = true;
	p->asked = target;
}

static enum witness_peer_state
failure(const struct witness_peer *p, const struct witness_answer *a)
{
	if (a->has_size && a->size > p->asked)
		return WITNESS_PEER_AHEAD;
	/* With a size it only contradicts itself. */
	if ((a->status == 409 && !a->has_size) || a->status == 422)
		return WITNESS_PEER_FORK;
	if (a->status == 403 || a->status == 404)
		return WITNESS_PEER_REFUSED;
	return WITNESS_PEER_SILENT;
}

static uint64_t
pause_ms(unsigned failures, double jitter)
{
	uint64_t ms = WITNESS_PEER_PAUSE_MS;

	while (--failures > 0 && ms < WITNESS_PEER_PAUSE_MAX_MS)
		ms *= 2;
	if (ms > WITNESS_PEER_PAUSE_MAX_MS)
		ms = WITNESS_PEER_PAUSE_MAX_MS;
	return ms - (uint64_t)((double)ms * jitter / 2);
}

void
witness_peer_answered(struct witness_peer *p, const struct witness_answer *a, uint64_t now_ms,
		      double jitter)
{
	p->asking = false;
	p->due_ms = now_ms;
	if (a->cosigned) {
		p->size = p->cosigned = p->asked;
		p->failures = p->conflicts = 0;
		p->state = WITNESS_PEER_FINE;
		return;
	}
	if (a->has_size && a->size <= p->asked && a->size != p->size &&
	    p->conflicts < WITNESS_PEER_CONFLICTS) {
		p->conflicts++;
		p->size = a->size;
		return;
	}
	p->conflicts = 0;
	if (p->failures < UINT32_MAX)
		p->failures++;
	p->state = failure(p, a);
	p->due_ms += pause_ms(p->failures, jitter);
}
