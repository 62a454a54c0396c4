//! Why a call to the object store failed: the one place that tells it from the client's errors.

use std::error::Error as StdError;
use std::io::ErrorKind;

/// What is wrong, as far as an operator can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The object is not there, or is there already, or has changed: an answer, not a fault of the store.
    Answered,
    /// There is no such bucket.
    NoBucket,
    /// No credentials were found.
    NoCredentials,
    /// The store knows who asks, or does not, and refuses.
    Refused,
    /// There is no room left.
    Full,
    /// Anything else: it is down, slow, or in trouble of its own.
    Failing,
}

/// Codes of S3 and its like that say more than the HTTP status does.
const CODES: [(&str, Fault); 11] = [
    ("NoSuchBucket", Fault::NoBucket),
    ("AccessDenied", Fault::Refused),
    ("AllAccessDisabled", Fault::Refused),
    ("AccountProblem", Fault::Refused),
    ("ExpiredToken", Fault::Refused),
    ("InvalidAccessKeyId", Fault::Refused),
    ("InvalidToken", Fault::Refused),
    ("SignatureDoesNotMatch", Fault::Refused),
    ("QuotaExceeded", Fault::Full),
    ("XMinioAdminBucketQuotaExceeded", Fault::Full),
    ("XMinioStorageFull", Fault::Full),
];

/// Where credentials are asked for when none are set: a failure there says nothing of the store.
const CREDENTIAL_PLACES: [&str; 4] = [
    "/latest/api/token",
    "/latest/meta-data/iam",
    "AssumeRoleWithWebIdentity",
    "/v2/credentials",
];

impl Fault {
    /// Of a failed call.
    pub fn of(error: &object_store::Error) -> Fault {
        use object_store::Error;
        let text = chain(error);
        if let Some(code) = code(&text)
            && let Some((_, fault)) = CODES.iter().find(|(known, _)| *known == code)
        {
            return *fault;
        }
        if is_full(error) {
            return Fault::Full;
        }
        match error {
            Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. } => Fault::Answered,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Fault::Refused,
            _ if CREDENTIAL_PLACES.iter().any(|place| text.contains(place)) => Fault::NoCredentials,
            _ => Fault::Failing,
        }
    }

    /// A word for codes and labels.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Answered => "answered",
            Fault::NoBucket => "no_bucket",
            Fault::NoCredentials => "no_credentials",
            Fault::Refused => "refused",
            Fault::Full => "full",
            Fault::Failing => "failing",
        }
    }

    /// Whether it can be over in a moment without anybody doing something about it here.
    pub fn may_pass(self) -> bool {
        match self {
            Fault::Failing | Fault::Full | Fault::NoCredentials => true,
            Fault::Answered | Fault::NoBucket | Fault::Refused => false,
        }
    }

    /// What an operator can do about it, for the end of a line.
    pub fn advice(self) -> &'static str {
        match self {
            Fault::Answered => "is --store right?",
            Fault::NoBucket => "the bucket does not exist: make it, or correct --store",
            Fault::NoCredentials => {
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run it where the machine has a role \
                 (its metadata service gave none)"
            }
            Fault::Refused => {
                "the store refuses permission to these credentials: they need to read, write, list and delete there"
            }
            Fault::Full => "the store has no room left",
            Fault::Failing => "is it up, and is --store right?",
        }
    }
}

/// One line of a failed call: what was to be done where, the store's own code, and what to do about it. `store` is as the
/// store shows itself, which names the bucket or the folder.
pub fn explain(operation: &str, path: &str, store: &str, error: &object_store::Error) -> String {
    let said = match code(&chain(error)) {
        Some(code) => format!(" ({code})"),
        None => match error {
            object_store::Error::PermissionDenied { .. } => " (403)".to_owned(),
            object_store::Error::Unauthenticated { .. } => " (401)".to_owned(),
            _ => String::new(),
        },
    };
    format!(
        "cannot {operation} {path} in the object store {store}{said}: {}",
        Fault::of(error).advice()
    )
}

/// The code in the XML that S3 and its like answer.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = !code.is_empty() && code.len() <= 64 && code.bytes().all(|it| it.is_ascii_alphanumeric());
    is_word.then_some(code)
}

/// An error's text with those of its causes.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push('\n');
        text.push_str(&cause.to_string());
    }
    text
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| {
        (*cause).source()
    })
}

fn is_full(error: &object_store::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::{Fault, explain};
    use object_store::Error;
    use std::io;

    fn generic(text: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    fn answered(code: &str) -> Box<dyn std::error::Error + Send + Sync> {
        format!("Server returned non-2xx status code: 4xx: <Error><Code>{code}</Code></Error>").into()
    }

    #[test]
    fn a_fault_is_told_from_what_the_store_said() {
        let path = || "cluster.json".to_owned();
        let table = [
            (
                Error::NotFound {
                    path: path(),
                    source: answered("NoSuchKey"),
                },
                Fault::Answered,
            ),
            (
                Error::NotFound {
                    path: path(),
                    source: answered("NoSuchBucket"),
                },
                Fault::NoBucket,
            ),
            (
                Error::PermissionDenied {
                    path: path(),
                    source: "nothing more".into(),
                },
                Fault::Refused,
            ),
            (
                generic(&answered("InvalidAccessKeyId").to_string()),
                Fault::Refused,
            ),
            (
                generic("Error performing PUT http://169.254.169.254/latest/api/token in 2s"),
                Fault::NoCredentials,
            ),
            (generic(&answered("XMinioStorageFull").to_string()), Fault::Full),
            (
                Error::Generic {
                    store: "LocalFileSystem",
                    source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
                },
                Fault::Full,
            ),
            (generic("connection refused"), Fault::Failing),
            (generic(&answered("SlowDown").to_string()), Fault::Failing),
        ];
        for (error, fault) in table {
            assert_eq!(Fault::of(&error), fault, "{error}");
        }
    }

    #[test]
    fn a_line_names_operation_place_code_and_what_to_do() {
        let error = Error::PermissionDenied {
            path: "one/cluster.json".into(),
            source: answered("AccessDenied"),
        };
        let line = explain("read", "one/cluster.json", "AmazonS3(kept)", &error);
        for part in [
            "read",
            "one/cluster.json",
            "kept",
            "AccessDenied",
            "refuses permission",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains("is it up"), "{line}");
        let down = explain(
            "read",
            "cluster.json",
            "AmazonS3(kept)",
            &generic("connection refused"),
        );
        assert!(down.contains("is it up"), "{down}");
    }
}
