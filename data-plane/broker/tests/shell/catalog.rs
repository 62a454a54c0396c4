//! A catalog in memory: as much of the control plane as a broker needs.

use async_trait::async_trait;
use millstream_access::Principal;
use millstream_metadata::topic_defaults::TopicDefaults;
use millstream_metadata::{
    Actor, Change, Class, ClusterRow, Command, Commands, Committed, EnvironmentId, GroupPurpose, GroupRow,
    GroupsRecovered, Image, ImagePublisher, ImageWatch, NodeRow, OrganisationId, PartitionRow, ProducerIds,
    RecoveredGroup, Refusal, Replica, Reply, Row, RowKey, TopicRow, TopicState, VirtualClusterRow,
};
use millstream_model::{
    Epoch, GroupId, JournalId, NodeId, PartitionId, PartitionIndex, ProducerId, Registration, SLOTS,
    SlotKind, TenantId, TimestampMs, TopicId,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub const INTERNAL: GroupId = GroupId(1);
pub const TENANTS: GroupId = GroupId(2);

pub struct Catalog {
    image: Mutex<(Image, ImagePublisher)>,
    pub watch: ImageWatch,
    /// Commands are refused as if the controller were away.
    pub away: AtomicBool,
    /// The controller has just begun: it has heard of no node yet.
    pub has_just_begun: AtomicBool,
}

impl Catalog {
    pub fn new() -> Arc<Catalog> {
        let (publisher, watch) = ImageWatch::channel(Image::new());
        let catalog = Catalog {
            image: Mutex::new((Image::new(), publisher)),
            watch,
            away: AtomicBool::new(false),
            has_just_begun: AtomicBool::new(false),
        };
        for tenant in [1, 2] {
            catalog.put([Row::VirtualCluster(Arc::new(VirtualClusterRow {
                id: TenantId(tenant),
                organisation: OrganisationId(uuid()),
                environment: EnvironmentId(uuid()),
                name: format!("tenant-{tenant}"),
                auto_create_topics: true,
                topic_defaults: Default::default(),
                leader_epoch_floor: 0,
                sql_version: 0,
                created: TimestampMs::now(),
            }))]);
        }
        Arc::new(catalog)
    }

    pub fn tenant(&self, id: u64) -> Principal {
        Principal::of_tenant(TenantId(id), OrganisationId(uuid()))
    }

    fn put(&self, rows: impl IntoIterator<Item = Row>) -> u64 {
        let (image, publisher) = &mut *self.image.lock();
        rows.into_iter().for_each(|row| image.apply(&Change::Put(row)));
        let cluster = ClusterRow {
            version: image.version() + 1,
            feature_level: 1,
            ..image.cluster().clone()
        };
        image.apply(&Change::Put(Row::Cluster(cluster.into())));
        publisher.publish(image.clone());
        image.version()
    }

    pub fn image(&self) -> Image {
        self.image.lock().0.clone()
    }

    pub fn create_topic(&self, tenant: u64, name: &str, partitions: u32, config: &[(&str, &str)]) -> TopicId {
        self.put_topic(TopicId::random(), tenant, name, partitions, config)
    }

    /// A topic of the service's own in a tenant, as SQL's changelog is.
    pub fn create_internal(&self, tenant: u64, name: &str) -> TopicId {
        let id = self.create_topic(tenant, name, 1, &[]);
        let mut row = self.image().topic_by_id(id).unwrap().as_ref().clone();
        row.internal = true;
        self.put([Row::Topic(Arc::new(row))]);
        id
    }

    /// The topic of consumer groups.
    pub fn create_groups(&self) -> TopicId {
        let kind = SlotKind::Groups;
        self.put_topic(kind.topic(), 0, kind.topic_name(), SLOTS, &[])
    }

    fn put_topic(
        &self,
        id: TopicId,
        tenant: u64,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> TopicId {
        let group = if tenant == 0 { INTERNAL } else { TENANTS };
        let row = PartitionRow {
            group,
            base_epoch: 0,
            deleted: false,
        };
        self.put([Row::Topic(Arc::new(TopicRow {
            id,
            tenant: TenantId(tenant),
            name: name.parse().unwrap(),
            partitions: vec![row; partitions as usize],
            class: Class::ONE,
            config: config
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            internal: tenant == 0,
            state: TopicState::Active,
            created: TimestampMs::now(),
        }))]);
        id
    }

    /// What topics get whose makers did not say: of the service, and of a virtual cluster.
    pub fn set_topic_defaults(&self, service: TopicDefaults, tenant: u64, own: TopicDefaults) {
        let image = self.image();
        let cluster = ClusterRow {
            topic_defaults: service,
            ..image.cluster().clone()
        };
        let row = VirtualClusterRow {
            topic_defaults: own,
            ..image.virtual_cluster(TenantId(tenant)).unwrap().as_ref().clone()
        };
        self.put([Row::Cluster(cluster.into()), Row::VirtualCluster(Arc::new(row))]);
    }

    pub fn delete_topic(&self, id: TopicId) {
        let mut row = self.image().topic_by_id(id).unwrap().as_ref().clone();
        row.state = TopicState::Deleting;
        self.put([Row::Topic(Arc::new(row))]);
    }

    /// The topic's row is gone, without a tombstone: as when a catalog was put back to an older state.
    pub fn lose_topic(&self, id: TopicId) -> Arc<TopicRow> {
        let row = Arc::clone(self.image().topic_by_id(id).unwrap());
        self.image.lock().0.apply(&Change::Remove(RowKey::Topic(id)));
        self.put([]);
        row
    }

    pub fn find_topic(&self, row: Arc<TopicRow>) {
        self.put([Row::Topic(row)]);
    }

    /// Every group is led by its only member again, in a new epoch.
    pub fn elect_again(&self) {
        self.appoint(|group| group.members.first().copied());
    }

    /// Nobody leads any group any more.
    pub fn depose(&self) {
        self.appoint(|_| None);
    }

    /// Every group is led by another node.
    pub fn elect_a_stranger(&self) {
        let stranger = JournalId(uuid());
        let row = self.image().nodes().next().unwrap().as_ref().clone();
        self.put([Row::Node(Arc::new(NodeRow {
            id: NodeId(2),
            journal: stranger,
            ..row
        }))]);
        self.appoint(|_| Some(stranger));
    }

    fn appoint(&self, leader: impl Fn(&GroupRow) -> Option<JournalId>) {
        let image = self.image();
        self.put(image.groups().map(|group| {
            let epoch = Epoch(group.epoch.0 + 1);
            Row::Group(Arc::new(GroupRow {
                epoch,
                leader: leader(group),
                ..group.as_ref().clone()
            }))
        }));
    }

    /// A journal registers: the first one gets the groups, and keeps them.
    fn register(&self, journal: JournalId, start: &millstream_metadata::RegisterNode) -> Committed {
        let image = self.image();
        let registration = image.nodes().map(|node| node.registration.0).max().unwrap_or(0) + 1;
        let known = image.node_of(journal).map(|node| node.registration_confirmed);
        let node = Arc::new(NodeRow {
            id: NodeId(1),
            journal,
            registration: Registration(registration),
            registration_confirmed: known.unwrap_or_default(),
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
            let before = image.group(id).cloned();
            if before.as_ref().is_some_and(|row| row.members != [journal]) {
                continue;
            }
            rows.push(Row::Group(Arc::new(GroupRow {
                id,
                purpose,
                class: Class::ONE,
                epoch: Epoch(before.as_ref().map_or(1, |row| row.epoch.0 + 1)),
                version: before.as_ref().map_or(1, |row| row.version + 1),
                leader: Some(journal),
                isr: vec![Replica {
                    journal,
                    registration: Registration(registration),
                }],
                members: vec![journal],
                snapshot: before.as_ref().and_then(|row| row.snapshot),
                snapshot_previous: before.as_ref().and_then(|row| row.snapshot_previous),
            })));
        }
        Committed {
            version: self.put(rows),
            reply: Reply::RegisterNode(node),
        }
    }
}

impl Catalog {
    /// As the control plane does it: groups without a living journal go to this one.
    fn recover(&self, journal: JournalId) -> Committed {
        let image = self.image();
        let registration = image.node_of(journal).unwrap().registration;
        let (mut rows, mut recovered) = (Vec::new(), GroupsRecovered::default());
        for group in image.groups().filter(|group| image.is_gone(group)) {
            let mut row = group.as_ref().clone();
            row.epoch = Epoch(row.epoch.0 + 1);
            row.version += 1;
            row.leader = Some(journal);
            row.isr = vec![Replica {
                journal,
                registration,
            }];
            row.members = vec![journal];
            recovered.groups.push(RecoveredGroup {
                group: row.id,
                purpose: row.purpose,
                epoch: row.epoch,
                lost: group.members.clone(),
                snapshot: row.snapshot,
                partitions: image.partitions_in(row.id),
            });
            rows.push(Row::Group(Arc::new(row)));
        }
        Committed {
            version: self.put(rows),
            reply: Reply::RecoverGroups(recovered),
        }
    }
}

fn uuid() -> uuid::Uuid {
    TopicId::random().0
}

#[async_trait]
impl Commands for Catalog {
    fn hears(&self, _node: NodeId) -> bool {
        !self.has_just_begun.load(Ordering::Relaxed)
    }

    async fn carry_out(&self, _actor: Actor, command: Command) -> Result<Committed, Refusal> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Refusal::NotController);
        }
        let version = self.image().version();
        Ok(match command {
            Command::RegisterNode(start) => {
                let confirmed = self
                    .image()
                    .node_of(start.journal)
                    .map(|node| node.registration_confirmed);
                if !start.damaged && start.registration_last < confirmed {
                    let reason = "it was rolled back".to_owned();
                    return Err(Refusal::Fenced { reason });
                }
                self.register(start.journal, &start)
            }
            Command::RecoverGroups(wanted) => self.recover(wanted.journal),
            Command::ReportSnapshot(report) => {
                let mut row = self.image().group(report.group).unwrap().as_ref().clone();
                if row.epoch != report.epoch {
                    let reason = "only the leader reports".to_owned();
                    return Err(Refusal::Fenced { reason });
                }
                row.snapshot_previous = row.snapshot.replace(report.snapshot);
                Committed {
                    version: self.put([Row::Group(Arc::new(row))]),
                    reply: Reply::ReportSnapshot(()),
                }
            }
            Command::ReportDeleted(report) => {
                let mut row = self.image().topic_by_id(report.topic).unwrap().as_ref().clone();
                for PartitionIndex(index) in report.partitions {
                    row.partitions[index as usize].deleted = true;
                }
                Committed {
                    version: self.put([Row::Topic(Arc::new(row))]),
                    reply: Reply::ReportDeleted(()),
                }
            }
            Command::AllocateProducerIds(_) => Committed {
                version,
                reply: Reply::AllocateProducerIds(ProducerIds {
                    first: ProducerId(version as i64 * 1000),
                    count: 10,
                }),
            },
            Command::ConfirmRegistration(confirmed) => {
                let mut row = self.image().node_of(confirmed.journal).unwrap().as_ref().clone();
                assert_eq!(row.registration, confirmed.registration);
                row.registration_confirmed = confirmed.registration;
                Committed {
                    version: self.put([Row::Node(Arc::new(row))]),
                    reply: Reply::ConfirmRegistration(()),
                }
            }
            Command::Heartbeat(_) => Committed {
                version,
                reply: Reply::Heartbeat(()),
            },
            other => panic!("the broker sent {}", other.name()),
        })
    }
}

pub fn partition(topic: TopicId, index: u32) -> PartitionId {
    PartitionId {
        topic,
        index: PartitionIndex(index),
    }
}
