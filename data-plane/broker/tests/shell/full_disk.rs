//! A disk that is really full: a small file system of its own, in a mount namespace that needs no privileges.

use crate::catalog::partition;
use crate::faults::{Fault, Faults};
use crate::node::{Node, World, batch, produce, read_all};
use millstream_broker::interface::ProduceError;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Set in the process that runs inside the namespace: the file system's folder.
const INSIDE: &str = "MILLSTREAM_TEST_SMALL_DISK";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pushes_back_and_loses_nothing() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return on_a_small_disk(std::path::Path::new(&folder)).await;
    }
    if !Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("left out: this machine gives no mount namespaces");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=24m none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let done = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg("full_disk::a_full_disk_pushes_back_and_loses_nothing")
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success() && out.contains("1 passed"), "{out}\n{log}");
}

async fn on_a_small_disk(disk: &std::path::Path) {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    faults.set(Fault::Errs);
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let mut settings = world.settings();
    settings.data_dir = disk.to_owned();
    // More than the disk has.
    settings.journal.size_bytes = 64 * 1024 * 1024;
    settings.journal.file_bytes = 2 * 1024 * 1024;
    settings.journal.commit_bytes_max = 256 * 1024;
    settings.flush.bytes = 1024 * 1024;
    settings.tier.attempts_max = 1;
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 8 * 1024 * 1024]).unwrap();
    let node = world.start(settings.clone()).await;
    let to = partition(topic, 0);
    let mut taken = Vec::new();
    let first = fill(&world, &node, to, &mut taken).await;
    assert!((60..160).contains(&first), "{first}");
    assert!(node.broker.is_healthy(), "a full disk damages nothing");
    assert_eq!(read(&world, &node, to).await, taken);
    // Somebody makes room.
    std::fs::remove_file(&ballast).unwrap();
    wait_for_room(&world, &node, to, &mut taken).await;
    let second = fill(&world, &node, to, &mut taken).await;
    assert!(second > 30, "{second}");
    // The store is back: what is there moves on, though the disk stays full.
    std::fs::write(&ballast, vec![1; 24 * 1024 * 1024]).unwrap_err();
    faults.set(Fault::None);
    wait_for_room(&world, &node, to, &mut taken).await;
    for _ in 0..200 {
        wait_for_room(&world, &node, to, &mut taken).await;
    }
    assert_eq!(read(&world, &node, to).await, taken);
    node.stop().await;
    std::fs::remove_file(&ballast).unwrap();
    let node = world.start(settings).await;
    assert_eq!(read(&world, &node, to).await, taken);
    node.stop().await;
}

/// Produces until the journal takes no more; how many were taken.
async fn fill(
    world: &World,
    node: &Node,
    to: millstream_model::PartitionId,
    taken: &mut Vec<usize>,
) -> usize {
    let before = taken.len();
    let mut refused = 0;
    // The last of what there is may be refused for a moment while a file is being prepared.
    while refused < 20 {
        match one(world, node, to, taken).await {
            Ok(()) => refused = 0,
            Err(ProduceError::Full) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(taken.len() < 1000, "it never fills");
    }
    taken.len() - before
}

async fn wait_for_room(
    world: &World,
    node: &Node,
    to: millstream_model::PartitionId,
    taken: &mut Vec<usize>,
) {
    for _ in 0..600 {
        match one(world, node, to, taken).await {
            Ok(()) => return,
            Err(ProduceError::Full) => tokio::time::sleep(Duration::from_millis(25)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("there is no room again");
}

async fn one(
    world: &World,
    node: &Node,
    to: millstream_model::PartitionId,
    taken: &mut Vec<usize>,
) -> Result<(), ProduceError> {
    let number = taken.len();
    let value = format!("{number} {}", "x".repeat(100_000));
    produce(&node.broker, &world.catalog.tenant(1), to, batch(&[&value])).await?;
    taken.push(number);
    Ok(())
}

async fn read(world: &World, node: &Node, from: millstream_model::PartitionId) -> Vec<usize> {
    let values = read_all(&node.broker, &world.catalog.tenant(1), from, 0).await;
    values
        .iter()
        .map(|(_, value)| value.split(' ').next().unwrap().parse().unwrap())
        .collect()
}
