//! A failure as the person at the terminal sees it: one line that says what to do.

use millstream_rust::Error;

/// What is printed to standard error before the process ends with 1.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    text: String,
    /// Whether the service could not be reached: then its address belongs into the line.
    unreachable: bool,
}

impl Failure {
    /// From a sentence.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure {
            text: text.into(),
            unreachable: false,
        }
    }

    /// The sentence.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says where the service was looked for, if that is the matter.
    pub(crate) fn at(self, address: &str) -> Failure {
        match self.unreachable {
            true => Failure::new(format!(
                "{}; is the service running at {address}, and is --address (or the profile's address) right?",
                self.text
            )),
            false => self,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let unreachable = matches!(error, Error::Unavailable(_) | Error::Timeout(_));
        let advice = match &error {
            Error::PermissionDenied(_) => "; use a key with a stronger role",
            _ => "",
        };
        Failure {
            text: format!("{error}{advice}"),
            unreachable,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(error.to_string())
    }
}
