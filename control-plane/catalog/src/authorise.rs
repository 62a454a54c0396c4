//! Whether an actor may ask for something. A tenant's caller is told "there is no such thing" of what is not its.

use millstream_metadata::{Actor, EnvironmentId, Grant, Grants, Image, KeyState, OrganisationId, Refusal};
use millstream_model::{KeyId, NodeId, TenantId};

/// What a command needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// To be in charge of the whole cluster.
    Operator,
    /// To be in charge of an organisation.
    Organisation(OrganisationId),
    /// To be in charge of a virtual cluster.
    Manage(TenantId),
    /// To be in charge of the virtual cluster, or to be in it with the right to produce.
    ManageOrProduce(TenantId),
    /// To be the service itself.
    Service,
}

/// How far a set of grants reaches: nobody gives more than they have.
pub(crate) fn reach(grants: &Grants) -> u8 {
    let reach_of = |grant: &Grant| match grant {
        Grant::Operator => 3,
        Grant::Organisation => 2,
        Grant::Admin => 1,
        Grant::Produce | Grant::Consume | Grant::SqlRead => 0,
    };
    grants.iter().map(reach_of).max().unwrap_or(0)
}

/// Refuses unless the actor has what is needed.
pub(crate) fn authorise(image: &Image, actor: &Actor, need: Need) -> Result<(), Refusal> {
    let (tenant, organisation, grants) = match actor {
        Actor::System => return Ok(()),
        Actor::Node(node) => return Err(denied(&format!("node {node} may not do that"))),
        Actor::Key {
            tenant,
            organisation,
            key,
            grants,
        } => {
            still_active(image, key)?;
            (*tenant, *organisation, grants)
        }
    };
    let has = |grant| grants.contains(&grant);
    if has(Grant::Operator) && !matches!(need, Need::Service) {
        return Ok(());
    }
    match need {
        Need::Service => Err(denied("only the service itself may do that")),
        Need::Operator => Err(denied("this needs an operator's key")),
        Need::Organisation(wanted) if wanted != organisation => Err(no_organisation(wanted)),
        Need::Organisation(_) if has(Grant::Organisation) => Ok(()),
        Need::Organisation(_) => Err(denied("this needs an organization administrator's key")),
        Need::Manage(wanted) => manage(image, tenant, organisation, grants, wanted),
        Need::ManageOrProduce(wanted) if wanted == tenant && has(Grant::Produce) => Ok(()),
        Need::ManageOrProduce(wanted) => manage(image, tenant, organisation, grants, wanted),
    }
}

fn manage(
    image: &Image,
    tenant: TenantId,
    organisation: OrganisationId,
    grants: &Grants,
    wanted: TenantId,
) -> Result<(), Refusal> {
    let of_organisation = image
        .virtual_cluster(wanted)
        .is_some_and(|row| row.organisation == organisation);
    if wanted != tenant && !of_organisation {
        return Err(no_tenant(wanted));
    }
    if of_organisation && grants.contains(&Grant::Organisation) {
        return Ok(());
    }
    if wanted != tenant {
        return Err(no_tenant(wanted));
    }
    if grants.contains(&Grant::Admin) || grants.contains(&Grant::Organisation) {
        return Ok(());
    }
    Err(denied("this needs an administrator's key of the virtual cluster"))
}

/// Refuses unless the actor is this node, or the service itself.
pub(crate) fn authorise_node(actor: &Actor, node: Option<NodeId>) -> Result<(), Refusal> {
    match actor {
        Actor::System => Ok(()),
        Actor::Node(caller) if Some(*caller) == node => Ok(()),
        Actor::Node(caller) => Err(Refusal::Fenced {
            reason: format!("node {caller} is not the one concerned"),
        }),
        Actor::Key { .. } => Err(denied("only nodes may do that")),
    }
}

fn still_active(image: &Image, key: &KeyId) -> Result<(), Refusal> {
    if *key == KeyId::NONE {
        return Ok(());
    }
    match image.key(key).map(|row| row.state) {
        Some(KeyState::Active) => Ok(()),
        Some(KeyState::Revoked { .. }) => Err(denied("the key is revoked")),
        None => Err(denied("the key is unknown")),
    }
}

pub(crate) fn denied(reason: &str) -> Refusal {
    Refusal::PermissionDenied {
        reason: reason.to_owned(),
    }
}

pub(crate) fn no_tenant(id: TenantId) -> Refusal {
    Refusal::NotFound {
        kind: "virtual cluster",
        name: id.account(),
    }
}

pub(crate) fn no_organisation(id: OrganisationId) -> Refusal {
    Refusal::NotFound {
        kind: "organization",
        name: id.to_string(),
    }
}

pub(crate) fn no_environment(id: EnvironmentId) -> Refusal {
    Refusal::NotFound {
        kind: "environment",
        name: id.to_string(),
    }
}
