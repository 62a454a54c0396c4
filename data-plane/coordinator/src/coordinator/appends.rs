//! Appends on their way to the log, and what each will set in motion.

use super::Output;
use super::member::Member;
use crate::command::GroupKey;
use crate::fact::Fact;
use crate::ledger::{Ticket, Token};
use crate::record::Record;
use crate::request::Reply;
use bytes::Bytes;
use millstream_model::PartitionId;
use millstream_model::limits::GROUP_APPEND_BYTES_MAX;
use std::collections::BTreeMap;

/// What follows once an append is decided.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// It was a piece of a change that ends with this ticket.
    Part(Ticket),
    /// Answer this once committed.
    Answer { token: Token, done: Reply },
    /// The same for a commit of these partitions' offsets.
    Offsets {
        token: Token,
        done: Reply,
        partitions: Vec<PartitionId>,
    },
    /// Members get what the leader assigned.
    Assign {
        generation: i32,
        assignments: BTreeMap<String, Bytes>,
    },
    /// A static member has another id; when that fails the one before comes back.
    Replaced {
        token: Token,
        done: Reply,
        old_id: String,
        new_id: String,
        before: Box<Member>,
    },
}

impl Then {
    /// The request that waits for it.
    pub(super) fn token(&self) -> Option<Token> {
        match self {
            Then::Answer { token, .. } | Then::Offsets { token, .. } | Then::Replaced { token, .. } => {
                Some(*token)
            }
            Then::Nothing | Then::Part(_) | Then::Assign { .. } => None,
        }
    }
}

/// An append that is not decided yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: GroupKey,
    pub(super) then: Then,
    /// An earlier piece of the same change failed.
    pub(super) failed: bool,
}

/// All appends that are not decided yet.
#[derive(Debug, Default)]
pub(super) struct Appends {
    next: u64,
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
}

impl Appends {
    /// Hands facts to the log, in batches of bounded size. Returns how many tickets are out.
    pub(super) fn append(
        &mut self,
        key: &GroupKey,
        facts: Vec<Fact>,
        then: Then,
        out: &mut Vec<Output>,
    ) -> u32 {
        let batches = batches(facts);
        let count = batches.len() as u64;
        let last = Ticket(self.next + count.saturating_sub(1));
        let mut then = Some(then);
        for records in batches {
            let ticket = Ticket(self.next);
            self.next += 1;
            let then = if ticket == last {
                then.take().unwrap_or(Then::Nothing)
            } else {
                Then::Part(last)
            };
            self.waiting.insert(
                ticket,
                Waiting {
                    key: key.clone(),
                    then,
                    failed: false,
                },
            );
            out.push(Output::Append { ticket, records });
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

fn batches(facts: Vec<Fact>) -> Vec<Vec<Record>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for record in facts.iter().map(Fact::encode) {
        bytes += record.length();
        batch.push(record);
        if bytes >= GROUP_APPEND_BYTES_MAX {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
