//! What holds for which method: who may call it, and how much they may send.

use millstream_model::limits::{
    GRPC_MESSAGE_BYTES_MAX, GRPC_REQUEST_BYTES_MAX, GRPC_SQL_REQUEST_BYTES_MAX, HEALTH_REQUEST_BYTES_MAX,
    REFLECTION_REQUEST_BYTES_MAX, TENANT_SQL_BYTES_MAX,
};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; few streams at once.
    Anybody,
    /// Who has a key.
    Key,
    /// The service itself, at work for a tenant.
    Service,
    /// Another node of the cluster.
    Node,
}

/// What a caller sends, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One message.
    Message {
        /// At most.
        bytes_max: usize,
    },
    /// Messages, for as long as the caller likes.
    Stream {
        /// All of them together.
        bytes_max: usize,
    },
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// One message.
    Message,
    /// Messages, for as long as the caller listens.
    Stream,
}

/// The rule of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who is let in.
    pub access: Access,
    /// What is read.
    pub request: Asked,
    /// What is answered.
    pub answers: Answers,
    /// Whether the gate counts it against the quota of requests; the data service knows better what may wait for what.
    pub counted: bool,
}

const USUAL: Rule = Rule {
    access: Access::Key,
    request: Asked::Message {
        bytes_max: GRPC_REQUEST_BYTES_MAX,
    },
    answers: Answers::Message,
    counted: true,
};

/// The service that counts its calls itself.
const COUNTS_ITSELF: &str = "/millstream.data.v1.Data/";

const fn up_to(bytes_max: usize) -> Asked {
    Asked::Message { bytes_max }
}

const REFLECTION: Rule = Rule {
    access: Access::Anybody,
    request: Asked::Stream {
        bytes_max: REFLECTION_REQUEST_BYTES_MAX,
    },
    answers: Answers::Stream,
    counted: false,
};

/// Every method that is not as usual: one message of at most 1 MiB by somebody with a key, one answer.
const UNUSUAL: &[(&str, Rule)] = &[
    (
        "/millstream.data.v1.Data/Produce",
        Rule {
            request: up_to(GRPC_MESSAGE_BYTES_MAX),
            ..USUAL
        },
    ),
    (
        "/millstream.data.v1.Data/Watch",
        Rule {
            answers: Answers::Stream,
            ..USUAL
        },
    ),
    (
        "/millstream.sql.v1.Sql/Execute",
        Rule {
            request: up_to(GRPC_SQL_REQUEST_BYTES_MAX),
            answers: Answers::Stream,
            ..USUAL
        },
    ),
    (
        "/millstream.control.v1.SqlCatalog/WriteSqlRows",
        Rule {
            access: Access::Service,
            request: up_to(TENANT_SQL_BYTES_MAX),
            ..USUAL
        },
    ),
    (
        "/millstream.control.v1.SqlCatalog/ListSqlRows",
        Rule {
            access: Access::Service,
            ..USUAL
        },
    ),
    (
        "/millstream.control.v1.Cluster/WatchCatalog",
        Rule {
            access: Access::Node,
            answers: Answers::Stream,
            ..USUAL
        },
    ),
    (
        "/grpc.health.v1.Health/Check",
        Rule {
            access: Access::Anybody,
            request: up_to(HEALTH_REQUEST_BYTES_MAX),
            counted: false,
            ..USUAL
        },
    ),
    (
        "/grpc.health.v1.Health/Watch",
        Rule {
            access: Access::Anybody,
            request: up_to(HEALTH_REQUEST_BYTES_MAX),
            answers: Answers::Stream,
            counted: false,
        },
    ),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        REFLECTION,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        REFLECTION,
    ),
];

/// The rule of the method at this path. What is not known is as usual: it needs a key before it is told so.
pub fn rule_of(path: &str) -> Rule {
    let unusual = UNUSUAL.iter().find(|(name, _)| *name == path);
    let rule = unusual.map_or(USUAL, |(_, rule)| *rule);
    Rule {
        counted: rule.counted && !path.starts_with(COUNTS_ITSELF),
        ..rule
    }
}
