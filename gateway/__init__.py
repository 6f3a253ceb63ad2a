"""A reverse proxy that authenticates, limits, meters and bills the calls to APIs that already exist."""

__version__ = "0.1.0"
