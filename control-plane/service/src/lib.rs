//! The control plane's gRPC API: authentication, validation, commands to the catalog.
