"""``/static``: our own files, read once, named in pages with a hash of their content and cached for a year."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; ``version`` is the start of its SHA-256."""

    body: bytes
    content_type: str
    version: str


class Assets:
    """The files of one folder (flat). Anything not in it is 404: no path is ever built from a request."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.name: Asset(body, TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:12])
            for path in sorted(folder.iterdir())
            if path.suffix in TYPES and (body := path.read_bytes()) is not None
        }

    def url(self, name: str) -> str:
        """The address for pages; raises ``KeyError`` for a file that is not there."""
        return f"/static/{name}?v={self._files[name].version}"

    async def serve(self, request: web.Request) -> web.Response:
        """Answer with the file; only an address with the present hash may be kept for ever."""
        asset = self._files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        etag = f'"{asset.version}"'
        headers = {
            "ETag": etag,
            "Cache-Control": FOR_EVER if request.query.get("v") == asset.version else "no-cache",
        }
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, content_type=asset.content_type, charset="utf-8", headers=headers)
