//! The command line of the figures.

use std::path::PathBuf;

pub struct Arguments {
    pub peer: Option<PathBuf>,
    pub rounds: usize,
    pub seconds: f64,
    only: Vec<String>,
}

impl Arguments {
    pub fn parse() -> Arguments {
        let mut parsed = Arguments {
            peer: None,
            rounds: 5,
            seconds: 5.0,
            only: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            match name.as_str() {
                "--peer" => parsed.peer = Some(std::path::absolute(value()).unwrap()),
                "--rounds" => parsed.rounds = value().parse().unwrap(),
                "--seconds" => parsed.seconds = value().parse().unwrap(),
                "--only" => parsed.only = value().split(',').map(str::to_owned).collect(),
                // Cargo's own.
                "--bench" => {}
                other => {
                    panic!("{other} is not known: --peer SCRIPT, --rounds N, --seconds S, --only NAME,…")
                }
            }
        }
        parsed
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == name)
    }
}
