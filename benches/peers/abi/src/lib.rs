//! The exports that `benches/js/wasi-peer.js` calls: one model, its inputs, a run, its result.
//!
//! Only `run` is timed. What comes before (inputs) and after (results as f64) is for all peers the same and outside.

use std::cell::RefCell;

/// A left operand.
pub enum Matrix<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Integers.
    U8(&'a [u8]),
}

/// An inference engine with one model.
pub trait Peer: Sized {
    /// Makes a model ready to run, as fast as the engine can make it.
    fn load(model: Vec<u8>) -> Result<Self, String>;
    /// The inputs of a text classifier, `[batch, seq]`.
    fn set_tokens(&mut self, batch: usize, seq: usize, ids: &[i64], mask: &[i64]) -> Result<(), String>;
    /// The input `a` of a matrix product, `[m, k]`.
    fn set_matrix(&mut self, m: usize, k: usize, a: Matrix) -> Result<(), String>;
    /// Computes.
    fn run(&mut self) -> Result<(), String>;
    /// The first output of the last run.
    fn output(&self) -> Result<Vec<f64>, String>;
}

/// What the exports share.
pub struct State<P> {
    peer: Option<P>,
    bytes: Vec<u8>,
    result: Vec<f64>,
    message: String,
}

impl<P: Peer> State<P> {
    /// Before a model is loaded.
    pub const fn new() -> RefCell<State<P>> {
        RefCell::new(State { peer: None, bytes: Vec::new(), result: Vec::new(), message: String::new() })
    }

    /// Room for `len` bytes from outside.
    pub fn room(&mut self, len: usize) -> *mut u8 {
        self.bytes = vec![0; len];
        self.bytes.as_mut_ptr()
    }

    /// The model is in the room.
    pub fn load(&mut self) -> bool {
        self.peer = None;
        let bytes = std::mem::take(&mut self.bytes);
        match P::load(bytes) {
            Ok(peer) => self.peer = Some(peer),
            Err(message) => return self.note(Err(message)),
        }
        true
    }

    /// Ids, then the mask, are in the room, as i64.
    pub fn tokens(&mut self, batch: usize, seq: usize) -> bool {
        let all: Vec<i64> = self.bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
        let (ids, mask) = all.split_at(batch * seq);
        self.with(|peer| peer.set_tokens(batch, seq, ids, mask))
    }

    /// The left operand is in the room, as f32 or u8.
    pub fn matrix(&mut self, m: usize, k: usize) -> bool {
        if self.bytes.len() == m * k {
            let a = std::mem::take(&mut self.bytes);
            return self.with(|peer| peer.set_matrix(m, k, Matrix::U8(&a)));
        }
        let a: Vec<f32> = self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        self.with(|peer| peer.set_matrix(m, k, Matrix::F32(&a)))
    }

    /// Runs.
    pub fn run(&mut self) -> bool {
        self.with(P::run)
    }

    /// The result, after which `len` tells how many numbers there are.
    pub fn output(&mut self) -> *const f64 {
        let result = self.peer.as_ref().ok_or_else(|| "no model is loaded".to_owned()).and_then(P::output);
        match result {
            Ok(result) => self.result = result,
            Err(message) => {
                self.note(Err(message));
                return std::ptr::null();
            }
        }
        self.result.as_ptr()
    }

    /// Numbers in the result.
    pub fn len(&self) -> usize {
        self.result.len()
    }

    /// What went wrong last, as UTF-8 in the room; its length.
    pub fn message(&mut self) -> usize {
        self.bytes = self.message.clone().into_bytes();
        self.bytes.len()
    }

    /// Where the room is.
    pub fn start(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn with(&mut self, act: impl FnOnce(&mut P) -> Result<(), String>) -> bool {
        let done = self.peer.as_mut().ok_or_else(|| "no model is loaded".to_owned()).and_then(act);
        self.note(done)
    }

    fn note(&mut self, done: Result<(), String>) -> bool {
        if let Err(message) = done {
            self.message = message;
            return false;
        }
        true
    }
}

/// Exports a peer.
#[macro_export]
macro_rules! export {
    ($peer:ty) => {
        std::thread_local! {
            static STATE: std::cell::RefCell<$crate::State<$peer>> = const { $crate::State::new() };
        }

        #[unsafe(no_mangle)]
        extern "C" fn room(len: usize) -> *mut u8 {
            STATE.with_borrow_mut(|state| state.room(len))
        }

        #[unsafe(no_mangle)]
        extern "C" fn load() -> bool {
            STATE.with_borrow_mut(|state| state.load())
        }

        #[unsafe(no_mangle)]
        extern "C" fn tokens(batch: usize, seq: usize) -> bool {
            STATE.with_borrow_mut(|state| state.tokens(batch, seq))
        }

        #[unsafe(no_mangle)]
        extern "C" fn matrix(m: usize, k: usize) -> bool {
            STATE.with_borrow_mut(|state| state.matrix(m, k))
        }

        #[unsafe(no_mangle)]
        extern "C" fn run() -> bool {
            STATE.with_borrow_mut(|state| state.run())
        }

        #[unsafe(no_mangle)]
        extern "C" fn output() -> *const f64 {
            STATE.with_borrow_mut(|state| state.output())
        }

        #[unsafe(no_mangle)]
        extern "C" fn output_len() -> usize {
            STATE.with_borrow(|state| state.len())
        }

        #[unsafe(no_mangle)]
        extern "C" fn message() -> usize {
            STATE.with_borrow_mut(|state| state.message())
        }

        #[unsafe(no_mangle)]
        extern "C" fn message_start() -> *const u8 {
            STATE.with_borrow(|state| state.start())
        }
    };
}
