//! Waiting until a caller that is in may no longer be.

use crate::authenticate::recheck;
use crate::error::AuthError;
use crate::principal::Principal;
use millstream_metadata::ImageWatch;

/// Ends when the caller may not go on, with the reason; never for one whose key lives as long as the image is followed.
/// Looks at the newest image first, so that nothing is missed between letting the caller in and waiting here. Cancel-safe.
pub async fn revoked(mut image: ImageWatch, who: &Principal) -> AuthError {
    loop {
        if let Err(error) = recheck(&image.image(), who) {
            return error;
        }
        if image.changed().await.is_err() {
            // The process ends; who waits for an answer meanwhile gets it, or the end of its connection.
            std::future::pending::<()>().await;
        }
    }
}
