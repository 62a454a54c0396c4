//! `millstream store check`: what the node's snapshots name, held against what the store holds. Reads only: nothing is
//! made, locked or written, so that it may run beside the service.

use crate::cluster::{copy_path, told};
use crate::settings::{Settings, StartArgs};
use clap::{Args, Subcommand};
use millstream_broker::{Checked, Finding, OpenStore, StoreBefore, check_store, open_store};
use millstream_catalog::{CatalogCopy, Identity};
use millstream_cli::{Failure, OutputFormat};
use millstream_metadata::Image;
use millstream_model::PartitionId;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::PathBuf;

/// `millstream store`.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// Reads everything that this node's snapshots name in the object store and tells what is damaged or missing; also
    /// beside a running service
    Check(StoreArgs),
}

/// Which node, and which store.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// The service's TOML file
    #[arg(long, env = "MILLSTREAM_CONFIG_FILE", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the node keeps its journal and its identity [default: millstream-data]
    #[arg(long, env = "MILLSTREAM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The object store: file:///FOLDER or s3://BUCKET/PREFIX [default: the folder 'store' in the data folder]
    #[arg(long, env = "MILLSTREAM_STORE", value_name = "URL")]
    pub store: Option<String>,
}

/// Runs a command.
///
/// # Errors
/// When anything is damaged, missing or could not be looked at, in one line; each thing was printed before.
pub async fn run(command: StoreCommand, output: OutputFormat) -> Result<(), Failure> {
    let StoreCommand::Check(args) = command;
    let settings = StartArgs {
        config: args.config,
        data_dir: args.data_dir,
        store: args.store,
        ..StartArgs::default()
    }
    .settings()?;
    let image = known(&settings)?;
    let store = opened(&settings, &image).await?;
    let printed = |finding: Finding| {
        // Nobody may be reading any more; what is found still counts.
        let _ = writeln!(stdout(), "{}", line(&finding, &image.image, output));
    };
    let at = (store.store, store.prefix);
    let checked = check_store(&settings.data_dir, &image.image, at, printed)
        .await
        .map_err(|error| Failure::new(format!("the local snapshots cannot be read: {error}")))?;
    writeln!(stdout(), "{}", summary(&checked, output))?;
    verdict(&checked)
}

/// What this node knows of its cluster.
fn known(settings: &Settings) -> Result<CatalogCopy, Failure> {
    let folder = settings.data_dir.display();
    match CatalogCopy::load(&copy_path(settings)) {
        Ok(Some(copy)) => Ok(copy),
        Ok(None) => Err(Failure::new(format!(
            "{folder} holds no service that has run; name another folder with --data-dir"
        ))),
        Err(error) => Err(told(error)),
    }
}

/// The store of the node's own cluster: in any other everything would be missing.
async fn opened(settings: &Settings, known: &CatalogCopy) -> Result<OpenStore, Failure> {
    if let Some(folder) = settings.store.strip_prefix("file://")
        && !std::path::Path::new(folder).is_dir()
    {
        return Err(Failure::new(format!(
            "there is no folder {folder}: is --store right?"
        )));
    }
    let store = open_store(&settings.store, StoreBefore::HeldCluster).map_err(told)?;
    let found = Identity::read(store.store.as_ref(), &store.prefix).await;
    match found.map_err(told)? {
        Some(found) if found.id == known.cluster => Ok(store),
        Some(found) => Err(Failure::new(format!(
            "{} holds the cluster '{}', this node belongs to '{}': is --store right?",
            settings.store, found.name, known.name
        ))),
        None => Err(Failure::new(format!(
            "{} holds no cluster (cluster.json is missing): is --store right?",
            settings.store
        ))),
    }
}

/// A topic's name, or its id where the catalog does not know it any more.
fn topic_of(image: &Image, partition: PartitionId) -> String {
    let topic = image.topic_by_id(partition.topic);
    topic.map_or_else(|| partition.topic.to_string(), |topic| topic.name.to_string())
}

fn line(finding: &Finding, image: &Image, output: OutputFormat) -> String {
    let state = if finding.is_damage { "damaged" } else { "unread" };
    let (object, what) = (&finding.object, &finding.what);
    let group = finding.group.0;
    match (&finding.records, output) {
        (Some(records), OutputFormat::Table) => format!(
            "{state} {}/{} partition {} offsets {} to {}: {object}: {what}",
            records.tenant,
            topic_of(image, records.partition),
            records.partition.index.0,
            records.base_offset,
            records.end_offset.plus(-1),
        ),
        (Some(records), OutputFormat::Json) => json!({
            "state": state,
            "account": records.tenant.to_string(),
            "topic": topic_of(image, records.partition),
            "partition": records.partition.index.0,
            "first_offset": records.base_offset.0,
            "last_offset": records.end_offset.0 - 1,
            "group": group,
            "object": object,
            "reason": what,
        })
        .to_string(),
        (None, OutputFormat::Table) => format!("{state} group {group}: {object}: {what}"),
        (None, OutputFormat::Json) => {
            json!({"state": state, "group": group, "object": object, "reason": what}).to_string()
        }
    }
}

fn summary(checked: &Checked, output: OutputFormat) -> String {
    let Checked {
        groups,
        partitions,
        objects,
        bytes,
        damaged,
        unread,
    } = checked;
    match output {
        OutputFormat::Table => format!(
            "{objects} objects with {bytes} bytes of records of {partitions} partitions in {groups} groups: {damaged} \
             damaged or missing, {unread} could not be read"
        ),
        OutputFormat::Json => {
            let counts: Value = json!({
                "groups": groups,
                "partitions": partitions,
                "objects": objects,
                "bytes": bytes,
                "damaged": damaged,
                "unread": unread,
            });
            json!({ "summary": counts }).to_string()
        }
    }
}

fn verdict(checked: &Checked) -> Result<(), Failure> {
    match (checked.damaged, checked.unread) {
        (0, 0) => Ok(()),
        (0, unread) => Err(Failure::new(format!(
            "{unread} objects could not be read: is the store up? What was read is whole"
        ))),
        (damaged, _) => Err(Failure::new(format!(
            "{damaged} objects are damaged or missing: put good copies in their places if there are any"
        ))),
    }
}
