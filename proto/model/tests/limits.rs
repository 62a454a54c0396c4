//! What the pages say of limits is what the code has. Whoever changes a number here or there learns of the other.

use millstream_model::limits::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// A page with one blank between words, wherever its lines are broken.
fn flowing(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A whole number of units.
fn whole(bytes: usize, unit: usize) -> usize {
    assert_eq!(bytes % unit, 0, "{bytes} in {unit}");
    bytes / unit
}

fn mib(bytes: usize) -> String {
    format!("{} MiB", whole(bytes, MIB))
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", whole(bytes, KIB))
}

fn seconds(ms: u64) -> String {
    assert_eq!(ms % 1_000, 0);
    format!("{} s", ms / 1_000)
}

fn minutes(ms: u64) -> String {
    assert_eq!(ms % 60_000, 0);
    format!("{} minutes", ms / 60_000)
}

/// With a comma before every third digit.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let comma = |at: usize| match at > 0 && (digits.len() - at).is_multiple_of(3) {
        true => ",",
        false => "",
    };
    let grouped = digits
        .char_indices()
        .map(|(at, digit)| format!("{}{digit}", comma(at)));
    grouped.collect()
}

/// One part in so many, in words.
fn part(of: usize) -> &'static str {
    match of {
        2 => "half",
        4 => "a quarter",
        8 => "an eighth",
        other => panic!("how does the page call one part in {other}?"),
    }
}

/// Every number of `docs/limits.md`, in the words around it.
fn of_limits() -> Vec<String> {
    let ([debt, member, login], places) = (
        [DEBT_WAIT_MS_MAX, MEMBER_DEBT_WAIT_MS_MAX, LOGIN_DEBT_WAIT_MS_MAX].map(seconds),
        CONNECTIONS_MAX as u64,
    );
    vec![
        format!("it waits for that {member} at most (a login {login}) and goes on"),
        format!("Calls of the control and SQL services wait for at most {debt} and are then refused"),
        format!("A produce waits for a debt for at most {debt} and is then refused"),
        format!("a produce is refused {member} after the first such request behind it"),
        format!(
            "A produce with acks=0 cannot be told: it waits for at most {}",
            seconds(SILENT_DEBT_WAIT_MS_MAX)
        ),
        format!("Of one connection {PIPELINE_REQUESTS_MAX} requests are read ahead of their answers"),
        format!("for a debt of requests {member} at most"),
        format!(
            "share {}, taken as their bytes arrive",
            mib(KAFKA_REQUESTS_BYTES_MAX)
        ),
        format!(
            "a connection gets {} of it and a virtual cluster {}",
            part(ROOM_CONNECTION_SHARE),
            part(ROOM_OWNER_SHARE)
        ),
        format!(
            "must then bring {}, or its rest, every {}",
            kib(ROOM_PROGRESS_BYTES),
            seconds(ROOM_PATIENCE_MS)
        ),
        format!("Logins have {} of their own", mib(LOGIN_REQUESTS_BYTES_MAX)),
        format!(
            "One that unpacks to more than {} is refused",
            mib(BATCH_DECOMPRESSED_BYTES_MAX)
        ),
        format!(
            "gRPC requests have at most {} (Produce {}, SQL {})",
            mib(GRPC_REQUEST_BYTES_MAX),
            mib(GRPC_MESSAGE_BYTES_MAX),
            kib(GRPC_SQL_REQUEST_BYTES_MAX)
        ),
        format!(
            "A body must bring {} or its rest every {} and all of it in {}",
            kib(GRPC_BODY_PROGRESS_BYTES),
            seconds(GRPC_BODY_PATIENCE_MS),
            minutes(GRPC_BODY_MS_MAX)
        ),
        format!(
            "a large answer must be taken on within {}",
            seconds(GRPC_ANSWER_PATIENCE_MS)
        ),
        format!(
            "streams without one are few ({STRANGERS_CALLS_MAX}) and end after {}",
            minutes(STRANGERS_CALL_MS_MAX)
        ),
        format!(
            "Each door has {} places (fewer where `ulimit -n` is below {})",
            thousands(places),
            thousands(DESCRIPTORS_OF_FILES + 2 * places)
        ),
        format!("has {} of them at most", part(OWNER_SHARE)),
        format!(
            "{} of the places are for those who have not logged in",
            part(CONNECTIONS_MAX / STRANGERS_MAX)
        ),
        format!(
            "An address has {} of the strangers' places",
            part(STRANGERS_ADDRESS_SHARE)
        ),
        format!(
            "must send its first request's head within {} of being accepted",
            seconds(HTTP_HEAD_MS_MAX)
        ),
        format!(
            "before it has shown a key {} of it are read at once, and {} in each second",
            mib(STRANGER_BYTES_BURST),
            kib(STRANGER_BYTES_PER_SECOND)
        ),
        format!("`/livez` and `/readyz` have {HTTP_RESERVE} places"),
        format!(
            "The state of one virtual cluster's queries: {}",
            mib(TENANT_SQL_STATE_BYTES_DEFAULT)
        ),
        format!("The expressions of one row: {} per step", mib(SQL_ROW_BYTES_MAX)),
        format!(
            "since the last commit: {} of that, {} at most",
            part(SQL_OVERLAY_PART),
            mib(SQL_OVERLAY_BYTES_MAX)
        ),
        format!(
            "a GROUP BY, a STRUCT: {} columns, keys or fields",
            thousands(SQL_COLUMNS_MAX as u64)
        ),
        format!("An INSERT: {} values", thousands(SQL_INSERT_VALUES_MAX as u64)),
        format!("A statement: {}", kib(SQL_TEXT_BYTES_MAX)),
        format!(
            "The token of a pull query's commits: {}",
            kib(SQL_COMMIT_TOKEN_BYTES_MAX)
        ),
        format!("A record that a query writes: {}", mib(SQL_SINK_MESSAGE_BYTES)),
        format!("A turn of a query's task ends after {SQL_TURN_MS_MAX} ms"),
    ]
}

#[test]
fn the_page_of_limits_has_the_numbers_of_the_code_and_no_others() {
    let mut page = flowing(include_str!("../../../docs/limits.md"));
    for said in of_limits() {
        let found = page.find(&said);
        let at = found.unwrap_or_else(|| panic!("docs/limits.md does not say: {said}"));
        page.replace_range(at..at + said.len(), "…");
    }
    let numbers: Vec<&str> = page
        .split(' ')
        .filter(|word| word.starts_with(|it: char| it.is_ascii_digit()))
        .collect();
    assert_eq!(numbers, [""; 0], "held against nothing in the code: {page}");
}

#[test]
fn readme_and_architecture_have_the_numbers_of_the_code() {
    let readme = flowing(include_str!("../../../README.md"));
    for said in [
        format!(
            "may take {} of memory (`--sql-state-bytes`)",
            mib(TENANT_SQL_STATE_BYTES_DEFAULT)
        ),
        format!(
            "`max.message.bytes`, {} where the query made the topic",
            mib(SQL_SINK_MESSAGE_BYTES)
        ),
        format!(
            "The expressions of one row make at most {} per step",
            mib(SQL_ROW_BYTES_MAX)
        ),
        format!(
            "`commit.interval.ms` ({SQL_COMMIT_INTERVAL_MS_MIN} to {};",
            thousands(SQL_COMMIT_INTERVAL_MS_MAX)
        ),
        format!(
            "for the first {} queries of a process",
            thousands(SQL_METRIC_QUERIES_MAX as u64)
        ),
    ] {
        assert!(readme.contains(&said), "README.md does not say: {said}");
    }
    let architecture = flowing(include_str!("../../../ARCHITECTURE.md"));
    for said in [
        format!(
            "gathers all that waits (at most {}) into one block",
            mib(COMMIT_BYTES_MAX)
        ),
        format!(
            "Every {} or {} what is committed goes to SlateDB",
            seconds(SQL_FLUSH_AFTER_MS),
            mib(SQL_FLUSH_BYTES)
        ),
    ] {
        assert!(
            architecture.contains(&said),
            "ARCHITECTURE.md does not say: {said}"
        );
    }
}
