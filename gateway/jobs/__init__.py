"""Periodic jobs of the control process, run by one of those that share a store; each stands being run by two."""
