//! The format of case files.

use bytes::Bytes;

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The line of its title, from 1.
    pub(crate) line: usize,
    /// The modes it runs in; all when it does not say.
    pub(crate) modes: Option<Vec<String>>,
    pub(crate) steps: Vec<(usize, Step)>,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Step {
    Ask(Asked),
    /// Records to produce, in this order.
    Produce(Vec<Record>),
    /// Everything that a topic holds.
    Records {
        topic: String,
        records: Vec<Record>,
    },
    Report {
        sink: String,
        errors: Option<u64>,
        late: Option<u64>,
        keyless: Option<u64>,
    },
}

/// A statement and what it must answer.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) fails: Option<Fails>,
    pub(crate) count: Option<usize>,
    pub(crate) rows: Option<Vec<String>>,
    pub(crate) ordered: bool,
    pub(crate) says: Vec<String>,
}

/// The error that a statement must end in.
#[derive(Debug)]
pub(crate) struct Fails {
    /// Line and column, if it has a place.
    pub(crate) place: Option<(u32, u32)>,
    /// What the message contains.
    pub(crate) piece: String,
}

/// A record that goes in or comes out.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) timestamp: i64,
    /// By key when it is not said.
    pub(crate) partition: Option<u32>,
}

/// A line that is not in the format.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// Reads a file's cases.
pub(crate) fn read(text: &str) -> Result<Vec<Case>, Wrong> {
    let mut cases: Vec<Case> = Vec::new();
    // A statement that has begun, with the line where it did.
    let mut begun: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let wrong = |problem: &str| Wrong {
            line: at,
            problem: problem.to_owned(),
        };
        if let Some((_, statement)) = &mut begun {
            statement.push('\n');
            statement.push_str(line);
        } else if let Some(name) = line.strip_prefix("-- case:") {
            let name = name.trim().to_owned();
            cases.push(Case {
                name,
                line: at,
                modes: None,
                steps: Vec::new(),
            });
            continue;
        } else if let Some(modes) = line.strip_prefix("-- modes:") {
            let case = cases
                .last_mut()
                .ok_or_else(|| wrong("modes come behind '-- case:'"))?;
            case.modes = Some(modes.split_whitespace().map(str::to_owned).collect());
            continue;
        } else if line.trim().is_empty() || line.starts_with("--") {
            continue;
        } else if line.starts_with(['=', '#', '~', '!', '>', '<', '%']) {
            let case = cases
                .last_mut()
                .ok_or_else(|| wrong("a step comes behind '-- case:'"))?;
            step(case, at, line)?;
            continue;
        } else {
            begun = Some((at, line.to_owned()));
        }
        let ends = begun
            .as_ref()
            .is_some_and(|(_, text)| text.trim_end().ends_with(';'));
        if ends && let Some((start, text)) = begun.take() {
            let problem = "a statement comes behind '-- case:'".to_owned();
            let case = cases.last_mut().ok_or(Wrong { line: start, problem })?;
            case.steps.push((
                start,
                Step::Ask(Asked {
                    text,
                    ..Asked::default()
                }),
            ));
        }
    }
    match begun {
        Some((line, _)) => Err(Wrong {
            line,
            problem: "the statement does not end with ';'".to_owned(),
        }),
        None => Ok(cases),
    }
}

fn step(case: &mut Case, at: usize, line: &str) -> Result<(), Wrong> {
    let wrong = |problem: &str| Wrong {
        line: at,
        problem: problem.to_owned(),
    };
    let (mark, rest) = line.split_at(1);
    match mark {
        ">" => {
            let record = record(rest.trim(), None).map_err(|problem| wrong(&problem))?;
            match case.steps.last_mut() {
                Some((_, Step::Produce(records))) => records.push(record),
                _ => case.steps.push((at, Step::Produce(vec![record]))),
            }
        }
        "<" => {
            let record = record(rest.trim(), Some("ts")).map_err(|problem| wrong(&problem))?;
            match case.steps.last_mut() {
                Some((_, Step::Records { topic, records })) if *topic == record.topic => records.push(record),
                _ => case.steps.push((
                    at,
                    Step::Records {
                        topic: record.topic.clone(),
                        records: vec![record],
                    },
                )),
            }
        }
        "%" => case
            .steps
            .push((at, report(rest).map_err(|problem| wrong(&problem))?)),
        _ => {
            let Some((_, Step::Ask(asked))) = case.steps.last_mut() else {
                return Err(wrong("an answer comes behind its statement"));
            };
            expect(asked, mark, rest).map_err(|problem| wrong(&problem))?;
        }
    }
    Ok(())
}

fn expect(asked: &mut Asked, mark: &str, rest: &str) -> Result<(), String> {
    match mark {
        "=" => {
            let ordered = rest.strip_prefix('!');
            asked.ordered |= ordered.is_some();
            asked
                .rows
                .get_or_insert_default()
                .push(ordered.unwrap_or(rest).trim().to_owned());
        }
        "#" => asked.count = Some(rest.trim().parse().map_err(|_| "expected a number of rows")?),
        "~" => asked.says.push(rest.trim().to_owned()),
        _ => {
            let (place, piece) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            let number = |text: &str| {
                text.parse::<u32>()
                    .map_err(|_| "expected LINE:COLUMN or -".to_owned())
            };
            let place = match place.split_once(':') {
                Some((line, column)) => Some((number(line)?, number(column)?)),
                None if place == "-" => None,
                None => return Err("expected LINE:COLUMN or -".to_owned()),
            };
            asked.fails = Some(Fails {
                place,
                piece: piece.trim().to_owned(),
            });
        }
    }
    Ok(())
}

fn report(rest: &str) -> Result<Step, String> {
    let mut words = rest.split_whitespace();
    let sink = words.next().ok_or("expected the sink's name")?.to_owned();
    let (mut errors, mut late, mut keyless) = (None, None, None);
    let expected = "expected errors=N, late=N or keyless=N";
    for word in words {
        let (name, count) = word.split_once('=').ok_or(expected)?;
        let count = Some(count.parse().map_err(|_| "expected a number")?);
        match name {
            "errors" => errors = count,
            "late" => late = count,
            "keyless" => keyless = count,
            _ => return Err(expected.to_owned()),
        }
    }
    Ok(Step::Report {
        sink,
        errors,
        late,
        keyless,
    })
}

/// `topic key=… [ts=…] [partition=…] value=…`; the value is the rest of the line.
fn record(line: &str, needs: Option<&str>) -> Result<Record, String> {
    let (head, value) = line.split_once(" value=").ok_or("expected value=")?;
    let mut words = words(head).into_iter();
    let topic = words
        .next()
        .filter(|topic| !topic.is_empty())
        .ok_or("expected a topic")?;
    let (mut key, mut timestamp, mut partition) = (None, None, None);
    for word in words {
        let (name, given) = word
            .split_once('=')
            .ok_or_else(|| format!("expected NAME=…, found {word}"))?;
        match name {
            "key" => key = Some(parse_key(given)?),
            "ts" => timestamp = Some(given.parse().map_err(|_| "expected a time in ms")?),
            "partition" => partition = Some(given.parse().map_err(|_| "expected a partition")?),
            _ => return Err(format!("expected key, ts or partition, found {name}")),
        }
    }
    if needs.is_some() && timestamp.is_none() {
        return Err("expected ts=".to_owned());
    }
    Ok(Record {
        topic,
        key: key.ok_or("expected key=")?,
        value: (value != "null").then(|| Bytes::copy_from_slice(value.as_bytes())),
        timestamp: timestamp.unwrap_or(0),
        partition,
    })
}

/// Words between spaces; a space between quotes or braces belongs to its word.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut quoted, mut depth) = (vec![String::new()], false, 0_u32);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        match words.last_mut() {
            Some(word) if c != ' ' || quoted || depth > 0 => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn parse_key(text: &str) -> Result<Option<Bytes>, String> {
    if text == "null" {
        return Ok(None);
    }
    let (body, window) = match text.rsplit_once('@') {
        Some((body, start)) => match start.parse::<i64>() {
            Ok(start) => (body, Some(start)),
            Err(_) => (text, None),
        },
        None => (text, None),
    };
    let number = || "expected a number behind the key's type".to_owned();
    let mut bytes = if let Some(given) = body.strip_prefix("int:") {
        given.parse::<i32>().map_err(|_| number())?.to_be_bytes().to_vec()
    } else if let Some(given) = body
        .strip_prefix("bigint:")
        .or_else(|| body.strip_prefix("long:"))
    {
        given.parse::<i64>().map_err(|_| number())?.to_be_bytes().to_vec()
    } else if let Some(given) = body.strip_prefix("double:") {
        given.parse::<f64>().map_err(|_| number())?.to_be_bytes().to_vec()
    } else if let Some(given) = body.strip_prefix("hex:") {
        hex(given).ok_or("expected pairs of hexadecimal digits")?
    } else if let Some(given) = body.strip_prefix('"') {
        given
            .strip_suffix('"')
            .ok_or("the key's text does not end")?
            .as_bytes()
            .to_vec()
    } else {
        body.strip_prefix("json:").unwrap_or(body).as_bytes().to_vec()
    };
    if let Some(start) = window {
        bytes.extend_from_slice(&start.to_be_bytes());
    }
    Ok(Some(Bytes::from(bytes)))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}
