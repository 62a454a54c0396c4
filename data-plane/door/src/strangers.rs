//! Places for connections that nobody has logged in on yet: few, and fewer for each address.

use millstream_model::limits::STRANGERS_ADDRESS_SHARE;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Places of those who have not logged in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Strangers {
    places_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// A place; free again when it is dropped, which is at login.
#[derive(Debug)]
pub struct Place {
    strangers: Strangers,
    address: IpAddr,
}

/// Why a stranger is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// There are as many as there may be.
    #[error("too many connections have not logged in yet")]
    Full,
    /// This address has its share of them.
    #[error("too many connections of this address have not logged in yet")]
    Address,
}

impl NoPlace {
    /// For counters.
    pub fn label(self) -> &'static str {
        match self {
            NoPlace::Full => "strangers",
            NoPlace::Address => "strangers_of_address",
        }
    }
}

impl Strangers {
    /// So many places, a share of them for each address.
    pub fn new(places_max: usize) -> Strangers {
        Strangers {
            places_max,
            taken: Arc::default(),
        }
    }

    /// A place for a connection from this address.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self, address: IpAddr) -> Result<Place, NoPlace> {
        // A client of IPv6 has a network of addresses at least.
        let address = network(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.places_max {
            return Err(NoPlace::Full);
        }
        let share = (self.places_max / STRANGERS_ADDRESS_SHARE).max(1);
        let of_address = taken.addresses.entry(address).or_default();
        if *of_address >= share {
            return Err(NoPlace::Address);
        }
        *of_address += 1;
        taken.all += 1;
        Ok(Place {
            strangers: self.clone(),
            address,
        })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.strangers.taken.lock();
        taken.all -= 1;
        if let Some(of_address) = taken.addresses.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.addresses.remove(&self.address);
            }
        }
    }
}

/// Whom an address stands for: itself, or the /64 that a client of IPv6 is given.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{NoPlace, Strangers, network};
    use std::net::IpAddr;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }

    #[test]
    fn an_address_gets_a_quarter_and_places_come_back() {
        let strangers = Strangers::new(8);
        let one = address("10.0.0.1");
        let places: Vec<_> = (0..2).map(|_| strangers.enter(one)).collect();
        assert!(places.iter().all(Result::is_ok));
        assert_eq!(strangers.enter(one).err(), Some(NoPlace::Address));
        let mapped = address("::ffff:10.0.0.1");
        assert_eq!(
            strangers.enter(mapped).err(),
            Some(NoPlace::Address),
            "the same address"
        );
        let others: Vec<_> = (2..8)
            .map(|last| strangers.enter(address(&format!("10.0.0.{last}"))))
            .collect();
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(strangers.enter(address("10.0.0.9")).err(), Some(NoPlace::Full));
        drop((places, others));
        assert_eq!(strangers.taken(), 0);
        assert!(strangers.enter(one).is_ok());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::2:3")));
        assert_ne!(
            network(address("2001:db8::1")),
            network(address("2001:db8:0:1::1"))
        );
    }
}
