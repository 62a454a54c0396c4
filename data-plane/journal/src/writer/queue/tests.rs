//! Tables for the choice of what a commit holds.

use super::*;

/// A request: its name and its group.
#[derive(Debug, PartialEq)]
struct Named(u32, u32);

impl Item for Named {
    fn groups(&self) -> impl Iterator<Item = GroupId> {
        std::iter::once(GroupId(self.1))
    }
}

const KIB: usize = 1024;

#[test]
fn all_that_fits_is_taken_in_order() {
    let mut queue = Queue::default();
    for name in 0..5 {
        queue.push(TenantId(u64::from(name % 2)), KIB, Named(name, 1));
    }
    let names: Vec<u32> = queue.take(1024 * KIB).into_iter().map(|item| item.0).collect();
    assert_eq!(names, [0, 1, 2, 3, 4]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn a_flood_of_one_tenant_leaves_the_others_their_share() {
    let mut queue = Queue::default();
    for name in 0..100 {
        queue.push(TenantId(1), 60 * KIB, Named(name, 1));
    }
    queue.push(TenantId(2), 60 * KIB, Named(1000, 2));
    queue.push(TenantId(3), 60 * KIB, Named(1001, 3));
    let names: Vec<u32> = queue.take(256 * KIB).into_iter().map(|item| item.0).collect();
    assert_eq!(names, [0, 1, 1000, 1001]);
}

#[test]
fn a_group_keeps_its_order_across_tenants() {
    let mut queue = Queue::default();
    for name in 0..4 {
        queue.push(TenantId(1), 60 * KIB, Named(name, 7));
    }
    queue.push(TenantId(2), KIB, Named(10, 7));
    for name in 20..40 {
        queue.push(TenantId(1), 60 * KIB, Named(name, 8));
    }
    let mut seen = Vec::new();
    while !queue.is_empty() {
        let taken = queue.take(400 * KIB);
        assert!(!taken.is_empty());
        seen.extend(taken.into_iter().filter(|item| item.1 == 7).map(|item| item.0));
    }
    assert_eq!(seen, [0, 1, 2, 3, 10]);
}

#[test]
fn a_request_larger_than_a_commit_still_goes() {
    let mut queue = Queue::default();
    queue.push(TenantId(1), 100 * KIB, Named(1, 1));
    queue.push(TenantId(1), 100 * KIB, Named(2, 1));
    assert_eq!(queue.take(10 * KIB), [Named(1, 1)]);
    assert_eq!(queue.take(10 * KIB), [Named(2, 1)]);
    assert!(queue.is_empty());
}
