"""Routes: which rule a request meets."""

from gateway.routing.conflicts import RouteConflict, find_conflicts
from gateway.routing.matcher import Match, Matcher
from gateway.routing.pattern import Pattern, parse_pattern

__all__ = ["Match", "Matcher", "Pattern", "RouteConflict", "find_conflicts", "parse_pattern"]
