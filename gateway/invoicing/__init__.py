"""Invoicing: what billing's rules come to over the store. The one back end of the job, the commands, API and pages."""
