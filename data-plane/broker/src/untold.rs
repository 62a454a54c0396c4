//! What was lost and nobody has read yet (log.md 5): it is on the disk before the mended journal counts, and every start says
//! it until one was heard. A journal that was mended looks sound: nothing else would tell.
//!
//! ```text
//!   drafts ─► this file ─► the write that decides ─► told ─► file gone
//!      └── a process that ends here: the drafts do not count, and no more does what the file says of them
//! ```

use millstream_durable::{Access, replace};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The first line: what it is, and its version. The rest is for people, a line each.
const HEAD: &str = "millstream untold 1";

/// What stands behind this line happens when the mending is finished.
const DRAFTS: &str = "drafts:";

/// The largest file that is read: a line for every partition of a large node.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Lines that nobody was shown, as far as this disk knows.
pub(crate) struct Untold {
    path: PathBuf,
    lines: Vec<String>,
}

impl Untold {
    /// What the starts before this one did not come to tell. While a mending is not finished nothing of what it said has
    /// happened.
    pub(crate) fn read(folder: &Path, is_unfinished: bool) -> io::Result<Untold> {
        let path = folder.join("untold");
        let mut text = Vec::new();
        match std::fs::File::open(&path) {
            Ok(file) => drop(file.take(BYTES_MAX).read_to_end(&mut text)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&text);
        let happened = text
            .lines()
            .take_while(|line| !is_unfinished || *line != DRAFTS)
            // Whatever else is in it, also of a newer release, is shown as it is.
            .filter(|line| ![HEAD, DRAFTS, ""].contains(line));
        let lines = happened.map(str::to_owned).collect();
        let untold = Untold { path, lines };
        if is_unfinished && text.lines().any(|line| line == DRAFTS) {
            untold.write(untold.lines.len())?;
        }
        Ok(untold)
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Keeps these, too; on the disk itself when it returns.
    pub(crate) fn add(&mut self, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
        let before = self.lines.len();
        self.lines.extend(lines);
        match self.lines.len() == before {
            true => Ok(()),
            false => self.write(self.lines.len()),
        }
    }

    /// Keeps these, which happen when the mending is finished.
    pub(crate) fn add_drafts(&mut self, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
        let before = self.lines.len();
        self.lines.extend(lines);
        self.write(before)
    }

    /// Those before `drafts_at` have happened.
    fn write(&self, drafts_at: usize) -> io::Result<()> {
        if self.lines.is_empty() {
            self.forget();
            return Ok(());
        }
        let (happened, drafts) = self.lines.split_at(drafts_at);
        let mark = (!drafts.is_empty()).then_some(DRAFTS);
        let rest = happened.iter().map(String::as_str).chain(mark);
        let all = std::iter::once(HEAD).chain(rest);
        let text: String = all
            .chain(drafts.iter().map(String::as_str))
            .flat_map(|line| [line, "\n"])
            .collect();
        replace(&self.path, text.as_bytes(), Access::Owner)
    }

    /// They were told, or did not happen.
    pub(crate) fn forget(&self) {
        match std::fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "what was lost is told again at the next start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Untold;

    #[test]
    fn it_is_said_until_it_was_heard() {
        let folder = tempfile::tempdir().unwrap();
        let said = |is_unfinished| {
            Untold::read(folder.path(), is_unfinished)
                .unwrap()
                .lines()
                .join("|")
        };
        assert_eq!(said(false), "");
        let mut untold = Untold::read(folder.path(), false).unwrap();
        untold.add(Vec::new()).unwrap();
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        untold.add(["one".to_owned(), "two".to_owned()]).unwrap();
        let mut later = Untold::read(folder.path(), false).unwrap();
        later.add(["three".to_owned()]).unwrap();
        assert_eq!(said(false), "one|two|three");
        later.forget();
        assert_eq!(said(false), "");
    }

    /// A disk that gives on the second try what it did not give on the first: what was said then is not so.
    #[test]
    fn what_a_mending_that_did_not_end_has_said_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut untold = Untold::read(folder.path(), false).unwrap();
        // What an earlier one has said is so all the same.
        untold.add(["before".to_owned()]).unwrap();
        untold.add_drafts(["lost".to_owned()]).unwrap();
        let said = |is_unfinished| {
            let untold = Untold::read(folder.path(), is_unfinished).unwrap();
            untold.lines().join("|")
        };
        assert_eq!(said(false), "before|lost");
        assert_eq!((said(true), said(false)), ("before".into(), "before".into()));
        untold.forget();
        let mut untold = Untold::read(folder.path(), false).unwrap();
        untold.add_drafts(["lost".to_owned()]).unwrap();
        assert_eq!((said(true), said(false)), (String::new(), String::new()));
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
