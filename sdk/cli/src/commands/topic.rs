//! `millstream topic …`.

use super::name_value;
use crate::failure::Failure;
use crate::output::{Listing, OutputFormat};
use clap::{Args, Subcommand};
use millstream_rust::rpc::control::Topic;
use millstream_rust::{Client, Position};
use serde_json::Value;

/// `millstream topic`.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Makes a topic
    Create {
        /// Its name
        name: String,
        /// How many partitions; 0 means the default
        #[arg(long, default_value_t = 0)]
        partitions: u32,
        /// A setting by Kafka's name, such as retention.ms=-1; may be repeated
        #[arg(long, value_parser = name_value, value_name = "NAME=VALUE")]
        config: Vec<(String, String)>,
    },
    /// Lists the topics
    List,
    /// Shows a topic's settings and its partitions' offsets
    Describe {
        /// Its name
        name: String,
    },
    /// Changes a topic's settings
    Alter {
        /// Its name
        name: String,
        /// A setting by Kafka's name; may be repeated
        #[arg(long, value_parser = name_value, value_name = "NAME=VALUE")]
        set: Vec<(String, String)>,
        /// A setting to put back to its default; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Deletes a topic and its records
    Delete {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(client: &Client, args: TopicArgs, output: OutputFormat) -> Result<(), Failure> {
    let admin = client.admin();
    match args.action {
        Action::Create {
            name,
            partitions,
            config,
        } => {
            let made = admin
                .create_topic(&name, partitions, config.into_iter().collect())
                .await?;
            topics(vec![made]).print(output)?;
        }
        Action::List => topics(admin.list_topics().await?).print(output)?,
        Action::Describe { name } => describe(client, &name, output).await?,
        Action::Alter { name, set, unset } => {
            let changed = admin.alter_topic(&name, set.into_iter().collect(), unset).await?;
            topics(vec![changed]).print(output)?;
        }
        Action::Delete { name } => admin.delete_topic(&name).await?,
    }
    Ok(())
}

async fn describe(client: &Client, name: &str, output: OutputFormat) -> Result<(), Failure> {
    let topic = client.admin().get_topic(name).await?;
    let partitions: Vec<u32> = (0..topic.partitions).collect();
    let starts = client.list_offsets(name, &partitions, Position::Earliest).await?;
    let ends = client.list_offsets(name, &partitions, Position::Latest).await?;
    topics(vec![topic]).print(output)?;
    let mut listing = Listing::new(&["partition", "start", "end", "records"]);
    for (index, (start, end)) in partitions.into_iter().zip(starts.into_iter().zip(ends)) {
        listing.row(vec![
            index.into(),
            start.into(),
            end.into(),
            end.saturating_sub(start).into(),
        ]);
    }
    Ok(listing.print(output)?)
}

fn topics(found: Vec<Topic>) -> Listing {
    let mut listing = Listing::new(&["name", "partitions", "replication_factor", "config", "id"]);
    for it in found {
        let mut config: Vec<_> = it
            .config
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        config.sort();
        listing.row(vec![
            it.name.into(),
            it.partitions.into(),
            it.replication_factor.into(),
            Value::String(config.join(" ")),
            it.id.into(),
        ]);
    }
    listing
}
