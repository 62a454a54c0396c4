//! Who calls, from the headers alone.

use crate::gate::refusal::Refusal;
use crate::gate::{Access, Answers, Rule, Shared};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use millstream_access::caller::node;
use millstream_access::{AuthError, NotANode, Principal, caller};
use millstream_model::TimestampMs;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Who was let in.
pub(crate) enum Caller {
    /// Somebody with a key, or the service itself.
    Known(Principal),
    /// Another node.
    Node,
    /// Nobody in particular.
    Stranger {
        /// One of a few for streams, given back in the end.
        _place: Option<OwnedSemaphorePermit>,
    },
}

impl Shared {
    pub(crate) fn caller(&self, headers: &HeaderMap, rule: &Rule) -> Result<Caller, Refusal> {
        match rule.access {
            Access::Key => self.known(headers).map(Caller::Known),
            Access::Service => match self.known(headers)? {
                who if who.is_service() => Ok(Caller::Known(who)),
                _ => Err(Refusal::NotTheService),
            },
            Access::Node => self.node(headers),
            Access::Anybody if headers.contains_key(AUTHORIZATION) => match self.known(headers) {
                Ok(who) => Ok(Caller::Known(who)),
                Err(_) => self.stranger(rule.answers),
            },
            Access::Anybody => self.stranger(rule.answers),
        }
    }

    fn known(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let found = caller(
            &self.parts.image.image(),
            &self.parts.roots,
            None,
            header,
            TimestampMs::now(),
        );
        found.map_err(|error| match error {
            AuthError::Missing => Refusal::NoCredentials,
            error => {
                tracing::info!(%error, "a gRPC caller was refused");
                Refusal::Unauthenticated
            }
        })
    }

    fn node(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match node(&self.parts.roots, header) {
            Ok(()) => Ok(Caller::Node),
            Err(NotANode::Another) => Err(Refusal::NotANode),
            Err(NotANode::Missing) => Err(Refusal::NoClusterKey),
        }
    }

    /// Streams of strangers are few; whether the server is well can always be asked.
    fn stranger(&self, answers: Answers) -> Result<Caller, Refusal> {
        let _place = match answers {
            Answers::Message => None,
            Answers::Stream => {
                let place = Arc::clone(&self.strangers).try_acquire_owned();
                Some(place.map_err(|_| Refusal::TooManyStrangers)?)
            }
        };
        Ok(Caller::Stranger { _place })
    }
}
