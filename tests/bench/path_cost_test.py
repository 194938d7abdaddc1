"""The hot paths of a request take no more instructions than path_cost.bounds allows; see path_cost.py."""
import path_cost
import pytest


def test_every_path_has_a_bound():
    assert set(path_cost.bounds()) == set(path_cost.PATHS)


@pytest.mark.parametrize("path", path_cost.PATHS)
def test_path_takes_no_more_instructions_than_its_bound(path):
    taken, most = path_cost.count(path)
    why = path_cost.complaint(path, taken, path_cost.bounds()[path], most)
    if why is not None:
        pytest.fail(why, pytrace=False)


def test_a_path_that_grew_by_an_eighth_is_named_with_its_growth():
    why = path_cost.complaint("route", 1125, 1100, "workers_pick 700")
    assert "path 'route'" in why and "12.5 % more than the 1,000" in why and "workers_pick 700" in why
    assert path_cost.complaint("route", 1100, 1100, "") is None
