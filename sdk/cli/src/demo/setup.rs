//! What the demo asks of the control plane: an organisation, a virtual cluster and a key of its own.
//!
//! A demo that is started again on the same folder finds them by name; the key is made anew, since a secret is shown
//! only once, and the one of the last run is revoked.

use super::Service;
use crate::connection::Connection;
use crate::failure::Failure;
use millstream_rust::rpc::control::{CreateVirtualClusterRequest, KeyState, Role};

const NAME: &str = "demo";

/// A connection with an administrator's key of the demo's own virtual cluster.
pub(super) async fn provision(service: &Service) -> Result<Connection, Failure> {
    let operator = Connection {
        address: service.http.clone(),
        key: service.key.clone(),
        secret: service.secret.clone(),
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
    let cluster = match clusters.into_iter().find(|it| it.name == NAME) {
        Some(found) => found,
        None => {
            let request = CreateVirtualClusterRequest {
                environment_id: environment.id,
                name: NAME.into(),
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
    let key = made
        .key
        .ok_or_else(|| Failure::new("the service made a key without telling which"))?;
    Ok(Connection {
        address: service.http.clone(),
        key: key.id,
        secret: made.secret,
    })
}
