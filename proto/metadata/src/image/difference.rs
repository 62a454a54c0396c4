//! What differs between two images.

use super::Image;
use crate::rows::RowKey;
use millstream_model::{GroupId, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rows that say where partitions live, and may differ between two images: made, changed or gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Topics.
    pub topics: BTreeSet<TopicId>,
    /// Replica groups.
    pub groups: BTreeSet<GroupId>,
    /// Whether any node is among them.
    pub nodes: bool,
    /// Rows that had to be looked at to find out.
    pub rows_looked_at: usize,
}

impl Image {
    /// The rows in which this image differs from an earlier one. Of a successor that costs as much as there are changes in
    /// between; of an image with another history, as after a start, every row of both is looked at.
    pub fn difference(&self, earlier: &Image) -> Difference {
        let mut difference = Difference::default();
        match self.recent.since(&earlier.recent) {
            Some(changes) => changes.for_each(|key| difference.add(key)),
            None => difference.compare(self, earlier),
        }
        difference
    }
}

impl Difference {
    fn add(&mut self, key: &RowKey) {
        self.rows_looked_at += 1;
        match key {
            RowKey::Topic(id) => drop(self.topics.insert(*id)),
            RowKey::Group(id) => drop(self.groups.insert(*id)),
            RowKey::Node(_) => self.nodes = true,
            _ => {}
        }
    }

    fn compare(&mut self, new: &Image, old: &Image) {
        let same = |a: Option<&Arc<_>>, b: &Arc<_>| a.is_some_and(|a| Arc::ptr_eq(a, b) || a == b);
        for topic in new.topics() {
            if !same(old.topic_by_id(topic.id), topic) {
                self.topics.insert(topic.id);
            }
        }
        let gone = old.topics().filter(|topic| new.topic_by_id(topic.id).is_none());
        self.topics.extend(gone.map(|topic| topic.id));
        for group in new.groups() {
            if old.group(group.id).is_none_or(|known| known != group) {
                self.groups.insert(group.id);
            }
        }
        let gone = old.groups().filter(|group| new.group(group.id).is_none());
        self.groups.extend(gone.map(|group| group.id));
        self.nodes = !new.nodes().eq(old.nodes());
        let count = |image: &Image| image.topics().count() + image.groups().count() + image.nodes().count();
        self.rows_looked_at += count(new) + count(old);
    }
}
