//! PEM files, read strictly: what is not understood is refused with its line, not passed over.
//!
//! Text between sections is legal (RFC 7468; tools put a certificate's subject there). A section that is cut, misspelt or
//! not base64 is not, nor is a body that has lost its boundary: it would be a certificate that is silently missing.

use rustls::pki_types::pem::{PemObject, SectionKind};

/// What is wrong with a PEM file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Bytes that no text has.
    #[error("it is not text: is it DER, which has to be converted to PEM?")]
    Binary,
    /// A line between sections that belongs into one.
    #[error("line {line} is outside of any section and no comment: has a boundary been lost?")]
    Stray {
        /// The line, from 1.
        line: usize,
    },
    /// A section of a kind that does not belong there.
    #[error("line {line} begins a section '{label}', which means nothing here")]
    Label {
        /// The line, from 1.
        line: usize,
        /// What the boundary says.
        label: String,
    },
    /// A key behind a password, which nobody could type here.
    #[error("line {line} begins an encrypted key; decrypt it: openssl pkey -in KEY -out PLAIN")]
    Encrypted {
        /// The line, from 1.
        line: usize,
    },
    /// A section without its end, or with another's.
    #[error("the section that begins at line {line} does not end")]
    Unended {
        /// The line, from 1.
        line: usize,
    },
    /// A section that does not decode.
    #[error("the section that begins at line {line} is not base64")]
    Body {
        /// The line, from 1.
        line: usize,
    },
}

/// A section of a file.
#[derive(Debug)]
pub(crate) struct Section {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    pub(crate) kind: SectionKind,
    pub(crate) der: Vec<u8>,
}

/// Sections that may lie beside a certificate or a key and say nothing to us.
const IGNORED: [&str; 2] = ["EC PARAMETERS", "DH PARAMETERS"];

/// A line of letters as long as this, without a blank, is a section's body.
const BODY_LETTERS_MIN: usize = 40;

/// All sections of a PEM file.
///
/// # Errors
/// For the first line that is not understood.
pub(crate) fn sections(bytes: &[u8]) -> Result<Vec<Section>, PemError> {
    let text = std::str::from_utf8(bytes).map_err(|_| PemError::Binary)?;
    let is_binary = |letter: char| letter.is_control() && !letter.is_whitespace();
    if text.contains(is_binary) {
        return Err(PemError::Binary);
    }
    let mut found = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, content)) = lines.next() {
        let Some(label) = boundary("BEGIN", content) else {
            if is_stray(content) {
                return Err(PemError::Stray { line });
            }
            continue;
        };
        let mut whole = format!("{content}\n");
        loop {
            let Some((_, content)) = lines.next() else {
                return Err(PemError::Unended { line });
            };
            whole.push_str(content);
            whole.push('\n');
            match boundary("END", content) {
                Some(end) if end == label => break,
                None if boundary("BEGIN", content).is_none() => {}
                Some(_) | None => return Err(PemError::Unended { line }),
            }
        }
        if !IGNORED.contains(&label) {
            found.push(section(line, label, &whole)?);
        }
    }
    Ok(found)
}

fn section(line: usize, label: &str, whole: &str) -> Result<Section, PemError> {
    let mut read = <(SectionKind, Vec<u8>)>::pem_slice_iter(whole.as_bytes());
    match read.next() {
        Some(Ok((kind, der))) if !der.is_empty() => Ok(Section { line, kind, der }),
        Some(_) => Err(PemError::Body { line }),
        None if label == "ENCRYPTED PRIVATE KEY" => Err(PemError::Encrypted { line }),
        None => Err(PemError::Label {
            line,
            label: label.to_owned(),
        }),
    }
}

/// What a boundary of a section says.
fn boundary<'line>(word: &str, line: &'line str) -> Option<&'line str> {
    let rest = line.trim().strip_prefix("-----")?.strip_prefix(word)?;
    rest.strip_prefix(' ')?.strip_suffix("-----")
}

/// Whether a line between sections is a piece of one.
fn is_stray(line: &str) -> bool {
    let line = line.trim();
    let is_letter = |it: u8| it.is_ascii_alphanumeric() || b"+/=".contains(&it);
    line.starts_with("-----")
        || line.ends_with("-----")
        || line.len() >= BODY_LETTERS_MIN && line.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::{PemError, sections};
    use rustls::pki_types::pem::SectionKind;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAECAwQ=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nBQYHCA==\n-----END PRIVATE KEY-----\n";

    #[test]
    fn sections_and_the_text_between_them_read() {
        let text = format!("subject=CN = here\r\n{ONE}\n# the key\n{KEY}");
        let read = sections(text.as_bytes()).unwrap();
        let kinds: Vec<_> = read.iter().map(|it| (it.line, it.kind)).collect();
        assert_eq!(
            kinds,
            [(2, SectionKind::Certificate), (7, SectionKind::PrivateKey)]
        );
        assert_eq!(read[0].der, [0, 1, 2, 3, 4]);
        assert!(sections(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        let label = || "CERTIFICAT".to_owned();
        let body = "A".repeat(64);
        let table = [
            (format!("{ONE}{body}\n{ONE}"), PemError::Stray { line: 4 }),
            (
                format!("{ONE}-----END CERTIFICATE-----\n"),
                PemError::Stray { line: 4 },
            ),
            (
                format!("{ONE}----BEGIN CERTIFICATE-----\n"),
                PemError::Stray { line: 4 },
            ),
            (
                ONE.replace("CERTIFICATE", "CERTIFICAT"),
                PemError::Label {
                    line: 1,
                    label: label(),
                },
            ),
            (
                ONE.replace("-----END CERTIFICATE-----", ""),
                PemError::Unended { line: 1 },
            ),
            (
                ONE.replace("-----END CERTIFICATE-----\n", "") + ONE,
                PemError::Unended { line: 1 },
            ),
            (ONE.replace("AAECAwQ=", "not base64!"), PemError::Body { line: 1 }),
            (ONE.replace("AAECAwQ=", ""), PemError::Body { line: 1 }),
            (
                ONE.to_owned() + &KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"),
                PemError::Encrypted { line: 4 },
            ),
        ];
        for (text, error) in table {
            assert_eq!(sections(text.as_bytes()).err(), Some(error), "{text}");
        }
        for bytes in [&b"\x30\x82\x01\x00"[..], &b"\xff\xfe"[..]] {
            assert_eq!(sections(bytes).err(), Some(PemError::Binary));
        }
    }
}
