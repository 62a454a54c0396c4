//! ACLs, credentials, delegation tokens and quotas: keys, roles and quotas are made with `millstream key` and
//! `millstream quota`, or over gRPC.

use super::{Refusable, why};
use millstream_kafka_wire::messages::alter_client_quotas_response::{EntityData, EntryData};
use millstream_kafka_wire::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use millstream_kafka_wire::messages::create_acls_response::AclCreationResult;
use millstream_kafka_wire::messages::delete_acls_response::DeleteAclsFilterResult;
use millstream_kafka_wire::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse, CreateDelegationTokenRequest,
    CreateDelegationTokenResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse,
};
use std::collections::BTreeSet;

const NO_ACLS: &str = "ACLs are not served: what a key may do is its role, see 'millstream key create'";
const NO_TOKENS: &str = "delegation tokens are not served: keys are made with 'millstream key create'";

impl Refusable for CreateAclsRequest {
    const WHY: &'static str = NO_ACLS;

    fn refused(self, error_code: i16) -> CreateAclsResponse {
        let results = self.creations.iter().map(|_| AclCreationResult {
            error_code,
            error_message: why::<Self>(),
        });
        CreateAclsResponse {
            results: results.collect(),
            ..CreateAclsResponse::default()
        }
    }
}

impl Refusable for DeleteAclsRequest {
    const WHY: &'static str = NO_ACLS;

    fn refused(self, error_code: i16) -> DeleteAclsResponse {
        let filter_results = self.filters.iter().map(|_| DeleteAclsFilterResult {
            error_code,
            error_message: why::<Self>(),
            matching_acls: Vec::new(),
        });
        DeleteAclsResponse {
            filter_results: filter_results.collect(),
            ..DeleteAclsResponse::default()
        }
    }
}

impl Refusable for CreateDelegationTokenRequest {
    const WHY: &'static str = NO_TOKENS;

    fn refused(self, error_code: i16) -> CreateDelegationTokenResponse {
        CreateDelegationTokenResponse {
            error_code,
            ..CreateDelegationTokenResponse::default()
        }
    }
}

impl Refusable for RenewDelegationTokenRequest {
    const WHY: &'static str = NO_TOKENS;

    fn refused(self, error_code: i16) -> RenewDelegationTokenResponse {
        RenewDelegationTokenResponse {
            error_code,
            ..RenewDelegationTokenResponse::default()
        }
    }
}

impl Refusable for ExpireDelegationTokenRequest {
    const WHY: &'static str = NO_TOKENS;

    fn refused(self, error_code: i16) -> ExpireDelegationTokenResponse {
        ExpireDelegationTokenResponse {
            error_code,
            ..ExpireDelegationTokenResponse::default()
        }
    }
}

impl Refusable for DescribeDelegationTokenRequest {
    const WHY: &'static str = NO_TOKENS;

    fn refused(self, error_code: i16) -> DescribeDelegationTokenResponse {
        DescribeDelegationTokenResponse {
            error_code,
            ..DescribeDelegationTokenResponse::default()
        }
    }
}

impl Refusable for AlterUserScramCredentialsRequest {
    const WHY: &'static str =
        "secrets are derived by the service and never set: make a key with 'millstream key create'";

    fn refused(self, error_code: i16) -> AlterUserScramCredentialsResponse {
        let deleted = self.deletions.into_iter().map(|deletion| deletion.name);
        let upserted = self.upsertions.into_iter().map(|upsertion| upsertion.name);
        let users: BTreeSet<String> = deleted.chain(upserted).collect();
        let results = users.into_iter().map(|user| AlterUserScramCredentialsResult {
            user,
            error_code,
            error_message: why::<Self>(),
        });
        AlterUserScramCredentialsResponse {
            results: results.collect(),
            ..AlterUserScramCredentialsResponse::default()
        }
    }
}

impl Refusable for AlterClientQuotasRequest {
    const WHY: &'static str = "quotas of users and clients are not set here: see 'millstream quota set'";

    fn refused(self, error_code: i16) -> AlterClientQuotasResponse {
        let entries = self.entries.into_iter().map(|entry| EntryData {
            error_code,
            error_message: why::<Self>(),
            entity: entry
                .entity
                .into_iter()
                .map(|part| EntityData {
                    entity_type: part.entity_type,
                    entity_name: part.entity_name,
                })
                .collect(),
        });
        AlterClientQuotasResponse {
            entries: entries.collect(),
            ..AlterClientQuotasResponse::default()
        }
    }
}
