//! What happened in a run, to know that the simulator simulates something.

use std::collections::BTreeMap;

macro_rules! happenings {
    ($($name:ident),* $(,)?) => {
        /// Something that happens in some runs and must happen in a hundred of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Happening {
            $($name),*
        }

        impl Happening {
            pub const ALL: &[Happening] = &[$(Happening::$name),*];
        }
    };
}

happenings! {
    // To processes and disks.
    Kill,
    CleanStop,
    PowerFailure,
    RestartOnCachedDisk,
    TornEnd,
    FailedJournal,
    FailedOpen,
    FullDisk,
    FullJournal,
    RefusedAtOnce,
    HandedOverAgain,
    SlowDisk,
    BitFlip,
    DamagedJournal,
    LostDisk,
    EmptyDisk,
    InterruptedBeginning,
    NoLocalSnapshot,
    StoreSnapshot,
    // To the network and the controller.
    CutLink,
    DoubledMessage,
    ControllerAway,
    LostRegistration,
    RefusedProposal,
    FencedProcess,
    TakeOver,
    LostCatalogAnswer,
    FencedWrite,
    // In a group.
    Election,
    Resignation,
    StepDown,
    IsrShrinks,
    IsrGrows,
    TruncatedSuffix,
    Rebuild,
    // To records.
    AcknowledgedByAll,
    AcknowledgedByLeader,
    Undecided,
    RefusedBatch,
    WrongTimestamp,
    Repeat,
    Trim,
    Retention,
    Quarantine,
    Deletion,
    Flush,
    FailedUpload,
    Tiered,
    Snapshot,
    Recycled,
    ReadFromStore,
    ReadFromJournal,
}

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<Happening, u64>);

impl Seen {
    pub fn count(&mut self, happening: Happening) {
        *self.0.entry(happening).or_default() += 1;
    }

    pub fn add(&mut self, other: &Seen) {
        for (happening, count) in &other.0 {
            *self.0.entry(*happening).or_default() += count;
        }
    }

    /// What did not happen even once.
    pub fn missing(&self) -> Vec<Happening> {
        let happened = |it: &&Happening| !self.0.contains_key(it);
        Happening::ALL.iter().filter(happened).copied().collect()
    }
}
