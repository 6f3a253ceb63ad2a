"""Pricing models, one a file; each rates a period's whole quantity and knows nothing of modifiers or rounding."""
