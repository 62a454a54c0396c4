//! Consumer groups as a ledger: decide, apply, and the records in between.
