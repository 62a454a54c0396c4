//! The gRPC door: `millstream.sql.v1.Sql` over the server.

use crate::answer::{Answer, Caller, Request, RowsKind, StatementError, StatementErrorKind};
use crate::server::Server;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_model::{Fault, Retry, limits};
use millstream_rpc::sql as wire;
use millstream_rpc::sql::execute_response::Event;
use millstream_rpc::sql::sql_server::{Sql, SqlServer};
use std::sync::Arc;
use tonic::{Code, Extensions, Response, Status};

/// Finds the caller in what a layer below has put into the request: the server knows no keys.
pub type CallerOf = Arc<dyn Fn(&Extensions) -> Option<Caller> + Send + Sync>;

/// The service.
#[derive(Clone)]
pub struct SqlDoor {
    server: Server,
    caller_of: CallerOf,
}

impl SqlDoor {
    /// The tonic service, to be added to a router behind the layer that authenticates.
    pub fn service(server: Server, caller_of: CallerOf) -> SqlServer<SqlDoor> {
        SqlServer::new(SqlDoor { server, caller_of })
            .max_decoding_message_size(2 * limits::SQL_TEXT_BYTES_MAX)
            .max_encoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
    }
}

type Responses = BoxStream<'static, Result<wire::ExecuteResponse, Status>>;

#[tonic::async_trait]
impl Sql for SqlDoor {
    type ExecuteStream = Responses;

    async fn execute(
        &self,
        request: tonic::Request<wire::ExecuteRequest>,
    ) -> Result<Response<Responses>, Status> {
        let caller = (self.caller_of)(request.extensions());
        let caller = caller.ok_or_else(|| Status::unauthenticated("an API key is needed"))?;
        let request = request.into_inner();
        if request.text.len() > limits::SQL_TEXT_BYTES_MAX {
            let message = format!(
                "the script has {} bytes, at most {} are allowed",
                request.text.len(),
                limits::SQL_TEXT_BYTES_MAX
            );
            return Err(Status::invalid_argument(message));
        }
        let request = Request {
            text: request.text,
            properties: request.properties.into_iter().collect(),
            validate_only: request.validate_only,
            access: caller.access,
        };
        let answers = self
            .server
            .execute(caller.tenant, request)
            .await
            .map_err(|error| status(&error))?;
        let mut ipc = Ipc::default();
        let responses = answers.flat_map(move |(statement, answer)| {
            let mut out = Vec::new();
            match answer {
                Ok(answer) => match event(answer, &mut ipc) {
                    Ok(events) => out.extend(events.into_iter().map(|event| Ok(response(statement, event)))),
                    Err(error) => out.push(Err(Status::internal(error.to_string()))),
                },
                Err(error) => {
                    out.push(Ok(response(statement, Event::Failed(failed(&error)))));
                    out.push(Err(status(&error)));
                }
            }
            futures::stream::iter(out)
        });
        Ok(Response::new(responses.boxed()))
    }
}

fn response(statement: u32, event: Event) -> wire::ExecuteResponse {
    wire::ExecuteResponse {
        statement,
        event: Some(event),
    }
}

fn event(answer: Answer, ipc: &mut Ipc) -> Result<Vec<Event>, ArrowError> {
    Ok(vec![match answer {
        Answer::Started { text } => Event::Started(wire::Started { text }),
        Answer::Message { text, version, query } => Event::Message(wire::Message {
            text,
            version,
            query_id: query.unwrap_or_default(),
        }),
        Answer::Schema { schema, kind, title } => {
            let kind = match kind {
                RowsKind::Table => wire::RowKind::Table,
                RowsKind::Changes => wire::RowKind::Changes,
            };
            let ipc = ipc.schema(&schema)?.into();
            Event::Schema(wire::Schema {
                ipc,
                kind: kind.into(),
                title,
            })
        }
        Answer::Rows { rows } => {
            let parts = ipc.rows(&rows)?.into_iter();
            return Ok(parts
                .map(|ipc| Event::Rows(wire::Rows { ipc: ipc.into() }))
                .collect());
        }
        Answer::Property { name, value } => Event::Property(wire::PropertyChange { name, value }),
        Answer::Finished {
            rows,
            note,
            resume,
            commit,
        } => Event::Finished(wire::Finished {
            rows,
            note,
            resume_token: resume.unwrap_or_default(),
            commit_token: commit.unwrap_or_default(),
        }),
    }])
}

fn failed(error: &StatementError) -> wire::Failed {
    wire::Failed {
        code: error.kind.code().to_owned(),
        message: error.message.clone(),
        line: error.line.unwrap_or(0),
        column: error.column.unwrap_or(0),
        excerpt: error.excerpt.clone(),
        retriable: error.fault().1 != Retry::Never,
    }
}

/// The one map from statement errors to gRPC.
fn status(error: &StatementError) -> Status {
    let code = match error.kind {
        StatementErrorKind::Syntax | StatementErrorKind::Invalid => Code::InvalidArgument,
        StatementErrorKind::Unsupported => Code::Unimplemented,
        StatementErrorKind::Limit => Code::ResourceExhausted,
        StatementErrorKind::NotFound => Code::NotFound,
        StatementErrorKind::Refused => Code::PermissionDenied,
        StatementErrorKind::Unavailable => Code::Unavailable,
        StatementErrorKind::Internal => Code::Internal,
    };
    if error.fault().0 == Fault::Us {
        tracing::error!("a statement failed through a fault of ours: {error}");
    }
    Status::new(code, error.message.clone())
}

/// The IPC stream of the last schema: a header, then one message per batch.
#[derive(Default)]
struct Ipc {
    writer: Option<StreamWriter<Vec<u8>>>,
}

impl Ipc {
    fn schema(&mut self, schema: &SchemaRef) -> Result<Vec<u8>, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
        let header = std::mem::take(writer.get_mut());
        self.writer = Some(writer);
        Ok(header)
    }

    /// Messages of at most about a quarter of what gRPC carries.
    fn rows(&mut self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>, ArrowError> {
        let Some(writer) = &mut self.writer else {
            return Err(ArrowError::IpcError("rows came before their schema".to_owned()));
        };
        let part_bytes = limits::GRPC_MESSAGE_BYTES_MAX / 4;
        let parts = rows
            .get_array_memory_size()
            .div_ceil(part_bytes)
            .clamp(1, rows.num_rows().max(1));
        let length = rows.num_rows().div_ceil(parts).max(1);
        let mut messages = Vec::with_capacity(parts);
        for from in (0..rows.num_rows()).step_by(length) {
            writer.write(&rows.slice(from, length.min(rows.num_rows() - from)))?;
            messages.push(std::mem::take(writer.get_mut()));
        }
        Ok(messages)
    }
}
