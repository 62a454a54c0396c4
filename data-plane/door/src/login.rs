//! Logins on connections: who is let in, counted over all doors, and out again when the key is revoked.
//!
//! ```text
//!   key id and secret ─► known? ─► places of its tenant and key ─► a request of its quota ─► Login ─► key revoked: ended
//! ```
//!
//! A door whose requests carry their credentials themselves has the gate before it; what waits there for long (a fetch, a
//! stream) runs within [`while_valid`].

use crate::quotas::{Connected, Quotas, TooManyConnected};
use futures::{FutureExt, Stream, StreamExt};

use millstream_access::{AuthError, Principal, RootKeys, authenticate, recheck, revoked};
use millstream_metadata::ImageWatch;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The least time between two looks at all logins: images may come faster.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How a door lets clients in.
#[derive(Clone, Copy, Debug)]
pub struct LoginSettings {
    /// How long a refused login waits for its answer, so that guessing is slow.
    pub refusal_delay: Duration,
    /// How long a login waits for its caller's debts of requests.
    pub patience: Duration,
}

/// Why a login is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Nobody knows the caller. The text is for the log: clients are told [`AuthError::client_text`].
    #[error(transparent)]
    Unknown(#[from] AuthError),
    /// Its tenant or key has as many connections as it may have.
    #[error(transparent)]
    Full(#[from] TooManyConnected),
}

/// All logins of a door. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    shared: Arc<Shared>,
}

struct Shared {
    settings: LoginSettings,
    images: ImageWatch,
    roots: Arc<RootKeys>,
    quotas: Quotas,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    who: Principal,
    end: CancellationToken,
}

/// A client that is in, until this is dropped.
pub struct Login {
    who: Principal,
    logins: Arc<Shared>,
    id: u64,
    /// Counted over all doors.
    _connected: Connected,
}

impl Logins {
    /// A door without clients. [`Logins::watch`] has to run beside it.
    pub fn new(settings: LoginSettings, images: ImageWatch, roots: Arc<RootKeys>, quotas: Quotas) -> Logins {
        Logins {
            shared: Arc::new(Shared {
                settings,
                images,
                roots,
                quotas,
                next: AtomicU64::new(0),
                open: Mutex::default(),
            }),
        }
    }

    /// Lets the owner of this key in. `end` is cancelled as soon as this node's image says that the key may no longer.
    ///
    /// # Errors
    /// When the key is unknown or the secret wrong, or its owner has too many connections; after the delay.
    pub async fn login(
        &self,
        key_id: &str,
        secret: &str,
        end: &CancellationToken,
    ) -> Result<Login, LoginError> {
        let shared = &self.shared;
        let image = shared.images.image();
        let known = authenticate(&image, &shared.roots, key_id, secret).map_err(LoginError::from);
        match known.and_then(|who| Ok(self.enter(who, end)?)) {
            Ok(login) => {
                // A login is a request: who owes some waits a little, or could do one over each of many connections.
                let until = Instant::now() + shared.settings.patience;
                shared.quotas.begin_call(&login.who, until).await;
                Ok(login)
            }
            Err(error) => {
                self.delay_refusal().await;
                Err(error)
            }
        }
    }

    /// Waits as long as a refused login does: for what a door refuses before it asks.
    pub async fn delay_refusal(&self) {
        tokio::time::sleep(self.shared.settings.refusal_delay).await;
    }

    fn enter(&self, who: Principal, end: &CancellationToken) -> Result<Login, TooManyConnected> {
        let shared = &self.shared;
        let connected = shared.quotas.connect(&who)?;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            who: who.clone(),
            end: end.clone(),
        };
        shared.open.lock().insert(id, open);
        // Whoever looks for revoked keys may have looked just before.
        if recheck(&shared.images.image(), &who).is_err() {
            end.cancel();
        }
        Ok(Login {
            who,
            logins: Arc::clone(shared),
            id,
            _connected: connected,
        })
    }

    /// Ends logins whose key was revoked, for as long as images come.
    pub async fn watch(self) {
        let mut images = self.shared.images.clone();
        while let Ok(image) = images.changed().await {
            for open in self.shared.open.lock().values() {
                if let Err(error) = recheck(&image, &open.who) {
                    tracing::info!(key = %open.who.key, %error, "closing the connection of a key that may no longer");
                    open.end.cancel();
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl Login {
    /// Who it is.
    pub fn who(&self) -> &Principal {
        &self.who
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.logins.open.lock().remove(&self.id);
    }
}

/// What comes of the work, unless its caller's key ends first: who waits gets nothing of what comes after.
///
/// # Errors
/// When the caller may no longer.
pub async fn while_valid<T>(
    images: ImageWatch,
    who: &Principal,
    work: impl Future<Output = T>,
) -> Result<T, AuthError> {
    tokio::select! {
        biased;
        error = revoked(images, who) => Err(error),
        done = work => Ok(done),
    }
}

/// The items of a stream, unless its caller's key ends first: the last one says so then.
pub fn while_valid_each<S>(
    images: ImageWatch,
    who: Principal,
    items: S,
) -> impl Stream<Item = Result<S::Item, AuthError>> + Send + 'static
where
    S: Stream + Unpin + Send + 'static,
{
    let ended = async move { revoked(images, &who).await }.boxed();
    futures::stream::unfold(Some((items, ended)), |state| async move {
        let (mut items, mut ended) = state?;
        tokio::select! {
            biased;
            error = &mut ended => Some((Err(error), None)),
            item = items.next() => item.map(|item| (Ok(item), Some((items, ended)))),
        }
    })
}
