//! API keys: which requests there are, in which versions, under which headers.

use std::ops::RangeInclusive;

#[allow(clippy::all)]
mod made {
    use super::ApiFacts;
    include!(concat!(env!("OUT_DIR"), "/api_key.rs"));
    pub(super) const ALL_FACTS: &[ApiFacts] = &FACTS;
}

pub use made::ApiKey;

/// What the table says about one API.
pub(crate) struct ApiFacts {
    key: ApiKey,
    name: &'static str,
    min: i16,
    stable: i16,
    max: i16,
    flexible: Option<i16>,
}

impl ApiKey {
    /// Every key that has a table, in rising order.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        made::ALL_FACTS.iter().map(|facts| facts.key)
    }

    /// The key with this number.
    pub fn from_number(number: i16) -> Option<ApiKey> {
        let index = made::ALL_FACTS
            .binary_search_by_key(&number, |facts| facts.key as i16)
            .ok()?;
        made::ALL_FACTS.get(index).map(|facts| facts.key)
    }

    /// Its number.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Its name in Kafka, `Fetch`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The versions to advertise at most: from the lowest that old clients send to Kafka 4.3's highest stable one.
    pub fn versions(self) -> RangeInclusive<i16> {
        self.facts().min..=self.facts().stable
    }

    /// The versions that can be decoded and encoded: also those that Kafka 4.3 has but does not advertise.
    pub fn versions_known(self) -> RangeInclusive<i16> {
        self.facts().min..=self.facts().max
    }

    /// The version of the header in front of a request, also for versions that are not known.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header in front of a response. ApiVersions always answers with 0: who sent it does
    /// not know yet what the broker can say (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != ApiKey::ApiVersions && self.is_flexible(version))
    }

    fn is_flexible(self, version: i16) -> bool {
        self.facts().flexible.is_some_and(|from| version >= from)
    }

    fn facts(self) -> &'static ApiFacts {
        let index = made::ALL_FACTS.binary_search_by_key(&self, |facts| facts.key);
        &made::ALL_FACTS[index.expect("bug: the enum and the facts are made from one list")]
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
