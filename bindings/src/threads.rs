//! The exports of builds with threads, by which JavaScript makes a rayon pool of the thread that calls and of workers.
//!
//! The calling thread is one of the pool. So a run of two threads keeps two busy, of which one is a worker; work enters
//! the pool where a job is made, which allocates nothing; and until the workers have come, everything works without
//! them. (wasm-bindgen-rayon makes a pool of workers alone, and starts them in ways that browsers have and Node has not.)

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use std::sync::Mutex;

/// Threads of the pool that no worker is yet.
static VACANT: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());

/// Makes a pool of this thread and `count - 1` others, each of which has still to call [`fourlane_work`]. For a thread
/// that may wait, once in an instance. Whether it could.
#[unsafe(no_mangle)]
pub extern "C" fn fourlane_pool(count: usize) -> bool {
    let vacate = |thread| {
        VACANT.lock().map_err(|_| std::io::ErrorKind::Other)?.push(thread);
        Ok(())
    };
    let pool = ThreadPoolBuilder::new().num_threads(count).use_current_thread().spawn_handler(vacate).build();
    // It lives as long as its threads, which end with the instance.
    pool.map(std::mem::forget).is_ok()
}

/// Works for the pool, and does not come back.
#[unsafe(no_mangle)]
pub extern "C" fn fourlane_work() {
    let thread = VACANT.lock().ok().and_then(|mut vacant| vacant.pop());
    if let Some(thread) = thread {
        thread.run();
    }
}
