//! What the demo asks of the control plane: an organisation, a virtual cluster and a key of its own.
//!
//! A demo that is started again on the same folder finds them by name; the key is made anew, since a secret is shown
//! only once, and the one of the last run is revoked. Runs whose rows or statements differ have virtual clusters of
//! their own, so that one folder may hold them all.

use super::{DemoArgs, Service};
use crate::connection::Connection;
use crate::failure::Failure;
use millstream_model::limits::CATALOG_NAME_LENGTH_MAX;
use millstream_rust::rpc::control::{CreateVirtualClusterRequest, KeyState, Role};

const NAME: &str = "demo";

/// A connection with an administrator's key of the demo's own virtual cluster.
pub(super) async fn provision(service: &Service, args: &DemoArgs) -> Result<Connection, Failure> {
    let name = cluster_name(args);
    let operator = Connection {
        address: service.http.clone(),
        key: service.key.clone(),
        secret: service.secret.clone(),
        ca_certificate: None,
    };
    let admin = operator.client()?.admin();
    let organization = match admin
        .list_organizations()
        .await?
        .into_iter()
        .find(|it| it.name == NAME)
    {
        Some(found) => found,
        None => admin.create_organization(NAME).await?,
    };
    let environment = match admin
        .list_environments(&organization.id)
        .await?
        .into_iter()
        .find(|it| it.name == NAME)
    {
        Some(found) => found,
        None => admin.create_environment(&organization.id, NAME).await?,
    };
    let clusters = admin.list_virtual_clusters(&environment.id).await?;
    let cluster = match clusters.into_iter().find(|it| it.name == name) {
        Some(found) => found,
        None => {
            let request = CreateVirtualClusterRequest {
                environment_id: environment.id,
                name,
                auto_create_topics: false,
            };
            admin.create_virtual_cluster(request).await?
        }
    };
    let old = admin.list_keys(&cluster.account_id).await?;
    let made = admin.create_key(&cluster.account_id, NAME, Role::Admin).await?;
    for key in old
        .into_iter()
        .filter(|it| it.name == NAME && it.state == i32::from(KeyState::Active))
    {
        admin.revoke_key(&key.id).await?;
    }
    if service.revoke_key {
        admin.revoke_key(&service.key).await?;
    }
    let key = made
        .key
        .ok_or_else(|| Failure::new("the service made a key without telling which"))?;
    Ok(Connection {
        address: service.http.clone(),
        key: key.id,
        secret: made.secret,
        ca_certificate: None,
    })
}

/// A name for the run's virtual cluster: letters, digits and `-` of what makes its answer different.
fn cluster_name(args: &DemoArgs) -> String {
    let mut name = NAME.to_owned();
    if args.unkeyed {
        name.push_str("-unkeyed");
    }
    if let Some(grace) = &args.grace_period {
        let words = grace
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        for word in words {
            name.push('-');
            name.push_str(&word.to_ascii_lowercase());
        }
    }
    name.truncate(CATALOG_NAME_LENGTH_MAX);
    name
}

#[cfg(test)]
mod tests {
    use super::cluster_name;
    use crate::demo::DemoArgs;

    #[test]
    fn runs_that_differ_have_clusters_of_their_own() {
        let args = |unkeyed, grace: Option<&str>| DemoArgs {
            speed: 1,
            once: true,
            unkeyed,
            grace_period: grace.map(str::to_owned),
            rows: None,
        };
        let table = [
            (args(false, None), "demo"),
            (args(true, None), "demo-unkeyed"),
            (args(false, Some("0 SECONDS")), "demo-0-seconds"),
            (args(true, Some("'; DROP ü")), "demo-unkeyed-drop"),
        ];
        for (args, name) in table {
            assert_eq!(cluster_name(&args), name);
        }
    }
}
