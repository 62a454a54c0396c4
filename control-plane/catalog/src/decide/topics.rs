//! Topics: made, widened, configured, deleted.

use crate::authorise::{Need, authorise, no_tenant};
use crate::decide::command::{Decide, Subject};
use crate::draft::Draft;
use crate::place::{classes, place};
use crate::seeds::Seeds;
use millstream_metadata::{
    Actor, AlterTopicConfig, Class, CreatePartitions, CreateTopic, DeleteTopic, EnsureInternalTopics,
    EnsureSqlChangelog, Image, PartitionRow, QuotaScope, Refusal, ReplaceTopicConfig, Row, TopicRow,
    TopicState, VirtualClusterRow, topic_config,
};
use millstream_model::limits::{BATCH_BYTES_MAX, TENANT_PARTITIONS_DEFAULT, TOPIC_PARTITIONS_MAX};
use millstream_model::{GroupId, SLOTS, SlotKind, TenantId, TopicName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Partitions of a topic when nobody said: as Kafka's `num.partitions`.
const PARTITIONS_DEFAULT: u32 = 1;

/// The changelogs of a tenant's SQL shards, one partition each: a topic of the tenant's that its clients do not see.
pub const SQL_CHANGELOG_TOPIC: &str = "__sql_changelog";

/// A tenant has one shard.
const SQL_CHANGELOG_PARTITIONS: u32 = 1;

impl Decide for CreateTopic {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let tenant = self.tenant;
        let cluster = draft.image().virtual_cluster(tenant).cloned();
        authorise_create(draft, actor, self, cluster.as_deref())?;
        let cluster = cluster.ok_or_else(|| no_tenant(tenant))?;
        let name = parse_name(&self.name)?;
        if self.name == SQL_CHANGELOG_TOPIC {
            return Err(Refusal::InvalidName {
                reason: format!("'{SQL_CHANGELOG_TOPIC}' is a topic of the service's own"),
            });
        }
        if draft.image().topic(tenant, &name).is_some() {
            return Err(Refusal::TopicExists {
                name: self.name.clone(),
            });
        }
        let defaults = draft.image().topic_defaults(tenant);
        let partitions = match self.partitions {
            -1 => defaults.partitions.unwrap_or(PARTITIONS_DEFAULT),
            count => check_partitions(count)?,
        };
        check_partition_quota(draft, tenant, partitions)?;
        let replication = match (self.replication, defaults.replication_factor) {
            (-1, Some(count)) => i16::from(count),
            (wanted, _) => wanted,
        };
        let class = choose_class(draft, replication)?;
        check_config(&self.config)?;
        let id = seeds.topic();
        let groups = place(draft.image(), tenant, class, id, 0, partitions as usize);
        let row = Arc::new(TopicRow {
            id,
            tenant,
            name,
            partitions: opened(draft, &groups, cluster.leader_epoch_floor),
            class,
            config: self.config.clone(),
            internal: false,
            state: TopicState::Active,
            created: seeds.now(),
        });
        if !self.validate_only {
            draft.put(Row::Topic(Arc::clone(&row)));
        }
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        Subject::of(self.tenant, &self.name)
    }
}

/// A producer may make what its tenant makes by itself when asked for; the rest needs an administrator.
fn authorise_create(
    draft: &Draft,
    actor: &Actor,
    wanted: &CreateTopic,
    cluster: Option<&VirtualClusterRow>,
) -> Result<(), Refusal> {
    let automatic = cluster.is_some_and(|row| row.auto_create_topics)
        && wanted.partitions == -1
        && wanted.replication == -1
        && wanted.config.is_empty();
    let need = if automatic {
        Need::ManageOrProduce(wanted.tenant)
    } else {
        Need::Manage(wanted.tenant)
    };
    authorise(draft.image(), actor, need)
}

impl Decide for DeleteTopic {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let tenant = self.tenant;
        let row = managed(draft, actor, tenant, &self.name)?;
        let epoch_of = |group| {
            draft
                .image()
                .group(group)
                .map(|row| row.epoch)
                .unwrap_or_default()
        };
        let shown = row
            .partitions
            .iter()
            .map(|partition| partition.leader_epoch(epoch_of(partition.group)).0)
            .max();
        if let Some(cluster) = draft.image().virtual_cluster(tenant).cloned() {
            let leader_epoch_floor = cluster.leader_epoch_floor.max(shown.unwrap_or(0));
            draft.put(Row::VirtualCluster(Arc::new(VirtualClusterRow {
                leader_epoch_floor,
                ..cluster.as_ref().clone()
            })));
        }
        let row = Arc::new(TopicRow {
            state: TopicState::Deleting,
            ..row.as_ref().clone()
        });
        draft.put(Row::Topic(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        Subject::of(self.tenant, &self.name)
    }
}

impl Decide for CreatePartitions {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let row = managed(draft, actor, self.tenant, &self.name)?;
        let total = check_partitions(self.total)?;
        let now = row.partitions.len();
        if total as usize <= now {
            let reason = format!("topic '{}' has {now} partitions, it can only get more", self.name);
            return Err(Refusal::InvalidPartitions { reason });
        }
        check_pins(draft, self)?;
        check_partition_quota(draft, self.tenant, total - u32::try_from(now).unwrap_or(total))?;
        let groups = place(draft.image(), self.tenant, row.class, row.id, now, total as usize);
        if groups.is_empty() {
            return Err(no_brokers(row.class.replicas.into(), 0));
        }
        let floor = draft
            .image()
            .virtual_cluster(self.tenant)
            .map_or(0, |cluster| cluster.leader_epoch_floor);
        let mut row = row.as_ref().clone();
        row.partitions.extend(opened(draft, &groups, floor));
        let row = Arc::new(row);
        if !self.validate_only {
            draft.put(Row::Topic(Arc::clone(&row)));
        }
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        Subject::of(self.tenant, &self.name)
    }
}

impl Decide for AlterTopicConfig {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let row = managed(draft, actor, self.tenant, &self.name)?;
        let mut row = row.as_ref().clone();
        for (key, value) in &self.changes {
            match value {
                Some(value) => {
                    topic_config::check(key, value).map_err(|reason| Refusal::InvalidConfig { reason })?;
                    row.config.insert(key.clone(), value.clone());
                }
                None => {
                    let unknown = || Refusal::InvalidConfig {
                        reason: format!("unknown topic config '{key}'"),
                    };
                    topic_config::find(key).ok_or_else(unknown)?;
                    row.config.remove(key);
                }
            }
        }
        let row = Arc::new(row);
        if !self.validate_only {
            draft.put(Row::Topic(Arc::clone(&row)));
        }
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        Subject::of(self.tenant, &self.name)
    }
}

impl Decide for ReplaceTopicConfig {
    /// Puts these configs in place of all that were set: Kafka's older AlterConfigs.
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let row = managed(draft, actor, self.tenant, &self.name)?;
        check_config(&self.config)?;
        let row = Arc::new(TopicRow {
            config: self.config.clone(),
            ..row.as_ref().clone()
        });
        if !self.validate_only {
            draft.put(Row::Topic(Arc::clone(&row)));
        }
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        Subject::of(self.tenant, &self.name)
    }
}

impl Decide for EnsureInternalTopics {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        authorise(draft.image(), actor, Need::Service)?;
        create_internal(draft, seeds);
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

/// Makes the topics of slots that are not there, if there is a group for them: they belong to the system tenant, with ids
/// and numbers of partitions that never change (log.md 29).
pub(super) fn create_internal(draft: &mut Draft, seeds: &mut Seeds) {
    for kind in SlotKind::ALL {
        let id = kind.topic();
        let Ok(name) = kind.topic_name().parse::<TopicName>() else {
            continue;
        };
        if draft.image().topic_by_id(id).is_some() {
            continue;
        }
        let groups = place(draft.image(), TenantId::SYSTEM, Class::ONE, id, 0, SLOTS as usize);
        if groups.is_empty() {
            continue;
        }
        draft.put(Row::Topic(Arc::new(TopicRow {
            id,
            tenant: TenantId::SYSTEM,
            name,
            partitions: opened(draft, &groups, 0),
            class: Class::ONE,
            config: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
            internal: true,
            state: TopicState::Active,
            created: seeds.now(),
        })));
    }
}

impl Decide for EnsureSqlChangelog {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<TopicRow>, Refusal> {
        let tenant = self.tenant;
        authorise(draft.image(), actor, Need::Service)?;
        let cluster = draft.image().virtual_cluster(tenant).cloned();
        let cluster = cluster.ok_or_else(|| no_tenant(tenant))?;
        let name = parse_name(SQL_CHANGELOG_TOPIC)?;
        if let Some(row) = draft.image().topic(tenant, &name) {
            return Ok(Arc::clone(row));
        }
        let class = choose_class(draft, -1)?;
        let id = seeds.topic();
        let count = SQL_CHANGELOG_PARTITIONS as usize;
        let groups = place(draft.image(), tenant, class, id, 0, count);
        // Nothing goes but what its owner trims; a batch holds whatever a record may.
        let config = [
            ("retention.ms", "-1".to_owned()),
            ("max.message.bytes", BATCH_BYTES_MAX.to_string()),
        ];
        let row = Arc::new(TopicRow {
            id,
            tenant,
            name,
            partitions: opened(draft, &groups, cluster.leader_epoch_floor),
            class,
            config: config.map(|(name, value)| (name.to_owned(), value)).into(),
            internal: true,
            state: TopicState::Active,
            created: seeds.now(),
        });
        draft.put(Row::Topic(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<TopicRow>) -> Option<Subject> {
        None
    }
}

/// The partitions' rows, each with a base that lifts its leader epoch above every one that a deleted topic of this
/// tenant showed (log.md 26).
fn opened(draft: &Draft, groups: &[GroupId], floor: i32) -> Vec<PartitionRow> {
    let row = |group: &GroupId| {
        let epoch = draft
            .image()
            .group(*group)
            .map(|row| row.epoch.0)
            .unwrap_or_default();
        let epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        let base_epoch = floor.saturating_add(1).saturating_sub(epoch).max(0);
        PartitionRow {
            group: *group,
            base_epoch: if floor == 0 { 0 } else { base_epoch },
            deleted: false,
        }
    };
    groups.iter().map(row).collect()
}

/// The topic, for one who may change it.
fn managed(draft: &Draft, actor: &Actor, tenant: TenantId, name: &str) -> Result<Arc<TopicRow>, Refusal> {
    authorise(draft.image(), actor, Need::Manage(tenant))?;
    let unknown = || Refusal::UnknownTopic {
        name: name.to_owned(),
    };
    let name: TopicName = name.parse().map_err(|_| unknown())?;
    let row = draft.image().topic(tenant, &name).cloned().ok_or_else(unknown)?;
    // What the service keeps for itself in a tenant is not there for its clients.
    if row.internal && matches!(actor, Actor::Key { .. }) {
        return Err(unknown());
    }
    Ok(row)
}

fn parse_name(name: &str) -> Result<TopicName, Refusal> {
    name.parse::<TopicName>().map_err(|error| Refusal::InvalidName {
        reason: error.to_string(),
    })
}

fn check_partitions(count: i32) -> Result<u32, Refusal> {
    match u32::try_from(count) {
        Ok(count) if (1..=TOPIC_PARTITIONS_MAX).contains(&count) => Ok(count),
        _ => Err(Refusal::InvalidPartitions {
            reason: format!("{count} is not between 1 and {TOPIC_PARTITIONS_MAX}"),
        }),
    }
}

/// A query that trusts a topic's partitioning would find keys in other partitions than before (sql.md 5).
fn check_pins(draft: &Draft, wanted: &CreatePartitions) -> Result<(), Refusal> {
    let mut rows = draft.image().sql_of(wanted.tenant);
    let relies = rows.find(|row| row.pinned_topics.contains(&wanted.name));
    match relies {
        None => Ok(()),
        Some(row) => Err(Refusal::InvalidPartitions {
            reason: format!(
                "{} '{}' relies on the partitions of topic '{}': terminate it first",
                row.kind, row.name, wanted.name
            ),
        }),
    }
}

fn check_partition_quota(draft: &Draft, tenant: TenantId, more: u32) -> Result<(), Refusal> {
    let used: usize = draft
        .image()
        .topics_of(tenant)
        // What the service keeps there is outside of it.
        .filter(|topic| !topic.internal)
        .map(|topic| topic.partitions.len())
        .sum();
    let cap = draft
        .image()
        .quota(QuotaScope::Tenant(tenant))
        .partitions
        .unwrap_or(TENANT_PARTITIONS_DEFAULT);
    if used + more as usize <= cap as usize {
        return Ok(());
    }
    let reason =
        format!("the virtual cluster has {used} partitions and may have {cap}, so {more} more do not fit");
    Err(Refusal::QuotaExceeded { reason })
}

/// The class for a replication factor; -1 takes the best there is (log.md 17).
fn choose_class(draft: &Draft, replication: i16) -> Result<Class, Refusal> {
    let nodes = draft.image().nodes().filter(|node| !node.lost).count();
    let there = classes(draft.image());
    if replication == -1 {
        return there.last().copied().ok_or_else(|| no_brokers(1, nodes));
    }
    let class = Class::of_replicas(replication).ok_or_else(|| Refusal::InvalidReplicationFactor {
        reason: format!("{replication} is not between 1 and 3 (or -1 for the default)"),
    })?;
    if there.contains(&class) {
        return Ok(class);
    }
    let nodes = nodes.min(there.last().map_or(0, |class| usize::from(class.replicas)));
    Err(no_brokers(replication, nodes))
}

fn no_brokers(replication: i16, nodes: usize) -> Refusal {
    let reason =
        format!("replication factor {replication} is larger than the {nodes} brokers available for it");
    Refusal::InvalidReplicationFactor { reason }
}

fn check_config(config: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (name, value) in config {
        topic_config::check(name, value).map_err(|reason| Refusal::InvalidConfig { reason })?;
    }
    Ok(())
}
