//! What a start prints: the doors, what is amiss, and the first key, once and in one place only.

use crate::ready_file::{Doors, ShownKey};
use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::path::Path;

/// Prints it.
pub fn announce(
    doors: &Doors,
    without_store: Option<&str>,
    key: Option<&ShownKey>,
    ready_file: Option<&Path>,
) {
    let text = text(doors, without_store, key, ready_file);
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "nobody reads standard output: addresses and key were not printed");
    }
}

fn text(
    doors: &Doors,
    without_store: Option<&str>,
    key: Option<&ShownKey>,
    ready_file: Option<&Path>,
) -> String {
    let Doors { kafka, http, admin } = doors;
    let mut text = format!("Kafka     {kafka}\ngRPC/HTTP {http}\nAdmin     {admin}\n");
    if let Some(reason) = without_store {
        let _ = writeln!(
            text,
            "\nServes reads from this disk only until the object store is back: {reason}"
        );
    }
    match (key, ready_file) {
        (Some(ShownKey { id, secret }), None) => {
            let _ = writeln!(
                text,
                "\nThe first administrator's key, shown once (millstream admin-key makes another):\n  key    {id}\n  secret {secret}"
            );
        }
        // Standard output often goes to a log that many read.
        (Some(ShownKey { id, .. }), Some(file)) => {
            let _ = writeln!(
                text,
                "\nThe first administrator's key is {id}; its secret is in {} alone (millstream admin-key makes another).",
                file.display()
            );
        }
        (None, _) => {}
    }
    text
}

/// Prints what `--recover-groups` found: the groups of lost journals, and what a damaged one does not give back. Whether it
/// could be printed.
pub fn recovered(groups: &[impl Display], mended: &[String]) -> bool {
    for group in groups {
        // What was lost must be seen, also where nobody reads standard output.
        tracing::warn!("{group}");
    }
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    let text = recovered_text(&groups, mended);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn recovered_text(groups: &[String], mended: &[String]) -> String {
    if groups.is_empty() && mended.is_empty() {
        return "--recover-groups: no journal is missing and this one is whole; nothing was done\n".into();
    }
    let lines = groups.iter().chain(mended);
    lines.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::{recovered_text, text};
    use crate::ready_file::{Doors, ShownKey};
    use std::path::Path;

    #[test]
    fn the_first_secret_is_told_in_one_place() {
        let doors = Doors {
            kafka: "k:1".into(),
            http: "h:2".into(),
            admin: "a:3".into(),
        };
        let key = ShownKey {
            id: "ID".into(),
            secret: "HUSH".into(),
        };
        let printed = text(&doors, None, Some(&key), None);
        assert!(
            printed.contains("key    ID") && printed.contains("secret HUSH"),
            "{printed}"
        );
        assert!(
            ["k:1", "h:2", "a:3"].iter().all(|it| printed.contains(it)),
            "{printed}"
        );
        let kept = text(&doors, None, Some(&key), Some(Path::new("/r/y")));
        assert!(
            kept.contains("ID") && kept.contains("/r/y") && !kept.contains("HUSH"),
            "{kept}"
        );
        assert!(!text(&doors, None, None, None).contains("key"));
    }

    #[test]
    fn who_recovers_what_is_sound_is_told_so() {
        let [one, two] = ["group 1".to_owned(), "journal lost".to_owned()];
        assert!(recovered_text(&[], &[]).contains("nothing was done"));
        assert_eq!(recovered_text(&[one], &[two]), "group 1\njournal lost\n");
    }
}
