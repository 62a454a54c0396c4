//! `millstream quota …`.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat};
use clap::{Args, Subcommand};
use millstream_rust::Client;
use millstream_rust::rpc::control::Quota;

/// `millstream quota`.
#[derive(Args, Clone, Debug)]
pub struct QuotaArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Lists the quotas in force
    List,
    /// Sets a quota of a virtual cluster or of a key
    Set {
        /// producer_byte_rate, consumer_byte_rate, request_rate, connections, partitions, storage_bytes or sql_cpu_ms_rate
        name: String,
        /// Its value
        value: f64,
        /// The virtual cluster's account id
        #[arg(long, default_value = "", conflicts_with = "key_id")]
        account: String,
        /// The key's id
        #[arg(long, default_value = "")]
        key_id: String,
    },
    /// Removes a quota
    Unset {
        /// Its name
        name: String,
        /// The virtual cluster's account id
        #[arg(long, default_value = "", conflicts_with = "key_id")]
        account: String,
        /// The key's id
        #[arg(long, default_value = "")]
        key_id: String,
    },
}

pub(super) async fn run(client: &Client, args: QuotaArgs, output: OutputFormat) -> Result<(), Failure> {
    let admin = client.admin();
    let found = match args.action {
        Action::List => admin.list_quotas().await?,
        Action::Set {
            name,
            value,
            account,
            key_id,
        } => {
            vec![
                admin
                    .set_quota(
                        Quota {
                            account_id: account,
                            key_id,
                            name,
                            value,
                        },
                        false,
                    )
                    .await?,
            ]
        }
        Action::Unset {
            name,
            account,
            key_id,
        } => {
            admin
                .set_quota(
                    Quota {
                        account_id: account,
                        key_id,
                        name,
                        value: 0.0,
                    },
                    true,
                )
                .await?;
            return Ok(());
        }
    };
    let mut listing = Listing::new(&["account", "key", "name", "value"]);
    for it in found {
        listing.row(vec![
            it.account_id.into(),
            it.key_id.into(),
            it.name.into(),
            it.value.into(),
        ]);
    }
    Ok(listing.print(output)?)
}
