//! Seeded nonsense: texts cut up, doubled and mixed never panic, and take time linear in their length.
//!
//! `MILLSTREAM_FUZZ_SECONDS` sets how long (1), `MILLSTREAM_FUZZ_SEED` where to begin.

#![expect(clippy::disallowed_methods, reason = "no text may take long")]
#![allow(clippy::unwrap_used)]

use millstream_parser::{is_complete, parse_script};
use std::time::{Duration, Instant};

const SEEDS: &[&str] = &[
    "CREATE TABLE d WITH (PARTITIONS=4) AS SELECT a, COUNT(*) n FROM f WINDOW TUMBLING (SIZE 1 HOUR, GRACE PERIOD 0 SECONDS) WHERE b IS NOT NULL GROUP BY a HAVING COUNT(*) > 1 EMIT CHANGES;",
    "CREATE STREAM s (a STRING KEY, b ARRAY<MAP<STRING, STRUCT<x DECIMAL(4, 2)>>>) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
    "SELECT CASE WHEN a->b[1] BETWEEN -1 AND 2.5e3 THEN 'x''y' ELSE CAST(c AS INT) END AS z, TRANSFORM(m, (k, v) => k || v) FROM s t WHERE a NOT IN (1, 2) OR b LIKE '%' ESCAPE '!' LIMIT 5;",
    "INSERT INTO s (a, b) VALUES (1, ARRAY[MAP('a' := STRUCT(x := 1.0))]);",
    "PRINT my-topic FROM BEGINNING INTERVAL 2; SET 'a'='b'; DROP TABLE IF EXISTS t DELETE TOPIC; EXPLAIN SELECT `a` FROM \"b\"; -- c\n/* d */",
];

const PIECES: &[&str] = &[
    "(", ")", "[", "]", "<", ">", ">>", "->", "=>", ":=", "'", "`", "\"", "--", "/*", "*/", ";", ",", ".",
    "*", "1", "1e9", ".5", "0x1", "NULL", "CASE", "END", "NOT", "SELECT", "FROM", "é", "😀", "\u{0}",
    "\u{feff}", "\n", "\\", "$1", "${x}", "?", "E'\\x'", "X'0", "U&'", "@", "#", "FLOOR(", "TRIM(", "CAST(",
    "IN (", "BETWEEN",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (n.max(1) as u64)).unwrap()
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(random: &mut Random) -> String {
    let mut text = SEEDS[random.below(SEEDS.len())].to_owned();
    for _ in 0..=random.below(8) {
        let from = random.below(text.len() + 1);
        let from = boundary(&text, from);
        let to = boundary(&text, (from + random.below(24)).min(text.len())).max(from);
        match random.below(5) {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, PIECES[random.below(PIECES.len())]),
            2 => text.insert_str(
                from,
                &PIECES[random.below(PIECES.len())].repeat(random.below(300)),
            ),
            3 => text.insert_str(from, &text[from..to].repeat(random.below(20))),
            _ => text.insert_str(from, SEEDS[random.below(SEEDS.len())]),
        }
    }
    text
}

#[test]
fn mutated_texts_never_panic_or_hang() {
    let setting = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(default)
    };
    let seed = setting("MILLSTREAM_FUZZ_SEED", 0x5eed);
    let time = Duration::from_secs(setting("MILLSTREAM_FUZZ_SECONDS", 1));
    let mut random = Random(seed | 1);
    let begun = Instant::now();
    let mut texts = 0;
    while begun.elapsed() < time {
        let text = mutate(&mut random);
        let before = Instant::now();
        let parsed = parse_script(&text);
        let _ = is_complete(&text);
        assert!(
            before.elapsed() < Duration::from_secs(2),
            "seed {seed}: slow on {text:?}"
        );
        if let Err(error) = parsed {
            assert!(!error.to_string().is_empty());
        }
        texts += 1;
    }
    println!("{texts} texts, seed {seed}");
}
