//! Topic configs: every default is a legal value, and bad values are refused in words.

#![allow(clippy::unwrap_used)]

use millstream_metadata::topic_config::{TOPIC_CONFIGS, check, documentation, find};
use proptest::prelude::*;

#[test]
fn names_are_sorted_and_defaults_are_legal() {
    assert!(TOPIC_CONFIGS.is_sorted_by_key(|config| config.name));
    for config in TOPIC_CONFIGS {
        assert_eq!(check(config.name, config.default), Ok(()), "{}", config.name);
        assert_eq!(find(config.name), Some(config));
        assert!(documentation(config.name).is_some(), "{}", config.name);
    }
}

#[test]
fn refusals_say_why() {
    for (name, value, text) in [
        (
            "retention.ms",
            "-2",
            "retention.ms=-2: must be between -1 and 9223372036854775807",
        ),
        ("retention.ms", "1h", "retention.ms=1h: must be a whole number"),
        (
            "cleanup.policy",
            "compact",
            "cleanup.policy=compact: not supported yet, only delete",
        ),
        (
            "message.timestamp.type",
            "never",
            "message.timestamp.type=never: must be CreateTime or LogAppendTime",
        ),
        ("preallocate", "yes", "preallocate=yes: must be true or false"),
        (
            "min.cleanable.dirty.ratio",
            "2",
            "min.cleanable.dirty.ratio=2: must be a number from 0 to 1",
        ),
        ("retention", "1", "unknown topic config 'retention'"),
    ] {
        assert_eq!(check(name, value), Err(text.to_owned()));
    }
}

/// A number with blanks around it, or with zeros in front, is a number still; it must not fill the catalog.
#[test]
fn a_value_has_a_length() {
    for config in TOPIC_CONFIGS {
        let value = format!("{}{}", " ".repeat(2_000), config.default);
        assert!(check(config.name, &value).is_err(), "{}", config.name);
    }
    assert!(check("retention.ms", &format!("{}1", "0".repeat(2_000))).is_err());
    assert!(check("retention.ms", " 1 ").is_ok());
}

proptest! {
    #[test]
    fn any_text_is_answered(name in ".{0,300}", value in ".{0,300}", index in 0..TOPIC_CONFIGS.len()) {
        let _ = check(&name, &value);
        let _ = check(TOPIC_CONFIGS[index].name, &value);
    }
}
