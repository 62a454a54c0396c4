//! IncrementalAlterConfigs: sets and unsets configs of topics.

use super::{Handler, configs};
use crate::session::Call;
use crate::topics::find;
use millstream_access::Named;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use millstream_kafka_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use millstream_kafka_wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use millstream_metadata::{AlterTopicConfig, Image, TopicRow};
use std::collections::BTreeMap;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;

    async fn handle(call: &Call, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
        let mut responses = Vec::with_capacity(request.resources.len());
        let names = request.resources.iter();
        let twice = configs::Twice::among(names.map(|it| (it.resource_type, it.resource_name.as_str())));
        for resource in request.resources {
            let (resource_type, resource_name) = (resource.resource_type, resource.resource_name.clone());
            let altered = match twice.check(resource_type, &resource_name) {
                Ok(()) => alter(call, resource, request.validate_only).await,
                twice => twice,
            };
            let (code, error_message) = configs::told(altered);
            let error_code = call.code(&code);
            responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type,
                resource_name,
            });
        }
        IncrementalAlterConfigsResponse {
            responses,
            ..IncrementalAlterConfigsResponse::default()
        }
    }
}

async fn alter(
    call: &Call,
    resource: AlterConfigsResource,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    configs::check_alterable(resource.resource_type, &resource.resource_name)?;
    let name = resource.resource_name;
    let image = call.image();
    let row = find(&image, call, Named::Name(&name)).ok();
    let mut changes = BTreeMap::new();
    for config in resource.configs {
        let key = config.name.clone();
        let value = change(&image, row.as_deref(), config)?;
        if changes.insert(key.clone(), value).is_some() {
            return Err((ErrorCode::InvalidRequest, format!("{key} is given twice")));
        }
    }
    let command = AlterTopicConfig {
        tenant: call.who().tenant,
        name,
        changes,
        validate_only,
    };
    configs::submit(call, command).await
}

/// A config's new value; none where it goes back to its default.
fn change(
    image: &Image,
    row: Option<&TopicRow>,
    config: AlterableConfig,
) -> Result<Option<String>, (ErrorCode, String)> {
    let AlterableConfig {
        name,
        config_operation,
        value,
    } = config;
    if config_operation == DELETE {
        return Ok(None);
    }
    let value = value.ok_or_else(|| (ErrorCode::InvalidRequest, format!("{name} = null")))?;
    match config_operation {
        SET => Ok(Some(value)),
        APPEND | SUBTRACT if !configs::is_list(&name) => {
            Err((ErrorCode::InvalidConfig, format!("{name} is no list")))
        }
        APPEND | SUBTRACT => {
            let now = row.and_then(|row| configs::of_topic(image, row).find(|config| config.name == name));
            let now = now.map(|config| config.value).unwrap_or_default();
            Ok(Some(match config_operation {
                APPEND => with(&now, &value),
                _ => without(&now, &value),
            }))
        }
        other => Err((
            ErrorCode::InvalidRequest,
            format!("there is no operation {other}"),
        )),
    }
}

/// A list with these words at its end, where they are missing.
fn with(now: &str, words: &str) -> String {
    let mut list = split(now);
    for word in split(words) {
        if !list.contains(&word) {
            list.push(word);
        }
    }
    list.join(",")
}

/// A list without these words.
fn without(now: &str, words: &str) -> String {
    let (mut list, words) = (split(now), split(words));
    list.retain(|word| !words.contains(word));
    list.join(",")
}

fn split(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{with, without};

    #[test]
    fn words_are_added_once_and_taken_out() {
        let cases = [
            ("delete", "compact", "delete,compact", "delete"),
            ("delete", "delete", "delete", ""),
            ("", "a, b", "a,b", ""),
            ("a,b,c", "b", "a,b,c", "a,c"),
            ("a", "b,b", "a,b", "a"),
        ];
        for (now, words, added, taken) in cases {
            assert_eq!(with(now, words), added, "{now} with {words}");
            assert_eq!(without(now, words), taken, "{now} without {words}");
        }
    }
}
