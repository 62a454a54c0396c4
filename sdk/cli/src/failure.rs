//! A failure as the person at the terminal sees it: one line that says what to do.

use millstream_rust::Error;

/// What is printed to standard error before the process ends with 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// From a sentence.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let advice = match &error {
            Error::Unavailable(_) | Error::Timeout(_) => {
                "; is the service running, and is --address (or the profile's address) right?"
            }
            Error::PermissionDenied(_) => "; use a key with a stronger role",
            _ => "",
        };
        Failure(format!("{error}{advice}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure(error.to_string())
    }
}
