//! Catalog versions as tenants see them.
//!
//! The catalog counts the changes of all tenants, so that a bare version tells one how much the others change, and two of
//! them how fast. A tenant gets each version under a veil of its own: the same number for the same version, in no order that
//! anybody could read, and turned back here. None (0) stays none.

use millstream_access::RootKeys;
use millstream_model::TenantId;

/// Rounds of the Feistel network: four make a permutation that cannot be told from a random one.
const ROUNDS: u64 = 4;

/// A version as its tenant may see it.
pub(crate) fn veiled(roots: &RootKeys, tenant: TenantId, version: u64) -> u64 {
    if version == 0 {
        return 0;
    }
    // A permutation takes one version to 0; going round once more keeps it one, and 0 free.
    match permute(roots, tenant, version) {
        0 => permute(roots, tenant, 0),
        veiled => veiled,
    }
}

/// The version behind what a tenant sends back; whatever it makes up is some number.
pub(crate) fn unveiled(roots: &RootKeys, tenant: TenantId, veiled: u64) -> u64 {
    if veiled == 0 {
        return 0;
    }
    match unpermute(roots, tenant, veiled) {
        0 => unpermute(roots, tenant, 0),
        version => version,
    }
}

fn permute(roots: &RootKeys, tenant: TenantId, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ mix(roots, tenant, round, right));
    }
    whole(left, right)
}

fn unpermute(roots: &RootKeys, tenant: TenantId, number: u64) -> u64 {
    let (mut left, mut right) = halves(number);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ mix(roots, tenant, round, left), left);
    }
    whole(left, right)
}

fn mix(roots: &RootKeys, tenant: TenantId, round: u64, half: u32) -> u32 {
    let veil = roots.veil(tenant, round << 32 | u64::from(half));
    u32::from_be_bytes([veil[0], veil[1], veil[2], veil[3]])
}

fn halves(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

fn whole(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::{unveiled, veiled};
    use millstream_access::RootKeys;
    use millstream_model::TenantId;
    use std::collections::BTreeSet;

    #[test]
    fn each_tenant_sees_numbers_of_its_own_that_turn_back() {
        let roots = RootKeys::from_random([7; 32]);
        let (a, b) = (TenantId(5), TenantId(6));
        let mut seen = BTreeSet::new();
        for version in (0..2000).chain([u64::from(u32::MAX), u64::MAX]) {
            for tenant in [a, b] {
                let shown = veiled(&roots, tenant, version);
                assert_eq!(unveiled(&roots, tenant, shown), version);
                assert_eq!(shown == 0, version == 0);
                assert!(version == 0 || seen.insert(shown), "{shown} twice");
            }
        }
    }

    /// Neither the number nor the distance of two says how much happened.
    #[test]
    fn neighbours_lie_anywhere() {
        let roots = RootKeys::from_random([7; 32]);
        let tenant = TenantId(5);
        let shown: Vec<u64> = (1..100).map(|version| veiled(&roots, tenant, version)).collect();
        let near = shown
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 40);
        assert_eq!(near.count(), 0);
        let rising = shown.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((20..80).contains(&rising), "{rising} of 98 rise");
    }
}
