//! The service's settings: defaults, then a TOML file, then the environment, then flags.

use clap::{Args, ValueEnum};
use millstream_cli::Failure;
use millstream_durable::read_named;
use millstream_listener::TlsSettings;
use millstream_metadata::TopicDefaults;
use millstream_model::limits::TENANT_SQL_STATE_BYTES_DEFAULT;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest settings file that is read: all settings together have a few thousand bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The longest name of a cluster, bytes: as long as a file's may be.
const CLUSTER_NAME_BYTES_MAX: usize = 255;

/// The flags (and, by clap, the environment) of `millstream start`; what is not given comes from the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StartArgs {
    /// A TOML file with these settings, named as the flags without the dashes in front
    #[arg(long, env = "MILLSTREAM_CONFIG_FILE", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where this node keeps its journal, its identity and, by default, the store [default: millstream-data]
    #[arg(long, env = "MILLSTREAM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The object store: file:///FOLDER or s3://BUCKET/PREFIX (credentials, region and endpoint as AWS_* variables)
    /// [default: the folder 'store' in the data folder]
    #[arg(long, env = "MILLSTREAM_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// The Kafka door [default: 127.0.0.1:9092; port 0 takes a free one]
    #[arg(long, env = "MILLSTREAM_KAFKA_LISTEN", value_name = "HOST:PORT")]
    pub kafka_listen: Option<String>,
    /// gRPC and HTTP on one port [default: 127.0.0.1:8080; port 0 takes a free one]
    #[arg(long, env = "MILLSTREAM_HTTP_LISTEN", value_name = "HOST:PORT")]
    pub http_listen: Option<String>,
    /// The address that Kafka clients are told to connect to [default: the bound one]
    #[arg(long, env = "MILLSTREAM_KAFKA_ADVERTISE", value_name = "HOST:PORT")]
    pub kafka_advertise: Option<String>,
    /// What this process does [default: control,broker,sql]
    #[arg(
        long,
        env = "MILLSTREAM_ROLES",
        value_enum,
        value_delimiter = ',',
        value_name = "ROLES"
    )]
    pub roles: Option<Vec<Role>>,
    /// The cluster's name: given on its first start, wanted when a node joins it [default: millstream]
    #[arg(long, env = "MILLSTREAM_CLUSTER", value_name = "NAME")]
    pub cluster: Option<String>,
    /// A file with the root key of all secrets; needed with a store that is not a folder [default: root.key in the
    /// data folder, made on first start]
    #[arg(long, env = "MILLSTREAM_ROOT_KEY_FILE", value_name = "FILE")]
    pub root_key_file: Option<PathBuf>,
    /// What the journal may take of the disk, such as 2GiB [default: 2GiB]
    #[arg(long, env = "MILLSTREAM_JOURNAL_SIZE", value_name = "BYTES")]
    pub journal_size: Option<String>,
    /// The certificate chain (PEM) for TLS on both doors; needs --tls-key [default: no TLS]
    #[arg(long, env = "MILLSTREAM_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM); needs --tls-certificate
    #[arg(long, env = "MILLSTREAM_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How log lines are written to standard error [default: text]
    #[arg(long, env = "MILLSTREAM_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Which log lines are written, such as info or millstream_broker=debug,warn [default: info,slatedb=warn]
    #[arg(long, env = "MILLSTREAM_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// This node's journal was lost for good: takes over the groups of all journals that no living node has, from
    /// their last snapshots in the store, and prints what was lost. A damaged journal goes on with all that is whole, before
    /// and behind the damage. For one start, not for a settings file
    #[arg(long)]
    #[serde(skip)]
    pub recover_groups: bool,
    /// Written as JSON when every door answers, for its owner only: {"kafka": …, "http": …, "admin": …,
    /// "key": {"id": …, "secret": …}}, the key on first start only, and then nowhere else
    #[arg(long, env = "MILLSTREAM_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Adds so many ms to every fdatasync, to measure as on a slower disk [default: 0]
    #[arg(long, env = "MILLSTREAM_SYNC_DELAY_MS", value_name = "MS")]
    pub sync_delay_ms: Option<u64>,
    /// Flushes hot data to the store after so many bytes, such as 64KiB [default: 64MiB]
    #[arg(long, env = "MILLSTREAM_FLUSH_BYTES", value_name = "BYTES")]
    pub flush_bytes: Option<String>,
    /// Flushes hot data to the store when it is so old, and takes a snapshot as often [default: 60000]
    #[arg(long, env = "MILLSTREAM_FLUSH_AGE_MS", value_name = "MS")]
    pub flush_age_ms: Option<u64>,
    /// Takes snapshots so often, whatever the age of a flush [default: as --flush-age-ms]
    #[arg(long, env = "MILLSTREAM_SNAPSHOT_AGE_MS", value_name = "MS")]
    pub snapshot_age_ms: Option<u64>,
    /// What the state of one virtual cluster's SQL queries may take in memory, such as 512MiB; a query that goes
    /// beyond it is parked [default: 512MiB]
    #[arg(long, env = "MILLSTREAM_SQL_STATE_BYTES", value_name = "BYTES")]
    pub sql_state_bytes: Option<String>,
    /// Metrics and health with its reasons, for operators: never where tenants come [default: 127.0.0.1:9641; port 0
    /// takes a free one]
    #[arg(long, env = "MILLSTREAM_ADMIN_LISTEN", value_name = "HOST:PORT")]
    pub admin_listen: Option<String>,
    /// Partitions of a topic whose maker did not say, where its virtual cluster does not say either [default: 1]
    #[arg(long, env = "MILLSTREAM_NUM_PARTITIONS", value_name = "COUNT")]
    pub num_partitions: Option<u32>,
    /// How long topics keep their records that do not say, where their virtual clusters do not say either; -1 for ever
    /// [default: 604800000]
    #[arg(
        long,
        env = "MILLSTREAM_DEFAULT_RETENTION_MS",
        value_name = "MS",
        allow_negative_numbers = true
    )]
    pub default_retention_ms: Option<i64>,
    /// Replicas of a topic whose maker did not say, where its virtual cluster does not say either [default: as many as
    /// there are nodes, at most 3]
    #[arg(long, env = "MILLSTREAM_DEFAULT_REPLICATION_FACTOR", value_name = "COUNT")]
    pub default_replication_factor: Option<u8>,
}

/// What a process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Decides: tenants, keys, topics, placement
    Control,
    /// Keeps and serves partitions
    Broker,
    /// Runs continuous queries
    Sql,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Everything decided.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub store: String,
    pub kafka_listen: String,
    pub http_listen: String,
    pub kafka_advertise: Option<String>,
    pub sql: bool,
    /// As the operator gave it; none on a first start takes the default name.
    pub cluster: Option<String>,
    pub root_key_file: Option<PathBuf>,
    pub journal_bytes: u64,
    pub tls: Option<TlsSettings>,
    pub log_format: LogFormat,
    pub log: String,
    pub ready_file: Option<PathBuf>,
    pub recover_groups: bool,
    pub sync_delay: Duration,
    pub flush_bytes: Option<u64>,
    pub flush_age_ms: Option<u64>,
    pub snapshot_age_ms: Option<u64>,
    pub sql_state_bytes: usize,
    pub admin_listen: String,
    pub topic_defaults: TopicDefaults,
}

/// The least that a journal works in.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;

impl StartArgs {
    /// Puts the file under what was given and fills in the defaults.
    ///
    /// # Errors
    /// When the file does not read, has an unknown key, or a value makes no sense.
    pub fn settings(self) -> Result<Settings, Failure> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => StartArgs::default(),
        };
        let topic_defaults = topic_defaults(&self, &file)?;
        let data_dir = self
            .data_dir
            .or(file.data_dir)
            .unwrap_or_else(|| "millstream-data".into());
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|error| Failure::new(format!("--data-dir {}: {error}", data_dir.display())))?;
        let store = self.store.or(file.store).unwrap_or_else(|| own_store(&data_dir));
        let bytes =
            |flag: &str, given: Option<String>| given.map(|text| parse_bytes(flag, &text)).transpose();
        let journal_bytes =
            bytes("--journal-size", self.journal_size.or(file.journal_size))?.unwrap_or(2 << 30);
        if journal_bytes < JOURNAL_BYTES_MIN {
            return Err(Failure::new("--journal-size must be at least 64MiB"));
        }
        let flush_bytes = bytes("--flush-bytes", self.flush_bytes.or(file.flush_bytes))?;
        if flush_bytes == Some(0) {
            return Err(Failure::new("--flush-bytes must be at least 1"));
        }
        let sql_state_bytes = bytes("--sql-state-bytes", self.sql_state_bytes.or(file.sql_state_bytes))?;
        let sql_state_bytes = sql_state_bytes.map_or(TENANT_SQL_STATE_BYTES_DEFAULT, |bytes| {
            usize::try_from(bytes).unwrap_or(usize::MAX)
        });
        let tls = tls_settings(
            self.tls_certificate.or(file.tls_certificate),
            self.tls_key.or(file.tls_key),
        )?;
        let roles = self
            .roles
            .or(file.roles)
            .unwrap_or_else(|| vec![Role::Control, Role::Broker, Role::Sql]);
        if !roles.contains(&Role::Control) || !roles.contains(&Role::Broker) {
            return Err(Failure::new(
                "--roles needs control and broker in this release: roles in processes of their own come with replication",
            ));
        }
        Ok(Settings {
            store,
            kafka_listen: self
                .kafka_listen
                .or(file.kafka_listen)
                .unwrap_or_else(|| "127.0.0.1:9092".into()),
            http_listen: self
                .http_listen
                .or(file.http_listen)
                .unwrap_or_else(|| "127.0.0.1:8080".into()),
            kafka_advertise: self.kafka_advertise.or(file.kafka_advertise),
            sql: roles.contains(&Role::Sql),
            cluster: self.cluster.or(file.cluster).map(cluster_name).transpose()?,
            root_key_file: self.root_key_file.or(file.root_key_file),
            journal_bytes,
            tls,
            log_format: self.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
            log: self
                .log
                .or(file.log)
                .unwrap_or_else(|| "info,slatedb=warn".into()),
            ready_file: self.ready_file.or(file.ready_file),
            recover_groups: self.recover_groups,
            sync_delay: Duration::from_millis(self.sync_delay_ms.or(file.sync_delay_ms).unwrap_or(0)),
            flush_bytes,
            flush_age_ms: self.flush_age_ms.or(file.flush_age_ms),
            snapshot_age_ms: self.snapshot_age_ms.or(file.snapshot_age_ms),
            sql_state_bytes,
            admin_listen: self
                .admin_listen
                .or(file.admin_listen)
                .unwrap_or_else(|| "127.0.0.1:9641".into()),
            topic_defaults,
            data_dir,
        })
    }
}

/// What topics get that neither their makers nor their virtual clusters say.
fn topic_defaults(given: &StartArgs, file: &StartArgs) -> Result<TopicDefaults, Failure> {
    let factor = given
        .default_replication_factor
        .or(file.default_replication_factor);
    let defaults = TopicDefaults {
        partitions: given.num_partitions.or(file.num_partitions),
        retention_ms: given.default_retention_ms.or(file.default_retention_ms),
        replication_factor: factor,
    };
    let flags = "--num-partitions, --default-retention-ms, --default-replication-factor";
    match defaults.check() {
        Ok(()) => Ok(defaults),
        Err(reason) => Err(Failure::new(format!("{flags}: {reason}"))),
    }
}

/// A cluster keeps its name for ever: nobody should have to type one that is empty, endless or cannot be seen.
fn cluster_name(name: String) -> Result<String, Failure> {
    let is_wrong = name.trim() != name || name.is_empty() || name.len() > CLUSTER_NAME_BYTES_MAX;
    if is_wrong || name.contains(char::is_control) {
        return Err(Failure::new(format!(
            "--cluster wants a name of 1 to {CLUSTER_NAME_BYTES_MAX} bytes, in one line and without blanks around it"
        )));
    }
    Ok(name)
}

fn tls_settings(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsSettings>, Failure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsSettings { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Failure::new("TLS needs both --tls-certificate and --tls-key")),
    }
}

fn read_file(path: &Path) -> Result<StartArgs, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(format!(
            "cannot read the settings file {}: {error}",
            path.display()
        ))
    };
    let bytes = read_named(path, FILE_BYTES_MAX).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(&"it is not text"))?;
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Failure::new(format!(
            "{} line {line}: {}",
            path.display(),
            error.message().replace('\n', " ")
        ))
    })
}

/// `512`, `64KiB`, `2 GB`: bytes; units are powers of 1,024.
fn parse_bytes(flag: &str, text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::new(format!("{flag} wants bytes such as 64MiB or 2GiB, not '{text}'"));
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let number: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    let shift = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// The store of who names none: a folder that belongs to this node alone.
pub fn own_store(data_dir: &Path) -> String {
    format!("file://{}", data_dir.join("store").display())
}

#[cfg(test)]
mod tests {
    use super::{CLUSTER_NAME_BYTES_MAX, StartArgs, cluster_name, parse_bytes};

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() -> Result<(), super::Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(
            file.path(),
            "kafka-listen = \"127.0.0.1:1\"\nhttp-listen = \"127.0.0.1:2\"\n",
        )?;
        let args = StartArgs {
            config: Some(file.path().to_owned()),
            http_listen: Some("127.0.0.1:3".into()),
            ..StartArgs::default()
        };
        let settings = args.settings()?;
        assert_eq!(settings.kafka_listen, "127.0.0.1:1");
        assert_eq!(settings.http_listen, "127.0.0.1:3");
        assert!(settings.store.starts_with("file:///") && settings.store.ends_with("/store"));
        Ok(())
    }

    /// Where the doors are unless it is said, as README shows them.
    #[test]
    fn the_doors_are_where_readme_says() -> Result<(), super::Failure> {
        let settings = StartArgs::default().settings()?;
        let shown = format!(
            "Kafka     {}\ngRPC/HTTP {}\nAdmin     {}\n",
            settings.kafka_listen, settings.http_listen, settings.admin_listen
        );
        let readme = include_str!("../README.md");
        assert!(readme.contains(&shown), "{shown}");
        assert!(readme.contains(&format!(
            "(`--admin-listen`, {}\nunless set",
            settings.admin_listen
        )));
        Ok(())
    }

    /// Each key of the file counts: none is read and forgotten.
    #[test]
    fn every_key_of_the_file_is_a_setting() -> Result<(), super::Failure> {
        let file = tempfile::NamedTempFile::new()?;
        let text = r#"
            data-dir = "/d"
            store = "s3://b/p"
            kafka-listen = "127.0.0.1:1"
            http-listen = "127.0.0.1:2"
            kafka-advertise = "k:3"
            roles = ["control", "broker"]
            cluster = "c"
            root-key-file = "/r"
            journal-size = "64MiB"
            tls-certificate = "/t.pem"
            tls-key = "/t.key"
            log-format = "json"
            log = "warn"
            ready-file = "/y"
            sync-delay-ms = 4
            flush-bytes = "5KiB"
            flush-age-ms = 6
            snapshot-age-ms = 7
            sql-state-bytes = "8KiB"
            admin-listen = "127.0.0.1:8"
            num-partitions = 8
            default-retention-ms = -1
            default-replication-factor = 1
        "#;
        std::fs::write(file.path(), text)?;
        let args = StartArgs {
            config: Some(file.path().to_owned()),
            ..StartArgs::default()
        };
        let read = format!("{:?}", args.settings()?);
        let expected = concat!(
            r#"Settings { data_dir: "/d", store: "s3://b/p", kafka_listen: "127.0.0.1:1", "#,
            r#"http_listen: "127.0.0.1:2", kafka_advertise: Some("k:3"), sql: false, cluster: Some("c"), "#,
            r#"root_key_file: Some("/r"), journal_bytes: 67108864, "#,
            r#"tls: Some(TlsSettings { certificate: "/t.pem", key: "/t.key" }), log_format: Json, log: "warn", "#,
            r#"ready_file: Some("/y"), recover_groups: false, sync_delay: 4ms, flush_bytes: Some(5120), "#,
            r#"flush_age_ms: Some(6), snapshot_age_ms: Some(7), sql_state_bytes: 8192, "#,
            r#"admin_listen: "127.0.0.1:8", topic_defaults: TopicDefaults { "#,
            r#"partitions: Some(8), retention_ms: Some(-1), replication_factor: Some(1) } }"#,
        );
        assert_eq!(read, expected);
        Ok(())
    }

    #[test]
    fn defaults_of_topics_that_cannot_be_are_refused() {
        let partitions = |count| StartArgs {
            num_partitions: Some(count),
            ..StartArgs::default()
        };
        let retention = |ms| StartArgs {
            default_retention_ms: Some(ms),
            ..StartArgs::default()
        };
        let replicas = |count| StartArgs {
            default_replication_factor: Some(count),
            ..StartArgs::default()
        };
        for (args, word) in [
            (partitions(0), "partitions"),
            (partitions(u32::MAX), "partitions"),
            (retention(-2), "retention"),
            (replicas(0), "replication factor"),
            (replicas(4), "replication factor"),
        ] {
            let refused = args.settings().err();
            assert!(
                refused.is_some_and(|failure| failure.text().contains(word)),
                "{word}"
            );
        }
        for args in [partitions(1), retention(-1), retention(0), replicas(3)] {
            assert!(args.settings().is_ok());
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() -> Result<(), super::Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), "log = \"info\"\nkafka-lisen = \"127.0.0.1:1\"\n")?;
        let args = StartArgs {
            config: Some(file.path().to_owned()),
            ..StartArgs::default()
        };
        let Err(failure) = args.settings() else {
            return Err(super::Failure::new("was taken"));
        };
        assert!(
            failure.text().contains("line 2") && failure.text().contains("kafka-lisen"),
            "{failure}"
        );
        Ok(())
    }

    /// The catalog's copy has two bytes for its length, and nobody can change it later.
    #[test]
    fn a_clusters_name_is_one_that_people_can_type() {
        let longest = "n".repeat(CLUSTER_NAME_BYTES_MAX);
        for name in ["c", "a cluster of ours", &longest] {
            assert_eq!(cluster_name(name.into()).ok().as_deref(), Some(name));
        }
        for name in ["", " ", " c", "a\nb", &format!("{longest}n")] {
            assert!(cluster_name(name.into()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_settings_file_without_an_end_is_refused() {
        let args = StartArgs {
            config: Some("/dev/zero".into()),
            ..StartArgs::default()
        };
        let failure = args.settings().err().map(|it| it.text().to_owned());
        assert!(failure.is_some_and(|text| text.contains("/dev/zero") && text.contains("more than")));
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        let table = [
            ("512", Some(512)),
            ("64KiB", Some(65_536)),
            ("2 gb", Some(2 << 30)),
            ("", None),
            ("2X", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_bytes("--journal-size", text).ok(), bytes, "{text}");
        }
    }
}
