//! API keys: made (the secret is shown once), listed, revoked.

use crate::caller::{is_admin, is_operator, is_organization_admin};
use crate::message::{grants, key, parse_account, parse_id, virtual_cluster};
use crate::service::Service;
use crate::status::{denied, not_found, refused, rootless};
use millstream_access::{Principal, derive_secret};
use millstream_metadata::{CreateKey, Image, KeyRow, RevokeKey};
use millstream_model::{KeyId, NodeId, TenantId};
use millstream_rpc::control as rpc;
use millstream_rpc::control::keys_server::Keys;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, async_trait};

/// How long a revocation waits for the nodes to confirm it before it says who has not.
const CONFIRMATION_MAX: Duration = Duration::from_secs(2);

/// How often it looks.
const CONFIRMATION_STEP: Duration = Duration::from_millis(50);

#[async_trait]
impl Keys for Service {
    async fn create_key(
        &self,
        request: Request<rpc::CreateKeyRequest>,
    ) -> Result<Response<rpc::CreateKeyResponse>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let command = CreateKey {
            tenant: own_or(&request.account_id, who.tenant)?,
            name: request.name,
            grants: grants(request.role)?,
            root_version: self.roots.current(),
        };
        let row = self.submit(&who, command).await?.reply;
        let secret = derive_secret(&self.roots, row.root_version, &row.id, &row.salt);
        let secret = secret.ok_or_else(rootless)?.expose().to_owned();
        Ok(Response::new(rpc::CreateKeyResponse {
            key: Some(key(&row)),
            secret,
        }))
    }

    async fn list_keys(
        &self,
        request: Request<rpc::ListKeysRequest>,
    ) -> Result<Response<rpc::ListKeysResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        let tenant = own_or(&request.get_ref().account_id, who.tenant)?;
        if !sees_tenant(&image, &who, tenant) {
            return Err(not_found("virtual cluster", &tenant.account()));
        }
        if !is_admin(&who) {
            return Err(denied("this needs an administrator's key of the virtual cluster"));
        }
        let keys = image
            .keys()
            .filter(|row| row.tenant == tenant)
            .map(|row| key(row))
            .collect();
        Ok(Response::new(rpc::ListKeysResponse { keys }))
    }

    async fn revoke_key(
        &self,
        request: Request<rpc::RevokeKeyRequest>,
    ) -> Result<Response<rpc::RevokeKeyResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        let id: KeyId = parse_id("key", &request.get_ref().id)?;
        let tenant = image
            .key(&id)
            .map(|row| row.tenant)
            .filter(|tenant| sees_tenant(&image, &who, *tenant));
        let tenant = tenant.ok_or_else(|| not_found("key", id.as_str()))?;
        let committed = self.submit(&who, RevokeKey { tenant, key: id }).await?;
        let unconfirmed = self.wait_for_nodes(committed.version).await?;
        Ok(Response::new(rpc::RevokeKeyResponse {
            key: Some(key(&committed.reply)),
            unconfirmed_nodes: unconfirmed.into_iter().map(|node| node.0).collect(),
        }))
    }

    async fn who_am_i(
        &self,
        request: Request<rpc::WhoAmIRequest>,
    ) -> Result<Response<rpc::WhoAmIResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        Ok(Response::new(rpc::WhoAmIResponse {
            key: image.key(&who.key).map(|row| key(row)),
            virtual_cluster: image.virtual_cluster(who.tenant).map(|row| virtual_cluster(row)),
            cluster_id: self.cluster.id.clone(),
            cluster_name: self.cluster.name.clone(),
        }))
    }
}

impl Service {
    /// The nodes that have not confirmed a version within the time that a revocation may take.
    async fn wait_for_nodes(&self, version: u64) -> Result<Vec<NodeId>, Status> {
        let until = Instant::now() + CONFIRMATION_MAX;
        loop {
            let waiting = self
                .controller
                .unconfirmed(version)
                .await
                .map_err(|refusal| refused(&refusal))?;
            if waiting.is_empty() || Instant::now() >= until {
                return Ok(waiting);
            }
            sleep(CONFIRMATION_STEP).await;
        }
    }
}

/// Whether the caller may know that this virtual cluster exists.
pub(crate) fn sees_tenant(image: &Image, who: &Principal, tenant: TenantId) -> bool {
    let row = image.virtual_cluster(tenant);
    let of_organisation = row.is_some_and(|row| row.organisation == who.organisation);
    tenant == who.tenant
        || (row.is_some() && is_operator(who))
        || (of_organisation && is_organization_admin(who))
}

/// Whether the caller may know that this key exists.
pub(crate) fn sees_key(image: &Image, who: &Principal, key: &KeyRow) -> bool {
    sees_tenant(image, who, key.tenant)
}

fn own_or(text: &str, own: TenantId) -> Result<TenantId, Status> {
    if text.is_empty() {
        Ok(own)
    } else {
        parse_account(text)
    }
}
