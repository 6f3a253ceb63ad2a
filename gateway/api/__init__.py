"""The machine-readable edge of the control plane: health, metrics and the REST API."""
