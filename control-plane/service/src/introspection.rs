//! Health and reflection, for every gRPC service of the port.

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Says to gRPC health checks whether the process serves.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// The whole server (the empty service name of the health protocol).
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.0.set_service_status("", status).await;
    }
}

/// Why reflection could not be set up: the descriptors in this binary do not read.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC descriptors in this binary do not read")]
pub struct DescriptorError(#[from] tonic_reflection::server::Error);

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
    Ok((routes, Health(reporter)))
}
