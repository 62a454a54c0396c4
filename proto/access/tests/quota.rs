//! Token buckets: over any long time nobody gets more than the rate allows, and a quiet caller is not delayed.

#![allow(clippy::unwrap_used)]

use millstream_access::TokenBucket;
use proptest::prelude::*;

#[test]
fn delays_are_exact() {
    let mut bucket = TokenBucket::new(1000, 1000, 0);
    assert_eq!(bucket.take(0, 1000), 0);
    assert_eq!(bucket.take(0, 500), 500);
    assert_eq!(bucket.wait(200), 300);
    assert_eq!(bucket.take(500, 1), 1);
    assert_eq!(bucket.wait(100), 1, "a clock that goes back fills nothing");
    assert_eq!(bucket.take(501, 1_000_000), 1_000_000);
    assert_eq!(
        bucket.wait(501 + 30_000),
        970_000,
        "a debt is kept, however large"
    );
    assert_eq!(bucket.take(501 + 30_000, 5), 970_005);
    assert_eq!(bucket.wait(501 + 1_000_005), 0);
    assert_eq!(bucket.left(501 + 1_000_005), 0);
    assert_eq!(bucket.left(501 + 1_000_505), 500, "then it fills again");
    bucket.take(2_000_000, u64::MAX);
    assert_eq!(
        bucket.take(2_000_000, u64::MAX),
        u64::MAX,
        "no sum of debts turns into credit"
    );
}

proptest! {
    /// A caller that waits as told takes at most burst + rate × time, and one request more.
    #[test]
    fn who_waits_keeps_to_the_rate(
        rate in 1..1_000_000u64,
        burst in 0..2_000_000u64,
        requests in prop::collection::vec((0..50u64, 0..20_000u64), 1..100),
    ) {
        let mut bucket = TokenBucket::new(rate, burst, 0);
        let (mut now, mut taken) = (0, 0u64);
        for (pause, amount) in requests {
            now += pause;
            let allowed = burst.max(rate) + rate * now / 1000 + 1;
            prop_assert!(taken <= allowed + amount);
            taken += amount;
            now += bucket.take(now, amount);
            prop_assert!(taken <= burst.max(rate) + (rate * now).div_ceil(1000) + 1);
        }
    }

    #[test]
    fn who_stays_below_is_never_delayed(rate in 1..1_000_000u64, steps in 1..100u64) {
        let mut bucket = TokenBucket::new(rate, 0, 0);
        for second in 0..steps {
            prop_assert_eq!(bucket.take(second * 1000, rate), 0);
        }
    }
}
