//! One port for HTTP/1.1, h2 and gRPC: accepting, TLS, limits, draining.
