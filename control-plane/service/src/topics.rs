//! Topics of the caller's virtual cluster.

use crate::message::{shortened, topic};
use crate::service::Service;
use crate::status::{denied, invalid, refused};
use millstream_access::{Named, Operation, Principal, Resource, allowed, topics};
use millstream_metadata::{AlterTopicConfig, CreateTopic, DeleteTopic, Refusal};
use millstream_rpc::control as rpc;
use millstream_rpc::control::topics_server::Topics;
use std::collections::BTreeMap;
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl Topics for Service {
    async fn create_topic(
        &self,
        request: Request<rpc::CreateTopicRequest>,
    ) -> Result<Response<rpc::Topic>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let command = CreateTopic {
            tenant: who.tenant,
            name: request.name,
            partitions: or_default(request.partitions, "partitions")?,
            replication: or_default(request.replication_factor, "replication_factor")?,
            config: request.config.into_iter().collect(),
            validate_only: request.validate_only,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(topic(&row)))
    }

    async fn get_topic(
        &self,
        request: Request<rpc::GetTopicRequest>,
    ) -> Result<Response<rpc::Topic>, Status> {
        let (who, image) = self.caller(&request)?;
        require_describe(&who)?;
        let text = &request.get_ref().name;
        let row = topics::shown(&image, who.tenant, Named::Name(text)).map_err(|_| {
            refused(&Refusal::UnknownTopic {
                name: shortened(text),
            })
        })?;
        Ok(Response::new(topic(row)))
    }

    async fn list_topics(
        &self,
        request: Request<rpc::ListTopicsRequest>,
    ) -> Result<Response<rpc::ListTopicsResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        require_describe(&who)?;
        let all = topics::all_shown(&image, who.tenant);
        Ok(Response::new(rpc::ListTopicsResponse {
            topics: all.map(|row| topic(row)).collect(),
        }))
    }

    async fn alter_topic(
        &self,
        request: Request<rpc::AlterTopicRequest>,
    ) -> Result<Response<rpc::Topic>, Status> {
        let (who, _) = self.caller(&request)?;
        let request = request.into_inner();
        let mut changes: BTreeMap<String, Option<String>> = request
            .set
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect();
        for name in request.unset {
            if changes.insert(name.clone(), None).is_some() {
                return Err(invalid(format!(
                    "'{}' is both set and unset, or twice",
                    shortened(&name)
                )));
            }
        }
        let command = AlterTopicConfig {
            tenant: who.tenant,
            name: request.name,
            changes,
            validate_only: false,
        };
        let row = self.submit(&who, command).await?.reply;
        Ok(Response::new(topic(&row)))
    }

    async fn delete_topic(
        &self,
        request: Request<rpc::DeleteTopicRequest>,
    ) -> Result<Response<rpc::DeleteTopicResponse>, Status> {
        let (who, _) = self.caller(&request)?;
        let command = DeleteTopic {
            tenant: who.tenant,
            name: request.into_inner().name,
        };
        self.submit(&who, command).await?;
        Ok(Response::new(rpc::DeleteTopicResponse {}))
    }
}

fn require_describe(who: &Principal) -> Result<(), Status> {
    if allowed(who, Operation::Describe, Resource::Tenant(who.tenant)) {
        return Ok(());
    }
    Err(denied("this key may not see topics"))
}

/// 0 asks for the default, which commands write as -1.
fn or_default<T: TryFrom<u32> + From<i8>>(number: u32, what: &str) -> Result<T, Status> {
    if number == 0 {
        return Ok(T::from(-1));
    }
    T::try_from(number).map_err(|_| invalid(format!("{what} is too large")))
}
