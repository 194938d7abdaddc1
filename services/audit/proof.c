/*
 * audit/proof.c - inclusion and consistency proofs: making them from nodes, and checking them without; see tlog.h.
 */
#include "audit/tlog.h"

struct reader {
	struct hasher *h;
	tlog_read_fn read;
	void *user;
	struct im_err *err;
};

/* Largest power of two below n, for n >= 2. */
static uint64_t
split(uint64_t n)
{
	return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* Root of leaves [lo, hi). 'lo' is a multiple of the largest power of two that fits, as all ranges of proofs are. */
static enum im_rc
range_root(const struct reader *r, uint64_t lo, uint64_t hi, struct hash *ret)
{
	uint64_t n = hi - lo;
	struct hash left, right;
	enum im_rc rc;

	if ((n & (n - 1)) == 0) {
		unsigned height = (unsigned)__builtin_ctzll(n);

		return r->read(r->user, height, lo >> height, ret, r->err);
	}
	rc = range_root(r, lo, lo + split(n), &left);
	if (rc == IM_OK)
		rc = range_root(r, lo + split(n), hi, &right);
	if (rc == IM_OK)
		tlog_node(r->h, &left, &right, ret);
	return rc;
}

static void
reverse(struct tlog_proof *p)
{
	for (size_t i = 0; i < p->count / 2; i++) {
		struct hash t = p->hash[i];

		p->hash[i] = p->hash[p->count - 1 - i];
		p->hash[p->count - 1 - i] = t;
	}
}

enum im_rc
tlog_prove_inclusion(struct hasher *h, uint64_t index, uint64_t size, tlog_read_fn read, void *user,
		     struct tlog_proof *ret, struct im_err *err)
{
	const struct reader r = { h, read, user, err };
	struct tlog_proof p = { 0 };
	uint64_t lo = 0, hi = size;
	enum im_rc rc;

	if (index >= size)
		return err_set(err, IM_EINVAL, "the log of size %llu has no entry %llu",
			       (unsigned long long)size, (unsigned long long)index);
	/* From the root down to the leaf, taking the half that the leaf is not in. */
	while (hi - lo > 1) {
		uint64_t mid = lo + split(hi - lo);

		if (index < mid)
			rc = range_root(&r, mid, hi, &p.hash[p.count]);
		else
			rc = range_root(&r, lo, mid, &p.hash[p.count]);
		if (rc != IM_OK)
			return rc;
		p.count++;
		if (index < mid)
			hi = mid;
		else
			lo = mid;
	}
	reverse(&p);
	*ret = p;
	return IM_OK;
}

enum im_rc
tlog_prove_consistency(struct hasher *h, uint64_t old, uint64_t size, tlog_read_fn read, void *user,
		       struct tlog_proof *ret, struct im_err *err)
{
	const struct reader r = { h, read, user, err };
	struct tlog_proof p = { 0 };
	uint64_t lo = 0, hi = size;
	enum im_rc rc = IM_OK;

	if (old > size)
		return err_set(err, IM_EINVAL, "the log has %llu entries, fewer than %llu",
			       (unsigned long long)size, (unsigned long long)old);
	if (old == 0 || old == size) {
		ret->count = 0;
		return IM_OK;
	}
	while (hi != old) {
		uint64_t mid = lo + split(hi - lo);

		if (old <= mid)
			rc = range_root(&r, mid, hi, &p.hash[p.count]);
		else
			rc = range_root(&r, lo, mid, &p.hash[p.count]);
		if (rc != IM_OK)
			return rc;
		p.count++;
		if (old <= mid)
			hi = mid;
		else
			lo = mid;
	}
	/* The old tree's last complete piece; the old root itself needs no mention. */
	if (lo != 0) {
		rc = range_root(&r, lo, hi, &p.hash[p.count]);
		if (rc != IM_OK)
			return rc;
		p.count++;
	}
	reverse(&p);
	*ret = p;
	return IM_OK;
}

static enum im_rc
mismatch(struct im_err *err, const char *what)
{
	return err_set(err, IM_ECORRUPT, "the %s proof does not fit the checkpoint", what);
}

enum im_rc
tlog_check_inclusion(struct hasher *h, const struct hash *leaf, uint64_t index, uint64_t size,
		     const struct tlog_proof *proof, const struct hash *root, struct im_err *err)
{
	uint64_t fn = index, sn = size - 1;
	struct hash r = *leaf;

	if (index >= size || proof->count > TLOG_HEIGHT_MAX)
		return mismatch(err, "inclusion");
	for (size_t i = 0; i < proof->count; i++) {
		if (sn == 0)
			return mismatch(err, "inclusion");
		if ((fn & 1) != 0 || fn == sn) {
			tlog_node(h, &proof->hash[i], &r, &r);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			tlog_node(h, &r, &proof->hash[i], &r);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && tlog_equal(&r, root) ? IM_OK : mismatch(err, "inclusion");
}

/* The walk of RFC 9162 §2.1.4.2 from the hash 'seed' over the proof from 'at' on. False if it does not fit. */
static bool
walk(struct hasher *h, uint64_t fn, uint64_t sn, const struct hash *seed,
     const struct tlog_proof *proof, size_t at, struct hash *ret_old, struct hash *ret_new)
{
	struct hash fr = *seed, sr = *seed;

	while ((fn & 1) != 0) {
		fn >>= 1;
		sn >>= 1;
	}
	for (; at < proof->count; at++) {
		const struct hash *c = &proof->hash[at];

		if (sn == 0)
			return false;
		if ((fn & 1) != 0 || fn == sn) {
			tlog_node(h, c, &fr, &fr);
			tlog_node(h, c, &sr, &sr);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			tlog_node(h, &sr, c, &sr);
		}
		fn >>= 1;
		sn >>= 1;
	}
	*ret_old = fr;
	*ret_new = sr;
	return sn == 0;
}

enum im_rc
tlog_check_consistency(struct hasher *h, uint64_t old, const struct hash *old_root, uint64_t size,
		       const struct hash *root, const struct tlog_proof *proof, struct im_err *err)
{
	struct hash fr, sr;
	bool whole =
	    (old & (old - 1)) == 0; /* a power of two: the old root is a node of the new tree */

	if (old > size || proof->count > TLOG_HEIGHT_MAX)
		return mismatch(err, "consistency");
	if (old == size)
		return proof->count == 0 && tlog_equal(old_root, root)
			   ? IM_OK
			   : mismatch(err, "consistency");
	if (old == 0) /* every log begins empty */
		return proof->count == 0 ? IM_OK : mismatch(err, "consistency");
	if (proof->count == 0)
		return mismatch(err, "consistency");
	if (!walk(h, old - 1, size - 1, whole ? old_root : &proof->hash[0], proof, whole ? 0 : 1,
		  &fr, &sr))
		return mismatch(err, "consistency");
	return tlog_equal(&fr, old_root) && tlog_equal(&sr, root) ? IM_OK
								  : mismatch(err, "consistency");
}
