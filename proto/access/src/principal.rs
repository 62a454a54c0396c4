//! Who is calling, once that is certain.

use millstream_metadata::{Actor, Grant, Grants, KeyRow, OrganisationId};
use millstream_model::{KeyId, TenantId};
use std::sync::Arc;

/// An authenticated caller. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The virtual cluster it speaks for.
    pub tenant: TenantId,
    /// The organisation of that.
    pub organisation: OrganisationId,
    /// The key; [`KeyId::NONE`] for the tenant itself (SQL after its author's key is gone, background work).
    pub key: KeyId,
    /// What it may do.
    pub grants: Arc<Grants>,
}

impl Principal {
    /// The caller who presented this key.
    pub fn of_key(key: &KeyRow) -> Principal {
        Principal {
            tenant: key.tenant,
            organisation: key.organisation,
            key: key.id,
            grants: Arc::new(key.grants.clone()),
        }
    }

    /// A tenant itself, with an administrator's grants over its own virtual cluster and no more.
    pub fn of_tenant(tenant: TenantId, organisation: OrganisationId) -> Principal {
        Principal {
            tenant,
            organisation,
            key: KeyId::NONE,
            grants: Arc::new(Grants::from([Grant::Admin])),
        }
    }

    /// Whether this is the service at work for a tenant (its SQL engine), and no client: only tokens that a node of the
    /// cluster made for itself carry no key. What tenants' clients may not touch (internal topics, SQL rows) asks this.
    pub fn is_service(&self) -> bool {
        self.key == KeyId::NONE
    }

    /// It, as the one who submits a command.
    pub fn actor(&self) -> Actor {
        Actor::Key {
            tenant: self.tenant,
            organisation: self.organisation,
            key: self.key,
            grants: self.grants.as_ref().clone(),
        }
    }
}
