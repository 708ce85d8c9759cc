//! The threads that a session has to itself.

use crate::Error;
#[cfg(feature = "threads")]
use std::sync::Arc;

/// Threads that wait for a session's runs, or none.
#[derive(Clone)]
pub(crate) struct Pool {
    #[cfg(feature = "threads")]
    threads: Option<Arc<rayon::ThreadPool>>,
}

#[cfg(feature = "threads")]
impl Pool {
    /// Of so many threads; of none if 0.
    pub fn new(threads: usize) -> Result<Pool, Error> {
        if threads == 0 {
            return Ok(Pool { threads: None });
        }
        let name = |i| format!("fourlane {i}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        let pool = pool.map_err(|error| Error::NoThreads { threads, reason: error.to_string() })?;
        Ok(Pool { threads: Some(Arc::new(pool)) })
    }

    /// Calls `f` on one of the threads, so that it shares its work with the others; or on this one.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(pool) => pool.install(f),
            None => f(),
        }
    }
}

#[cfg(not(feature = "threads"))]
impl Pool {
    pub fn new(threads: usize) -> Result<Pool, Error> {
        if threads <= 1 {
            return Ok(Pool {});
        }
        Err(Error::NoThreads { threads, reason: "fourlane-graph was built without its feature 'threads'".into() })
    }

    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        f()
    }
}
