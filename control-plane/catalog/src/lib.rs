//! What the service knows, as a ledger over SlateDB: decide, apply, persist, fence.
