//! Who calls, from the headers alone.

use crate::gate::refusal::Refusal;
use crate::gate::{Access, Answers, Rule, Shared};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use millstream_access::{AuthError, Principal, authenticate_header};
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
        let header = headers.get(AUTHORIZATION).ok_or(Refusal::NoCredentials)?;
        let header = header.to_str().map_err(|_| AuthError::Malformed);
        let found = header.and_then(|header| {
            authenticate_header(
                &self.parts.image.image(),
                &self.parts.roots,
                header,
                TimestampMs::now(),
            )
        });
        found.map_err(|error| {
            tracing::info!(%error, "a gRPC caller was refused");
            Refusal::Unauthenticated
        })
    }

    fn node(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let key = header.and_then(|header| header.split_once(' '));
        match key {
            Some((_, key)) if self.parts.roots.is_cluster_key(key.trim()) => Ok(Caller::Node),
            Some(_) => Err(Refusal::NotANode),
            None => Err(Refusal::NoClusterKey),
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
