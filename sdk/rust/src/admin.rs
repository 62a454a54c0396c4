//! Organisations, keys, topics and quotas: the control plane's calls, with plain arguments.

use crate::error::Error;
use crate::transport::Transport;
use millstream_rpc::control::{
    AlterTopicRequest, CreateEnvironmentRequest, CreateKeyRequest, CreateKeyResponse,
    CreateOrganizationRequest, CreateTopicRequest, CreateVirtualClusterRequest, DeleteTopicRequest,
    DescribeClusterRequest, DescribeClusterResponse, Environment, GetTopicRequest, Key,
    ListEnvironmentsRequest, ListKeysRequest, ListOrganizationsRequest, ListQuotasRequest,
    ListSqlRowsRequest, ListSqlRowsResponse, ListTopicsRequest, ListVirtualClustersRequest, Organization,
    Quota, RevokeKeyRequest, RevokeKeyResponse, Role, SetQuotaRequest, SetTopicDefaultsRequest, SqlRow,
    SqlRowName, Topic, TopicDefaults, VirtualCluster, WhoAmIRequest, WhoAmIResponse, WriteSqlRowsRequest,
    cluster_client::ClusterClient, keys_client::KeysClient, organizations_client::OrganizationsClient,
    quotas_client::QuotasClient, sql_catalog_client::SqlCatalogClient, topics_client::TopicsClient,
};
use std::collections::BTreeMap;

/// The control plane, as the client's key may use it.
#[derive(Clone)]
pub struct Admin {
    transport: Transport,
}

/// Every call fails when the service cannot be reached, the key may not do it, or an argument is refused.
impl Admin {
    pub(crate) fn new(transport: Transport) -> Admin {
        Admin { transport }
    }

    fn organizations(&self) -> OrganizationsClient<Transport> {
        OrganizationsClient::new(self.transport.clone())
    }

    fn keys(&self) -> KeysClient<Transport> {
        KeysClient::new(self.transport.clone())
    }

    fn topics(&self) -> TopicsClient<Transport> {
        TopicsClient::new(self.transport.clone())
    }

    /// Who the client's key is.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, Error> {
        Ok(self.keys().who_am_i(WhoAmIRequest {}).await?.into_inner())
    }

    /// Makes an organisation.
    pub async fn create_organization(&self, name: &str) -> Result<Organization, Error> {
        let request = CreateOrganizationRequest {
            name: name.to_owned(),
        };
        Ok(self
            .organizations()
            .create_organization(request)
            .await?
            .into_inner())
    }

    /// The organisations that the key may see.
    pub async fn list_organizations(&self) -> Result<Vec<Organization>, Error> {
        let response = self
            .organizations()
            .list_organizations(ListOrganizationsRequest {})
            .await?;
        Ok(response.into_inner().organizations)
    }

    /// Makes an environment.
    pub async fn create_environment(&self, organization_id: &str, name: &str) -> Result<Environment, Error> {
        let request = CreateEnvironmentRequest {
            organization_id: organization_id.to_owned(),
            name: name.to_owned(),
        };
        Ok(self
            .organizations()
            .create_environment(request)
            .await?
            .into_inner())
    }

    /// The environments of an organisation.
    pub async fn list_environments(&self, organization_id: &str) -> Result<Vec<Environment>, Error> {
        let request = ListEnvironmentsRequest {
            organization_id: organization_id.to_owned(),
        };
        Ok(self
            .organizations()
            .list_environments(request)
            .await?
            .into_inner()
            .environments)
    }

    /// Makes a virtual cluster.
    pub async fn create_virtual_cluster(
        &self,
        request: CreateVirtualClusterRequest,
    ) -> Result<VirtualCluster, Error> {
        Ok(self
            .organizations()
            .create_virtual_cluster(request)
            .await?
            .into_inner())
    }

    /// The virtual clusters of an environment, or of the whole organisation when it is empty.
    pub async fn list_virtual_clusters(&self, environment_id: &str) -> Result<Vec<VirtualCluster>, Error> {
        let request = ListVirtualClustersRequest {
            environment_id: environment_id.to_owned(),
        };
        Ok(self
            .organizations()
            .list_virtual_clusters(request)
            .await?
            .into_inner()
            .virtual_clusters)
    }

    /// Sets what the topics of a virtual cluster (the caller's own when `account_id` is empty) get that their makers did
    /// not say, whole: what is absent is as the service's settings say again.
    pub async fn set_topic_defaults(
        &self,
        account_id: &str,
        defaults: TopicDefaults,
    ) -> Result<VirtualCluster, Error> {
        let request = SetTopicDefaultsRequest {
            account_id: account_id.to_owned(),
            defaults: Some(defaults),
        };
        Ok(self
            .organizations()
            .set_topic_defaults(request)
            .await?
            .into_inner())
    }

    /// Makes a key of a virtual cluster (the caller's own when `account_id` is empty). Its secret is shown only here.
    pub async fn create_key(
        &self,
        account_id: &str,
        name: &str,
        role: Role,
    ) -> Result<CreateKeyResponse, Error> {
        let request = CreateKeyRequest {
            account_id: account_id.to_owned(),
            name: name.to_owned(),
            role: role.into(),
        };
        Ok(self.keys().create_key(request).await?.into_inner())
    }

    /// The keys of a virtual cluster (the caller's own when `account_id` is empty).
    pub async fn list_keys(&self, account_id: &str) -> Result<Vec<Key>, Error> {
        let request = ListKeysRequest {
            account_id: account_id.to_owned(),
        };
        Ok(self.keys().list_keys(request).await?.into_inner().keys)
    }

    /// Ends a key, its open connections included.
    pub async fn revoke_key(&self, id: &str) -> Result<RevokeKeyResponse, Error> {
        Ok(self
            .keys()
            .revoke_key(RevokeKeyRequest { id: id.to_owned() })
            .await?
            .into_inner())
    }

    /// Makes a topic; 0 partitions means the default.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) -> Result<Topic, Error> {
        let request = CreateTopicRequest {
            name: name.to_owned(),
            partitions,
            replication_factor: 0,
            config: config.into_iter().collect(),
            validate_only: false,
        };
        Ok(self.topics().create_topic(request).await?.into_inner())
    }

    /// One topic.
    pub async fn get_topic(&self, name: &str) -> Result<Topic, Error> {
        Ok(self
            .topics()
            .get_topic(GetTopicRequest {
                name: name.to_owned(),
            })
            .await?
            .into_inner())
    }

    /// All topics of the virtual cluster.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, Error> {
        Ok(self
            .topics()
            .list_topics(ListTopicsRequest {})
            .await?
            .into_inner()
            .topics)
    }

    /// Changes a topic's settings.
    pub async fn alter_topic(
        &self,
        name: &str,
        set: BTreeMap<String, String>,
        unset: Vec<String>,
    ) -> Result<Topic, Error> {
        let request = AlterTopicRequest {
            name: name.to_owned(),
            set: set.into_iter().collect(),
            unset,
        };
        Ok(self.topics().alter_topic(request).await?.into_inner())
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.topics()
            .delete_topic(DeleteTopicRequest {
                name: name.to_owned(),
            })
            .await?;
        Ok(())
    }

    /// Sets a quota.
    pub async fn set_quota(&self, quota: Quota, remove: bool) -> Result<Quota, Error> {
        let request = SetQuotaRequest {
            quota: Some(quota),
            remove,
        };
        Ok(QuotasClient::new(self.transport.clone())
            .set_quota(request)
            .await?
            .into_inner())
    }

    /// The quotas in force.
    pub async fn list_quotas(&self) -> Result<Vec<Quota>, Error> {
        let response = QuotasClient::new(self.transport.clone())
            .list_quotas(ListQuotasRequest {})
            .await?;
        Ok(response.into_inner().quotas)
    }

    /// Writes and deletes SQL rows in one transaction; answers the catalog's version.
    pub async fn write_sql_rows(
        &self,
        put: Vec<SqlRow>,
        delete: Vec<SqlRowName>,
        expected_version: Option<u64>,
    ) -> Result<u64, Error> {
        let request = WriteSqlRowsRequest {
            put,
            delete,
            expected_version,
        };
        let response = SqlCatalogClient::new(self.transport.clone())
            .write_sql_rows(request)
            .await?;
        Ok(response.into_inner().version)
    }

    /// The SQL rows once the catalog has at least this version.
    pub async fn list_sql_rows(&self, at_least_version: u64) -> Result<ListSqlRowsResponse, Error> {
        let request = ListSqlRowsRequest { at_least_version };
        Ok(SqlCatalogClient::new(self.transport.clone())
            .list_sql_rows(request)
            .await?
            .into_inner())
    }

    /// The cluster: nodes, versions.
    pub async fn describe_cluster(&self) -> Result<DescribeClusterResponse, Error> {
        let response = ClusterClient::new(self.transport.clone())
            .describe_cluster(DescribeClusterRequest {})
            .await?;
        Ok(response.into_inner())
    }
}
