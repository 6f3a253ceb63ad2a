"""Imported before anything else of the gateway: a worker by itself runs compiled modules where ``serve`` would."""

from gateway import compiled

remark = compiled.use()
