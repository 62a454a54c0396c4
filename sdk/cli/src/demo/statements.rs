//! The demo's SQL: what it runs is what it prints, and what a person can paste into any shell.

/// The statements, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statements {
    /// Makes the stream (and its topic) and starts the queries.
    pub setup: String,
    /// Reads the answer.
    pub table: &'static str,
}

/// The topic that the flights are sent to.
pub(crate) const TOPIC: &str = "flights";

/// Its partitions.
pub(crate) const PARTITIONS: u32 = 4;

impl Statements {
    /// For rows keyed by carrier or not, with a grace period or ksqlDB's default of a day.
    pub fn new(unkeyed: bool, grace_period: Option<&str>) -> Statements {
        let key = if unkeyed { "" } else { " KEY" };
        let grace = grace_period.unwrap_or("24 HOURS");
        let setup = format!(
            "SET 'auto.offset.reset' = 'earliest';

CREATE STREAM IF NOT EXISTS flights (
    carrier STRING{key},
    flight INT,
    tailnum STRING,
    origin STRING,
    dest STRING,
    dep_delay INT,
    arr_delay INT,
    air_time INT,
    distance INT,
    scheduled BIGINT
) WITH (
    KAFKA_TOPIC = '{TOPIC}',
    KEY_FORMAT = 'KAFKA',
    VALUE_FORMAT = 'JSON',
    TIMESTAMP = 'scheduled',
    PARTITIONS = {PARTITIONS},
    RETENTION_MS = -1
);

CREATE STREAM IF NOT EXISTS late_flights AS
    SELECT carrier, flight, origin, dest, dep_delay
    FROM flights
    WHERE dep_delay >= 60;

CREATE TABLE IF NOT EXISTS departures AS
    SELECT carrier, COUNT(*) AS departures, AVG(dep_delay) AS mean_delay
    FROM flights
    WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 60 DAYS, GRACE PERIOD {grace})
    WHERE dep_delay IS NOT NULL
    GROUP BY carrier;
"
        );
        Statements {
            setup,
            table: "SELECT carrier, windowstart, departures, mean_delay FROM departures;",
        }
    }
}
