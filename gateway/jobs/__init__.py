"""Periodic jobs of the control process. Each may run in any number of processes at once."""
