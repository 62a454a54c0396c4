//! From a command to the rows that it changes, or to a refusal: pure, so that it can be tested to the row.

mod nodes;
mod quotas;
mod recover;
mod sql;
mod tenancy;
mod topics;

use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{Actor, AuditRow, Change, Command, Image, QuotaScope, Refusal, Reply, Row, RowKey};
use millstream_model::TenantId;
use millstream_model::limits::AUDIT_EVENTS_MAX;
use std::sync::Arc;

pub use topics::INTERNAL_TOPICS;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The rows that change, in order; a later change of the same row wins.
    pub changes: Vec<Change>,
    /// What the caller is told once they are durable.
    pub reply: Reply,
}

/// Decides one command. The same image, seeds, actor and command give the same decision.
pub fn decide(
    image: &Image,
    seeds: &mut Seeds,
    actor: &Actor,
    command: &Command,
) -> Result<Decision, Refusal> {
    let mut draft = Draft::new(image);
    let reply = dispatch(&mut draft, seeds, actor, command)?;
    let mut changes = draft.into_changes();
    if !changes.is_empty()
        && let Some((tenant, resource)) = subject(image, command, &reply)
    {
        changes.extend(audit(image, &changes, seeds, actor, command, tenant, resource));
    }
    Ok(Decision { changes, reply })
}

fn dispatch(
    draft: &mut Draft,
    seeds: &mut Seeds,
    actor: &Actor,
    command: &Command,
) -> Result<Reply, Refusal> {
    match command {
        Command::CreateOrganisation { name } => tenancy::create_organisation(draft, seeds, actor, name),
        Command::CreateEnvironment { organisation, name } => {
            tenancy::create_environment(draft, seeds, actor, *organisation, name)
        }
        Command::CreateVirtualCluster {
            environment,
            name,
            auto_create_topics,
        } => tenancy::create_virtual_cluster(draft, seeds, actor, *environment, name, *auto_create_topics),
        Command::CreateKey {
            tenant,
            name,
            grants,
            root_version,
        } => tenancy::create_key(draft, seeds, actor, *tenant, name, grants, *root_version),
        Command::RevokeKey { tenant, key } => tenancy::revoke_key(draft, seeds, actor, *tenant, key),
        Command::Bootstrap { root_version } => tenancy::bootstrap(draft, seeds, actor, *root_version),
        Command::ReplaceBootstrapKey { root_version } => {
            tenancy::replace_bootstrap_key(draft, seeds, actor, *root_version)
        }
        Command::CreateTopic(topic) => topics::create(draft, seeds, actor, topic),
        Command::DeleteTopic { tenant, name } => topics::delete(draft, actor, *tenant, name),
        Command::CreatePartitions {
            tenant,
            name,
            total,
            validate_only,
        } => {
            let wanted = topics::MorePartitions {
                tenant: *tenant,
                name,
                total: *total,
            };
            topics::create_partitions(draft, actor, &wanted, *validate_only)
        }
        Command::AlterTopicConfig {
            tenant,
            name,
            changes,
            validate_only,
        } => topics::alter_config(draft, actor, *tenant, name, changes, *validate_only),
        Command::EnsureInternalTopics => topics::ensure_internal(draft, seeds, actor),
        Command::EnsureSqlChangelog { tenant } => topics::ensure_changelog(draft, seeds, actor, *tenant),
        Command::SetQuota { scope, quota } => quotas::set(draft, actor, *scope, quota),
        Command::WriteSql {
            tenant,
            put,
            delete,
            expected,
        } => sql::write(
            draft,
            seeds,
            actor,
            &sql::Write {
                tenant: *tenant,
                put,
                delete,
                expected: *expected,
            },
        ),
        Command::RegisterNode(node) => nodes::register(draft, seeds, actor, node),
        Command::ConfirmRegistration {
            journal,
            registration,
        } => nodes::confirm(draft, actor, *journal, *registration),
        Command::Heartbeat { registration, .. } => nodes::heartbeat(draft, actor, *registration),
        Command::EndSession {
            journal,
            registration,
        } => nodes::end_session(draft, actor, *journal, *registration),
        Command::ProposeIsr {
            group,
            epoch,
            base_version,
            isr,
        } => nodes::propose_isr(draft, actor, *group, (*epoch, *base_version), isr),
        Command::ReportSnapshot {
            group,
            epoch,
            snapshot,
        } => nodes::report_snapshot(draft, actor, *group, *epoch, snapshot),
        Command::ReportDeleted {
            group,
            topic,
            partitions,
        } => nodes::report_deleted(draft, actor, *group, *topic, partitions),
        Command::RecoverGroups { journal } => recover::recover_groups(draft, actor, *journal),
        Command::AllocateProducerIds => nodes::allocate_producer_ids(draft, actor),
        Command::RaiseFeatureLevel { level } => nodes::raise_feature_level(draft, actor, *level),
    }
}

/// Whom and what a command concerns, for the audit; none for what happens all the time by itself.
fn subject(image: &Image, command: &Command, reply: &Reply) -> Option<(Option<TenantId>, String)> {
    Some(match command {
        Command::CreateOrganisation { name } => (None, name.clone()),
        Command::CreateEnvironment { name, .. } => (None, name.clone()),
        Command::CreateVirtualCluster { name, .. } => match reply {
            Reply::VirtualCluster(row) => (Some(row.id), name.clone()),
            _ => (None, name.clone()),
        },
        Command::CreateKey { .. } | Command::Bootstrap { .. } | Command::ReplaceBootstrapKey { .. } => {
            match reply {
                Reply::Key(row) => (Some(row.tenant), row.id.to_string()),
                _ => return None,
            }
        }
        Command::RevokeKey { tenant, key } => (Some(*tenant), key.to_string()),
        Command::CreateTopic(topic) => (Some(topic.tenant), topic.name.clone()),
        Command::DeleteTopic { tenant, name }
        | Command::CreatePartitions { tenant, name, .. }
        | Command::AlterTopicConfig { tenant, name, .. } => (Some(*tenant), name.clone()),
        Command::SetQuota {
            scope: QuotaScope::Tenant(tenant),
            ..
        } => (Some(*tenant), tenant.account()),
        Command::SetQuota {
            scope: QuotaScope::Key(key),
            ..
        } => (image.key(key).map(|row| row.tenant), key.to_string()),
        Command::WriteSql {
            tenant, put, delete, ..
        } => {
            let first = put.first().map(|row| row.name.clone());
            let first = first.or_else(|| delete.first().map(|(_, name)| name.clone()));
            (Some(*tenant), first.unwrap_or_default())
        }
        Command::RegisterNode(node) => (None, node.journal.to_string()),
        Command::EndSession { journal, .. } | Command::RecoverGroups { journal } => {
            (None, journal.to_string())
        }
        Command::RaiseFeatureLevel { level } => (None, level.to_string()),
        Command::ConfirmRegistration { .. }
        | Command::Heartbeat { .. }
        | Command::ProposeIsr { .. }
        | Command::ReportSnapshot { .. }
        | Command::ReportDeleted { .. }
        | Command::AllocateProducerIds
        | Command::EnsureInternalTopics
        | Command::EnsureSqlChangelog { .. } => return None,
    })
}

/// The event's row, the bounded range moved on, and what falls out of it.
fn audit(
    image: &Image,
    changes: &[Change],
    seeds: &Seeds,
    actor: &Actor,
    command: &Command,
    tenant: Option<TenantId>,
    resource: String,
) -> Vec<Change> {
    let changed = changes.iter().rev().find_map(|change| match change {
        Change::Put(Row::Cluster(row)) => Some(row),
        _ => None,
    });
    let mut cluster = changed.unwrap_or(image.cluster()).clone();
    let sequence = cluster.audit_next;
    cluster.audit_next += 1;
    let event = AuditRow {
        sequence,
        time: seeds.now(),
        tenant,
        actor: match actor {
            Actor::Key { key, .. } => key.to_string(),
            Actor::Node(node) => format!("node {node}"),
            Actor::System => "system".to_owned(),
        },
        action: command.name().to_owned(),
        resource,
    };
    let mut out = vec![Change::Put(Row::Audit(Arc::new(event)))];
    if cluster.audit_next - cluster.audit_first > AUDIT_EVENTS_MAX {
        out.push(Change::Remove(RowKey::Audit(cluster.audit_first)));
        cluster.audit_first += 1;
    }
    out.push(Change::Put(Row::Cluster(cluster)));
    out
}
