"""What the cache says of one of its tiers, and a cache whose memory is empty."""
from mesh import wait_for


def state(mesh, tier):
    """Its word, None while the cache is just being started."""
    try:
        series = mesh.metrics("cache")
    except OSError:
        return None
    return next((name.split('state="')[1].split('"')[0] for name in series
                 if name.startswith(f'infermesh_cache_tier_ready{{tier="{tier}"')), None)


def count(mesh, tier, name):
    return mesh.metrics("cache")[f'infermesh_cache_{name}_total{{tier="{tier}"}}']


def failures(mesh, tier):
    return mesh.metrics("cache")[f'infermesh_cache_lookups_total{{tier="{tier}",result="failed"}}']


def used(mesh, tier):
    """Wait until the cache uses the tier, and the router the cache: what is asked sooner is kept nowhere, or in memory alone."""
    wait_for(lambda: state(mesh, tier) == "ready" and mesh.router()["cache"] == "connected", f"the cache has {tier}, and the router the cache")


def restart_cache(mesh, tier):
    """kill -9 and anew."""
    mesh.processes["cache"].kill()
    wait_for(lambda: mesh.router()["cache"] == "unavailable", "the router knows that it is gone")
    mesh.start_daemon("cache")
    used(mesh, tier)
