//! A record as it is sent and as it comes back.

use bytes::Bytes;

/// A header: a name and a value; names may repeat and keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// A record to be produced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key; records of one key go to one partition, in order.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Milliseconds since 1970; now when absent.
    pub timestamp_ms: Option<i64>,
    /// The partition; chosen by the key, or spread when there is none.
    pub partition: Option<u32>,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl Record {
    /// An empty record: null key, null value.
    pub fn new() -> Record {
        Record::default()
    }

    /// Sets the key.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Record {
        self.key = Some(Bytes::copy_from_slice(key.as_ref()));
        self
    }

    /// Sets the value.
    pub fn value(mut self, value: impl AsRef<[u8]>) -> Record {
        self.value = Some(Bytes::copy_from_slice(value.as_ref()));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Record {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Chooses the partition.
    pub fn partition(mut self, partition: u32) -> Record {
        self.partition = Some(partition);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Record {
        self.headers.push(Header {
            name: name.into(),
            value: Some(Bytes::copy_from_slice(value.as_ref())),
        });
        self
    }

    /// About how many bytes it takes in a batch.
    pub(crate) fn bytes(&self) -> usize {
        let part = |it: &Option<Bytes>| it.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|it| it.name.len() + part(&it.value) + 8)
            .sum();
        part(&self.key) + part(&self.value) + headers + 24
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: i64,
    /// Milliseconds since 1970; -1 when it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<Header>,
}
