//! Organisations, environments, virtual clusters.

use crate::caller::{is_operator, is_organization_admin};
use crate::message::{environment, organization, parse_account, parse_id, topic_defaults, virtual_cluster};
use crate::service::Service;
use crate::status::{invalid, not_found};
use millstream_metadata::{
    CreateEnvironment, CreateOrganisation, CreateVirtualCluster, EnvironmentId, OrganisationId,
    SetTopicDefaults,
};
use millstream_model::TenantId;
use millstream_rpc::control as rpc;
use millstream_rpc::control::organizations_server::Organizations;
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl Organizations for Service {
    async fn create_organization(
        &self,
        request: Request<rpc::CreateOrganizationRequest>,
    ) -> Result<Response<rpc::Organization>, Status> {
        let (who, _) = self.caller(&request)?;
        let command = CreateOrganisation {
            name: request.into_inner().name,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(organization(&row)))
    }

    async fn list_organizations(
        &self,
        request: Request<rpc::ListOrganizationsRequest>,
    ) -> Result<Response<rpc::ListOrganizationsResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        let seen = image
            .organisations()
            .filter(|row| is_operator(&who) || row.id == who.organisation);
        let organizations = seen.map(|row| organization(row)).collect();
        Ok(Response::new(rpc::ListOrganizationsResponse { organizations }))
    }

    async fn create_environment(
        &self,
        request: Request<rpc::CreateEnvironmentRequest>,
    ) -> Result<Response<rpc::Environment>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let organisation = own_or(&request.organization_id, who.organisation)?;
        let command = CreateEnvironment {
            organisation,
            name: request.name,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(environment(&row)))
    }

    async fn list_environments(
        &self,
        request: Request<rpc::ListEnvironmentsRequest>,
    ) -> Result<Response<rpc::ListEnvironmentsResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        let organisation = own_or(&request.get_ref().organization_id, who.organisation)?;
        let there = image.organisation(organisation).is_some();
        if !there || (organisation != who.organisation && !is_operator(&who)) {
            return Err(not_found("organization", &organisation.to_string()));
        }
        let of_it = image
            .environments()
            .filter(|row| row.organisation == organisation);
        let environments = of_it.map(|row| environment(row)).collect();
        Ok(Response::new(rpc::ListEnvironmentsResponse { environments }))
    }

    async fn create_virtual_cluster(
        &self,
        request: Request<rpc::CreateVirtualClusterRequest>,
    ) -> Result<Response<rpc::VirtualCluster>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let command = CreateVirtualCluster {
            environment: parse_id("environment", &request.environment_id)?,
            name: request.name,
            auto_create_topics: request.auto_create_topics,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(virtual_cluster(&row)))
    }

    async fn list_virtual_clusters(
        &self,
        request: Request<rpc::ListVirtualClustersRequest>,
    ) -> Result<Response<rpc::ListVirtualClustersResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        let wanted = &request.get_ref().environment_id;
        let environment: Option<EnvironmentId> = if wanted.is_empty() {
            None
        } else {
            Some(parse_id("environment", wanted)?)
        };
        if let Some(id) = environment {
            let found = image.environment(id);
            if !found.is_some_and(|row| row.organisation == who.organisation || is_operator(&who)) {
                return Err(not_found("environment", wanted));
            }
        }
        let seen = image.virtual_clusters().filter(|row| {
            let asked = match environment {
                Some(environment) => row.environment == environment,
                None => row.organisation == who.organisation,
            };
            asked && (is_organization_admin(&who) || row.id == who.tenant)
        });
        let virtual_clusters = seen.map(|row| virtual_cluster(row)).collect();
        Ok(Response::new(rpc::ListVirtualClustersResponse {
            virtual_clusters,
        }))
    }

    async fn set_topic_defaults(
        &self,
        request: Request<rpc::SetTopicDefaultsRequest>,
    ) -> Result<Response<rpc::VirtualCluster>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let given = request
            .defaults
            .ok_or_else(|| invalid("no defaults were given"))?;
        let command = SetTopicDefaults {
            tenant: account_or(&request.account_id, who.tenant)?,
            defaults: topic_defaults(given)?,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(virtual_cluster(&row)))
    }
}

/// The virtual cluster of this account; the caller's own if none is given.
fn account_or(text: &str, own: TenantId) -> Result<TenantId, Status> {
    if text.is_empty() {
        Ok(own)
    } else {
        parse_account(text)
    }
}

/// The organisation of this id; the caller's own if none is given.
fn own_or(text: &str, own: OrganisationId) -> Result<OrganisationId, Status> {
    if text.is_empty() {
        Ok(own)
    } else {
        parse_id("organization", text)
    }
}
