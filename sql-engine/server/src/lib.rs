//! Sessions, statements, pull and push queries over the runtime; the SQL gRPC service.
