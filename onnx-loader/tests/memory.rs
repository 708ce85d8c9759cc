//! What a model takes on its way from a file to its first result: the file, a little more, and the arena.
//!
//! Everything that is allocated is counted, so the tests run in one thread, as one test. With `FOURLANE_FILES`, a
//! list of files with `:` between them, those are loaded and reported as well, and held to the same bound.

use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::{File, LoadError, ModelReader, NoExternalData};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    PEAK.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: everything is passed on to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of `act`, and how much memory it took beyond what was held before, at most and in the end.
fn measure<T>(act: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = act();
    (result, PEAK.load(Relaxed) - before, NOW.load(Relaxed).saturating_sub(before))
}

/// Names of nodes, plans, tables of values: what does not grow with the weights.
const SMALL: usize = 2 << 20;

fn loads_within_its_size(path: &Path) {
    let size = std::fs::metadata(path).unwrap().len() as usize;
    let (ids, ones) = (vec![1000i64; 128], vec![1i64; 128]);
    let started = Instant::now();
    let ((mut session, read, made), load, _) = measure(|| {
        let file = File::open(path).unwrap();
        let read = started.elapsed();
        (Session::new(file.load(&NoExternalData).unwrap()).unwrap(), read, started.elapsed() - read)
    });
    let weights = session.memory_bytes();
    let names: Vec<String> = session.inputs().iter().map(|port| port.name.clone()).collect();
    let (_, run, held) = measure(|| {
        let data = |name: &str| Data::I64(if name == "input_ids" { &ids } else { &ones });
        let inputs: Vec<_> =
            names.iter().map(|name| (name.as_str(), TensorView { shape: &[1, 128], data: data(name) })).collect();
        assert_eq!(session.run(&inputs).unwrap().iter().count(), 1);
    });
    let arena = session.memory_bytes() - weights;
    let ratio = |bytes: usize| bytes as f64 / size as f64;
    println!(
        "{}: {size} bytes; at most {:.3} of that while it loads, {:.3} as weights; arena {arena} bytes; run takes {run}, \
         holds {held}; read in {read:?}, session after {made:?}",
        path.display(),
        ratio(load),
        ratio(weights),
    );
    let bound = size + size * 15 / 100 + SMALL;
    assert!(load <= bound, "{load} bytes while loading {size}");
    assert!(
        weights + run <= bound + arena,
        "{weights} bytes of weights and {run} for a run, of which {arena} are the arena"
    );
}

/// Claims of lengths cost nothing.
fn lengths_are_not_believed() {
    // A graph, in it a tensor, in it raw data, of a little more than a terabyte each as they say, and the first thousand
    // bytes of the data.
    let terabyte = |more: u8| [0x80 | more, 0x80, 0x80, 0x80, 0x80, 0x20];
    let lengths = [terabyte(40), terabyte(20), terabyte(0)];
    let fields = [0x3a, 0x2a, 0x4a].into_iter().zip(lengths);
    let mut bytes: Vec<u8> = fields.flat_map(|(key, length)| [vec![key], length.to_vec()].concat()).collect();
    bytes.resize(1000, 1);
    for length in [None, Some(bytes.len() as u64)] {
        let (result, peak, _) = measure(|| {
            let mut reader = ModelReader::new(length);
            reader.feed(&bytes)?;
            reader.finish().map(drop)
        });
        assert!(matches!(result, Err(LoadError::NotOnnx(_))));
        assert!(peak < 3 << 20, "{peak} bytes for a claim");
    }
}

#[test]
fn memory() {
    lengths_are_not_believed();
    loads_within_its_size(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/model/onnx/model_quantized.onnx"));
    let more = std::env::var("FOURLANE_FILES").unwrap_or_default();
    more.split(':').filter(|path| !path.is_empty()).for_each(|path| loads_within_its_size(Path::new(path)));
}
