//! `millstream whoami`.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat};
use millstream_rust::Client;
use millstream_rust::rpc::control::Role;

pub(super) async fn run(client: &Client, output: OutputFormat) -> Result<(), Failure> {
    let who = client.admin().who_am_i().await?;
    let (key, cluster) = (
        who.key.unwrap_or_default(),
        who.virtual_cluster.unwrap_or_default(),
    );
    let role = role_name(key.role);
    let mut listing = Listing::new(&[
        "key",
        "name",
        "role",
        "account",
        "virtual_cluster",
        "cluster",
        "cluster_id",
    ]);
    listing.row(vec![
        key.id.into(),
        key.name.into(),
        role.into(),
        cluster.account_id.into(),
        cluster.name.into(),
        who.cluster_name.into(),
        who.cluster_id.into(),
    ]);
    Ok(listing.print(output)?)
}

/// A role as the command line writes it.
pub(super) fn role_name(role: i32) -> String {
    let name = Role::try_from(role).unwrap_or_default().as_str_name();
    name.trim_start_matches("ROLE_")
        .to_ascii_lowercase()
        .replace('_', "-")
}
