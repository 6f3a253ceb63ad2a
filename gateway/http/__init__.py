"""HTTP/1.1 as bytes and rules (RFC 9110, RFC 9112): strict parsing, framing, forwarding. No sockets, no clocks."""
