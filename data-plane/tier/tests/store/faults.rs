//! A store that errs is asked again, one that hangs is given up, one that lies is not believed.

#![expect(clippy::disallowed_methods, reason = "calls to a store are bounded in time")]

use crate::faulty::{Fault, Faulty};
use crate::world::{batches, flush, joined, object, read_all, settings, tier};
use bytes::Bytes;
use millstream_model::{Offset, Retry};
use millstream_tier::{Settings, Tier, TierError};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn impatient() -> Settings {
    Settings {
        call_timeout: Duration::from_millis(30),
        ..settings()
    }
}

fn faulty(inner: &Arc<dyn ObjectStore>, fault: Fault, times: u32) -> (Tier, Arc<Faulty>) {
    let store = Faulty::new(Arc::clone(inner), fault, times);
    (
        Tier::new(Arc::clone(&store) as _, Path::default(), impatient()),
        store,
    )
}

#[tokio::test]
async fn what_goes_wrong_twice_is_done_the_third_time() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let wanted = batches(1, 0, 10, 300);
    let flushed = flush(1, &[(0, wanted.clone())]);
    for fault in [Fault::Error, Fault::Hang] {
        let (tier, store) = faulty(&inner, fault, 2);
        tier.put(&flushed).await.unwrap();
        assert_eq!(store.calls.load(Ordering::Relaxed), 3);
        let (tier, _) = faulty(&inner, fault, 2);
        assert_eq!(
            read_all(&tier, &flushed.segments[0].1, 10_000).await,
            joined(&wanted)
        );
        let (tier, _) = faulty(&inner, fault, 2);
        tier.put_snapshot(&object(2), &[Bytes::from_static(b"state")])
            .await
            .unwrap();
        let (tier, _) = faulty(&inner, fault, 2);
        assert_eq!(
            tier.get_snapshot(&object(2)).await.unwrap(),
            Bytes::from_static(b"state")
        );
    }
}

#[tokio::test]
async fn a_store_that_stays_broken_or_silent_is_given_up_soon() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let flushed = flush(1, &[(0, batches(1, 0, 10, 300))]);
    tier(&inner, &Path::default()).put(&flushed).await.unwrap();
    for (fault, hangs) in [(Fault::Error, false), (Fault::Hang, true)] {
        let (tier, store) = faulty(&inner, fault, u32::MAX);
        let begun = Instant::now();
        let errors = [
            tier.put(&flushed).await.unwrap_err(),
            tier.read(&flushed.segments[0].1, Offset(0), 10)
                .await
                .unwrap_err(),
            tier.get_snapshot(&object(2)).await.unwrap_err(),
        ];
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(store.calls.load(Ordering::Relaxed), 9);
        for error in errors {
            assert_eq!(error.retry(), Retry::Later, "{error}");
            assert_eq!(matches!(error, TierError::Timeout { .. }), hangs, "{error}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_not_argued_with() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (tier, store) = faulty(&inner, Fault::Denied, u32::MAX);
    let error = tier
        .put(&flush(1, &[(0, batches(1, 0, 1, 80))]))
        .await
        .unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(store.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn large_uploads_that_hang_are_given_up_and_repeated() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let flushed = flush(1, &[(0, batches(1, 0, 10, 300))]);
    for (times, done) in [(2, true), (u32::MAX, false)] {
        let store = Faulty::new(Arc::clone(&inner), Fault::Hang, times);
        let settings = Settings {
            single_put_bytes_max: 100,
            part_bytes: 1_000,
            ..impatient()
        };
        let tier = Tier::new(store, Path::default(), settings);
        assert_eq!(tier.put(&flushed).await.is_ok(), done);
    }
}

#[tokio::test]
async fn damaged_bytes_are_noticed_wherever_they_are_and_never_cached() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let wanted = batches(1, 0, 8, 300);
    let flushed = flush(1, &[(0, wanted.clone())]);
    let honest = tier(&inner, &Path::default());
    honest.put(&flushed).await.unwrap();
    honest
        .put_snapshot(&object(2), &[Bytes::from(vec![5; 1_000])])
        .await
        .unwrap();
    let segment = flushed.segments[0].1;
    let object_bytes = usize::try_from(flushed.bytes()).unwrap();
    for at in (0..object_bytes).step_by(7) {
        // The first read is the footer's; it covers the whole small object, of which the runs are not looked at.
        let (tier, _) = faulty(&inner, Fault::Flip(at), 1);
        let read = tier.read(&segment, Offset(0), 10_000).await;
        let in_footer = at >= object_bytes - flushed.footer_bytes();
        assert_eq!(read.is_err(), in_footer, "byte {at}");
        if let Err(error) = read {
            assert!(matches!(error, TierError::Corrupt { .. }), "{error}");
            assert_eq!(error.retry(), Retry::Never);
        }
        assert_eq!(
            read_all(&tier, &segment, 10_000).await,
            joined(&wanted),
            "and the next read is right"
        );
    }
    for at in (0..1_008).step_by(13) {
        let (tier, store) = faulty(&inner, Fault::Flip(at), 2);
        let read = tier.get_snapshot(&object(2)).await;
        let harmless = (1..4).contains(&at);
        assert_eq!(read.is_err(), !harmless, "byte {at}");
        assert!(store.calls.load(Ordering::Relaxed) >= 2);
    }
    let (tier, _) = faulty(&inner, Fault::Short, u32::MAX);
    assert!(tier.read(&segment, Offset(0), 10_000).await.is_err());
    assert!(tier.get_snapshot(&object(2)).await.is_err());
}

#[tokio::test]
async fn damaged_blocks_are_noticed() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let flushed = flush(1, &[(0, batches(1, 0, 8, 300))]);
    tier(&inner, &Path::default()).put(&flushed).await.unwrap();
    let store = Faulty::new(Arc::clone(&inner), Fault::Flip(450), 0);
    let tier = Tier::new(Arc::clone(&store) as _, Path::default(), settings());
    let segment = flushed.segments[0].1;
    tier.read_since(&segment, millstream_model::TimestampMs(i64::MAX), 1)
        .await
        .unwrap();
    // The footer is known now; what comes next are blocks.
    store.left.store(1, Ordering::Relaxed);
    let error = tier.read(&segment, Offset(0), 10_000).await.unwrap_err();
    assert!(matches!(error, TierError::Corrupt { .. }), "{error}");
    assert!(tier.read(&segment, Offset(0), 10_000).await.is_ok());
}

#[tokio::test]
async fn a_segment_that_the_object_does_not_have_is_refused() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let flushed = flush(1, &[(0, batches(1, 0, 8, 300))]);
    let tier = tier(&inner, &Path::default());
    tier.put(&flushed).await.unwrap();
    let mut other = flushed.segments[0].1;
    other.checksum ^= 1;
    assert!(matches!(
        tier.read(&other, Offset(0), 1).await,
        Err(TierError::Corrupt { .. })
    ));
    let mut other = flushed.segments[0].1;
    other.position += 1;
    assert!(matches!(
        tier.read(&other, Offset(0), 1).await,
        Err(TierError::Corrupt { .. })
    ));
}
