"""Payments: the port to who moves the money, and the providers behind it."""
