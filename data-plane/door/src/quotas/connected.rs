//! Connections at once of tenants and keys, over all doors: what the quota of connections counts.

use super::Quotas;
use millstream_access::Principal;
use millstream_listener::{Connection, TooManyConnections};
use millstream_metadata::QuotaScope;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The caller has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quota of connections is used up: there are {limit} of this key or virtual cluster")]
pub struct TooManyConnected {
    /// How many it may have.
    pub limit: u32,
}

/// Why a request's connection is not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConnected {
    /// One caller does not take every place of a port.
    #[error(transparent)]
    Port(#[from] TooManyConnections),
    /// The caller's quota of connections is used up.
    #[error(transparent)]
    Quota(#[from] TooManyConnected),
}

/// How many connections there are by whom; everybody's are counted, as a quota may come later.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<HashMap<QuotaScope, u32>>);

/// A connection with a key, counted until it is dropped.
#[derive(Debug)]
pub struct Connected {
    counts: Arc<Counts>,
    scopes: [QuotaScope; 2],
}

impl Quotas {
    /// Counts a connection of the caller, whatever the door.
    ///
    /// # Errors
    /// When its tenant or key has as many as it may have.
    pub fn connect(&self, who: &Principal) -> Result<Connected, TooManyConnected> {
        let image = self.shared.images.image();
        let scopes = [QuotaScope::Tenant(who.tenant), QuotaScope::Key(who.key)];
        let counts = Arc::clone(&self.shared.connected);
        let mut open = counts.0.lock();
        for scope in scopes {
            let limit = image.quota(scope).connections;
            let count = open.get(&scope).copied().unwrap_or(0);
            if let Some(limit) = limit.filter(|limit| count >= *limit) {
                return Err(TooManyConnected { limit });
            }
        }
        for scope in scopes {
            *open.entry(scope).or_default() += 1;
        }
        drop(open);
        Ok(Connected { counts, scopes })
    }

    /// Counts the connection of a request that carries its credentials itself: once for each connection, for whom it is
    /// used first.
    ///
    /// # Errors
    /// When its caller has as many as it may have.
    pub fn connect_over(&self, connection: &Connection, who: &Principal) -> Result<(), NotConnected> {
        connection.known(who.organisation.0.as_u128(), || {
            self.connect(who).map_err(NotConnected::from)
        })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut open = self.counts.0.lock();
        for scope in self.scopes {
            if let Some(count) = open.get_mut(&scope) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&scope);
                }
            }
        }
    }
}
