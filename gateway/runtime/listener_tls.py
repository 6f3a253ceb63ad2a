"""TLS on the data plane's listener; a certificate that was renewed is served to the next connection."""

import logging
import ssl

from gateway.config.snapshot import ListenerTls

logger = logging.getLogger(__name__)


class ListenerCertificate:
    """The context of all connections. ``refresh`` looks whether the files changed."""

    def __init__(self, files: ListenerTls) -> None:
        self._files = files
        self._seen = self._stamp()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.load_cert_chain(files.cert, files.key)

    async def refresh(self) -> None:
        """Load the files again if they are others now; a pair that does not fit is logged and the old one stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._files.cert, self._files.key)
            self.context.load_cert_chain(self._files.cert, self._files.key)
        except (OSError, ssl.SSLError) as error:
            self._seen = ()  # half-written perhaps: the next look tries again
            logger.error("the renewed certificate was not taken", extra={"error": str(error)})
        else:
            logger.info("the certificate was renewed")

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        try:
            stats = [path.stat() for path in (self._files.cert, self._files.key)]
        except OSError:
            return ()
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)
