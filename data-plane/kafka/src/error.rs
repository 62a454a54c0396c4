//! Kafka's error codes of what a handler comes to: the kit's one table, and codes that only Kafka's protocol has.

use millstream_access::Unfound;
use millstream_broker::interface::groups::GroupError;
use millstream_broker::interface::{FetchError, InitProducerError, OffsetError, ProduceError};
use millstream_door::{Denied, Owes, Refused, kafka_code};
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::Refusal;

/// An error that has a code in Kafka.
pub(crate) trait Code {
    /// Its code.
    fn code(&self) -> ErrorCode;
}

impl Code for ErrorCode {
    fn code(&self) -> ErrorCode {
        *self
    }
}

impl<T, E: Code> Code for Result<T, E> {
    fn code(&self) -> ErrorCode {
        self.as_ref().map_or_else(Code::code, |_| ErrorCode::None)
    }
}

impl<E: Code> Code for Option<E> {
    fn code(&self) -> ErrorCode {
        self.as_ref().map_or(ErrorCode::None, Code::code)
    }
}

macro_rules! by_kind {
    ($($error:ty),*) => {
        $(impl Code for $error {
            fn code(&self) -> ErrorCode {
                kafka_code(self.kind())
            }
        })*
    };
}

by_kind!(
    ProduceError,
    FetchError,
    OffsetError,
    InitProducerError,
    GroupError,
    Refusal,
    Unfound,
    Denied,
    Owes
);
