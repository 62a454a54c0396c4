//! Time and randomness as inputs, so that a decision is a plain function.

use millstream_metadata::{EnvironmentId, Image, OrganisationId};
use millstream_model::{KeyId, TenantId, TimestampMs, TopicId};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

/// What one decision may draw from: the same seeds give the same decision.
#[derive(Debug)]
pub struct Seeds {
    now: TimestampMs,
    random: StdRng,
}

impl Seeds {
    /// From the wall clock and 32 random bytes (a cryptographic generator is seeded with them).
    pub fn new(now: TimestampMs, entropy: [u8; 32]) -> Seeds {
        Seeds {
            now,
            random: StdRng::from_seed(entropy),
        }
    }

    /// When the decision is made.
    pub fn now(&self) -> TimestampMs {
        self.now
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A fresh topic id.
    pub fn topic(&mut self) -> TopicId {
        TopicId(self.uuid())
    }

    /// A fresh organisation id.
    pub fn organisation(&mut self) -> OrganisationId {
        OrganisationId(self.uuid())
    }

    /// A fresh environment id.
    pub fn environment(&mut self) -> EnvironmentId {
        EnvironmentId(self.uuid())
    }

    /// A salt.
    pub fn salt(&mut self) -> [u8; 16] {
        self.bytes()
    }

    /// A key id that is not in use.
    pub fn key(&mut self, image: &Image) -> KeyId {
        loop {
            let id = KeyId::from_random(self.bytes());
            if id != KeyId::NONE && image.key(&id).is_none() {
                return id;
            }
        }
    }

    /// A 12-digit account id that is not in use and does not start with 0.
    pub fn tenant(&mut self, image: &Image) -> TenantId {
        const FIRST: u64 = 100_000_000_000;
        const COUNT: u64 = 900_000_000_000;
        loop {
            let id = TenantId(FIRST + self.random.next_u64() % COUNT);
            if image.virtual_cluster(id).is_none() {
                return id;
            }
        }
    }
}
