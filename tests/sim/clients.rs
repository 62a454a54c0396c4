//! Producers, idempotent and plain, that retry until they are told.

use crate::seen::Happening;
use crate::world::{Check, Event, NODES, TENANT, World, partition};
use bytes::Bytes;
use millstream_broker::admission::admit;
use millstream_broker::interface::Acks;
use millstream_broker::replica::{Append, Lost};
use millstream_journal::Level;
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, NewRecord, Producer};
use millstream_metadata::topic_config::TopicSettings;
use millstream_model::{KeyId, Offset, OwnerEpoch, ProducerEpoch, ProducerId, TimestampMs};
use millstream_partition::Decision;
use rand::Rng;
use std::collections::VecDeque;

/// Who waits for an answer: a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub client: usize,
    pub number: u64,
}

impl Ticket {
    /// Nobody waits.
    pub const NONE: Ticket = Ticket {
        client: usize::MAX,
        number: 0,
    };
}

const TIMEOUT_MS: u64 = 400;
/// Two idempotent producers, two plain ones, and one that does not wait for the followers.
pub const CLIENTS: usize = 5;

#[derive(Debug)]
pub struct Client {
    index: usize,
    pub partition: u32,
    /// Records so far; the next one's value.
    records: u64,
    requests: u64,
    window: VecDeque<Request>,
}

#[derive(Debug)]
struct Request {
    number: u64,
    values: Vec<u64>,
    batch: Bytes,
    sent_at_ms: u64,
}

impl Client {
    pub fn new(index: usize) -> Client {
        Client {
            index,
            partition: (index % 2) as u32,
            records: 0,
            requests: 0,
            window: VecDeque::new(),
        }
    }

    /// The first two.
    pub fn is_idempotent(&self) -> bool {
        self.index < 2
    }

    /// What it asks for.
    pub fn acks(&self) -> Acks {
        match self.index {
            4 => Acks::Leader,
            _ => Acks::All,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    pub fn wrote(&self, value: u64) -> bool {
        value >> 32 == self.index as u64
    }

    /// A broker remembers an idempotent producer's last five batches: no more may be undecided, answered or not. Of a
    /// producer that it does not know it takes any sequence, as Kafka does: the first batch goes alone.
    fn may_begin(&self) -> bool {
        let window = if self.is_idempotent() { 4 } else { 1 };
        self.window
            .front()
            .is_none_or(|oldest| oldest.number > 1 && self.requests < oldest.number + window)
    }

    /// The next batch; its header may say another largest timestamp than its records have.
    fn request(&mut self, count: u64, size: usize, now_ms: u64, said: Option<TimestampMs>) {
        let first = self.records;
        let values: Vec<u64> = (first..first + count)
            .map(|it| (self.index as u64) << 32 | it)
            .collect();
        let mut builder = BatchBuilder::new();
        if self.is_idempotent() {
            let base_sequence = i32::try_from(first).unwrap();
            builder = builder.producer(Producer {
                id: ProducerId(1_000 + self.index as i64),
                epoch: ProducerEpoch(0),
                base_sequence,
            });
        }
        for value in &values {
            let mut bytes = value.to_le_bytes().to_vec();
            bytes.resize(8 + size, 0x5a);
            let timestamp = TimestampMs(1_700_000_000_000 + i64::try_from(now_ms).unwrap());
            builder
                .push(NewRecord {
                    timestamp,
                    value: Some(&bytes),
                    ..NewRecord::default()
                })
                .unwrap();
        }
        self.records += count;
        self.requests += 1;
        let batch = BatchView::read(builder.build().unwrap()).unwrap();
        let batch = match said {
            Some(said) => batch.with_max_timestamp(said),
            None => batch,
        };
        self.window.push_back(Request {
            number: self.requests,
            values,
            batch: batch.into_bytes(),
            sent_at_ms: 0,
        });
    }
}

impl World {
    /// A client makes new requests and repeats those that were not answered.
    pub fn client(&mut self, index: usize) -> Check {
        let now_ms = self.now_ms;
        if !self.quiet() && self.clients[index].may_begin() {
            let (count, size) = (self.random.random_range(1..4), self.random.random_range(0..300));
            // As clients do that leave it unset, or set it before the last record is there.
            let said = [-1, 0, 1_600_000_000_000].map(TimestampMs);
            let said = self
                .chance(10)
                .then(|| said[self.random.random_range(0..said.len())]);
            if said.is_some() {
                self.saw(Happening::WrongTimestamp);
            }
            self.clients[index].request(count, size, now_ms, said);
        }
        let leader = self.group_row().leader;
        let known = self.nodes.iter().position(|node| Some(node.id) == leader);
        let guess = self.random.random_range(0..NODES);
        let node = known.filter(|_| !self.chance(5)).unwrap_or(guess);
        let client = &mut self.clients[index];
        let partition = client.partition;
        let mut due = Vec::new();
        for request in client
            .window
            .iter_mut()
            .filter(|it| it.sent_at_ms + TIMEOUT_MS < now_ms)
        {
            request.sent_at_ms = now_ms;
            due.push((request.number, Bytes::copy_from_slice(&request.batch)));
        }
        for (number, batch) in due {
            if !(self.faulty && self.chance(2)) {
                let ticket = Ticket {
                    client: index,
                    number,
                };
                self.after(
                    6,
                    Event::Produce {
                        node,
                        ticket,
                        batch,
                        partition,
                    },
                );
            }
        }
        self.after(30, Event::Client { client: index });
        Ok(())
    }

    /// A batch arrives at a broker.
    pub fn produce(&mut self, node: usize, ticket: Ticket, batch: Bytes, index: u32) -> Check {
        let (now_ms, time) = (self.nodes[node].now_ms(self.now_ms), self.wall(node));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let space = running.journal.space();
        if space.level >= Level::Delay {
            self.note(|| format!("{node} does not take {ticket:?} now: {space:?}"));
            self.reply(node, ticket, Err(None));
            return Ok(());
        }
        let settings = TopicSettings::default();
        let planted = self.plant.replica();
        let admitted = admit(&settings, batch, time, 0).map_err(|error| error.to_string())?;
        let (batch, _) = admitted.own(&settings, time, planted);
        let append = Append {
            partition: partition(index),
            tenant: TENANT,
            key: KeyId::NONE,
            owner_epoch: OwnerEpoch(0),
            batch,
            time,
            acks: self.clients[ticket.client].acks(),
            in_sync_min: 2,
            ticket,
        };
        let mut out = Vec::new();
        match running.replica.append(now_ms, append, &mut out) {
            Ok(decision) => {
                if self.clients[ticket.client].acks() != Acks::None {
                    running.waiters.push(ticket);
                }
                if let Decision::Repeat { .. } = decision {
                    self.saw(Happening::Repeat);
                }
            }
            Err(refused) => {
                self.note(|| format!("{node} refuses {ticket:?}: {refused}"));
                self.saw(Happening::RefusedBatch);
                self.reply(node, ticket, Err(None));
            }
        }
        self.carry_out(node, out)
    }

    /// A broker answers.
    pub fn reply(&mut self, _node: usize, ticket: Ticket, answer: Result<Offset, Option<Lost>>) {
        if ticket != Ticket::NONE && !(self.faulty && self.chance(3)) {
            self.after(6, Event::Answer { ticket, answer });
        }
    }

    /// A client is told.
    pub fn answer(&mut self, ticket: Ticket, answer: Result<Offset, Option<Lost>>) -> Check {
        let client = &mut self.clients[ticket.client];
        let Some(at) = client.window.iter().position(|it| it.number == ticket.number) else {
            return Ok(());
        };
        let Ok(base) = answer else {
            client.window[at].sent_at_ms = 0;
            return Ok(());
        };
        let Some(request) = client.window.remove(at) else {
            return Ok(());
        };
        let (partition, acks) = (client.partition, client.acks());
        if acks == Acks::All {
            for (value, offset) in request.values.iter().zip(base.0..) {
                self.check.acknowledge(partition, offset, *value);
            }
        }
        self.saw(match acks {
            Acks::All => Happening::AcknowledgedByAll,
            Acks::Leader | Acks::None => Happening::AcknowledgedByLeader,
        });
        self.note(|| format!("{ticket:?} is told {base}"));
        Ok(())
    }
}
