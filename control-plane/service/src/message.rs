//! Rows as messages, and texts of requests as ids.

use crate::status::{invalid, not_found};
use millstream_metadata::{
    EnvironmentRow, Grant, Grants, KeyRow, KeyState, OrganisationRow, TopicRow, VirtualClusterRow,
};
use millstream_model::TenantId;
use millstream_rpc::control as rpc;
use tonic::Status;

pub(crate) fn organization(row: &OrganisationRow) -> rpc::Organization {
    rpc::Organization {
        id: row.id.to_string(),
        name: row.name.clone(),
        created_ms: row.created.0,
    }
}

pub(crate) fn environment(row: &EnvironmentRow) -> rpc::Environment {
    rpc::Environment {
        id: row.id.to_string(),
        organization_id: row.organisation.to_string(),
        name: row.name.clone(),
        created_ms: row.created.0,
    }
}

pub(crate) fn virtual_cluster(row: &VirtualClusterRow) -> rpc::VirtualCluster {
    rpc::VirtualCluster {
        account_id: row.id.account(),
        environment_id: row.environment.to_string(),
        organization_id: row.organisation.to_string(),
        name: row.name.clone(),
        auto_create_topics: row.auto_create_topics,
        created_ms: row.created.0,
    }
}

pub(crate) fn key(row: &KeyRow) -> rpc::Key {
    let (state, revoked_ms) = match row.state {
        KeyState::Active => (rpc::KeyState::Active, 0),
        KeyState::Revoked { at } => (rpc::KeyState::Revoked, at.0),
    };
    rpc::Key {
        id: row.id.to_string(),
        name: row.name.clone(),
        account_id: row.tenant.account(),
        role: role(&row.grants).into(),
        state: state.into(),
        created_ms: row.created.0,
        revoked_ms,
    }
}

pub(crate) fn topic(row: &TopicRow) -> rpc::Topic {
    rpc::Topic {
        id: row.id.to_string(),
        name: row.name.to_string(),
        partitions: u32::try_from(row.partitions.len()).unwrap_or(u32::MAX),
        replication_factor: u32::from(row.class.replicas),
        config: row
            .config
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        internal: row.internal,
        created_ms: row.created.0,
    }
}

/// The role that says most of what a key may do.
pub(crate) fn role(grants: &Grants) -> rpc::Role {
    let has = |grant: Grant| grants.contains(&grant);
    if has(Grant::Operator) {
        rpc::Role::Operator
    } else if has(Grant::Organisation) {
        rpc::Role::OrganizationAdmin
    } else if has(Grant::Admin) {
        rpc::Role::Admin
    } else if has(Grant::Produce) && has(Grant::Consume) {
        rpc::Role::Developer
    } else if has(Grant::Produce) {
        rpc::Role::Producer
    } else if has(Grant::Consume) {
        rpc::Role::Consumer
    } else if has(Grant::SqlRead) {
        rpc::Role::SqlReader
    } else {
        rpc::Role::Unspecified
    }
}

/// What a role's key may do.
pub(crate) fn grants(role: i32) -> Result<Grants, Status> {
    let role = rpc::Role::try_from(role).map_err(|_| invalid(format!("there is no role {role}")))?;
    Ok(match role {
        rpc::Role::Unspecified => return Err(invalid("a key needs a role")),
        rpc::Role::Operator => Grants::from([Grant::Operator, Grant::Organisation, Grant::Admin]),
        rpc::Role::OrganizationAdmin => Grants::from([Grant::Organisation, Grant::Admin]),
        rpc::Role::Admin => Grants::from([Grant::Admin]),
        rpc::Role::Developer => Grants::from([Grant::Produce, Grant::Consume]),
        rpc::Role::Producer => Grants::from([Grant::Produce]),
        rpc::Role::Consumer => Grants::from([Grant::Consume]),
        rpc::Role::SqlReader => Grants::from([Grant::SqlRead]),
    })
}

/// A text that is an id; one that is none names nothing.
pub(crate) fn parse_id<T: std::str::FromStr>(kind: &'static str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|_| not_found(kind, &shortened(text)))
}

/// An account id: twelve digits.
pub(crate) fn parse_account(text: &str) -> Result<TenantId, Status> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map(TenantId)
            .map_err(|_| not_found("virtual cluster", text));
    }
    Err(not_found("virtual cluster", &shortened(text)))
}

/// A text of a stranger, short enough to be repeated to them.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
