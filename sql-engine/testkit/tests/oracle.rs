//! Generated inputs whose answers a batch computation gives: groups are lists of values, aggregated anew each time.
//! It shares nothing with the engine but the rules: a row is late when its window's end and the grace are not after
//! the latest time of the rows before it and its own, in its partition.
#![allow(clippy::unwrap_used)]

use millstream_testkit::run_texts;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

const CASES: u64 = 24;
const ROWS: usize = 40;

/// One row that is brought in.
#[derive(Clone, Debug)]
struct Row {
    partition: usize,
    key: char,
    group: Option<i32>,
    v: Option<i32>,
    /// In quarters, so that sums of doubles are exact in any order.
    quarters: Option<i32>,
    text: Option<&'static str>,
    time: i64,
}

/// What a generated case asks.
#[derive(Clone, Debug)]
struct Shape {
    partitions: usize,
    /// By the key; else by another column, across partitions.
    by_key: bool,
    /// Size and grace, ms.
    window: Option<(i64, i64)>,
    /// WHERE v > this.
    above: Option<i32>,
    /// HAVING COUNT(*) > this.
    having: Option<usize>,
}

const AGGREGATES: &str = "COUNT(*) AS n, COUNT(v) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS lo, MAX(v) AS hi, \
     LATEST_BY_OFFSET(v) AS l, LATEST_BY_OFFSET(v, false) AS ln, SUM(d) AS sd, AVG(d) AS ad, MAX(d) AS hd, \
     MIN(t) AS lt, MAX(t) AS ht";
const NAMES: [&str; 13] = [
    "N", "C", "S", "A", "LO", "HI", "L", "LN", "SD", "AD", "HD", "LT", "HT",
];

fn shape(random: &mut StdRng) -> Shape {
    let by_key = random.random();
    Shape {
        partitions: random.random_range(1..4),
        by_key,
        window: random
            .random_bool(0.75)
            .then(|| (random.random_range(1..6) * 1000, random.random_range(0..4) * 1000)),
        above: random.random_bool(0.3).then(|| random.random_range(-5..5)),
        having: random.random_bool(0.3).then(|| random.random_range(1..3)),
    }
}

fn rows(shape: &Shape, random: &mut StdRng) -> Vec<Row> {
    // Across partitions only rows in order of time have one right answer.
    let ordered = !shape.by_key && shape.partitions > 1;
    let mut now = 10_000;
    let row = |_| {
        now += random.random_range(1..700);
        let back = if ordered {
            0
        } else {
            random.random_range(0..6_000) * i64::from(random.random_bool(0.4))
        };
        let key = char::from(b'a' + random.random_range(0..4));
        Row {
            partition: (key as usize) % shape.partitions,
            key,
            group: random.random_bool(0.9).then(|| random.random_range(0..4)),
            v: random.random_bool(0.85).then(|| random.random_range(-20..20)),
            quarters: random.random_bool(0.85).then(|| random.random_range(-20..20)),
            text: random
                .random_bool(0.85)
                .then(|| ["pear", "fig", "apple", "date"][random.random_range(0..4)]),
            time: now - back,
        }
    };
    (0..ROWS).map(row).collect()
}

/// A group: its window's start if any, and who is in it.
type Group = (String, Option<i64>);

/// The table after all rows, and every change of each group: time and value, `None` when it passes HAVING no more.
struct Answer {
    table: BTreeMap<Group, Vec<String>>,
    changes: Vec<(Group, i64, Option<Vec<String>>)>,
    late: usize,
}

fn answer(shape: &Shape, rows: &[Row]) -> Answer {
    let mut members: BTreeMap<Group, Vec<&Row>> = BTreeMap::new();
    let mut latest: BTreeMap<usize, i64> = BTreeMap::new();
    let (mut table, mut changes, mut late) = (BTreeMap::new(), Vec::new(), 0);
    for row in rows {
        if shape.above.is_some_and(|above| row.v.is_none_or(|v| v <= above)) {
            continue;
        }
        let name = if shape.by_key {
            Some(format!("\"{}\"", row.key))
        } else {
            row.group.map(|g| g.to_string())
        };
        let Some(name) = name else { continue };
        // With one partition, or rows in order, the reader's time is the latest of all.
        let clock = latest
            .entry(if shape.by_key { row.partition } else { 0 })
            .or_insert(row.time);
        *clock = row.time.max(*clock);
        let start = shape.window.map(|(size, _)| row.time.div_euclid(size) * size);
        if let (Some((size, grace)), Some(start)) = (shape.window, start)
            && start + size + grace <= *clock
        {
            late += 1;
            continue;
        }
        let group = (name, start);
        let inside = members.entry(group.clone()).or_default();
        inside.push(row);
        let time = inside.iter().map(|row| row.time).max().unwrap();
        let passes = shape.having.is_none_or(|more| inside.len() > more);
        if passes {
            let cells = aggregated(inside);
            table.insert(group.clone(), cells.clone());
            changes.push((group, time, Some(cells)));
        }
    }
    Answer { table, changes, late }
}

fn aggregated(rows: &[&Row]) -> Vec<String> {
    let v: Vec<i32> = rows.iter().filter_map(|row| row.v).collect();
    let d: Vec<f64> = rows
        .iter()
        .filter_map(|row| row.quarters)
        .map(|q| f64::from(q) / 4.0)
        .collect();
    let t: Vec<&str> = rows.iter().filter_map(|row| row.text).collect();
    let number = |n: Option<&i32>| n.map_or("null".to_owned(), ToString::to_string);
    let text = |t: Option<&&str>| t.map_or("null".to_owned(), |t| format!("\"{t}\""));
    let mean = |sum: f64, count: usize| {
        if count == 0 {
            0.0
        } else {
            sum / f64::from(u32::try_from(count).unwrap())
        }
    };
    let (sum, sum_d): (i32, f64) = (v.iter().sum(), d.iter().fold(0.0, |a, b| a + b));
    let highest = d.iter().copied().reduce(f64::max);
    vec![
        rows.len().to_string(),
        v.len().to_string(),
        sum.to_string(),
        format!("{:?}", mean(f64::from(sum), v.len())),
        number(v.iter().min()),
        number(v.iter().max()),
        number(v.last()),
        number(rows.last().unwrap().v.as_ref()),
        format!("{sum_d:?}"),
        format!("{:?}", mean(sum_d, d.len())),
        highest.map_or("null".to_owned(), |d| format!("{d:?}")),
        text(t.iter().min()),
        text(t.iter().max()),
    ]
}

fn json(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".to_owned())
}

fn case(seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let shape = shape(&mut random);
    let rows = rows(&shape, &mut random);
    let answer = answer(&shape, &rows);
    let group = if shape.by_key { "k" } else { "g" };
    let window = shape.window.map_or(String::new(), |(size, grace)| {
        format!(" WINDOW TUMBLING (SIZE {size} MILLISECONDS, GRACE PERIOD {grace} MILLISECONDS)")
    });
    let filter = shape
        .above
        .map_or(String::new(), |above| format!(" WHERE v > {above}"));
    let having = shape
        .having
        .map_or(String::new(), |more| format!(" HAVING COUNT(*) > {more}"));
    let mut text = format!(
        "-- case: generated {seed}\n\
         CREATE STREAM s (k STRING KEY, g INT, v INT, d DOUBLE, t STRING) \
         WITH (kafka_topic='s', value_format='JSON', partitions={});\n\
         CREATE TABLE r AS SELECT {group}, {AGGREGATES} FROM s{window}{filter} GROUP BY {group}{having} EMIT CHANGES;\n",
        shape.partitions
    );
    for row in &rows {
        let quarters = row.quarters.map(|q| format!("{:?}", f64::from(q) / 4.0));
        writeln!(
            text,
            "> s key=\"{}\" ts={} partition={} value={{\"G\":{},\"V\":{},\"D\":{},\"T\":{}}}",
            row.key,
            row.time,
            row.partition,
            json(row.group.map(|g| g.to_string())),
            json(row.v.map(|v| v.to_string())),
            json(quarters),
            json(row.text.map(|t| format!("\"{t}\""))),
        )
        .unwrap();
    }
    text.push_str("SELECT * FROM r;\n");
    for ((name, start), cells) in &answer.table {
        let bounds = match (start, shape.window) {
            (Some(start), Some((size, _))) => format!("{start} | {} | ", start + size),
            _ => String::new(),
        };
        writeln!(text, "= {name} | {bounds}{}", cells.join(" | ")).unwrap();
    }
    if answer.table.is_empty() {
        text.push_str("# 0\n");
    }
    for ((name, start), time, cells) in &answer.changes {
        let key = if shape.by_key {
            name.clone()
        } else {
            format!("int:{name}")
        };
        let at = start.map_or(String::new(), |start| format!("@{start}"));
        let value = cells.as_ref().map(|cells| {
            let members = NAMES
                .iter()
                .zip(cells)
                .map(|(name, cell)| format!("\"{name}\":{cell}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        writeln!(text, "< R key={key}{at} ts={time} value={}", json(value)).unwrap();
    }
    writeln!(text, "% R errors=0 late={}", answer.late).unwrap();
    text
}

/// The group and the value of a table's row.
type Latest = (Option<i32>, Option<i32>);

/// Groups over a table whose rows are updated and deleted: what the last row of each key makes.
fn table_case(seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let partitions = random.random_range(1..4);
    let above = random.random_bool(0.5).then(|| random.random_range(-5..5));
    let filter = above.map_or(String::new(), |above| format!(" WHERE v > {above}"));
    let mut text = format!(
        "-- case: generated table {seed}\n\
         CREATE TABLE p (id STRING PRIMARY KEY, g INT, v INT) \
         WITH (kafka_topic='p', value_format='JSON', partitions={partitions});\n\
         CREATE TABLE r AS SELECT g, COUNT(*) AS n, COUNT(v) AS c, SUM(v) AS s, AVG(v) AS a \
         FROM p{filter} GROUP BY g EMIT CHANGES;\n"
    );
    let mut last: BTreeMap<char, Option<Latest>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    let passes = |v: Option<i32>| above.is_none_or(|above| v.is_some_and(|v| v > above));
    for time in 1..=ROWS {
        let key = char::from(b'a' + random.random_range(0..6));
        let row = random.random_bool(0.8).then(|| {
            let group = random.random_bool(0.9).then(|| random.random_range(0..3));
            (
                group,
                random.random_bool(0.85).then(|| random.random_range(-20..20)),
            )
        });
        let value = row.map(|(group, v)| {
            let show = |n: Option<i32>| json(n.map(|n| n.to_string()));
            format!("{{\"G\":{},\"V\":{}}}", show(group), show(v))
        });
        writeln!(text, "> p key=\"{key}\" ts={time} value={}", json(value)).unwrap();
        if let Some((Some(group), v)) = row
            && passes(v)
        {
            seen.insert(group);
        }
        last.insert(key, row);
    }
    text.push_str("SELECT * FROM r;\n");
    // A group that has lost its last row stays, with nothing in it.
    for group in &seen {
        let rows = last
            .values()
            .flatten()
            .filter(|(g, v)| *g == Some(*group) && passes(*v));
        let values: Vec<Option<i32>> = rows.map(|(_, v)| *v).collect();
        let known: Vec<i32> = values.iter().flatten().copied().collect();
        let sum: i32 = known.iter().sum();
        let mean = if known.is_empty() {
            0.0
        } else {
            f64::from(sum) / f64::from(u32::try_from(known.len()).unwrap())
        };
        writeln!(
            text,
            "= {group} | {} | {} | {sum} | {mean:?}",
            values.len(),
            known.len()
        )
        .unwrap();
    }
    if seen.is_empty() {
        text.push_str("# 0\n");
    }
    text
}

/// The first of the generated cases; another with `SQL_SEED=n`, which also draws other batches and kills.
fn seed() -> u64 {
    std::env::var("SQL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0)
}

fn run(count: u64, case: fn(u64) -> String) {
    let first = seed() * CASES;
    let texts: Vec<(PathBuf, String)> = (first..first + count)
        .map(|number| (PathBuf::from("generated"), case(number)))
        .collect();
    let report = run_texts(&texts, seed()).unwrap();
    assert!(
        report.failed.is_empty(),
        "{} runs passed, {} failed; the first:\n{}",
        report.passed,
        report.failed.len(),
        report.failed[0]
    );
    assert_eq!(report.passed, texts.len() * 3, "every case in every mode");
}

#[test]
fn groups_of_streams_are_as_computed_at_once() {
    run(CASES, case);
}

#[test]
fn groups_of_tables_are_as_computed_at_once() {
    run(CASES / 2, table_case);
}

/// The generator does draw what it is there for.
#[test]
fn generated_cases_hold_late_rows_and_all_shapes() {
    let texts: Vec<String> = (0..CASES).map(case).collect();
    for piece in [
        "WINDOW",
        "WHERE",
        "HAVING",
        "GROUP BY k",
        "GROUP BY g",
        "partitions=3",
        "GRACE PERIOD 0 ",
    ] {
        assert!(
            texts.iter().any(|text| text.contains(piece)),
            "no case has {piece}"
        );
    }
    let late = texts.iter().filter(|text| !text.ends_with("late=0\n")).count();
    assert!(late >= 5, "{late} cases have late rows");
}
