//! Lease, registrations, leadership and placement: decisions over the catalog.
