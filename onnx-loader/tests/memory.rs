//! What a model takes on its way from a file to its first result: the file, a little more, and the arena, whatever the
//! precision of its weights.
//!
//! Everything that is allocated is counted, so the tests run in one thread, as one test. With `FOURLANE_FILES`, a
//! list of files with `:` between them, those are loaded and reported as well, and held to the same bound.

use fourlane_graph::{Data, Session, TensorView};
use fourlane_onnx::{LoadError, ModelReader, NoExternalData};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
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

/// Loads the file of so many bytes that `read` gives piece by piece.
fn loads_within_its_size(name: &str, size: usize, mut read: impl FnMut(&mut [u8]) -> usize) {
    let (ids, ones) = (vec![10i64; 128], vec![1i64; 128]);
    let started = Instant::now();
    let ((mut session, read, made), load, _) = measure(|| {
        let (mut reader, mut piece) = (ModelReader::new(Some(size as u64)), vec![0; 1 << 16]);
        loop {
            match read(&mut piece) {
                0 => break,
                n => reader.feed(&piece[..n]).unwrap(),
            }
        }
        let file = reader.finish().unwrap();
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
        "{name}: {size} bytes; at most {:.3} of that while it loads, {:.3} as weights; arena {arena} bytes; run takes {run}, \
         holds {held}; read in {read:?}, session after {made:?}",
        ratio(load),
        ratio(weights),
    );
    let bound = size + size * 15 / 100;
    assert!(load <= bound, "{name}: {load} bytes while loading {size}");
    assert!(
        weights + run <= bound + arena,
        "{name}: {weights} bytes of weights and {run} for a run, of which {arena} are the arena"
    );
}

fn file_loads_within_its_size(path: &Path) {
    let mut file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len() as usize;
    loads_within_its_size(&path.display().to_string(), size, |piece| file.read(piece).unwrap());
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
    for &(name, layer) in PRECISIONS {
        let bytes = model(layer);
        let mut rest = bytes.as_slice();
        loads_within_its_size(name, bytes.len(), |piece| rest.read(piece).unwrap());
    }
    file_loads_within_its_size(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/model/onnx/model_quantized.onnx"),
    );
    let more = std::env::var("FOURLANE_FILES").unwrap_or_default();
    more.split(':').filter(|path| !path.is_empty()).for_each(|path| file_loads_within_its_size(Path::new(path)));
}

// Models of a few megabytes, in the bytes of protobuf.

/// Inputs and outputs of the layers, and of all weights.
const WIDTH: usize = 384;
/// So many bytes of weights are enough that names of nodes, plans and tables of values do not count.
const WEIGHTS: usize = 8 << 20;

const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const UINT16: u64 = 4;
const INT16: u64 = 5;
const INT64: u64 = 7;
const FLOAT16: u64 = 10;
const BFLOAT16: u64 = 16;
const UINT4: u64 = 21;
const INT4: u64 = 22;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, tag: u64, value: u64) {
    varint(out, tag << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, tag: u64, data: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

#[derive(Default)]
struct Graph {
    bytes: Vec<u8>,
    weights: usize,
    names: usize,
}

impl Graph {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// A constant of so many bytes. Any bytes will do for codes; those of floats are small numbers.
    fn constant(&mut self, dtype: u64, dims: &[usize], size: usize) -> String {
        let (name, mut tensor) = (self.name(), Vec::new());
        dims.iter().for_each(|&dim| number(&mut tensor, 1, dim as u64));
        number(&mut tensor, 2, dtype);
        bytes(&mut tensor, 8, name.as_bytes());
        let float: &[u8] = match dtype {
            FLOAT => &[0, 0, 0x80, 0x3c],
            FLOAT16 => &[0, 0x24],
            BFLOAT16 => &[0x80, 0x3c],
            _ => &[7],
        };
        bytes(&mut tensor, 9, &float.repeat(size / float.len()));
        bytes(&mut self.bytes, 5, &tensor);
        self.weights += size;
        name
    }

    fn scales(&mut self, dims: &[usize]) -> String {
        self.tensor(FLOAT, dims)
    }

    fn tensor(&mut self, dtype: u64, dims: &[usize]) -> String {
        self.constant(dtype, dims, size_of(dtype, dims))
    }

    /// A node with one output, from `domain:Type`.
    fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, u64)]) -> String {
        let (name, mut node) = (self.name(), Vec::new());
        let (domain, op) = op.split_once(':').unwrap_or(("", op));
        inputs.iter().for_each(|input| bytes(&mut node, 1, input.as_bytes()));
        bytes(&mut node, 2, name.as_bytes());
        bytes(&mut node, 4, op.as_bytes());
        bytes(&mut node, 7, domain.as_bytes());
        for (name, value) in attributes {
            let mut attribute = Vec::new();
            bytes(&mut attribute, 1, name.as_bytes());
            number(&mut attribute, 3, *value);
            number(&mut attribute, 20, 2);
            bytes(&mut node, 5, &attribute);
        }
        bytes(&mut self.bytes, 1, &node);
        name
    }

    fn port(&mut self, tag: u64, name: &str, dtype: u64, dims: &[&str]) {
        let [mut shape, mut tensor, mut kind, mut port] = [const { Vec::new() }; 4];
        for dim in dims {
            let mut message = Vec::new();
            bytes(&mut message, 2, dim.as_bytes());
            bytes(&mut shape, 1, &message);
        }
        number(&mut tensor, 1, dtype);
        bytes(&mut tensor, 2, &shape);
        bytes(&mut kind, 1, &tensor);
        bytes(&mut port, 1, name.as_bytes());
        bytes(&mut port, 2, &kind);
        bytes(&mut self.bytes, tag, &port);
    }
}

/// A layer of one precision: the value that it makes of another.
type Layer = fn(&mut Graph, &str) -> String;

/// Layer after layer behind a table, until there are enough weights.
fn model(layer: Layer) -> Vec<u8> {
    let mut graph = Graph::default();
    graph.port(11, "input_ids", INT64, &["batch", "seq"]);
    let table = graph.scales(&[100, WIDTH]);
    let mut x = graph.node("Gather", &[&table, "input_ids"], &[]);
    while graph.weights < WEIGHTS {
        x = layer(&mut graph, &x);
    }
    graph.port(12, &x, FLOAT, &["batch", "seq", "width"]);
    let mut file = Vec::new();
    number(&mut file, 1, 10);
    bytes(&mut file, 7, &graph.bytes);
    for (domain, version) in [("", 21), ("com.microsoft", 1)] {
        let mut set = Vec::new();
        bytes(&mut set, 1, domain.as_bytes());
        number(&mut set, 2, version);
        bytes(&mut file, 8, &set);
    }
    file
}

fn product(graph: &mut Graph, x: &str, dtype: u64, size: usize) -> String {
    let weight = graph.constant(dtype, &[WIDTH, WIDTH], size * WIDTH * WIDTH);
    graph.node("MatMul", &[x, &weight], &[])
}

/// The bytes of a tensor.
fn size_of(dtype: u64, dims: &[usize]) -> usize {
    let count: usize = dims.iter().product();
    match dtype {
        INT4 | UINT4 => count.div_ceil(2),
        INT8 | UINT8 => count,
        INT16 | UINT16 | FLOAT16 | BFLOAT16 => 2 * count,
        _ => 4 * count,
    }
}

/// A matrix in codes that is expanded, with scales and zero points of this shape along an axis.
fn dequantized(
    graph: &mut Graph,
    dtype: u64,
    sizes: [usize; 2],
    scales: (u64, &[usize]),
    attributes: &[(&str, u64)],
) -> String {
    let weight = graph.tensor(dtype, &sizes);
    let mut inputs = vec![weight, graph.tensor(scales.0, scales.1)];
    if matches!(dtype, UINT4 | UINT8 | UINT16) {
        inputs.push(graph.tensor(dtype, scales.1));
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    graph.node("DequantizeLinear", &inputs, attributes)
}

/// A product with such a matrix.
fn expanded(graph: &mut Graph, x: &str, dtype: u64, dims: &[usize], attributes: &[(&str, u64)]) -> String {
    let weight = dequantized(graph, dtype, [WIDTH, WIDTH], (FLOAT, dims), attributes);
    graph.node("MatMul", &[x, &weight], &[])
}

/// Rows of such a matrix, by the ids, added to x.
fn looked_up(graph: &mut Graph, x: &str, dtype: u64, dims: &[usize], axis: u64) -> String {
    let table = dequantized(graph, dtype, [WIDTH, WIDTH], (FLOAT, dims), &[("axis", axis)]);
    let rows = graph.node("Gather", &[&table, "input_ids"], &[]);
    graph.node("Add", &[x, &rows], &[])
}

/// Two products, with so many values in between.
fn by_way_of(graph: &mut Graph, x: &str, dtype: u64, width: usize) -> String {
    let up = dequantized(graph, dtype, [WIDTH, width], (FLOAT, &[width]), &[("axis", 1)]);
    let x = graph.node("MatMul", &[x, &up], &[]);
    let down = dequantized(graph, dtype, [width, WIDTH], (FLOAT, &[WIDTH]), &[("axis", 1)]);
    graph.node("MatMul", &[&x, &down], &[])
}

const BLOCK: usize = 32;
const BLOCKS: usize = WIDTH / BLOCK;

/// For each precision a layer.
const PRECISIONS: &[(&str, Layer)] = &[
    ("fp32", |graph, x| product(graph, x, FLOAT, 4)),
    ("fp16", |graph, x| product(graph, x, FLOAT16, 2)),
    ("bfloat16", |graph, x| product(graph, x, BFLOAT16, 2)),
    ("MatMulNBits, 4 bits", |graph, x| n_bits(graph, x, 4, FLOAT)),
    ("MatMulNBits, 4 bits with scales of 16", |graph, x| n_bits(graph, x, 4, FLOAT16)),
    ("MatMulNBits, 2 bits with scales of 16", |graph, x| n_bits(graph, x, 2, BFLOAT16)),
    ("MatMulNBits, 8 bits", |graph, x| n_bits(graph, x, 8, FLOAT)),
    ("MatMulBnb4", |graph, x| {
        let size = WIDTH * WIDTH;
        let codes = graph.constant(UINT8, &[size / 2], size / 2);
        let scales = graph.scales(&[size / 64]);
        let sizes = [("K", WIDTH as u64), ("N", WIDTH as u64), ("block_size", 64), ("quant_type", 1)];
        graph.node("com.microsoft:MatMulBnb4", &[x, &codes, &scales], &sizes)
    }),
    ("int4 in blocks, expanded", |graph, x| {
        expanded(graph, x, INT4, &[BLOCKS, WIDTH], &[("axis", 0), ("block_size", BLOCK as u64)])
    }),
    ("uint4 in blocks, expanded", |graph, x| {
        expanded(graph, x, UINT4, &[BLOCKS, WIDTH], &[("axis", 0), ("block_size", BLOCK as u64)])
    }),
    ("int4 in blocks with scales of 16, expanded", |graph, x| {
        let scales = (FLOAT16, &[BLOCKS, WIDTH][..]);
        let weight = dequantized(graph, INT4, [WIDTH, WIDTH], scales, &[("axis", 0), ("block_size", BLOCK as u64)]);
        graph.node("MatMul", &[x, &weight], &[])
    }),
    ("int16 in blocks, expanded", |graph, x| {
        expanded(graph, x, INT16, &[BLOCKS, WIDTH], &[("axis", 0), ("block_size", BLOCK as u64)])
    }),
    ("int4 by the channel, expanded", |graph, x| expanded(graph, x, INT4, &[WIDTH], &[("axis", 1)])),
    ("int8 by the channel, expanded", |graph, x| expanded(graph, x, INT8, &[WIDTH], &[("axis", 1)])),
    ("uint8 by the tensor, expanded", |graph, x| expanded(graph, x, UINT8, &[1], &[("axis", 1)])),
    ("int4 by the tensor, expanded", |graph, x| expanded(graph, x, INT4, &[1], &[("axis", 1)])),
    ("int4 along the sum, expanded", |graph, x| expanded(graph, x, INT4, &[WIDTH], &[("axis", 0)])),
    ("int8 along the sum, expanded", |graph, x| expanded(graph, x, INT8, &[WIDTH], &[("axis", 0)])),
    ("int8 of an odd width, expanded", |graph, x| by_way_of(graph, x, INT8, WIDTH + 13)),
    ("int4 of an odd width, expanded", |graph, x| by_way_of(graph, x, INT4, WIDTH + 14)),
    ("uint16 of an odd width, expanded", |graph, x| by_way_of(graph, x, UINT16, WIDTH + 13)),
    ("int16 by the tensor, expanded", |graph, x| expanded(graph, x, INT16, &[], &[])),
    ("table of 16 bits", |graph, x| looked_up(graph, x, UINT16, &[], 1)),
    ("table of 16 bits by the row", |graph, x| looked_up(graph, x, INT16, &[WIDTH], 0)),
    ("table of 8 bits by the column", |graph, x| looked_up(graph, x, INT8, &[WIDTH], 1)),
    ("table of 4 bits in blocks", |graph, x| in_blocks(graph, x, FLOAT)),
    ("table of 4 bits in blocks with scales of 16", |graph, x| in_blocks(graph, x, FLOAT16)),
    ("table of 8 bits by the row", |graph, x| looked_up(graph, x, INT8, &[WIDTH], 0)),
    ("int8, static", |graph, x| {
        let (scale, zero) = (graph.scales(&[]), graph.constant(INT8, &[], 1));
        let x = graph.node("QuantizeLinear", &[x, &scale, &zero], &[]);
        let x = graph.node("DequantizeLinear", &[&x, &scale, &zero], &[]);
        expanded(graph, &x, INT8, &[WIDTH], &[("axis", 1)])
    }),
];

fn in_blocks(graph: &mut Graph, x: &str, scale: u64) -> String {
    let (table, scales) = (graph.tensor(UINT4, &[WIDTH, WIDTH]), graph.tensor(scale, &[WIDTH, BLOCKS]));
    let zeros = graph.tensor(UINT4, &[WIDTH, BLOCKS]);
    let inputs = [&table, "input_ids", &scales, &zeros];
    let rows = graph.node("com.microsoft:GatherBlockQuantized", &inputs, &[("quantize_axis", 1), ("block_size", 32)]);
    graph.node("Add", &[x, &rows], &[])
}

fn n_bits(graph: &mut Graph, x: &str, bits: usize, scale: u64) -> String {
    let codes = graph.constant(UINT8, &[WIDTH, BLOCKS, BLOCK * bits / 8], WIDTH * WIDTH * bits / 8);
    let scales = graph.tensor(scale, &[WIDTH * BLOCKS]);
    let sizes = [("K", WIDTH as u64), ("N", WIDTH as u64), ("block_size", BLOCK as u64), ("bits", bits as u64)];
    graph.node("com.microsoft:MatMulNBits", &[x, &codes, &scales], &sizes)
}
