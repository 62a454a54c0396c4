//! Places of a door's connections: who has not logged in leaves for who comes, and no owner of keys has them all.
//!
//! The rules are the listener's ([`millstream_listener::places`]); here tasks hold places and are told to leave.

use millstream_listener::places::{self, Limits, Origin, Shortage};
use millstream_metadata::OrganisationId;
use millstream_model::limits::{OWNER_SHARE, STRANGERS_ADDRESS_SHARE};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// All places of a door. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    table: Arc<Mutex<Table>>,
}

struct Table {
    places: places::Places,
    strangers: HashMap<u64, Arc<Leave>>,
}

/// A connection's place; free again when it is dropped.
pub struct Place {
    places: Places,
    id: u64,
    leave: Arc<Leave>,
}

/// How a stranger is told to leave.
#[derive(Default)]
struct Leave {
    told: CancellationToken,
    why: OnceLock<NoPlace>,
}

/// Why a connection has no place, or none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Every place is taken by those who have logged in.
    #[error("as many connections have logged in as there may be")]
    Full,
    /// Somebody else needed it before this one logged in.
    #[error("another connection needed the place before this one had logged in")]
    Strangers,
    /// Its address has more than its share of those that have not logged in.
    #[error("too many connections of this address have not logged in yet")]
    Address,
    /// Its owner has as many as one may have.
    #[error("its organization has {most} connections, and more are not let in")]
    Owner {
        /// How many one may have.
        most: usize,
    },
}

impl NoPlace {
    /// For counters.
    pub fn label(self) -> &'static str {
        match self {
            NoPlace::Full => "full",
            NoPlace::Strangers => "strangers",
            NoPlace::Address => "strangers_of_address",
            NoPlace::Owner { .. } => "connections_of_owner",
        }
    }
}

impl Places {
    /// So many places, of which strangers have `strangers_max` at most, and half at most.
    pub fn new(places_max: usize, strangers_max: usize) -> Places {
        let places = places_max.max(1);
        let strangers = strangers_max.min(places.div_ceil(2)).max(1);
        let limits = Limits {
            places,
            strangers,
            of_one_address: (strangers / STRANGERS_ADDRESS_SHARE).max(1),
            of_one_owner: (places / OWNER_SHARE).max(1),
            // Nothing at such a door can be asked without a key.
            reserve: 0,
            reserve_of_one_address: 0,
        };
        let table = Table {
            places: places::Places::new(limits),
            strangers: HashMap::new(),
        };
        Places {
            table: Arc::new(Mutex::new(table)),
        }
    }

    /// A place for a connection from this address; the oldest that has not logged in leaves for it where none is free.
    ///
    /// # Errors
    /// When every place is taken by those who have logged in.
    pub fn enter(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let mut table = self.table.lock();
        let admitted = table.places.enter(Origin::of(address)).ok_or(NoPlace::Full)?;
        if let Some((oldest, shortage)) = admitted.leaves
            && let Some(stranger) = table.strangers.remove(&oldest)
        {
            let why = match shortage {
                Shortage::Address => NoPlace::Address,
                _ => NoPlace::Strangers,
            };
            // Nobody else has told it: it is in the line once.
            let _ = stranger.why.set(why);
            stranger.told.cancel();
        }
        let leave = Arc::new(Leave::default());
        table.strangers.insert(admitted.id, Arc::clone(&leave));
        Ok(Place {
            places: self.clone(),
            id: admitted.id,
            leave,
        })
    }

    /// Connections that nobody has logged in on.
    pub fn strangers(&self) -> usize {
        self.table.lock().places.strangers()
    }
}

impl Place {
    /// Somebody of this organisation has logged in: from here on the place is kept.
    ///
    /// # Errors
    /// When the organisation has its share of the places, or the connection was told to leave before.
    pub fn known(&self, owner: OrganisationId) -> Result<(), NoPlace> {
        let mut table = self.places.table.lock();
        match table.places.known(self.id, owner.0.as_u128()) {
            Ok(true) => {
                table.strangers.remove(&self.id);
                Ok(())
            }
            Ok(false) => Err(self.why()),
            Err(places::TooMany { most }) => Err(NoPlace::Owner { most }),
        }
    }

    /// Waits until the connection must leave, which is never once it has logged in.
    pub async fn leaves(&self) -> NoPlace {
        self.leave.told.cancelled().await;
        self.why()
    }

    fn why(&self) -> NoPlace {
        self.leave.why.get().copied().unwrap_or(NoPlace::Strangers)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table.lock();
        table.places.leave(self.id);
        table.strangers.remove(&self.id);
    }
}

/// Whom an address stands for: itself, or the /64 that a client of IPv6 is given.
pub fn network(address: IpAddr) -> IpAddr {
    Origin::of(address).address()
}

#[cfg(test)]
mod tests {
    use super::{NoPlace, Place, Places};
    use futures::FutureExt;
    use millstream_metadata::OrganisationId;
    use std::net::IpAddr;
    use uuid::Uuid;

    fn enter(places: &Places, last: u8) -> Result<Place, NoPlace> {
        places.enter(IpAddr::from([10, 0, 0, last]))
    }

    fn owner(number: u128) -> OrganisationId {
        OrganisationId(Uuid::from_u128(number))
    }

    fn told(place: &Place) -> Option<NoPlace> {
        place.leaves().now_or_never()
    }

    #[test]
    fn the_oldest_stranger_leaves_for_who_comes() -> Result<(), NoPlace> {
        let places = Places::new(16, 8);
        let (first, second) = (enter(&places, 1)?, enter(&places, 1)?);
        let third = enter(&places, 1)?;
        assert_eq!(told(&first), Some(NoPlace::Address), "a quarter of eight");
        let others = (2..8)
            .map(|last| enter(&places, last))
            .collect::<Result<Vec<_>, _>>()?;
        assert_eq!((told(&second), places.strangers()), (None, 8));
        let comes = enter(&places, 9)?;
        assert_eq!(told(&second), Some(NoPlace::Strangers));
        assert_eq!(second.known(owner(1)), Err(NoPlace::Strangers), "too late");
        assert_eq!(comes.known(owner(1)), Ok(()));
        drop((first, second, third, others));
        assert_eq!(places.strangers(), 0);
        Ok(())
    }

    #[test]
    fn an_owner_has_half_and_who_has_logged_in_is_not_sent_away() -> Result<(), NoPlace> {
        let places = Places::new(8, 8);
        let mut kept = Vec::new();
        for _ in 0..4 {
            let place = enter(&places, 1)?;
            assert_eq!(place.known(owner(1)), Ok(()));
            kept.push(place);
        }
        let fifth = enter(&places, 1)?;
        assert_eq!(fifth.known(owner(1)), Err(NoPlace::Owner { most: 4 }));
        assert_eq!(fifth.known(owner(2)), Ok(()));
        kept.push(fifth);
        for last in 10..13 {
            let place = enter(&places, last)?;
            assert_eq!(place.known(owner(u128::from(last))), Ok(()));
            kept.push(place);
        }
        assert_eq!(enter(&places, 20).err(), Some(NoPlace::Full));
        assert!(kept.iter().all(|place| told(place).is_none()));
        kept.remove(0);
        assert_eq!(
            enter(&places, 20)?.known(owner(1)),
            Ok(()),
            "what left counts no more"
        );
        Ok(())
    }
}
