"""The demo: an API, three tenants, ninety days of history and a card that says what to try."""
