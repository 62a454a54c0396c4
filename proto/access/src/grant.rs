//! What a principal may do to what.

use crate::principal::Principal;
use millstream_metadata::{Grant, Grants, OrganisationId};
use millstream_model::TenantId;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Write records; also what a producer needs to know.
    Produce,
    /// Read records, use consumer groups.
    Consume,
    /// See that things exist: topics, offsets, configs.
    Describe,
    /// Ask in SQL: read streams, tables and topics, and change nothing.
    SqlRead,
    /// Make, change and delete topics, SQL rows and keys of a virtual cluster.
    Manage,
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A virtual cluster and what is in it.
    Tenant(TenantId),
    /// An organisation: its environments, virtual clusters, quotas.
    Organisation(OrganisationId),
    /// The cluster: its organisations.
    Cluster,
}

/// Whether the principal may do that. A virtual cluster other than its own counts only through its organisation,
/// which the caller names as the resource after looking it up.
pub fn allowed(who: &Principal, operation: Operation, resource: Resource) -> bool {
    let has = |grant: Grant| who.grants.contains(&grant);
    // An operator is in charge of all tenants, but their records are theirs.
    let of_records = matches!(
        operation,
        Operation::Produce | Operation::Consume | Operation::SqlRead
    );
    if has(Grant::Operator) && !of_records {
        return true;
    }
    match resource {
        Resource::Cluster => false,
        Resource::Organisation(organisation) => who.organisation == organisation && has(Grant::Organisation),
        Resource::Tenant(tenant) => who.tenant == tenant && allowed_in_tenant(&who.grants, operation),
    }
}

fn allowed_in_tenant(grants: &Grants, operation: Operation) -> bool {
    let has = |grant: Grant| grants.contains(&grant);
    let everything = has(Grant::Operator) || has(Grant::Organisation) || has(Grant::Admin);
    match operation {
        Operation::Manage => everything,
        Operation::Produce => everything || has(Grant::Produce),
        Operation::Consume => everything || has(Grant::Consume),
        Operation::Describe => everything || has(Grant::Produce) || has(Grant::Consume),
        Operation::SqlRead => everything || has(Grant::SqlRead),
    }
}
