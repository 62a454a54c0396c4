//! Configs: described, altered one by one, replaced as a whole.

use super::ask::{Talk, versions};
use super::topics::SHARED;
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use millstream_kafka_wire::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    alter_configs_request,
};

pub fn script(talk: &mut Talk) {
    describing(talk);
    altering(talk);
    replacing(talk);
}

/// Waits until the topic is kept for so long: Kafka's brokers hear of a config a little later.
fn wait_for(talk: &mut Talk, described: &DescribeConfigsRequest, retention_ms: &str) {
    talk.wait_until(described, |answer| {
        let mut configs = answer.results.iter().flat_map(|result| &result.configs);
        configs.any(|config| config.name == "retention.ms" && config.value.as_deref() == Some(retention_ms))
    });
}

fn described_configs(mut answer: DescribeConfigsResponse) -> DescribeConfigsResponse {
    for result in &mut answer.results {
        let about_topic = result.resource_type == 2;
        result
            .configs
            .retain(|config| !about_topic || SHARED.contains(&config.name.as_str()));
        result.configs.sort_by(|a, b| a.name.cmp(&b.name));
        for config in &mut result.configs {
            // Kafka's chain goes on to the settings of its brokers.
            config
                .synonyms
                .retain(|synonym| synonym.name == config.name && synonym.source == 1);
        }
    }
    answer
}

fn describing(talk: &mut Talk) {
    talk.topic("described", 1, &[("retention.ms", "3600000")]);
    let ask = |resource_type: i8, name: &str, keys: Option<&[&str]>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }],
        ..Default::default()
    };
    let mut each = |step: &str, request: DescribeConfigsRequest| {
        let all = versions::<DescribeConfigsRequest>();
        talk.each_seen(step, all, |_| request.clone(), described_configs);
    };
    each("describe configs", ask(2, "described", None));
    each(
        "describe configs with what is behind them",
        DescribeConfigsRequest {
            include_synonyms: true,
            ..ask(2, "described", None)
        },
    );
    each(
        "describe one config",
        ask(2, "described", Some(&["retention.ms"])),
    );
    each("describe no config", ask(2, "described", Some(&[])));
    each(
        "describe a config that nobody knows",
        ask(2, "described", Some(&["no.such"])),
    );
    each("describe configs of nothing", ask(2, "nothing", None));
    each("describe configs of what cannot be", ask(2, "no t", None));
    each("describe configs of a name of nothing", ask(2, "", None));
    each("describe configs of no kind", ask(77, "described", None));
    each(
        "describe configs of a broker without number",
        ask(4, "first", None),
    );
    each(
        "describe configs of a broker that nobody knows",
        ask(4, "4711", None),
    );
    each(
        "describe one config in words",
        DescribeConfigsRequest {
            include_documentation: true,
            ..ask(2, "described", Some(&["retention.ms"]))
        },
    );
    each("describe configs of all brokers", ask(4, "", None));
    each("describe configs of a group", ask(32, "a-group", None));
    each("describe configs of a group without a name", ask(32, "", None));
    each(
        "describe a subscription to metrics",
        ask(16, "a-subscription", None),
    );
    each("describe a subscription without a name", ask(16, "", None));
    each("describe the logger of no broker", ask(8, "4711", None));
    each(
        "describe configs of nothing at all",
        DescribeConfigsRequest::default(),
    );
}

fn altering(talk: &mut Talk) {
    talk.topic("altered", 1, &[("retention.ms", "3600000")]);
    let alter = |name: &str, configs: &[(&str, i8, Option<&str>)]| AlterConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configs: configs
            .iter()
            .map(|(name, config_operation, value)| AlterableConfig {
                name: (*name).to_owned(),
                config_operation: *config_operation,
                value: value.map(str::to_owned),
            })
            .collect(),
    };
    let request = |resources: Vec<AlterConfigsResource>| IncrementalAlterConfigsRequest {
        resources,
        validate_only: false,
    };
    let steps = [
        (
            "set a config",
            vec![alter("altered", &[("retention.ms", 0, Some("7200000"))])],
        ),
        (
            "set a config that nobody knows",
            vec![alter("altered", &[("no.such", 0, Some("1"))])],
        ),
        (
            "set a config to no number",
            vec![alter("altered", &[("retention.ms", 0, Some("soon"))])],
        ),
        (
            "set a config to null",
            vec![alter("altered", &[("retention.ms", 0, None)])],
        ),
        (
            "append to a list",
            vec![alter("altered", &[("cleanup.policy", 2, Some("compact"))])],
        ),
        (
            "take from a list",
            vec![alter("altered", &[("cleanup.policy", 3, Some("delete"))])],
        ),
        (
            "append to what is no list",
            vec![alter("altered", &[("retention.ms", 2, Some("1"))])],
        ),
        (
            "do something odd to a config",
            vec![alter("altered", &[("retention.ms", 9, Some("1"))])],
        ),
        (
            "set a config twice",
            vec![alter(
                "altered",
                &[("retention.ms", 0, Some("1")), ("retention.ms", 0, Some("2"))],
            )],
        ),
        (
            "alter a topic twice in one request",
            vec![
                alter("altered", &[("retention.ms", 0, Some("1"))]),
                alter("altered", &[]),
            ],
        ),
        ("alter nothing of a topic", vec![alter("altered", &[])]),
        (
            "alter what nobody knows",
            vec![alter("nothing", &[("retention.ms", 0, Some("1"))])],
        ),
        (
            "alter what cannot be",
            vec![alter("no t", &[("retention.ms", 0, Some("1"))])],
        ),
        (
            "alter a resource of no kind",
            vec![AlterConfigsResource {
                resource_type: 77,
                ..alter("altered", &[("retention.ms", 0, Some("1"))])
            }],
        ),
        ("alter nothing", vec![]),
    ];
    for (step, resources) in steps {
        talk.each(step, |_| request(resources.clone()));
    }
    talk.each("set a config, only checked", |_| IncrementalAlterConfigsRequest {
        validate_only: true,
        ..request(vec![alter("altered", &[("retention.ms", 0, Some("1"))])])
    });
    let described = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: "altered".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    wait_for(talk, &described, "7200000");
    talk.each_seen(
        "what was altered",
        4..=4,
        |_| described.clone(),
        described_configs,
    );
    talk.each("delete a config", |_| {
        request(vec![alter(
            "altered",
            &[("retention.ms", 1, None), ("cleanup.policy", 1, None)],
        )])
    });
    wait_for(talk, &described, "604800000");
    talk.each_seen(
        "what was deleted",
        4..=4,
        |_| described.clone(),
        described_configs,
    );
}

/// AlterConfigs as older clients send it: what it does not name goes back to the default.
fn replacing(talk: &mut Talk) {
    talk.topic(
        "replaced",
        1,
        &[("retention.ms", "3600000"), ("max.message.bytes", "500000")],
    );
    let one = |name: &str, configs: &[(&str, Option<&str>)]| alter_configs_request::AlterConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configs: configs
            .iter()
            .map(|(name, value)| alter_configs_request::AlterableConfig {
                name: (*name).to_owned(),
                value: value.map(str::to_owned),
            })
            .collect(),
    };
    let request = |resources: Vec<alter_configs_request::AlterConfigsResource>| AlterConfigsRequest {
        resources,
        validate_only: false,
    };
    let retention = ("retention.ms", Some("7200000"));
    talk.each("replace configs, only checked", |_| AlterConfigsRequest {
        validate_only: true,
        ..request(vec![one("replaced", &[("retention.ms", Some("1"))])])
    });
    talk.each("replace configs", |_| {
        request(vec![one("replaced", &[retention])])
    });
    let described = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: "replaced".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    wait_for(talk, &described, "7200000");
    talk.each_seen(
        "what was replaced",
        4..=4,
        |_| described.clone(),
        described_configs,
    );
    // A topic named twice in one request is not among them: Kafka never answers that.
    for (step, resources) in [
        (
            "replace by a config that nobody knows",
            vec![one("replaced", &[("no.such", Some("1"))])],
        ),
        (
            "replace by no number",
            vec![one("replaced", &[("retention.ms", Some("soon"))])],
        ),
        (
            "replace by null",
            vec![one("replaced", &[("retention.ms", None)])],
        ),
        (
            "replace configs of what nobody knows",
            vec![one("nothing", &[retention])],
        ),
        (
            "replace configs of what cannot be",
            vec![one("no t", &[retention])],
        ),
        (
            "replace configs of no kind",
            vec![alter_configs_request::AlterConfigsResource {
                resource_type: 77,
                ..one("replaced", &[])
            }],
        ),
        ("replace nothing", Vec::new()),
    ] {
        talk.each(step, |_| request(resources.clone()));
    }
    talk.each("replace by nothing", |_| request(vec![one("replaced", &[])]));
    wait_for(talk, &described, "604800000");
    talk.each_seen(
        "what was replaced by nothing",
        4..=4,
        |_| described.clone(),
        described_configs,
    );
}
