//! How one command is decided.

use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{Actor, Image, Refusal, Request};
use millstream_model::TenantId;
use std::fmt::Display;

/// A command that the catalog decides.
pub(crate) trait Decide: Request {
    /// Puts what it changes into the draft and gives its reply, or refuses. Nothing else goes into it: the same draft,
    /// seeds and actor give the same decision.
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Self::Reply, Refusal>;

    /// Whom and what it concerns, for the audit; none for what happens all the time by itself.
    fn subject(&self, image: &Image, reply: &Self::Reply) -> Option<Subject>;
}

/// Whom and what a command concerns.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The tenant, if it concerns one.
    pub tenant: Option<TenantId>,
    /// What it is done to.
    pub resource: String,
}

impl Subject {
    /// Something of a tenant's.
    pub fn of(tenant: TenantId, resource: impl Display) -> Option<Subject> {
        Some(Subject {
            tenant: Some(tenant),
            resource: resource.to_string(),
        })
    }

    /// Something of the whole service's.
    pub fn service(resource: impl Display) -> Option<Subject> {
        Some(Subject {
            tenant: None,
            resource: resource.to_string(),
        })
    }
}
