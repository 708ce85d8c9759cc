//! The exports of builds with threads, by which JavaScript makes a rayon pool of the thread that calls and of workers.
//!
//! The calling thread is one of the pool. So a run of two threads keeps two busy, of which one is a worker; work enters
//! the pool where a job is made, which allocates nothing; and until the workers have come, everything works without
//! them.
//!
//! Not by wasm-bindgen-rayon: its pool is of workers alone, so the calling thread would idle, and each run would come to it
//! through rayon's queue for strangers, which locks and allocates. The part it is good at, starting workers in a page, it
//! does with the whole of the JavaScript glue in each of them, without a bundler by `blob:`, which strict policies refuse,
//! in Node not at all, and a trap in one of them leaves the others waiting for ever.

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

/// After a trap of a thread that works, called on it: lets one trap that waits for it, and would for ever. A job that was
/// taken and not done is never over, but who waits looks for others to do. (If another thread finds this one, it traps,
/// too, and calls this again, until it is the last one's turn.)
#[unsafe(no_mangle)]
pub extern "C" fn fourlane_fail() {
    rayon::spawn(|| std::process::abort());
}
