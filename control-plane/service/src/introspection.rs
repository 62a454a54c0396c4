//! Health and reflection, for every gRPC service of the port.

use prost::Message;
use prost_types::FileDescriptorSet;
use std::sync::Arc;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Says to gRPC health checks whether the process serves.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    /// Every service of ours, as health checks name them.
    services: Arc<[String]>,
}

impl Health {
    /// The whole server (the empty service name of the health protocol), and each service by its name.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status("", status).await;
        for name in self.services.iter() {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// Why reflection could not be set up: the descriptors in this binary do not read.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC descriptors in this binary do not read")]
pub enum DescriptorError {
    /// They are no descriptors.
    Decode(#[from] prost::DecodeError),
    /// Reflection does not take them.
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Adds `grpc.health.v1` and reflection (v1 and v1alpha) to the services of a port.
pub fn introspection(routes: Routes) -> Result<(Routes, Health), DescriptorError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(millstream_rpc::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = routes
        .add_service(health)
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    let services = services()?;
    Ok((routes, Health { reporter, services }))
}

/// The full names of the services in our `.proto` files.
fn services() -> Result<Arc<[String]>, prost::DecodeError> {
    let descriptors = FileDescriptorSet::decode(millstream_rpc::DESCRIPTORS)?;
    let names = descriptors.file.iter().flat_map(|file| {
        let named =
            |service: &prost_types::ServiceDescriptorProto| format!("{}.{}", file.package(), service.name());
        file.service.iter().map(named)
    });
    Ok(names.collect())
}

/// Every method of ours as paths name it: `package.Service/Method`.
///
/// # Errors
/// When the descriptors in this binary do not read.
pub fn methods() -> Result<Vec<String>, DescriptorError> {
    let descriptors = FileDescriptorSet::decode(millstream_rpc::DESCRIPTORS)?;
    let mut names = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            let path = |method: &prost_types::MethodDescriptorProto| {
                format!("{}.{}/{}", file.package(), service.name(), method.name())
            };
            names.extend(service.method.iter().map(path));
        }
    }
    Ok(names)
}
