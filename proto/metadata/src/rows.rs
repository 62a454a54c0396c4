//! What the catalog knows, row by row, as plain data.
//!
//! ```text
//! organisation → environment → virtual cluster (the tenant) → keys, topics, quotas, SQL rows
//! topic → partitions → replica group → members (journals) ← nodes
//! ```
//!
//! Each kind of row is a file, and one list names them all: the row and the key of any kind, their stored forms, what an
//! image keeps, its rows, and the rows that tests draw follow from it.

mod audit;
mod class;
mod cluster;
mod environment;
mod group;
mod ids;
mod key;
mod node;
mod organisation;
mod quota;
mod sql;
#[cfg(test)]
mod tests;
mod topic;
mod virtual_cluster;

pub use audit::{AUDIT_TABLE, AuditRow};
pub use class::Class;
pub use cluster::ClusterRow;
pub use environment::EnvironmentRow;
pub use group::{GroupPurpose, GroupRow, Replica, SnapshotRef};
pub use ids::{EnvironmentId, OrganisationId};
pub use key::{Grant, Grants, KeyRow, KeyState};
pub use node::{HostPort, NodeRow};
pub use organisation::OrganisationRow;
pub use quota::{Quota, QuotaRow, QuotaScope};
pub use sql::{SqlKey, SqlRow};
pub use topic::{PartitionRow, TopicRow, TopicState};
pub use virtual_cluster::VirtualClusterRow;

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, Table};
use crate::stored::{StoredError, read, value};
use std::sync::Arc;

macro_rules! rows {
    ($($kind:ident($row:ident) in $table:ident,)*) => {
        /// A row of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Row {
            $(#[doc = concat!("See [`", stringify!($row), "`].")]
            $kind(Arc<$row>),)*
        }

        /// What names a row of any kind.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RowKey {
            $(#[doc = concat!("Of a [`", stringify!($row), "`].")]
            $kind(<$row as Kind>::Key),)*
        }

        /// What an image keeps, kind by kind.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Tables {
            $(pub(crate) $table: <$row as Kind>::Table,)*
        }

        impl Row {
            /// What names this row.
            pub fn key(&self) -> RowKey {
                match self {
                    $(Row::$kind(row) => RowKey::$kind(row.key()),)*
                }
            }

            /// The stored form of its value; the key is [`Row::key`]'s.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Row::$kind(row) => value(row.as_ref()),)*
                }
            }

            /// From the stored forms of its key and value. The tag is the key's first byte; the rest of the key is in
            /// the value too, and must agree.
            pub fn decode(key: &[u8], bytes: &[u8]) -> Result<Row, StoredError> {
                let table = key.first().copied().unwrap_or_default();
                let row = match table {
                    $(<$row as Kind>::TAG => Row::$kind(Arc::new(read(bytes)?)),)*
                    found => return Err(StoredError::Table { found }),
                };
                if row.key().encode() == key {
                    Ok(row)
                } else {
                    Err(StoredError::Key { table })
                }
            }

            /// One of every kind.
            #[cfg(test)]
            pub(crate) fn samples(draw: &Draw) -> Vec<(&'static str, Row)> {
                vec![$((stringify!($kind), Row::$kind(Arc::new(<$row as Kind>::sample(draw)))),)*]
            }
        }

        impl RowKey {
            /// Its stored form.
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(32);
                match self {
                    $(RowKey::$kind(key) => {
                        out.push(<$row as Kind>::TAG);
                        key.put(&mut out);
                    })*
                }
                out
            }

            /// From its stored form.
            pub fn decode(bytes: &[u8]) -> Result<RowKey, StoredError> {
                let (&table, mut rest) = bytes.split_first().ok_or(StoredError::Key { table: 0 })?;
                let key = match table {
                    $(<$row as Kind>::TAG => StoredKey::take(&mut rest).map(RowKey::$kind),)*
                    found => return Err(StoredError::Table { found }),
                };
                key.filter(|_| rest.is_empty()).ok_or(StoredError::Key { table })
            }
        }

        impl Tables {
            /// The row is now so.
            pub(crate) fn put(&mut self, row: &Row) {
                match row {
                    $(Row::$kind(row) => self.$table.put(row),)*
                }
            }

            /// The row is gone.
            pub(crate) fn remove(&mut self, key: &RowKey) {
                match key {
                    $(RowKey::$kind(key) => Table::<$row>::remove(&mut self.$table, key),)*
                }
            }

            /// Every row, in the order of the list.
            pub(crate) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
                std::iter::empty()$(.chain(Table::<$row>::rows(&self.$table).map(Row::$kind)))*
            }
        }

        /// Tags rise down the list: none is given out twice.
        const _: () = {
            let tags = [$(<$row as Kind>::TAG),*];
            let mut index = 1;
            while index < tags.len() {
                assert!(tags[index - 1] < tags[index], "bug: a new kind of row takes the next tag");
                index += 1;
            }
        };
    };
}

rows! {
    Cluster(ClusterRow) in cluster,
    Organisation(OrganisationRow) in organisations,
    Environment(EnvironmentRow) in environments,
    VirtualCluster(VirtualClusterRow) in virtual_clusters,
    Key(KeyRow) in keys,
    Topic(TopicRow) in topics,
    Group(GroupRow) in groups,
    Node(NodeRow) in nodes,
    Quota(QuotaRow) in quotas,
    Sql(SqlRow) in sql,
    Audit(AuditRow) in audit,
}
