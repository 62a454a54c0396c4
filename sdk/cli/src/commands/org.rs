//! `millstream org …`: organisations, environments and virtual clusters.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat, rfc3339};
use clap::{Args, Subcommand};
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
    /// Sets what the topics of a virtual cluster get that their makers did not say; what is not given here is as the
    /// service's settings say again
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
    },
    /// Lists the virtual clusters
    ListClusters {
        /// The environment's id [default: all of the organisation]
        #[arg(long, default_value = "")]
        environment: String,
    },
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
        } => {
            let defaults = TopicDefaults {
                partitions,
                retention_ms,
                replication_factor,
            };
            clusters(vec![admin.set_topic_defaults(&account, defaults).await?])
        }
        Action::ListClusters { environment } => clusters(admin.list_virtual_clusters(&environment).await?),
    };
    Ok(listing.print(output)?)
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
