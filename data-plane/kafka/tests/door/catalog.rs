//! A control plane in memory: as much as a broker and its Kafka door ask of one.

use async_trait::async_trait;
use millstream_metadata::{
    Actor, Change, Class, ClusterRow, Command, Commands, Committed, CreateTopic, EnvironmentId, Grant,
    GroupPurpose, GroupRow, Image, ImagePublisher, ImageWatch, KeyRow, KeyState, NodeRow, OrganisationId,
    PartitionRow, ProducerIds, Quota, QuotaRow, QuotaScope, Refusal, RegisterNode, Replica, Reply, Row,
    TopicDefaults, TopicRow, TopicState, VirtualClusterRow, topic_config,
};
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, NodeId, PartitionId, ProducerId, Registration, SlotKind, TenantId,
    TimestampMs, TopicId, TopicName,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

const INTERNAL: GroupId = GroupId(1);
const TENANTS: GroupId = GroupId(2);
/// A group that nobody leads.
const ORPHANED: GroupId = GroupId(3);

pub struct Catalog {
    state: Mutex<(Image, ImagePublisher, i64)>,
    pub watch: ImageWatch,
}

impl Catalog {
    /// Two tenants, 1 and 2, that make topics by themselves, and 3, which does not.
    pub fn new() -> Arc<Catalog> {
        let (publisher, watch) = ImageWatch::channel(Image::new());
        let catalog = Catalog {
            state: Mutex::new((Image::new(), publisher, 0)),
            watch,
        };
        for tenant in 1..=9 {
            catalog.put([Row::VirtualCluster(Arc::new(VirtualClusterRow {
                id: TenantId(tenant),
                organisation: OrganisationId(TopicId::random().0),
                environment: EnvironmentId(TopicId::random().0),
                name: format!("tenant-{tenant}"),
                auto_create_topics: tenant < 3,
                topic_defaults: Default::default(),
                leader_epoch_floor: 0,
                sql_version: 0,
                created: TimestampMs::now(),
            }))]);
        }
        catalog.put([catalog.topic_row(TenantId::SYSTEM, "__groups", 64, BTreeMap::new())]);
        Arc::new(catalog)
    }

    pub fn image(&self) -> Image {
        self.state.lock().0.clone()
    }

    pub fn key(&self, tenant: u64, letter: u8, grants: &[Grant]) -> KeyRow {
        let organisation = self
            .image()
            .virtual_cluster(TenantId(tenant))
            .unwrap()
            .organisation;
        let row = KeyRow {
            id: KeyId::from_random([letter; 20]),
            tenant: TenantId(tenant),
            organisation,
            name: "test".to_owned(),
            grants: grants.iter().copied().collect(),
            salt: [letter; 16],
            root_version: 1,
            state: KeyState::Active,
            created: TimestampMs::now(),
        };
        self.put([Row::Key(Arc::new(row.clone()))]);
        row
    }

    pub fn revoke(&self, key: &KeyRow) {
        let state = KeyState::Revoked {
            at: TimestampMs::now(),
        };
        self.put([Row::Key(Arc::new(KeyRow { state, ..key.clone() }))]);
    }

    pub fn set_quota(&self, tenant: u64, quota: Quota) {
        self.put([Row::Quota(Arc::new(QuotaRow {
            scope: QuotaScope::Tenant(TenantId(tenant)),
            quota,
        }))]);
    }

    pub fn set_key_quota(&self, key: &KeyRow, quota: Quota) {
        let scope = QuotaScope::Key(key.id);
        self.put([Row::Quota(Arc::new(QuotaRow { scope, quota }))]);
    }

    pub fn set_topic_defaults(&self, tenant: u64, own: TopicDefaults, service: TopicDefaults) {
        let image = self.image();
        let row = image.virtual_cluster(TenantId(tenant)).unwrap();
        let cluster = ClusterRow {
            topic_defaults: service,
            ..image.cluster().clone()
        };
        let row = VirtualClusterRow {
            topic_defaults: own,
            ..row.as_ref().clone()
        };
        self.put([Row::Cluster(cluster.into()), Row::VirtualCluster(Arc::new(row))]);
    }

    /// Puts a topic of the service's own into a tenant.
    pub fn put_internal(&self, tenant: u64, name: &str, partitions: i32) -> TopicId {
        let row = self.topic_row(TenantId(tenant), name, partitions, BTreeMap::new());
        let Row::Topic(topic) = row else { unreachable!() };
        let topic = TopicRow {
            internal: true,
            ..topic.as_ref().clone()
        };
        let id = topic.id;
        self.put([Row::Topic(Arc::new(topic))]);
        id
    }

    /// A slot lies in a group that nobody leads.
    pub fn orphan_slot(&self, slot: PartitionId) {
        let mut topic = self.image().topic_by_id(slot.topic).unwrap().as_ref().clone();
        topic.partitions[slot.index.0 as usize].group = ORPHANED;
        let tenants = self.image().group(TENANTS).unwrap().as_ref().clone();
        let group = GroupRow {
            id: ORPHANED,
            leader: None,
            ..tenants
        };
        self.put([Row::Group(Arc::new(group)), Row::Topic(Arc::new(topic))]);
    }

    fn put(&self, rows: impl IntoIterator<Item = Row>) -> u64 {
        let (image, publisher, _) = &mut *self.state.lock();
        rows.into_iter().for_each(|row| image.apply(&Change::Put(row)));
        let version = image.version() + 1;
        let cluster = ClusterRow {
            version,
            feature_level: 1,
            ..image.cluster().clone()
        };
        image.apply(&Change::Put(Row::Cluster(cluster.into())));
        publisher.publish(image.clone());
        version
    }

    fn topic_row(
        &self,
        tenant: TenantId,
        name: &str,
        partitions: i32,
        config: BTreeMap<String, String>,
    ) -> Row {
        let internal = tenant == TenantId::SYSTEM;
        let group = if internal { INTERNAL } else { TENANTS };
        Row::Topic(Arc::new(TopicRow {
            id: if internal {
                SlotKind::Groups.topic()
            } else {
                TopicId::random()
            },
            tenant,
            name: name.parse().unwrap(),
            partitions: vec![
                PartitionRow {
                    group,
                    base_epoch: 0,
                    deleted: false
                };
                partitions as usize
            ],
            class: Class::ONE,
            config,
            internal,
            state: TopicState::Active,
            created: TimestampMs::now(),
        }))
    }

    fn create_topic(&self, wanted: CreateTopic) -> Result<Committed, Refusal> {
        let reason = |error: &dyn std::fmt::Display| error.to_string();
        let name: TopicName = wanted.name.parse().map_err(|error| Refusal::InvalidName {
            reason: reason(&error),
        })?;
        if self.image().topic(wanted.tenant, &name).is_some() {
            return Err(Refusal::TopicExists { name: wanted.name });
        }
        let partitions = if wanted.partitions == -1 {
            1
        } else {
            wanted.partitions
        };
        if partitions < 1 {
            return Err(Refusal::InvalidPartitions {
                reason: "at least one".to_owned(),
            });
        }
        if ![-1, 1].contains(&wanted.replication) {
            return Err(Refusal::InvalidReplicationFactor {
                reason: "there is one node".to_owned(),
            });
        }
        for (name, value) in &wanted.config {
            topic_config::check(name, value).map_err(|reason| Refusal::InvalidConfig { reason })?;
        }
        let row = self.topic_row(wanted.tenant, &wanted.name, partitions, wanted.config);
        let Row::Topic(topic) = &row else { unreachable!() };
        let reply = Reply::CreateTopic(Arc::clone(topic));
        let version = if wanted.validate_only {
            self.image().version()
        } else {
            self.put([row])
        };
        Ok(Committed { version, reply })
    }

    fn change_topic(
        &self,
        tenant: TenantId,
        name: &str,
        reply: impl FnOnce(Arc<TopicRow>) -> Reply,
        change: impl FnOnce(&mut TopicRow),
    ) -> Result<Committed, Refusal> {
        let parsed = name.parse().map_err(|_| Refusal::UnknownTopic {
            name: name.to_owned(),
        })?;
        let found = self.image().topic(tenant, &parsed).cloned();
        // As the catalog does for every key.
        let found = found.filter(|row| !row.internal);
        let mut row = found
            .ok_or(Refusal::UnknownTopic {
                name: name.to_owned(),
            })?
            .as_ref()
            .clone();
        change(&mut row);
        let row = Arc::new(row);
        Ok(Committed {
            version: self.put([Row::Topic(Arc::clone(&row))]),
            reply: reply(row),
        })
    }

    fn register(&self, journal: JournalId, start: &RegisterNode) -> Committed {
        let node = Arc::new(NodeRow {
            id: NodeId(1),
            journal,
            registration: Registration(1),
            registration_confirmed: Registration(0),
            kafka: start.kafka.clone(),
            http: start.http.clone(),
            feature_level_max: start.feature_level_max,
            lost: false,
            registered: TimestampMs::now(),
        });
        let mut rows = vec![Row::Node(Arc::clone(&node))];
        for (id, purpose) in [
            (INTERNAL, GroupPurpose::Internal),
            (TENANTS, GroupPurpose::Tenants),
        ] {
            rows.push(Row::Group(Arc::new(GroupRow {
                id,
                purpose,
                class: Class::ONE,
                epoch: Epoch(1),
                version: 1,
                leader: Some(journal),
                isr: vec![Replica {
                    journal,
                    registration: Registration(1),
                }],
                members: vec![journal],
                snapshot: None,
                snapshot_previous: None,
            })));
        }
        Committed {
            version: self.put(rows),
            reply: Reply::RegisterNode(node),
        }
    }
}

#[async_trait]
impl Commands for Catalog {
    async fn carry_out(&self, actor: Actor, command: Command) -> Result<Committed, Refusal> {
        let version = self.image().version();
        let may_manage = match &actor {
            Actor::Key { grants, .. } => grants.contains(&Grant::Admin),
            _ => true,
        };
        match command {
            Command::RegisterNode(start) => Ok(self.register(start.journal, &start)),
            Command::AllocateProducerIds(_) => {
                let next = &mut self.state.lock().2;
                *next += 1000;
                Ok(Committed {
                    version,
                    reply: Reply::AllocateProducerIds(ProducerIds {
                        first: ProducerId(*next),
                        count: 1000,
                    }),
                })
            }
            // As the catalog does for whatever changes a topic.
            Command::CreateTopic(_)
            | Command::DeleteTopic(_)
            | Command::CreatePartitions(_)
            | Command::AlterTopicConfig(_)
            | Command::ReplaceTopicConfig(_)
                if !may_manage =>
            {
                Err(Refusal::PermissionDenied {
                    reason: "admin".to_owned(),
                })
            }
            Command::CreateTopic(wanted) => self.create_topic(wanted),
            Command::DeleteTopic(wanted) => {
                self.change_topic(wanted.tenant, &wanted.name, Reply::DeleteTopic, |row| {
                    row.state = TopicState::Deleting;
                })
            }
            Command::CreatePartitions(wanted) => {
                self.change_topic(wanted.tenant, &wanted.name, Reply::CreatePartitions, |row| {
                    let first = row.partitions[0];
                    row.partitions.resize(wanted.total as usize, first);
                })
            }
            Command::AlterTopicConfig(wanted) => {
                self.change_topic(wanted.tenant, &wanted.name, Reply::AlterTopicConfig, |row| {
                    for (name, value) in wanted.changes {
                        match value {
                            Some(value) => row.config.insert(name, value),
                            None => row.config.remove(&name),
                        };
                    }
                })
            }
            Command::ReplaceTopicConfig(wanted) => {
                self.change_topic(wanted.tenant, &wanted.name, Reply::ReplaceTopicConfig, |row| {
                    row.config = wanted.config;
                })
            }
            Command::ConfirmRegistration(_) => Ok(Committed {
                version,
                reply: Reply::ConfirmRegistration(()),
            }),
            Command::Heartbeat(_) => Ok(Committed {
                version,
                reply: Reply::Heartbeat(()),
            }),
            Command::ReportSnapshot(_) => Ok(Committed {
                version,
                reply: Reply::ReportSnapshot(()),
            }),
            Command::ReportDeleted(_) => Ok(Committed {
                version,
                reply: Reply::ReportDeleted(()),
            }),
            other => panic!("the door or its broker sent {}", other.name()),
        }
    }
}
