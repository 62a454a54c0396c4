//! `millstream org …`: organisations, environments and virtual clusters.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat, rfc3339};
use clap::{Args, Subcommand, ValueEnum};
use millstream_rust::Client;
use millstream_rust::rpc::control::{
    CreateVirtualClusterRequest, Environment, Organization, TopicDefaults, VirtualCluster,
};

/// `millstream org`.
#[derive(Args, Clone, Debug)]
pub struct OrgArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Makes an organisation
    Create {
        /// Its name
        name: String,
    },
    /// Lists the organisations
    List,
    /// Makes an environment in an organisation
    CreateEnvironment {
        /// The organisation's id
        #[arg(long)]
        org: String,
        /// Its name
        name: String,
    },
    /// Lists an organisation's environments
    ListEnvironments {
        /// The organisation's id
        #[arg(long)]
        org: String,
    },
    /// Makes a virtual cluster in an environment: its own topics, groups and names
    CreateCluster {
        /// The environment's id
        #[arg(long)]
        environment: String,
        /// Whether an unknown topic is made when a client asks for it
        #[arg(long)]
        auto_create_topics: bool,
        /// Its name
        name: String,
    },
    /// Sets what the topics of a virtual cluster get that their makers did not say; what is not given here stays
    SetTopicDefaults {
        /// The virtual cluster's account id [default: the key's own]
        #[arg(long, default_value = "")]
        account: String,
        /// Partitions of a topic made by itself or without a number
        #[arg(long)]
        partitions: Option<u32>,
        /// How long records of topics are kept that do not say, -1 for ever; it holds for the topics that there are, too
        #[arg(long, allow_negative_numbers = true)]
        retention_ms: Option<i64>,
        /// Replicas of a topic made by itself or without a number
        #[arg(long)]
        replication_factor: Option<u32>,
        /// What is as the service's settings say again
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        unset: Vec<TopicDefault>,
    },
    /// Lists the virtual clusters
    ListClusters {
        /// The environment's id [default: all of the organisation]
        #[arg(long, default_value = "")]
        environment: String,
    },
}

/// One of the defaults.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum TopicDefault {
    Partitions,
    RetentionMs,
    ReplicationFactor,
}

pub(super) async fn run(client: &Client, args: OrgArgs, output: OutputFormat) -> Result<(), Failure> {
    let admin = client.admin();
    let listing = match args.action {
        Action::Create { name } => organizations(vec![admin.create_organization(&name).await?]),
        Action::List => organizations(admin.list_organizations().await?),
        Action::CreateEnvironment { org, name } => {
            environments(vec![admin.create_environment(&org, &name).await?])
        }
        Action::ListEnvironments { org } => environments(admin.list_environments(&org).await?),
        Action::CreateCluster {
            environment,
            auto_create_topics,
            name,
        } => {
            let request = CreateVirtualClusterRequest {
                environment_id: environment,
                name,
                auto_create_topics,
            };
            clusters(vec![admin.create_virtual_cluster(request).await?])
        }
        Action::SetTopicDefaults {
            account,
            partitions,
            retention_ms,
            replication_factor,
            unset,
        } => {
            let given = TopicDefaults {
                partitions,
                retention_ms,
                replication_factor,
            };
            let found = match account.is_empty() {
                true => admin.who_am_i().await?.virtual_cluster,
                false => {
                    let mut listed = admin.list_virtual_clusters("").await?.into_iter();
                    listed.find(|it| it.account_id == account)
                }
            };
            if found.is_none() && !names_all(&given, &unset) {
                return Err(Failure::new(format!(
                    "virtual cluster {account} is none that this key can list: give every default, or name it in --unset, for what is not named could not be kept"
                )));
            }
            let now = found.and_then(|it| it.topic_defaults).unwrap_or_default();
            let defaults = changed(now, given, &unset);
            clusters(vec![admin.set_topic_defaults(&account, defaults).await?])
        }
        Action::ListClusters { environment } => clusters(admin.list_virtual_clusters(&environment).await?),
    };
    Ok(listing.print(output)?)
}

/// The defaults after a change: what it does not name stays, for a retention that falls back deletes records.
fn changed(now: TopicDefaults, given: TopicDefaults, unset: &[TopicDefault]) -> TopicDefaults {
    let kept = |it| !unset.contains(&it);
    TopicDefaults {
        partitions: given
            .partitions
            .or(now.partitions.filter(|_| kept(TopicDefault::Partitions))),
        retention_ms: given
            .retention_ms
            .or(now.retention_ms.filter(|_| kept(TopicDefault::RetentionMs))),
        replication_factor: given.replication_factor.or(now
            .replication_factor
            .filter(|_| kept(TopicDefault::ReplicationFactor))),
    }
}

/// Whether a change says of every default what it is to be.
fn names_all(given: &TopicDefaults, unset: &[TopicDefault]) -> bool {
    let named = |value: bool, it| value || unset.contains(&it);
    named(given.partitions.is_some(), TopicDefault::Partitions)
        && named(given.retention_ms.is_some(), TopicDefault::RetentionMs)
        && named(
            given.replication_factor.is_some(),
            TopicDefault::ReplicationFactor,
        )
}

fn organizations(found: Vec<Organization>) -> Listing {
    let mut listing = Listing::new(&["id", "name", "created"]);
    for it in found {
        listing.row(vec![it.id.into(), it.name.into(), rfc3339(it.created_ms)]);
    }
    listing
}

fn environments(found: Vec<Environment>) -> Listing {
    let mut listing = Listing::new(&["id", "organization", "name", "created"]);
    for it in found {
        listing.row(vec![
            it.id.into(),
            it.organization_id.into(),
            it.name.into(),
            rfc3339(it.created_ms),
        ]);
    }
    listing
}

fn clusters(found: Vec<VirtualCluster>) -> Listing {
    let mut listing = Listing::new(&[
        "account",
        "name",
        "environment",
        "auto_create_topics",
        "partitions",
        "retention_ms",
        "replication_factor",
        "created",
    ]);
    for it in found {
        let defaults = it.topic_defaults.unwrap_or_default();
        listing.row(vec![
            it.account_id.into(),
            it.name.into(),
            it.environment_id.into(),
            it.auto_create_topics.into(),
            defaults.partitions.into(),
            defaults.retention_ms.into(),
            defaults.replication_factor.into(),
            rfc3339(it.created_ms),
        ]);
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::{TopicDefault, TopicDefaults, changed, names_all};

    #[test]
    fn what_a_change_does_not_name_stays() {
        let of = |partitions, retention_ms, replication_factor| TopicDefaults {
            partitions,
            retention_ms,
            replication_factor,
        };
        let now = of(Some(3), Some(-1), Some(1));
        assert_eq!(
            changed(now, of(Some(6), None, None), &[]),
            of(Some(6), Some(-1), Some(1))
        );
        let unset = [TopicDefault::RetentionMs, TopicDefault::ReplicationFactor];
        assert_eq!(
            changed(now, of(None, None, None), &unset),
            of(Some(3), None, None)
        );
        assert_eq!(
            changed(now, of(None, Some(5), None), &[TopicDefault::RetentionMs]),
            of(Some(3), Some(5), Some(1)),
            "a value that is given counts"
        );
        assert!(names_all(&of(Some(1), None, None), &unset));
        assert!(!names_all(&of(None, None, None), &unset));
    }
}
