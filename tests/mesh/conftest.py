"""Fixtures of the mesh tests; see fixtures.py."""
from fixtures import *  # noqa: F401,F403
