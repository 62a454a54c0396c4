//! Quotas as data, one cap at a time.

use crate::caller::{is_admin, is_organization_admin};
use crate::keys::{sees_key, sees_tenant};
use crate::message::{parse_account, parse_id, shortened};
use crate::service::Service;
use crate::status::{denied, invalid, not_found};
use millstream_access::Principal;
use millstream_metadata::{Image, Quota, QuotaScope, SetQuota};
use millstream_model::KeyId;
use millstream_rpc::control as rpc;
use millstream_rpc::control::quotas_server::Quotas;
use tonic::{Request, Response, Status, async_trait};

/// Every cap by its name.
const NAMES: [&str; 7] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_rate",
    "connections",
    "partitions",
    "storage_bytes",
    "sql_cpu_ms_rate",
];

#[async_trait]
impl Quotas for Service {
    async fn set_quota(
        &self,
        request: Request<rpc::SetQuotaRequest>,
    ) -> Result<Response<rpc::Quota>, Status> {
        let (who, image) = self.caller(&request)?;
        let request = request.into_inner();
        let wanted = request.quota.ok_or_else(|| invalid("no quota was given"))?;
        let scope = parse_scope(&image, &who, &wanted)?;
        let value = if request.remove {
            None
        } else {
            Some(whole(wanted.value)?)
        };
        let _alone = self.quotas.lock().await;
        let mut quota = self.controller.image().quota(scope);
        set(&mut quota, &wanted.name, value)?;
        self.submit(&who, SetQuota { scope, quota }).await?;
        Ok(Response::new(wanted))
    }

    async fn list_quotas(
        &self,
        request: Request<rpc::ListQuotasRequest>,
    ) -> Result<Response<rpc::ListQuotasResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        if !is_admin(&who) {
            return Err(denied("this needs an administrator's key of the virtual cluster"));
        }
        let mut quotas = Vec::new();
        for row in image.quotas().filter(|row| sees(&image, &who, row.scope)) {
            let (account_id, key_id) = match row.scope {
                QuotaScope::Tenant(tenant) => (tenant.account(), String::new()),
                QuotaScope::Key(key) => (String::new(), key.to_string()),
            };
            for name in NAMES {
                if let Some(value) = get(&row.quota, name) {
                    let (account_id, key_id, name) = (account_id.clone(), key_id.clone(), name.to_owned());
                    quotas.push(rpc::Quota {
                        account_id,
                        key_id,
                        name,
                        value: value as f64,
                    });
                }
            }
        }
        Ok(Response::new(rpc::ListQuotasResponse { quotas }))
    }
}

fn sees(image: &Image, who: &Principal, scope: QuotaScope) -> bool {
    match scope {
        QuotaScope::Tenant(tenant) => sees_tenant(image, who, tenant),
        QuotaScope::Key(key) => image.key(&key).is_some_and(|row| sees_key(image, who, row)),
    }
}

fn parse_scope(image: &Image, who: &Principal, quota: &rpc::Quota) -> Result<QuotaScope, Status> {
    match (quota.account_id.as_str(), quota.key_id.as_str()) {
        ("", "") => Err(invalid("a quota needs an account_id or a key_id")),
        (account, "") => {
            let tenant = parse_account(account)?;
            if !sees_tenant(image, who, tenant) {
                return Err(not_found("virtual cluster", account));
            }
            if !is_organization_admin(who) {
                return Err(denied("this needs an organization administrator's key"));
            }
            Ok(QuotaScope::Tenant(tenant))
        }
        ("", key) => {
            let id: KeyId = parse_id("key", key)?;
            match image.key(&id) {
                Some(row) if sees_key(image, who, row) => Ok(QuotaScope::Key(id)),
                Some(_) | None => Err(not_found("key", key)),
            }
        }
        (_, _) => Err(invalid("a quota binds an account_id or a key_id, not both")),
    }
}

/// The largest whole number that a double holds exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn whole(value: f64) -> Result<u64, Status> {
    if !(0.0..=WHOLE_MAX).contains(&value) || value.fract() != 0.0 {
        return Err(invalid(format!("{value} is not a whole number from 0 to 2^53")));
    }
    Ok(value as u64)
}

fn get(quota: &Quota, name: &str) -> Option<u64> {
    match name {
        "producer_byte_rate" => quota.produce_bytes_per_second,
        "consumer_byte_rate" => quota.fetch_bytes_per_second,
        "request_rate" => quota.requests_per_second,
        "connections" => quota.connections.map(u64::from),
        "partitions" => quota.partitions.map(u64::from),
        "storage_bytes" => quota.storage_bytes,
        "sql_cpu_ms_rate" => quota.sql_cpu_ms_per_second.map(u64::from),
        _ => None,
    }
}

fn set(quota: &mut Quota, name: &str, value: Option<u64>) -> Result<(), Status> {
    let small = || match value.map(u32::try_from).transpose() {
        Ok(value) => Ok(value),
        Err(_) => Err(invalid(format!("{name} is too large"))),
    };
    match name {
        "producer_byte_rate" => quota.produce_bytes_per_second = value,
        "consumer_byte_rate" => quota.fetch_bytes_per_second = value,
        "request_rate" => quota.requests_per_second = value,
        "connections" => quota.connections = small()?,
        "partitions" => quota.partitions = small()?,
        "storage_bytes" => quota.storage_bytes = value,
        "sql_cpu_ms_rate" => quota.sql_cpu_ms_per_second = small()?,
        _ => {
            let known = NAMES.join(", ");
            return Err(invalid(format!(
                "there is no quota '{}', only {known}",
                shortened(name)
            )));
        }
    }
    Ok(())
}
