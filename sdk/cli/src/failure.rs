//! A failure as the person at the terminal sees it: one line that says what to do.

use millstream_rust::Error;
use std::io::ErrorKind;

/// What is printed to standard error before the process ends.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// The service could not be reached: then its address belongs into the line.
    Unreachable,
    /// Ctrl-C: the person knows.
    Interrupted,
    /// Whoever read the output has enough, such as `head`.
    NoReader,
}

/// What a shell reports of a process that Ctrl-C ended: 128 and the signal's number.
const EXIT_INTERRUPTED: u8 = 130;

impl Failure {
    /// From a sentence.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure {
            text: text.into(),
            kind: Kind::Plain,
        }
    }

    /// Ended by Ctrl-C.
    pub(crate) fn interrupted() -> Failure {
        Failure {
            text: "interrupted".into(),
            kind: Kind::Interrupted,
        }
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the process ends with, and whether anything is said.
    pub fn exit(&self) -> (u8, bool) {
        match self.kind {
            Kind::Plain | Kind::Unreachable => (1, true),
            Kind::Interrupted => (EXIT_INTERRUPTED, false),
            Kind::NoReader => (0, false),
        }
    }

    /// Says where the service was looked for, if that is the matter.
    pub(crate) fn at(self, address: &str) -> Failure {
        match self.kind {
            // What `openssl req -x509` makes unless told otherwise.
            Kind::Unreachable if self.text.contains("CaUsedAsEndEntity") => Failure::new(format!(
                "{address} shows the certificate of an authority (CA:TRUE), which only signs others: give it one of its own \
                 (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE)"
            )),
            Kind::Unreachable if self.text.contains("peer certificate") => Failure::new(format!(
                "{}; who signed the certificate of {address} is named with --ca-certificate (or in the profile)",
                self.text
            )),
            Kind::Unreachable => {
                let tls = match address.starts_with("https:") {
                    true => "",
                    false => ", beginning with https:// if it has TLS",
                };
                Failure::new(format!(
                    "{}; is the service running at {address}, and is --address (or the profile's address) right{tls}?",
                    self.text
                ))
            }
            Kind::Plain | Kind::Interrupted | Kind::NoReader => self,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Unreachable(_) | Error::Timeout(_) => Kind::Unreachable,
            _ => Kind::Plain,
        };
        let advice = match &error {
            Error::PermissionDenied(_) => "; use a key with a stronger role",
            _ => "",
        };
        Failure {
            text: format!("{error}{advice}"),
            kind,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::BrokenPipe => Kind::NoReader,
            _ => Kind::Plain,
        };
        Failure {
            text: error.to_string(),
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Kind};
    use millstream_rust::Error;

    /// Who was answered knows that the service runs, and where.
    #[test]
    fn where_it_was_looked_for_is_said_only_when_nobody_answered() {
        let text = |error: Error| Failure::from(error).at("127.0.0.1:1").text().to_owned();
        let unreachable = text(Error::Unreachable("connection refused".into()));
        assert!(
            unreachable.contains("is the service running at 127.0.0.1:1"),
            "{unreachable}"
        );
        let unavailable = text(Error::Unavailable("this node is not the controller".into()));
        let answer = "the service is not available: this node is not the controller";
        assert_eq!(unavailable, answer);
    }

    /// `--ca-certificate` was given: saying so again helps nobody.
    #[test]
    fn an_authority_shown_as_a_server_is_named_as_what_it_is() {
        let refused = |why: &str| Failure {
            text: format!("invalid peer certificate: {why}"),
            kind: Kind::Unreachable,
        };
        let told = refused("Other(OtherError(CaUsedAsEndEntity))").at("https://h:1");
        assert!(told.text().contains("CA:FALSE") && !told.text().contains("--ca-certificate"));
        let told = refused("UnknownIssuer").at("https://h:1");
        assert!(told.text().contains("--ca-certificate"));
    }
}
