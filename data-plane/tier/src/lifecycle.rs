//! A bucket's lifecycle rules: none may take our objects away (log.md 40).
//!
//! A rule that expires objects deletes what the log still names, and one that archives them makes it unreadable until
//! somebody restores it. Both act days later, when nobody looks, so a node that finds one refuses to start.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, TransitionStorageClass};
use aws_sdk_s3::{Client, Config};
use millstream_store::Fault;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The longest that one attempt to read the rules may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts in all: a start waits no longer than for the store's other calls.
const ATTEMPTS_MAX: u32 = 2;

/// The region of a store that names none; it only has to be signed.
const REGION: &str = "us-east-1";

/// What stores answer that have no lifecycle rules at all.
const NOT_IMPLEMENTED: u16 = 501;

/// Why a bucket is not used.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The store did not answer.
    #[error("cannot read the lifecycle rules of bucket {bucket}: is it up, and is --store right?")]
    Unreachable {
        /// The bucket.
        bucket: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nobody gave credentials to ask with.
    #[error("cannot ask bucket {bucket} for anything: {}", Fault::NoCredentials.advice())]
    NoCredentials {
        /// The bucket.
        bucket: String,
        /// Why.
        source: object_store::Error,
    },
    /// There is no such bucket.
    #[error("the bucket {bucket} does not exist: make it, or correct --store")]
    NoBucket {
        /// The bucket.
        bucket: String,
    },
    /// A rule would take our objects away.
    #[error(
        "lifecycle rule '{rule}' of bucket {bucket} {harm} objects of this cluster: remove it, or limit it to other prefixes"
    )]
    Harmful {
        /// The bucket.
        bucket: String,
        /// The rule's id.
        rule: String,
        /// What it does to objects.
        harm: &'static str,
    },
}

impl LifecycleError {
    /// Whether the store is down, so that it may answer otherwise in a moment.
    pub fn store_is_down(&self) -> bool {
        match self {
            LifecycleError::Unreachable { .. } | LifecycleError::NoCredentials { .. } => true,
            LifecycleError::NoBucket { .. } | LifecycleError::Harmful { .. } => false,
        }
    }
}

/// What is asked about a bucket beside its objects.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    name: String,
    region: String,
    endpoint: Option<String>,
    path_style: bool,
    /// Where credentials come from; none for a store that takes unsigned requests.
    signer: Option<Arc<AmazonS3>>,
}

impl Bucket {
    /// The bucket of a store, reached as the store reaches it.
    pub(crate) fn of(name: &str, settings: &AmazonS3Builder, store: &Arc<AmazonS3>) -> Bucket {
        let told = |key| settings.get_config_value(&key);
        let yes = |key| told(key).is_some_and(|it| it == "true");
        Bucket {
            name: name.to_owned(),
            region: told(AmazonS3ConfigKey::Region).unwrap_or_else(|| REGION.to_owned()),
            endpoint: told(AmazonS3ConfigKey::S3Endpoint).or_else(|| told(AmazonS3ConfigKey::Endpoint)),
            path_style: !yes(AmazonS3ConfigKey::VirtualHostedStyleRequest),
            signer: (!yes(AmazonS3ConfigKey::SkipSignature)).then(|| Arc::clone(store)),
        }
    }

    /// Refuses a bucket with a rule that would take objects below `prefix` away. One that does not let us read its
    /// rules, or has none such, is used; the first with a warning, for then the operator must know.
    pub(crate) async fn refuse_harmful_rules(&self, prefix: &Path) -> Result<(), LifecycleError> {
        for rule in self.rules().await? {
            if let Some(harm) = harm(&rule, prefix) {
                return Err(LifecycleError::Harmful {
                    bucket: self.name.clone(),
                    rule: rule.id.unwrap_or_default(),
                    harm,
                });
            }
        }
        Ok(())
    }

    async fn rules(&self) -> Result<Vec<LifecycleRule>, LifecycleError> {
        let request = self
            .client()
            .await?
            .get_bucket_lifecycle_configuration()
            .bucket(&self.name);
        let error = match request.send().await {
            Ok(answer) => return Ok(answer.rules.unwrap_or_default()),
            Err(error) => error,
        };
        match (&error, error.code()) {
            (_, Some("NoSuchLifecycleConfiguration")) => Ok(Vec::new()),
            (_, Some("NoSuchBucket")) => Err(LifecycleError::NoBucket {
                bucket: self.name.clone(),
            }),
            (SdkError::ServiceError(refused), _) if does_not_tell(refused.raw().status().as_u16()) => {
                tracing::warn!(
                    bucket = self.name,
                    code = error.code(),
                    "the bucket does not tell its lifecycle rules: make sure that none deletes or archives this cluster's objects"
                );
                Ok(Vec::new())
            }
            _ => Err(self.unreachable(error)),
        }
    }

    async fn client(&self) -> Result<Client, LifecycleError> {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .force_path_style(self.path_style)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            );
        config.set_endpoint_url(self.endpoint.clone());
        let config = match &self.signer {
            None => config.allow_no_auth(),
            Some(store) => {
                let credential = store.credentials().get_credential();
                let credential = credential.await.map_err(|source| LifecycleError::NoCredentials {
                    bucket: self.name.clone(),
                    source,
                })?;
                config.credentials_provider(Credentials::new(
                    &credential.key_id,
                    &credential.secret_key,
                    credential.token.clone(),
                    None,
                    "the store's",
                ))
            }
        };
        Ok(Client::from_conf(config.build()))
    }

    fn unreachable(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> LifecycleError {
        LifecycleError::Unreachable {
            bucket: self.name.clone(),
            source: source.into(),
        }
    }
}

/// The status of a store that may not or cannot tell a bucket's rules; any other failure may be over in a moment.
fn does_not_tell(status: u16) -> bool {
    (400..500).contains(&status) || status == NOT_IMPLEMENTED
}

/// What a rule does to objects below `prefix`, if it harms any.
fn harm(rule: &LifecycleRule, prefix: &Path) -> Option<&'static str> {
    if rule.status != ExpirationStatus::Enabled || !reaches(rule, prefix) {
        return None;
    }
    // An expiration with neither only clears delete markers that nothing lies behind.
    let deletes = rule
        .expiration
        .as_ref()
        .is_some_and(|it| it.days.is_some() || it.date.is_some());
    if deletes {
        return Some("deletes");
    }
    let archives = |class: &TransitionStorageClass| {
        matches!(
            class,
            TransitionStorageClass::Glacier | TransitionStorageClass::DeepArchive
        )
    };
    let mut classes = rule
        .transitions
        .iter()
        .flatten()
        .filter_map(|it| it.storage_class.as_ref());
    classes.any(archives).then_some("archives")
}

/// Whether a rule can mean an object of ours. Sizes are not looked at: ours have many.
fn reaches(rule: &LifecycleRule, prefix: &Path) -> bool {
    let filter = rule.filter.as_ref();
    let all = filter.and_then(|it| it.and.as_ref());
    // Ours carry no tags.
    let tagged = filter.is_some_and(|it| it.tag.is_some()) || all.is_some_and(|it| it.tags.is_some());
    #[expect(deprecated, reason = "rules made the old way still work")]
    let old = rule.prefix.as_deref();
    let theirs = filter
        .and_then(|it| it.prefix.as_deref())
        .or_else(|| all.and_then(|it| it.prefix.as_deref()))
        .or(old)
        .unwrap_or_default();
    let ours = match prefix.as_ref() {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    !tagged && (ours.starts_with(theirs) || theirs.starts_with(&ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{
        LifecycleExpiration, LifecycleRuleAndOperator, LifecycleRuleFilter, Tag, Transition,
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn days() -> LifecycleExpiration {
        LifecycleExpiration::builder().days(30).build()
    }

    fn expiring(filter: LifecycleRuleFilter) -> LifecycleRule {
        LifecycleRule::builder()
            .status(ExpirationStatus::Enabled)
            .filter(filter)
            .expiration(days())
            .build()
            .unwrap()
    }

    fn below(prefix: &str) -> LifecycleRuleFilter {
        LifecycleRuleFilter::builder().prefix(prefix).build()
    }

    fn tag() -> Tag {
        Tag::builder().key("k").value("v").build().unwrap()
    }

    #[test]
    fn a_rule_reaches_what_its_prefix_shares_with_ours() {
        let table = [
            ("", "prod/one", true),
            ("p", "prod/one", true),
            ("prod/one", "prod/one", true),
            ("prod/one/", "prod/one", true),
            ("prod/one/segments/", "prod/one", true),
            ("prod/one2/", "prod/one", false),
            ("prod/on/", "prod/one", false),
            ("logs/", "prod/one", false),
            ("logs/", "", true),
        ];
        for (theirs, ours, reached) in table {
            let found = harm(&expiring(below(theirs)), &Path::from(ours));
            assert_eq!(
                found.is_some(),
                reached,
                "a rule for '{theirs}', objects below '{ours}'"
            );
        }
    }

    #[test]
    fn a_rule_without_a_prefix_or_with_an_old_one_counts() {
        let ours = Path::from("one");
        let everything = LifecycleRuleFilter::builder().build();
        assert_eq!(harm(&expiring(everything), &ours), Some("deletes"));
        let large = LifecycleRuleFilter::builder()
            .object_size_greater_than(1024)
            .build();
        assert_eq!(harm(&expiring(large), &ours), Some("deletes"));
        for (theirs, harmful) in [("one/", true), ("two/", false)] {
            #[expect(deprecated, reason = "rules made the old way still work")]
            let rule = LifecycleRule::builder().prefix(theirs);
            let rule = rule.status(ExpirationStatus::Enabled).expiration(days());
            assert_eq!(harm(&rule.build().unwrap(), &ours).is_some(), harmful, "{theirs}");
        }
        let and = |and: LifecycleRuleAndOperator| LifecycleRuleFilter::builder().and(and).build();
        let sized = LifecycleRuleAndOperator::builder().object_size_less_than(1 << 30);
        assert!(harm(&expiring(and(sized.clone().prefix("one/").build())), &ours).is_some());
        assert!(harm(&expiring(and(sized.prefix("two/").build())), &ours).is_none());
    }

    #[test]
    fn rules_for_tagged_objects_and_disabled_ones_are_harmless() {
        let ours = Path::from("one");
        let tagged = LifecycleRuleFilter::builder().tag(tag()).build();
        assert_eq!(harm(&expiring(tagged), &ours), None);
        let both = LifecycleRuleAndOperator::builder()
            .prefix("one/")
            .tags(tag())
            .build();
        let both = LifecycleRuleFilter::builder().and(both).build();
        assert_eq!(harm(&expiring(both), &ours), None);
        let mut disabled = expiring(below(""));
        disabled.status = ExpirationStatus::Disabled;
        assert_eq!(harm(&disabled, &ours), None);
    }

    #[test]
    fn what_a_rule_does_decides() {
        let ours = Path::from("one");
        let rule = |change: fn(&mut LifecycleRule)| {
            let mut rule = expiring(below(""));
            rule.expiration = None;
            change(&mut rule);
            harm(&rule, &ours)
        };
        fn to(class: TransitionStorageClass) -> Option<Vec<Transition>> {
            Some(vec![Transition::builder().days(1).storage_class(class).build()])
        }
        assert_eq!(rule(|_| {}), None);
        let markers = |it: &mut LifecycleRule| {
            it.expiration = Some(
                LifecycleExpiration::builder()
                    .expired_object_delete_marker(true)
                    .build(),
            );
        };
        assert_eq!(rule(markers), None);
        assert_eq!(
            rule(|it| it.transitions = to(TransitionStorageClass::DeepArchive)),
            Some("archives")
        );
        assert_eq!(
            rule(|it| it.transitions = to(TransitionStorageClass::Glacier)),
            Some("archives")
        );
        assert_eq!(
            rule(|it| it.transitions = to(TransitionStorageClass::GlacierIr)),
            None
        );
        assert_eq!(
            rule(|it| it.transitions = to(TransitionStorageClass::StandardIa)),
            None
        );
    }

    /// What a store's answer leads to; it gives the same one to everybody.
    #[expect(clippy::disallowed_methods, reason = "a server for the test")]
    async fn answered(status: &str, body: &str) -> Result<(), LifecycleError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = client.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]);
                assert!(request.starts_with("GET /kept/?lifecycle "), "{request}");
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let settings = AmazonS3Builder::new()
            .with_bucket_name("kept")
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id("id")
            .with_secret_access_key("secret");
        let store = Arc::new(settings.clone().build().unwrap());
        let found = Bucket::of("kept", &settings, &store)
            .refuse_harmful_rules(&Path::from("one"))
            .await;
        server.abort();
        found
    }

    fn error(code: &str) -> String {
        format!("<Error><Code>{code}</Code><Message>no</Message></Error>")
    }

    #[tokio::test]
    async fn a_store_that_does_not_tell_is_used_and_one_that_is_down_is_not() {
        for (status, code) in [
            ("404 Not Found", "NoSuchLifecycleConfiguration"),
            ("403 Forbidden", "AccessDenied"),
            ("405 Method Not Allowed", "MethodNotAllowed"),
            ("501 Not Implemented", "NotImplemented"),
        ] {
            assert!(answered(status, &error(code)).await.is_ok(), "{code}");
        }
        let missing = answered("404 Not Found", &error("NoSuchBucket")).await;
        assert!(
            matches!(missing, Err(LifecycleError::NoBucket { .. })),
            "{missing:?}"
        );
        for (status, body) in [
            ("503 Slow Down", error("SlowDown")),
            ("500 Internal Server Error", String::new()),
            ("200 OK", "not XML".to_owned()),
        ] {
            let down = answered(status, &body).await;
            assert!(
                matches!(down, Err(LifecycleError::Unreachable { .. })),
                "{status}: {down:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_rule_is_read_from_the_answer() {
        let body = "<LifecycleConfiguration><Rule><ID>sweep</ID><Status>Enabled</Status>\
            <Filter><Prefix>on</Prefix></Filter><Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>";
        match answered("200 OK", body).await {
            Err(LifecycleError::Harmful { rule, harm, .. }) => {
                assert_eq!((rule.as_str(), harm), ("sweep", "deletes"))
            }
            other => panic!("{other:?}"),
        }
    }
}
