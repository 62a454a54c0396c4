//! DescribeClientQuotas: the caps of keys, as Kafka's quotas of users. A key is a user here; a cap of the whole virtual
//! cluster is nobody's, so it is not among them (`millstream quota list` shows it), and clients by id have none.

use super::Handler;
use crate::session::Call;
use millstream_access::Operation;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::describe_client_quotas_request::ComponentData;
use millstream_kafka_wire::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use millstream_kafka_wire::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use millstream_metadata::{Image, Quota, QuotaScope};
use millstream_model::TenantId;
use std::collections::BTreeSet;

const USER: &str = "user";
/// Kinds of entities that Kafka has.
const ENTITIES: [&str; 3] = [USER, "client-id", "ip"];

// Kafka's match types.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(super) struct DescribeClientQuotas;

impl Handler for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;

    async fn handle(call: &Call, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
        let checked = if call.may(Operation::Describe) {
            check(&request.components)
        } else {
            let text = "this key may not describe the cluster";
            Err((ErrorCode::ClusterAuthorizationFailed, text.to_owned()))
        };
        if let Err((code, text)) = checked {
            return DescribeClientQuotasResponse {
                error_code: call.code(&code),
                error_message: Some(text),
                entries: None,
                ..DescribeClientQuotasResponse::default()
            };
        }
        DescribeClientQuotasResponse {
            // Kafka says an empty text here, not null.
            error_message: Some(String::new()),
            entries: Some(entries(&call.image(), call.who().tenant, &request)),
            ..DescribeClientQuotasResponse::default()
        }
    }
}

/// What a filter must be.
fn check(components: &[ComponentData]) -> Result<(), (ErrorCode, String)> {
    let invalid = |text: String| Err((ErrorCode::InvalidRequest, text));
    let mut seen = BTreeSet::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("a filter needs a kind of entity".to_owned());
        }
        if !ENTITIES.contains(&kind) {
            let text = format!("there are no quotas of a '{kind}'");
            return Err((ErrorCode::UnsupportedVersion, text));
        }
        if !seen.insert(kind) {
            return invalid(format!("'{kind}' is given twice"));
        }
        match (component.match_type, &component.r#match) {
            (EXACT, Some(_)) | (DEFAULT | ANY, None) => {}
            (EXACT, None) => return invalid("an exact match needs a name".to_owned()),
            (DEFAULT | ANY, Some(_)) => return invalid("only an exact match has a name".to_owned()),
            (other, _) => return invalid(format!("there is no match type {other}")),
        }
    }
    Ok(())
}

/// The keys that the filter lets through. Their entities have a user and nothing else.
fn entries(image: &Image, tenant: TenantId, request: &DescribeClientQuotasRequest) -> Vec<EntryData> {
    let components = &request.components;
    let of_user = components.iter().find(|component| component.entity_type == USER);
    // What is asked to have a client id or an address is no key; what is asked for nothing is any.
    let fits = components.len() == usize::from(of_user.is_some());
    if !fits || (components.is_empty() && request.strict) {
        return Vec::new();
    }
    let named = |key: &str| match of_user {
        None => true,
        Some(component) => match component.match_type {
            EXACT => component.r#match.as_deref() == Some(key),
            ANY => true,
            _ => false,
        },
    };
    let rows = image.quotas().filter_map(|row| match row.scope {
        QuotaScope::Key(key) if image.key(&key).is_some_and(|row| row.tenant == tenant) => {
            Some((key.to_string(), row.quota))
        }
        _ => None,
    });
    let entries = rows.filter(|(key, _)| named(key)).filter_map(|(key, quota)| {
        let values = values(&quota);
        (!values.is_empty()).then(|| EntryData {
            entity: vec![EntityData {
                entity_type: USER.to_owned(),
                entity_name: Some(key),
            }],
            values,
        })
    });
    entries.collect()
}

/// The caps that Kafka has a name for.
fn values(quota: &Quota) -> Vec<ValueData> {
    let caps = [
        ("producer_byte_rate", quota.produce_bytes_per_second),
        ("consumer_byte_rate", quota.fetch_bytes_per_second),
    ];
    let set = caps.into_iter().filter_map(|(name, cap)| {
        // Rates are doubles in Kafka.
        let value = cap? as f64;
        Some(ValueData {
            key: name.to_owned(),
            value,
        })
    });
    set.collect()
}
