//! Where statements are parsed, planned and evaluated: on threads of their own.
//!
//! An expression over one row cannot be stopped half-way, and takes seconds when somebody wants it to. On the threads that
//! serve sockets, as many of them as there are processors would hold up every door; here they hold up statements alone,
//! and no tenant has more than half of the threads. The system shares the processors out between these threads and those.

use millstream_model::TenantId;
use millstream_turns::Turns;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that run statements. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    /// None: the tasks run where they are spawned.
    apart: Option<Arc<Apart>>,
    turns: Turns<TenantId>,
}

/// A runtime that does not wait for its tasks when nobody needs it any more.
#[derive(Debug)]
struct Apart(Option<Runtime>);

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Workers {
    /// So many threads, at least two.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn apart(threads: usize) -> std::io::Result<Workers> {
        let threads = threads.max(2);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("sql-statement")
            .enable_all()
            .build()?;
        Ok(Workers {
            apart: Some(Arc::new(Apart(Some(runtime)))),
            turns: Turns::at_most(threads / 2),
        })
    }

    /// Does a tenant's work in its turn.
    pub(crate) fn spawn(&self, tenant: TenantId, work: impl Future<Output = ()> + Send + 'static) {
        let apart = self.apart.as_ref().and_then(|apart| apart.0.as_ref());
        let turn = self.turns.of(tenant);
        let work = async move { turn.run(work).await };
        match apart {
            Some(runtime) => runtime.spawn(work),
            None => Handle::current().spawn(work),
        };
    }
}
