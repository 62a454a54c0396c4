//! SQL: statements in; messages, schemas and Arrow batches out.

use crate::client::Client;
use crate::error::Error;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{StreamDecoder, StreamReader};
use bytes::Bytes;
use futures::StreamExt;
use millstream_rpc::sql::{ExecuteRequest, ExecuteResponse, RowKind, execute_response::Event};
use std::collections::{BTreeMap, VecDeque};
use tonic::Streaming;

/// One piece of the answer to a script.
#[derive(Clone, Debug)]
pub enum SqlAnswer {
    /// A statement has begun.
    Started {
        /// Its number in the script, from 0.
        statement: u32,
        /// Its text.
        text: String,
    },
    /// A line for a person.
    Message {
        /// The line.
        text: String,
        /// The query that the statement started.
        query_id: Option<String>,
    },
    /// The columns of the rows that follow.
    Schema {
        /// The columns.
        schema: SchemaRef,
        /// Whether the rows are an endless stream of changes.
        changes: bool,
        /// A title, when the statement answers with several tables.
        title: String,
    },
    /// Some rows.
    Rows(RecordBatch),
    /// A session property was set or, with `None`, put back to its default.
    Property {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A statement has ended well.
    Finished {
        /// Rows sent.
        rows: u64,
        /// Why a push query ended, when not at its LIMIT.
        note: String,
        /// From where a cut push query can go on.
        resume_token: String,
        /// For a pull query of a table: a token of the commits that it saw; else empty. It is opaque, and has at most
        /// 4 KiB. With it in the property `pull.commit.min`, later pull queries of the virtual cluster, from any
        /// client, see at least these commits.
        commit_token: String,
    },
}

/// The answers to a script, in order. Dropping it ends a push query.
pub struct SqlStream {
    answers: Streaming<ExecuteResponse>,
    decoder: StreamDecoder,
    ready: VecDeque<SqlAnswer>,
}

impl Client {
    /// Runs a script of statements with session properties such as `auto.offset.reset`.
    ///
    /// # Errors
    /// When the service refuses the call; a statement's failure is an item of the stream.
    pub async fn sql(&self, text: &str, properties: &BTreeMap<String, String>) -> Result<SqlStream, Error> {
        let request = ExecuteRequest {
            text: text.to_owned(),
            properties: properties.clone().into_iter().collect(),
            validate_only: false,
        };
        let answers = self.sql_client().execute(request).await?.into_inner();
        Ok(SqlStream {
            answers,
            decoder: StreamDecoder::new(),
            ready: VecDeque::new(),
        })
    }

    /// Runs a script and gathers every row of its answers; for pull queries and listings.
    ///
    /// # Errors
    /// As [`Client::sql`], and the first statement that fails.
    pub async fn sql_rows(
        &self,
        text: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Vec<RecordBatch>, Error> {
        let mut answers = self.sql(text, properties).await?;
        let mut rows = Vec::new();
        while let Some(answer) = answers.next_answer().await? {
            if let SqlAnswer::Rows(batch) = answer {
                rows.push(batch);
            }
        }
        Ok(rows)
    }
}

impl SqlStream {
    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// The failure of a statement, or of the connection. Nothing follows it.
    pub async fn next_answer(&mut self) -> Result<Option<SqlAnswer>, Error> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Ok(Some(answer));
            }
            match self.answers.next().await {
                None => return Ok(None),
                Some(Err(status)) => return Err(status.into()),
                Some(Ok(response)) => self.take_in(response)?,
            }
        }
    }

    fn take_in(&mut self, response: ExecuteResponse) -> Result<(), Error> {
        let statement = response.statement;
        match response.event {
            None => {}
            Some(Event::Started(it)) => self.ready.push_back(SqlAnswer::Started {
                statement,
                text: it.text,
            }),
            Some(Event::Message(it)) => {
                let query_id = (!it.query_id.is_empty()).then_some(it.query_id);
                self.ready.push_back(SqlAnswer::Message {
                    text: it.text,
                    query_id,
                });
            }
            Some(Event::Schema(it)) => {
                let schema = StreamReader::try_new(it.ipc.as_ref(), None)
                    .map_err(|error| Error::Protocol(error.to_string()))?
                    .schema();
                self.decoder = StreamDecoder::new();
                // The decoder takes a message in when the next one begins, so it does not tell the schema yet.
                self.decode(it.ipc)?;
                let changes = it.kind == i32::from(RowKind::Changes);
                self.ready.push_back(SqlAnswer::Schema {
                    schema,
                    changes,
                    title: it.title,
                });
            }
            Some(Event::Rows(it)) => self.decode(it.ipc)?,
            Some(Event::Property(it)) => {
                self.ready.push_back(SqlAnswer::Property {
                    name: it.name,
                    value: it.value,
                });
            }
            Some(Event::Finished(it)) => self.ready.push_back(SqlAnswer::Finished {
                rows: it.rows,
                note: it.note,
                resume_token: it.resume_token,
                commit_token: it.commit_token,
            }),
            Some(Event::Failed(it)) => {
                return Err(Error::Sql {
                    code: it.code,
                    message: it.message,
                    line: it.line,
                    column: it.column,
                    excerpt: it.excerpt,
                    retriable: it.retriable,
                });
            }
        }
        Ok(())
    }

    fn decode(&mut self, ipc: Bytes) -> Result<(), Error> {
        let mut buffer = Buffer::from(ipc);
        while !buffer.is_empty() {
            let decoded = self.decoder.decode(&mut buffer);
            if let Some(batch) = decoded.map_err(|error| Error::Protocol(error.to_string()))? {
                self.ready.push_back(SqlAnswer::Rows(batch));
            }
        }
        Ok(())
    }
}
