//! Which replica group a partition goes to: pure, and the same for the same inputs.

use millstream_metadata::{Class, GroupPurpose, GroupRow, Image};
use millstream_model::{GroupId, TenantId, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A tenant's partitions use at most so many groups, so that one tenant's trouble meets few others (log.md 28).
pub const TENANT_GROUPS_USED_MAX: usize = 4;

/// Tenants' groups that are made for each journal: enough to spread, few enough that failover is a few rows.
pub const JOURNAL_GROUPS: u32 = 8;

/// The most replicas that a group has at a feature level: the first release serves one.
pub fn replicas_max(feature_level: u32) -> u8 {
    match feature_level {
        0 | 1 => 1,
        _ => 3,
    }
}

/// The classes for which there are groups of tenants, by replicas.
pub fn classes(image: &Image) -> Vec<Class> {
    let mut classes: Vec<Class> = image
        .groups()
        .filter(|group| group.purpose == GroupPurpose::Tenants)
        .map(|group| group.class)
        .collect();
    classes.sort();
    classes.dedup();
    classes
}

/// The groups that a tenant's partitions of one class may go to: those that it uses already, then those that come first
/// when all are ordered by a hash of (tenant, group). So a cluster that grows spreads new tenants, and no tenant wider.
/// A group that nobody serves takes nothing, unless nobody serves anywhere; a tenant that lost one may use another, and
/// uses more than the cap only once the lost one is back.
pub fn shard(image: &Image, tenant: TenantId, class: Class) -> Vec<GroupId> {
    let purpose = if tenant == TenantId::SYSTEM {
        GroupPurpose::Internal
    } else {
        GroupPurpose::Tenants
    };
    let used: BTreeSet<GroupId> = image
        .topics_of(tenant)
        .flat_map(|topic| topic.partitions.iter().map(|partition| partition.group))
        .collect();
    let fits = |group: &&Arc<GroupRow>| group.purpose == purpose && group.class == class;
    let any_lives = image.groups().filter(fits).any(|group| !image.is_gone(group));
    let mut groups: Vec<(bool, u64, GroupId)> = image
        .groups()
        .filter(fits)
        .filter(|group| !any_lives || !image.is_gone(group))
        .map(|group| {
            let order = mixed(tenant.0, u64::from(group.id.0));
            (!used.contains(&group.id), order, group.id)
        })
        .collect();
    groups.sort_unstable();
    groups.truncate(TENANT_GROUPS_USED_MAX);
    groups.into_iter().map(|(_, _, group)| group).collect()
}

/// The group of each partition `from..to` of a topic: in turn over the tenant's groups, each topic starting
/// elsewhere. Empty if there is no group.
pub fn place(
    image: &Image,
    tenant: TenantId,
    class: Class,
    topic: TopicId,
    from: usize,
    to: usize,
) -> Vec<GroupId> {
    let groups = shard(image, tenant, class);
    if groups.is_empty() {
        return Vec::new();
    }
    let (high, low) = topic.0.as_u64_pair();
    let start = usize::try_from(mixed(high, low) % groups.len() as u64).unwrap_or(0);
    (from..to)
        .map(|index| groups[(start + index) % groups.len()])
        .collect()
}

/// SplitMix64's finisher over both.
fn mixed(a: u64, b: u64) -> u64 {
    let mut z = a.rotate_left(32) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
