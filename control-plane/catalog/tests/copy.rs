//! A node's copy of the catalog: what was kept is what is read, and nothing else passes for it.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{Batch, CatalogCopy, CopyError, Seeds};
use millstream_metadata::{Actor, Bootstrap, Command, CreateOrganisation, HostPort, Image, RegisterNode};
use millstream_model::{JournalId, TimestampMs};
use proptest::prelude::*;
use uuid::Uuid;

/// A catalog with organisations, a key, and a node with its groups and internal topics.
fn image(organisations: &[String]) -> Image {
    let address = HostPort {
        host: "localhost".into(),
        port: 9092,
    };
    let register = Command::RegisterNode(RegisterNode {
        journal: JournalId(Uuid::from_u128(7)),
        registration_last: None,
        kafka: address.clone(),
        http: address,
        feature_level_max: 1,
        damaged: false,
    });
    let mut batch = Batch::new(&Image::new());
    let mut seeds = Seeds::new(TimestampMs(1), [3; 32]);
    let commands = [Command::Bootstrap(Bootstrap { root_version: 1 }), register];
    let named = organisations
        .iter()
        .map(|name| Command::CreateOrganisation(CreateOrganisation { name: name.clone() }));
    for command in commands.into_iter().chain(named) {
        // Names that repeat or are illegal are refused, which is not what is tested here.
        let _ = batch.add(&mut seeds, &Actor::System, &command);
    }
    batch.finish().0
}

fn copy(organisations: &[String]) -> CatalogCopy {
    CatalogCopy {
        cluster: Uuid::from_u128(1),
        name: "millstream".into(),
        image: image(organisations),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_survives_being_written(names in proptest::collection::vec("[a-z]{1,12}", 0..20)) {
        let kept = copy(&names);
        prop_assert!(kept.image.topics().count() > 0);
        prop_assert_eq!(CatalogCopy::decode(&kept.encode()).unwrap(), kept);
    }

    #[test]
    fn damage_is_noticed(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut bytes = copy(&[]).encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(CatalogCopy::decode(&bytes).is_err());
        prop_assert!(CatalogCopy::decode(&bytes[..at]).is_err());
    }
}

#[test]
fn a_newer_form_says_which_release_it_needs() {
    let mut bytes = copy(&[]).encode().to_vec();
    bytes[4] = 9;
    assert!(matches!(
        CatalogCopy::decode(&bytes),
        Err(CopyError::Version { version: 9 })
    ));
}

#[test]
fn the_last_one_kept_is_the_one_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    assert_eq!(CatalogCopy::load(&path).unwrap(), None);
    for names in [vec![], vec!["a".to_owned()]] {
        let kept = copy(&names);
        kept.save(&path).unwrap();
        assert_eq!(CatalogCopy::load(&path).unwrap(), Some(kept));
    }
    std::fs::write(&path, b"MSCC").unwrap();
    assert!(matches!(CatalogCopy::load(&path), Err(CopyError::Damaged(_))));
}
