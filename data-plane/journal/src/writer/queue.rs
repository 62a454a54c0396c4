//! Who is taken when more waits than a commit takes: deficit round robin over tenants (log.md 7).
//!
//! A group's log is dense, so its requests must stay in order whoever sent them. A request is therefore taken
//! together with all earlier ones of its groups, each at the cost of the tenant that sent it; a tenant pays for what
//! it had others wait behind by a deficit below zero. (Who of a group's tenants is given the next LSN is decided before,
//! in the order of arrival and within their quotas.)

use millstream_model::{GroupId, TenantId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a tenant may take per round, bytes: many small requests, so that a turn is worth it.
const QUANTUM_BYTES: i64 = 64 * 1024;

/// What each request costs beside its bytes: bounds the number of those that wait.
const REQUEST_BYTES: usize = 256;

/// Something that waits.
pub(super) trait Item {
    /// The groups in whose order it stands; may repeat.
    fn groups(&self) -> impl Iterator<Item = GroupId>;
}

/// What waits, in the order of arrival.
pub(super) struct Queue<T> {
    items: VecDeque<Waiting<T>>,
    bytes: usize,
    /// What tenants that still have something waiting may take; below zero, what they took too much.
    deficits: BTreeMap<TenantId, i64>,
    /// Whose turn was last.
    last: Option<TenantId>,
}

struct Waiting<T> {
    tenant: TenantId,
    bytes: usize,
    item: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            items: VecDeque::new(),
            bytes: 0,
            deficits: BTreeMap::new(),
            last: None,
        }
    }
}

impl<T: Item> Queue<T> {
    pub fn push(&mut self, tenant: TenantId, bytes: usize, item: T) {
        let bytes = bytes + REQUEST_BYTES;
        self.bytes += bytes;
        self.items.push_back(Waiting { tenant, bytes, item });
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what the next commit holds, at most `limit` bytes but at least one request, in the order of arrival.
    pub fn take(&mut self, limit: usize) -> Vec<T> {
        if self.bytes <= limit {
            self.bytes = 0;
            self.deficits.clear();
            return self.items.drain(..).map(|waiting| waiting.item).collect();
        }
        let chosen = self.choose(limit);
        let mut taken = Vec::with_capacity(chosen.len());
        let mut kept = VecDeque::with_capacity(self.items.len());
        for (at, waiting) in std::mem::take(&mut self.items).into_iter().enumerate() {
            if chosen.contains(&at) {
                self.bytes -= waiting.bytes;
                taken.push(waiting.item);
            } else {
                kept.push_back(waiting);
            }
        }
        self.items = kept;
        let waiting: BTreeSet<TenantId> = self.items.iter().map(|waiting| waiting.tenant).collect();
        self.deficits.retain(|tenant, _| waiting.contains(tenant));
        taken
    }

    /// Chooses by deficit round robin.
    fn choose(&mut self, limit: usize) -> BTreeSet<usize> {
        let mut tenants: BTreeMap<TenantId, VecDeque<usize>> = BTreeMap::new();
        // What is not chosen yet: what is chosen of a group is always its beginning.
        let mut groups: BTreeMap<GroupId, VecDeque<usize>> = BTreeMap::new();
        for (at, waiting) in self.items.iter().enumerate() {
            tenants.entry(waiting.tenant).or_default().push_back(at);
            for group in waiting.item.groups() {
                let order = groups.entry(group).or_default();
                if order.back() != Some(&at) {
                    order.push_back(at);
                }
            }
        }
        let mut chosen = BTreeSet::new();
        let mut total = 0;
        loop {
            let Some(tenant) = self.next_tenant(&tenants) else {
                return chosen;
            };
            *self.deficits.entry(tenant).or_default() += QUANTUM_BYTES;
            while let Some(&at) = tenants.get(&tenant).and_then(VecDeque::front) {
                let deficit = self.deficits.get(&tenant).copied().unwrap_or_default();
                if !chosen.contains(&at) {
                    if (self.items[at].bytes as i64) > deficit {
                        break;
                    }
                    let with = self.with_earlier(at, &groups);
                    let bytes: usize = with.iter().map(|at| self.items[*at].bytes).sum();
                    if total + bytes > limit && !chosen.is_empty() {
                        return chosen;
                    }
                    if bytes > limit {
                        // Even alone too much: the earliest of them goes, which has none before it.
                        chosen.extend(with.first());
                        return chosen;
                    }
                    total += bytes;
                    for at in with {
                        let waiting = &self.items[at];
                        *self.deficits.entry(waiting.tenant).or_default() -= waiting.bytes as i64;
                        chosen.insert(at);
                        for group in waiting.item.groups() {
                            let order = groups.entry(group).or_default();
                            while order.front().is_some_and(|first| chosen.contains(first)) {
                                order.pop_front();
                            }
                        }
                    }
                }
                if let Some(order) = tenants.get_mut(&tenant) {
                    order.pop_front();
                }
            }
            if tenants.get(&tenant).is_some_and(VecDeque::is_empty) {
                tenants.remove(&tenant);
            }
            self.last = Some(tenant);
        }
    }

    /// The tenant after the last one, round and round.
    fn next_tenant(&self, tenants: &BTreeMap<TenantId, VecDeque<usize>>) -> Option<TenantId> {
        let after = self
            .last
            .and_then(|last| tenants.range(TenantId(last.0.saturating_add(1))..).next());
        after.or_else(|| tenants.iter().next()).map(|(tenant, _)| *tenant)
    }

    /// A request and the earlier ones among `groups` that stand before it in any group's order.
    fn with_earlier(&self, at: usize, groups: &BTreeMap<GroupId, VecDeque<usize>>) -> BTreeSet<usize> {
        let mut with = BTreeSet::from([at]);
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            for group in self.items[at].item.groups() {
                let order = groups.get(&group).into_iter().flatten();
                open.extend(
                    order
                        .take_while(|earlier| **earlier < at)
                        .filter(|earlier| with.insert(**earlier)),
                );
            }
        }
        with
    }
}

#[cfg(test)]
mod tests;
