//! Random messages from a seed: what the tables allow, edges more often than chance would.

use crate::message::Message;
use crate::records::Records;
use bytes::Bytes;
use uuid::Uuid;

/// A source of random values: the same seed gives the same values.
#[derive(Clone, Debug)]
pub struct Gen {
    state: u64,
}

/// What can be filled at random with fields that a version has.
pub trait Arbitrary {
    fn arbitrary(g: &mut Gen, v: i16) -> Self;
}

/// Something to do with every message type.
pub trait Visit {
    fn message<M: Message + Arbitrary>(&mut self);
}

impl Gen {
    pub fn new(seed: u64) -> Gen {
        Gen { state: seed }
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn int64(&mut self) -> i64 {
        match self.below(8) {
            0 => 0,
            1 => -1,
            2 => i64::MIN,
            3 => i64::MAX,
            4 => (self.next() % 1000) as i64,
            _ => self.next() as i64,
        }
    }

    pub fn int32(&mut self) -> i32 {
        match self.below(8) {
            0 => i32::MIN,
            1 => i32::MAX,
            _ => self.int64() as i32,
        }
    }

    pub fn int16(&mut self) -> i16 {
        self.int32() as i16
    }

    pub fn uint16(&mut self) -> u16 {
        self.int32() as u16
    }

    pub fn int8(&mut self) -> i8 {
        self.int32() as i8
    }

    pub fn bool(&mut self) -> bool {
        self.one_in(2)
    }

    pub fn float64(&mut self) -> f64 {
        self.int32() as f64 / 8.0
    }

    pub fn uuid(&mut self) -> Uuid {
        match self.one_in(4) {
            true => Uuid::nil(),
            false => Uuid::from_u128((u128::from(self.next()) << 64) | u128::from(self.next())),
        }
    }

    pub fn string(&mut self) -> String {
        let length = if self.one_in(50) {
            100 + self.below(300)
        } else {
            self.below(10)
        };
        (0..length)
            .map(|_| ['a', 'Z', '.', '-', 'é', '日', '\u{1F30A}', '\0'][self.below(8)])
            .collect()
    }

    pub fn bytes(&mut self) -> Bytes {
        let length = if self.one_in(20) {
            self.below(5000)
        } else {
            self.below(40)
        };
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub fn records(&mut self) -> Records {
        (0..self.below(3)).map(|_| self.bytes()).collect()
    }

    pub fn array<T>(&mut self, mut element: impl FnMut(&mut Gen) -> T) -> Vec<T> {
        let cheap = size_of::<T>() <= 16;
        let length = if cheap && self.one_in(100) {
            120 + self.below(20)
        } else {
            self.below(4)
        };
        (0..length).map(|_| element(self)).collect()
    }

    pub fn option<T>(&mut self, nullable: bool, value: impl FnOnce(&mut Gen) -> T) -> Option<T> {
        if nullable && self.one_in(3) {
            None
        } else {
            Some(value(self))
        }
    }
}

#[allow(clippy::all)]
mod made {
    use super::{Arbitrary, Gen, Visit};
    include!(concat!(env!("OUT_DIR"), "/arbitrary.rs"));
}

pub use made::visit_all;
