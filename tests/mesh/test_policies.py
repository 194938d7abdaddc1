"""Policies end to end: weights, rules over requests, backups, conversations that stay at one worker."""
import pytest

from mesh import wait_for


def ask(mesh, content="hello", **members):
    """One answer; the worker that gave it."""
    before = dispatched(mesh)
    status, _, text = mesh.chat({"model": "instant", "temperature": 1, **members,
                                 "messages": members.get("messages", [{"role": "user", "content": content}])})
    assert status == 200, text
    mesh.settled()
    after = dispatched(mesh)
    return next(name for name in after if after[name] != before.get(name))


def dispatched(mesh):
    return {w["name"]: w["dispatched"] for w in mesh.status()["workers"]}


def decisions(mesh, policy, reason):
    series = f'infermesh_router_decisions_total{{policy="{policy}",reason="{reason}"}}'
    return mesh.metrics("router").get(series, 0)


def workers(url, **members):
    """{name: further members}"""
    return [{"name": n, "backend": "upstream", "url": url, "models": ["instant"], **m} for n, m in members.items()]


@pytest.mark.short
def test_rules_choose_policies_and_weights_count(start, instant):
    mesh = start(workers=workers(instant(), a={"weight": 300}, b={}, spare={"backup": True}),
                 config={"router": {"policy": "smooth_weighted_round_robin", "slow_start_ms": 0},
                         "policies": [{"max_tokens_below": 65, "max_prompt_bytes": "1KiB", "use": "round_robin"}]})
    long = [ask(mesh) for _ in range(8)]
    assert sorted(long) == ["a"] * 6 + ["b"] * 2
    assert "".join(long) in "aabaaabaaabaaabaaaba"  # spread, not in a row
    assert sorted(ask(mesh, max_tokens=64) for _ in range(4)) == ["a", "a", "b", "b"]
    assert decisions(mesh, "smooth_weighted_round_robin", "turn") == 8
    assert decisions(mesh, "round_robin", "turn") == 4
    # No primary is left.
    for name in ("a", "b"):
        mesh.processes[name].kill()
    wait_for(lambda: ask(mesh) == "spare", "the backup serves")
    assert decisions(mesh, "smooth_weighted_round_robin", "backup") >= 1
    assert mesh.metrics("router")["infermesh_router_slots_leaked"] == 0


@pytest.mark.short
def test_conversation_stays_where_it_began(start, instant):
    mesh = start(workers=workers(instant(), a={}, b={}, c={}), config={"router": {"policy": "prefix_affinity"}})
    homes = set()
    for n in range(6):
        messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"question {n}"}]
        home = ask(mesh, messages=messages)
        for turn in range(2):
            messages += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": f"and {turn}?"}]
            assert ask(mesh, messages=messages) == home
        homes.add(home)
    assert len(homes) > 1
    assert decisions(mesh, "prefix_affinity", "home") == 18
