//! The gRPC services' messages and stubs, made from the .proto files.
