//! Who has a place at a port, and who must leave when places are short. Pure: no socket, no clock. Every door that lets
//! connections in uses it, whatever it speaks.
//!
//! A connection is a stranger until a request of it has shown a key. Strangers can always be sent away, the oldest of the
//! address that has most of them first: who comes with a key in hand needs a moment only, and who is silent must not keep others out. Beside the
//! ordinary places there is a reserve, in which nothing but health can be asked.

use millstream_model::limits::{OWNER_SHARE, STRANGERS_ADDRESS_SHARE};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ordinary places.
    pub places: usize,
    /// Places of them for those who have not shown a key.
    pub strangers: usize,
    /// Places of them that one address has before it has shown a key.
    pub of_one_address: usize,
    /// Places of them that one owner of keys has.
    pub of_one_owner: usize,
    /// Places of the reserve.
    pub reserve: usize,
    /// Places of the reserve that one address has.
    pub reserve_of_one_address: usize,
}

impl Limits {
    /// The shares that follow from the places, where strangers may have them all.
    pub fn of(places: usize, reserve: usize) -> Limits {
        let places = places.max(1);
        let reserve = reserve.max(1);
        Limits {
            places,
            strangers: places,
            of_one_address: (places / STRANGERS_ADDRESS_SHARE).max(1),
            of_one_owner: (places / OWNER_SHARE).max(1),
            reserve,
            reserve_of_one_address: (reserve / 4).max(1),
        }
    }
}

/// Where a connection comes from: an address, or what one customer has of IPv6, a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// Of a connection's other end.
    pub fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Origin(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address => Origin(address),
        }
    }

    /// The address, or the first of the network.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// Why somebody is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Its address has too many that have not shown a key.
    Address,
    /// Every place is taken.
    Places,
    /// Every place of the reserve is taken.
    Reserve,
    /// The process has no file descriptor left.
    Descriptors,
}

/// A new connection's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number, never used twice.
    pub id: u64,
    /// Only health can be asked.
    pub reserved: bool,
    /// Who leaves for it.
    pub leaves: Option<(u64, Shortage)>,
}

/// An owner has as many connections as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// How many one may have.
    pub most: usize,
}

/// Who is in.
pub struct Places {
    limits: Limits,
    next: u64,
    strangers: Line,
    reserved: Line,
    owner_of: HashMap<u64, u128>,
    owned: HashMap<u128, usize>,
}

impl Places {
    /// Nobody is in.
    pub fn new(limits: Limits) -> Places {
        Places {
            limits,
            next: 0,
            strangers: Line::default(),
            reserved: Line::default(),
            owner_of: HashMap::new(),
            owned: HashMap::new(),
        }
    }

    /// Lets a new connection in, at worst to the reserve.
    pub fn admit(&mut self, origin: Origin) -> Admitted {
        match self.enter(origin) {
            Some(admitted) => admitted,
            None => self.admit_to_reserve(origin),
        }
    }

    /// Gives a new connection an ordinary place; none when all are taken by those who have shown a key.
    pub fn enter(&mut self, origin: Origin) -> Option<Admitted> {
        let limits = self.limits;
        let is_full = self.strangers.len() >= limits.strangers
            || self.strangers.len() + self.owner_of.len() >= limits.places;
        let leaves = if let Some(oldest) = self.strangers.oldest_of(origin, limits.of_one_address) {
            Some((oldest, Shortage::Address))
        } else if is_full {
            Some((self.strangers.oldest()?, Shortage::Places))
        } else {
            None
        };
        if let Some((oldest, _)) = leaves {
            self.strangers.remove(oldest);
        }
        let id = self.number();
        self.strangers.insert(id, origin);
        Some(Admitted {
            id,
            reserved: false,
            leaves,
        })
    }

    fn admit_to_reserve(&mut self, origin: Origin) -> Admitted {
        let id = self.number();
        let limits = self.limits;
        let of_origin = self.reserved.oldest_of(origin, limits.reserve_of_one_address);
        let leaves = of_origin.or_else(|| {
            let full = self.reserved.len() >= limits.reserve;
            full.then(|| self.reserved.oldest()).flatten()
        });
        if let Some(oldest) = leaves {
            self.reserved.remove(oldest);
        }
        self.reserved.insert(id, origin);
        Admitted {
            id,
            reserved: true,
            leaves: leaves.map(|oldest| (oldest, Shortage::Reserve)),
        }
    }

    fn number(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    /// A stranger has shown a key of this owner. False for one that was sent away meanwhile, or has a place of the
    /// reserve.
    ///
    /// # Errors
    /// When the owner has as many as one may have.
    pub fn known(&mut self, id: u64, owner: u128) -> Result<bool, TooMany> {
        if !self.strangers.contains(id) {
            return Ok(false);
        }
        let owned = self.owned.entry(owner).or_default();
        if *owned >= self.limits.of_one_owner {
            return Err(TooMany {
                most: self.limits.of_one_owner,
            });
        }
        *owned += 1;
        self.owner_of.insert(id, owner);
        self.strangers.remove(id);
        Ok(true)
    }

    /// A connection is gone.
    pub fn leave(&mut self, id: u64) {
        self.strangers.remove(id);
        self.reserved.remove(id);
        let Some(owner) = self.owner_of.remove(&id) else {
            return;
        };
        if let Some(owned) = self.owned.get_mut(&owner) {
            *owned -= 1;
            if *owned == 0 {
                self.owned.remove(&owner);
            }
        }
    }

    /// Connections that have shown no key.
    pub fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// Sends the oldest stranger away, if there is one.
    pub fn make_room(&mut self) -> Option<u64> {
        let oldest = self.strangers.oldest()?;
        self.strangers.remove(oldest);
        Some(oldest)
    }
}

/// Connections in the order in which they came.
#[derive(Default)]
struct Line {
    origin_of: HashMap<u64, Origin>,
    by_origin: HashMap<Origin, BTreeSet<u64>>,
    /// How many an origin has, and its oldest: who has most, and has been there longest among these, is the last.
    ranks: BTreeSet<(usize, Reverse<u64>)>,
}

impl Line {
    fn len(&self) -> usize {
        self.origin_of.len()
    }

    fn contains(&self, id: u64) -> bool {
        self.origin_of.contains_key(&id)
    }

    fn insert(&mut self, id: u64, origin: Origin) {
        self.origin_of.insert(id, origin);
        self.change(origin, |ids| {
            ids.insert(id);
        });
    }

    fn remove(&mut self, id: u64) {
        if let Some(origin) = self.origin_of.remove(&id) {
            self.change(origin, |ids| {
                ids.remove(&id);
            });
        }
    }

    fn change(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let ids = self.by_origin.entry(origin).or_default();
        if let Some(oldest) = ids.first() {
            self.ranks.remove(&(ids.len(), Reverse(*oldest)));
        }
        change(ids);
        match ids.first() {
            Some(oldest) => {
                self.ranks.insert((ids.len(), Reverse(*oldest)));
            }
            None => {
                self.by_origin.remove(&origin);
            }
        }
    }

    /// The oldest of the origin that has most: a flood renews its own, and who takes longer to log in beside it must not
    /// be the oldest of all for that.
    fn oldest(&self) -> Option<u64> {
        self.ranks.last().map(|(_, Reverse(id))| *id)
    }

    /// The oldest of an origin that has `most` or more.
    fn oldest_of(&self, origin: Origin, most: usize) -> Option<u64> {
        let ids = self.by_origin.get(&origin)?;
        if ids.len() < most {
            return None;
        }
        ids.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(IpAddr::from([10, 0, 0, last]))
    }

    fn places(places: usize) -> Places {
        Places::new(Limits::of(places, 8))
    }

    #[test]
    fn an_address_has_a_quarter_of_the_places_before_it_shows_a_key() {
        let mut places = places(8);
        let ids: Vec<u64> = (0..2).map(|_| places.admit(origin(1)).id).collect();
        let third = places.admit(origin(1));
        assert_eq!(third.leaves, Some((ids[0], Shortage::Address)));
        assert_eq!(places.admit(origin(2)).leaves, None, "others are not touched");
        // With keys, the address does not count.
        for id in [ids[1], third.id] {
            assert_eq!(places.known(id, 7), Ok(true));
        }
        assert_eq!(places.admit(origin(1)).leaves, None);
    }

    #[test]
    fn the_oldest_stranger_leaves_when_every_place_is_taken() {
        let mut places = places(8);
        let first = places.admit(origin(0)).id;
        for address in 1..8 {
            assert_eq!(places.admit(origin(address)).leaves, None);
        }
        assert_eq!(places.admit(origin(9)).leaves, Some((first, Shortage::Places)));
        assert_eq!(places.make_room(), Some(first + 1));
        assert_eq!(places.admit(origin(10)).leaves, None, "a place became free");
    }

    #[test]
    fn a_flood_sends_away_its_own_and_nobody_who_is_slow_beside_it() {
        let mut places = places(8);
        let slow = places.admit(origin(9)).id;
        for round in 0..50 {
            for address in 1..=4 {
                let leaves = places.admit(origin(address)).leaves;
                assert_ne!(leaves.map(|it| it.0), Some(slow), "round {round}");
            }
        }
        assert_eq!(places.known(slow, 7), Ok(true));
    }

    #[test]
    fn who_has_shown_a_key_is_not_sent_away_and_health_has_its_reserve() {
        let mut places = places(8);
        for address in 0..8 {
            let id = places.admit(origin(address)).id;
            assert_eq!(places.known(id, address.into()), Ok(true));
        }
        let first = places.admit(origin(1));
        assert!(first.reserved && first.leaves.is_none());
        let second = places.admit(origin(1));
        assert!(second.reserved && second.leaves.is_none());
        let third = places.admit(origin(1));
        assert_eq!(
            third.leaves,
            Some((first.id, Shortage::Reserve)),
            "a quarter of the reserve"
        );
        places.leave(0);
        assert!(!places.admit(origin(1)).reserved, "an ordinary place again");
    }

    #[test]
    fn strangers_may_have_fewer_places_than_there_are() {
        let mut places = Places::new(Limits {
            strangers: 4,
            ..Limits::of(8, 1)
        });
        let ids: Vec<u64> = (0..4).map(|it| places.admit(origin(it)).id).collect();
        assert_eq!(
            places.admit(origin(9)).leaves,
            Some((ids[0], Shortage::Places)),
            "four places are free, for keys"
        );
        assert_eq!(places.strangers(), 4);
        for (owner, id) in (1..).zip(&ids[1..]) {
            assert_eq!(places.known(*id, owner), Ok(true));
        }
        for address in 20..25 {
            let id = places.enter(origin(address)).map(|it| it.id);
            let id = id.expect("a stranger leaves, or a place is free");
            assert_eq!(places.known(id, 100 + u128::from(address)), Ok(true));
        }
        assert_eq!(places.enter(origin(30)), None, "all are known");
    }

    #[test]
    fn one_owner_has_half_of_the_places() {
        let mut places = places(8);
        let ids: Vec<u64> = (0..5).map(|it| places.admit(origin(it)).id).collect();
        for id in &ids[..4] {
            assert_eq!(places.known(*id, 7), Ok(true));
        }
        assert_eq!(places.known(ids[4], 7), Err(TooMany { most: 4 }));
        assert_eq!(places.known(ids[4], 8), Ok(true));
        places.leave(ids[0]);
        let next = places.admit(origin(9)).id;
        assert_eq!(places.known(next, 7), Ok(true), "what left counts no more");
    }

    #[test]
    fn who_was_sent_away_counts_no_more() {
        let mut places = places(4);
        let first = places.admit(origin(1)).id;
        let second = places.admit(origin(1));
        assert_eq!(second.leaves, Some((first, Shortage::Address)));
        assert_eq!(places.known(first, 7), Ok(false));
        places.leave(first);
        assert_eq!(places.make_room(), Some(second.id));
        assert_eq!(places.make_room(), None);
    }

    #[test]
    fn a_customer_of_ipv6_is_a_network_and_a_mapped_address_is_ipv4() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
