//! The reason codes of readiness: what each is called, and whether clients should be sent elsewhere for it.

/// One table, from which the codes, their words and their weights follow.
macro_rules! codes {
    ($($code:ident $word:literal $weight:ident,)*) => {
        /// Why a process does not take work, or not as it should. Words are stable: monitors match them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($code),*
        }

        impl Code {
            #[cfg(test)]
            const ALL: &[Code] = &[$(Code::$code),*];

            /// As it is told.
            pub fn word(self) -> &'static str {
                match self {
                    $(Code::$code => $word),*
                }
            }

            fn weight(self) -> Weight {
                match self {
                    $(Code::$code => Weight::$weight),*
                }
            }
        }
    };
}

/// What a code means to who asks whether the process is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// A client would notice at once.
    Unready,
    /// Only changes to the catalog or a later restart would notice.
    Warning,
}

codes! {
    Starting "starting" Unready,
    Draining "draining" Unready,
    RefusedByController "refused-by-controller" Unready,
    ReadsOnly "reads-only" Unready,
    JournalDamaged "journal-damaged" Unready,
    JournalFull "journal-full" Unready,
    // A store that fails only fills the journal: that is told by its own code.
    StoreFull "store-full" Warning,
    StoreRefused "store-refused" Warning,
    StoreUnreachable "store-unreachable" Warning,
    NoLeader "no-leader" Unready,
    PartitionDamaged "partition-damaged" Unready,
    ObjectDamaged "object-damaged" Unready,
    CertificateExpired "certificate-expired" Unready,
    CertificateNotYetValid "certificate-not-yet-valid" Unready,
    NotController "not-controller" Warning,
    // One tenant that crowds the room for requests must not take the node from all others.
    RequestsWait "requests-wait" Warning,
}

impl Code {
    /// Whether clients should be sent elsewhere.
    pub fn is_unready(self) -> bool {
        self.weight() == Weight::Unready
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::BTreeMap;

    /// What README's table says of each code: its word, and whether it is unready.
    fn told() -> BTreeMap<String, bool> {
        let readme = include_str!("../README.md");
        let (_, table) = readme.split_once("| code | unready |").unwrap();
        let mut told = BTreeMap::new();
        // Behind the rest of the head, and the line below it.
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let is_unready = match cells[2] {
                "yes" => true,
                "no" => false,
                other => panic!("{other}: {row}"),
            };
            for word in cells[1].split(", ").map(|it| it.trim_matches('`')) {
                assert_eq!(told.insert(word.to_owned(), is_unready), None, "{word} twice");
            }
        }
        told
    }

    #[test]
    fn readme_tells_every_code_as_it_is() {
        let codes = Code::ALL
            .iter()
            .map(|code| (code.word().to_owned(), code.is_unready()));
        assert_eq!(told(), codes.collect());
        assert_eq!(told().len(), Code::ALL.len(), "no word is that of two codes");
    }
}
