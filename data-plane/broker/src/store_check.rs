//! Whether what the store holds is what this node's snapshots name: every segment is read whole, every block held against
//! its checksum. Reads only, so that it may run beside the service.

use crate::snapshot::{self, FetchError, Snapshot};
use bytes::Bytes;
use millstream_metadata::Image;
use millstream_model::segment::{ObjectRef, SegmentRef};
use millstream_model::{GroupId, Offset, PartitionId, TenantId};
use millstream_tier::name::{ObjectKind, path};
use millstream_tier::{DamagedRange, Tier, TierError};
use object_store::ObjectStore;
use object_store::path::Path as StorePath;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Something that is not as it should be, or cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The group that wrote it.
    pub group: GroupId,
    /// The object's name in the store, or the file of a local snapshot.
    pub object: String,
    /// What of it; none when the object is a snapshot.
    pub records: Option<Records>,
    /// What is wrong, in words.
    pub what: String,
    /// Whether it was looked at and found wrong; else the store could not say.
    pub is_damage: bool,
}

/// Some of a partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// Whose they are.
    pub tenant: TenantId,
    /// Where.
    pub partition: PartitionId,
    /// The first offset.
    pub base_offset: Offset,
    /// One past the last.
    pub end_offset: Offset,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Groups of which there is a snapshot.
    pub groups: usize,
    /// Partitions that have records in the store.
    pub partitions: usize,
    /// Objects that hold them, snapshots in the store included.
    pub objects: usize,
    /// Bytes of records.
    pub bytes: u64,
    /// Objects that are damaged or missing.
    pub damaged: usize,
    /// Objects that the store could not give.
    pub unread: usize,
}

/// The objects that were looked at.
#[derive(Default)]
struct Seen {
    objects: BTreeSet<String>,
    damaged: BTreeSet<String>,
    unread: BTreeSet<String>,
}

/// A check under way.
struct Check<F> {
    tier: Tier,
    prefix: StorePath,
    checked: Checked,
    seen: Seen,
    found: F,
}

/// Checks what the snapshots in `data_dir`, and those in the store that this copy of the catalog names, say to be in the
/// store; `found` is told of each thing as it is found.
///
/// # Errors
/// When the folder of local snapshots cannot be read.
pub async fn check_store(
    data_dir: &Path,
    image: &Image,
    (store, prefix): (Arc<dyn ObjectStore>, StorePath),
    found: impl FnMut(Finding),
) -> io::Result<Checked> {
    let folder = data_dir.join("snapshots");
    let mut check = Check {
        tier: Tier::new(store, prefix.clone(), millstream_tier::Settings::default()),
        prefix,
        checked: Checked::default(),
        seen: Seen::default(),
        found,
    };
    let mut snapshots = check.local(&folder)?;
    for row in image.groups() {
        let Some(stored) = &row.snapshot else { continue };
        let name = check.name(ObjectKind::Snapshot, &stored.object);
        check.seen.objects.insert(name.clone());
        match snapshot::fetch(&check.tier, row.id, stored).await {
            // The newer one knows of more.
            Ok(stored) => {
                let local = snapshots.get(&row.id).map(|local| local.state.applied());
                if local < Some(stored.state.applied()) {
                    snapshots.insert(row.id, stored);
                }
            }
            Err(error) => check.snapshot_failed(row.id, name, &error),
        }
    }
    check.checked.groups = snapshots.len();
    for snapshot in snapshots.into_values() {
        check.group(&snapshot).await;
    }
    let Check {
        mut checked, seen, ..
    } = check;
    checked.objects = seen.objects.len();
    checked.damaged = seen.damaged.len();
    checked.unread = seen.unread.len();
    Ok(checked)
}

impl<F: FnMut(Finding)> Check<F> {
    fn name(&self, kind: ObjectKind, object: &ObjectRef) -> String {
        path(&self.prefix, kind, object).to_string()
    }

    fn tell(&mut self, finding: Finding) {
        let seen = match finding.is_damage {
            true => &mut self.seen.damaged,
            false => &mut self.seen.unread,
        };
        seen.insert(finding.object.clone());
        (self.found)(finding);
    }

    /// The snapshots on this disk.
    fn local(&mut self, folder: &Path) -> io::Result<BTreeMap<GroupId, Snapshot>> {
        let mut snapshots = BTreeMap::new();
        for (group, file) in snapshot::files(folder)? {
            match snapshot::decode(&Bytes::from(std::fs::read(&file)?)) {
                Ok(snapshot) => drop(snapshots.insert(group, snapshot)),
                Err(error) => self.tell(Finding {
                    group,
                    object: file.display().to_string(),
                    records: None,
                    what: format!("the local snapshot cannot be used: {error}"),
                    is_damage: true,
                }),
            }
        }
        Ok(snapshots)
    }

    fn snapshot_failed(&mut self, group: GroupId, object: String, error: &FetchError) {
        let is_damage = match error {
            FetchError::Store(error) => {
                matches!(
                    error,
                    TierError::NotFound { .. } | TierError::Corrupt { .. } | TierError::TooLarge { .. }
                )
            }
            FetchError::Decode(_) | FetchError::Another { .. } => true,
        };
        self.tell(Finding {
            group,
            object,
            records: None,
            what: format!("the group's snapshot: {error}"),
            is_damage,
        });
    }

    async fn group(&mut self, snapshot: &Snapshot) {
        for (id, state) in snapshot.state.partitions() {
            self.checked.partitions += usize::from(!state.cold().is_empty());
            for segment in state.cold() {
                self.segment(snapshot.state.group(), *id, state.tenant(), segment)
                    .await;
            }
        }
    }

    async fn segment(
        &mut self,
        group: GroupId,
        partition: PartitionId,
        tenant: TenantId,
        segment: &SegmentRef,
    ) {
        let object = self.name(ObjectKind::Segment, &segment.object);
        self.seen.objects.insert(object.clone());
        self.checked.bytes += segment.length;
        let (ranges, is_damage) = match self.tier.verify(segment).await {
            Ok(ranges) => (ranges, true),
            Err(error) => {
                let whole = DamagedRange {
                    base_offset: segment.base_offset,
                    end_offset: segment.end_offset,
                    what: error.to_string(),
                };
                (vec![whole], false)
            }
        };
        for range in ranges {
            self.tell(Finding {
                group,
                object: object.clone(),
                records: Some(Records {
                    tenant,
                    partition,
                    base_offset: range.base_offset,
                    end_offset: range.end_offset,
                }),
                what: range.what,
                is_damage,
            });
        }
    }
}
