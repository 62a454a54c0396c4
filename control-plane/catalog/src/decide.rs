//! From a command to the rows that it changes, or to a refusal: pure, so that it can be tested to the row.

mod command;
mod leaders;
mod nodes;
mod quotas;
mod recover;
mod sql;
mod tenancy;
mod topics;

use crate::draft::Draft;
use crate::seeds::Seeds;
use command::{Decide, Subject};
use millstream_metadata::{Actor, AuditRow, Change, Command, Image, Refusal, Reply, Row, RowKey};
use millstream_model::limits::AUDIT_EVENTS_MAX;
use std::sync::Arc;

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
    let (reply, subject) = dispatch(&mut draft, seeds, actor, command)?;
    let mut changes = draft.into_changes();
    if let Some(subject) = subject.filter(|_| !changes.is_empty()) {
        changes.extend(audit(image, &changes, seeds, actor, command, subject));
    }
    Ok(Decision { changes, reply })
}

/// What a command of this kind comes to, and what the audit says of it.
fn decide_one<C: Decide>(
    draft: &mut Draft,
    seeds: &mut Seeds,
    actor: &Actor,
    command: &C,
) -> Result<(Reply, Option<Subject>), Refusal> {
    let reply = command.decide(draft, seeds, actor)?;
    let subject = command.subject(draft.image(), &reply);
    Ok((C::into_reply(reply), subject))
}

fn dispatch(
    draft: &mut Draft,
    seeds: &mut Seeds,
    actor: &Actor,
    command: &Command,
) -> Result<(Reply, Option<Subject>), Refusal> {
    macro_rules! each {
        ($($kind:ident)*) => {
            match command {
                $(Command::$kind(command) => decide_one(draft, seeds, actor, command),)*
            }
        };
    }
    each! {
        CreateOrganisation
        CreateEnvironment
        CreateVirtualCluster
        SetTopicDefaults
        SetServiceTopicDefaults
        CreateKey
        RevokeKey
        CreateTopic
        DeleteTopic
        CreatePartitions
        AlterTopicConfig
        ReplaceTopicConfig
        SetQuota
        WriteSql
        RegisterNode
        ConfirmRegistration
        Heartbeat
        EndSession
        ProposeIsr
        Resign
        ReportSnapshot
        ReportDeleted
        RecoverGroups
        AllocateProducerIds
        RaiseFeatureLevel
        EnsureInternalTopics
        EnsureSqlChangelog
        Bootstrap
        ReplaceBootstrapKey
    }
}

/// The event's row, the bounded range moved on, and what falls out of it.
fn audit(
    image: &Image,
    changes: &[Change],
    seeds: &Seeds,
    actor: &Actor,
    command: &Command,
    subject: Subject,
) -> Vec<Change> {
    let changed = changes.iter().rev().find_map(|change| match change {
        Change::Put(Row::Cluster(row)) => Some(row.as_ref()),
        _ => None,
    });
    let mut cluster = changed.unwrap_or(image.cluster()).clone();
    let sequence = cluster.audit_next;
    cluster.audit_next += 1;
    let event = AuditRow {
        sequence,
        time: seeds.now(),
        tenant: subject.tenant,
        actor: match actor {
            Actor::Key { key, .. } => key.to_string(),
            Actor::Node(node) => format!("node {node}"),
            Actor::System => "system".to_owned(),
        },
        action: command.name().to_owned(),
        resource: subject.resource,
    };
    let mut out = vec![Change::Put(Row::Audit(Arc::new(event)))];
    if cluster.audit_next - cluster.audit_first > AUDIT_EVENTS_MAX {
        out.push(Change::Remove(RowKey::Audit(cluster.audit_first)));
        cluster.audit_first += 1;
    }
    out.push(Change::Put(Row::Cluster(Arc::new(cluster))));
    out
}
