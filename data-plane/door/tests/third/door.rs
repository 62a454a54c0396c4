//! The door: a line in, a line out. All but the words of its lines is the kit's.

use crate::error::code;
use bytes::Bytes;
use millstream_access::topics::{Named, find, partition};
use millstream_broker::Broker;
use millstream_broker::interface::{Acks, FetchPartition, Isolation, Produce};
use millstream_door::fetch::{Reading, read};
use millstream_door::leadership::leader;
use millstream_door::quotas::fetch_patience;
use millstream_door::{Action, Login, LoginError, Logins, Owner, Places, Quotas, Refused, Rooms, produce};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_metadata::{Image, TopicRow};
use millstream_model::{Kind, Offset, OwnerEpoch, PartitionId, Problem, Retry, TimestampMs};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_millis(50);

pub struct Door {
    pub broker: Broker,
    pub logins: Logins,
    pub quotas: Quotas,
    pub rooms: Rooms,
    pub places: Places,
    pub stop: CancellationToken,
}

impl Door {
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let end = self.stop.child_token();
        end.run_until_cancelled(self.lines(stream, peer, &end)).await;
    }

    async fn lines(&self, mut stream: TcpStream, peer: SocketAddr, end: &CancellationToken) -> Option<()> {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        let place = self.places.enter(peer.ip()).ok()?;
        let mut login: Option<Login> = None;
        while let Some(line) = lines.next_line().await.ok()? {
            let owner = match &login {
                Some(login) => Owner::Tenant(login.who().tenant),
                None => Owner::Address(peer.ip()),
            };
            let mut share = self.rooms.connection(owner).begin();
            share.take(line.len()).await.ok()?;
            share.complete();
            let answered = match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["LOGIN", key, secret] => match self.logins.login(key, secret, end).await {
                    Ok(let_in) => {
                        place.known(let_in.who().organisation).ok()?;
                        login = Some(let_in);
                        Ok(String::new())
                    }
                    Err(LoginError::Unknown(error)) => Err(error.problem()),
                    Err(LoginError::Full(error)) => Err(error.problem()),
                },
                words => match &login {
                    None => Err(problem(Kind::Unauthenticated, "LOGIN comes first")),
                    Some(login) => {
                        let turn = self.rooms.turns().of(owner);
                        turn.run(self.answer(login, words)).await
                    }
                },
            };
            let answer = match answered {
                Ok(text) => format!("OK {text}\n"),
                Err(problem) => format!("ERR {} {}\n", code(problem.kind), problem.text),
            };
            writer.write_all(answer.as_bytes()).await.ok()?;
        }
        Some(())
    }

    async fn answer(&self, login: &Login, words: &[&str]) -> Result<String, Problem> {
        let image = self.broker.image();
        match words {
            ["PRODUCE", topic, index, text] => {
                let (_, partition) = self.begin(login, Action::Produce, &image, topic, index).await?;
                self.produce(login, partition, text).await
            }
            ["FETCH", topic, index, offset] => {
                let (_, partition) = self.begin(login, Action::Fetch, &image, topic, index).await?;
                self.fetch(login, partition, number(offset)?).await
            }
            ["LEADER", topic, index] => {
                let (topic, partition) = self.begin(login, Action::Watch, &image, topic, index).await?;
                let known = leader(&image, topic, partition.index);
                let (node, _) = known.ok_or_else(|| problem(Kind::NotLeader, "nobody leads"))?;
                Ok(node.id.0.to_string())
            }
            _ => Err(problem(Kind::InvalidRequest, "no such line")),
        }
    }

    /// What comes before every call: may it, how fast, of what.
    async fn begin<'a>(
        &self,
        login: &Login,
        action: Action,
        image: &'a Image,
        topic: &str,
        index: &str,
    ) -> Result<(&'a TopicRow, PartitionId), Problem> {
        action.permit(login.who()).map_err(|error| error.problem())?;
        let begun = self
            .quotas
            .begin_action(action, login.who(), Instant::now() + PATIENCE);
        begun.await.map_err(|error| error.problem())?;
        let topic = find(image, login.who(), Named::Name(topic)).map_err(|error| error.problem())?;
        let partition = partition(topic, number(index)?).map_err(|error| error.problem())?;
        Ok((topic, partition))
    }

    async fn produce(&self, login: &Login, partition: PartitionId, text: &str) -> Result<String, Problem> {
        let batch = batch(text);
        let until = Instant::now() + PATIENCE;
        let paid = self
            .quotas
            .begin_produce(login.who(), batch.len() as u64, until)
            .await;
        paid.map_err(|error| error.problem())?;
        let asked = vec![Ok(Produce {
            partition,
            batch,
            owner_epoch: OwnerEpoch(0),
            acks: Acks::All,
            timeout: Duration::from_secs(10),
        })];
        let begun = produce::begin(&self.broker, login.who(), asked, |error| error.problem());
        let pending = begun.into_iter().next().unwrap()?;
        let produced = pending.await.map_err(|error| error.problem())?;
        Ok(produced.base_offset.0.to_string())
    }

    async fn fetch(&self, login: &Login, partition: PartitionId, offset: i64) -> Result<String, Problem> {
        let until = fetch_patience(Instant::now(), Duration::ZERO, PATIENCE);
        let allowance = self.quotas.begin_fetch(login.who(), until).await;
        let reading = Reading {
            partitions: vec![Ok::<_, Problem>(FetchPartition {
                partition,
                offset: Offset(offset),
                leader_epoch: None,
                bytes_max: 1 << 20,
            })],
            bytes_min: 0,
            bytes_max: 1 << 20,
            wait_max: Duration::ZERO,
            isolation: Isolation::ReadUncommitted,
        };
        let stop = Some(&self.stop);
        let read = read(&self.broker, &self.quotas, login.who(), allowance, reading, stop).await;
        let fetched = read.partitions.into_iter().next().unwrap()?;
        match fetched.error {
            Some(error) => Err(error.problem()),
            None => Ok((fetched.high_watermark.0 - offset).to_string()),
        }
    }
}

fn problem(kind: Kind, text: &str) -> Problem {
    Problem {
        kind,
        retry: Retry::Never,
        text: text.to_owned(),
    }
}

fn number(text: &str) -> Result<i64, Problem> {
    text.parse()
        .map_err(|_| problem(Kind::InvalidRequest, "no number"))
}

fn batch(text: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    let record = NewRecord {
        timestamp: TimestampMs::now(),
        key: None,
        value: Some(text.as_bytes()),
        headers: &[],
    };
    builder.push(record).unwrap();
    builder.build().unwrap()
}
