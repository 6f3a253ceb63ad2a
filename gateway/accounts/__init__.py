"""What people do to accounts, keys and tenants, over the store: the one back end of pages, API and commands."""
