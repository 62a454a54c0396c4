//! Every message at every version: what was written is read back, and every truncation is refused.

use super::arbitrary::{Arbitrary, Gen, Visit, visit_all};
use crate::message::Message;
use crate::reader::Problem;

struct RoundTrip {
    seed: u64,
    messages: usize,
}

impl Visit for RoundTrip {
    fn message<M: Message + Arbitrary>(&mut self) {
        for version in M::VERSIONS {
            for round in 0..4 {
                self.seed += 1;
                let mut g = Gen::new(self.seed);
                let message = M::arbitrary(&mut g, version);
                let bytes = message.to_bytes(version).unwrap();
                let back = M::from_bytes(bytes.clone(), version);
                assert_eq!(
                    back.as_ref(),
                    Ok(&message),
                    "{} v{version} seed {}",
                    M::NAME,
                    self.seed
                );
                if round == 0 {
                    let cut = bytes
                        .len()
                        .checked_sub(1 + g.below(4).min(bytes.len().saturating_sub(1)));
                    if let Some(cut) = cut {
                        let found = M::from_bytes(bytes.slice(..cut), version);
                        assert!(
                            found.is_err(),
                            "{} v{version}, {cut} of {} bytes",
                            M::NAME,
                            bytes.len()
                        );
                    }
                }
            }
        }
        self.messages += 1;
    }
}

#[test]
fn what_was_encoded_is_decoded() {
    let mut visit = RoundTrip { seed: 0, messages: 0 };
    visit_all(&mut visit);
    assert!(visit.messages > 140, "only {} messages", visit.messages);
}

struct Edges;

impl Visit for Edges {
    fn message<M: Message + Arbitrary>(&mut self) {
        for version in [M::VERSIONS.start() - 1, M::VERSIONS.end() + 1] {
            assert!(M::default().to_bytes(version).is_err(), "{} v{version}", M::NAME);
            let found = M::from_bytes(bytes::Bytes::from_static(&[0; 64]), version).unwrap_err();
            assert_eq!(found.problem, Problem::Version { version });
        }
        for version in M::VERSIONS {
            let mut bytes = M::arbitrary(&mut Gen::new(7), version)
                .to_bytes(version)
                .unwrap()
                .to_vec();
            bytes.push(0);
            let found = M::from_bytes(bytes.into(), version).unwrap_err();
            assert_eq!(found.problem, Problem::Trailing { left: 1 });
        }
    }
}

#[test]
fn unknown_versions_and_trailing_bytes_are_refused() {
    visit_all(&mut Edges);
}

struct Defaults;

impl Visit for Defaults {
    fn message<M: Message + Arbitrary>(&mut self) {
        for version in M::VERSIONS {
            let bytes = M::default().to_bytes(version);
            let Ok(bytes) = bytes else {
                continue;
            };
            assert_eq!(
                M::from_bytes(bytes, version),
                Ok(M::default()),
                "{} v{version}",
                M::NAME
            );
        }
    }
}

#[test]
fn defaults_survive() {
    visit_all(&mut Defaults);
}
