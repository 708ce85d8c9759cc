//! DistilBERT at its real size, made from skeletons.
//!
//! A quarter of a gigabyte of weights is in no repository. What is beside this one (`../shared/models/distilbert-base`)
//! are graphs of real exports whose large weights point to files that do not exist, and a list of those weights:
//! name, type, element count, seed, scale. Element `i` of a weight is made of `splitmix64(seed * 2^32 + i)`: its four
//! 16-bit words are summed to a bell curve, which is scaled, or rounded to 8 bits; 4-bit codes are its low byte. The
//! files written here have all weights inside, byte for byte as `materialize.py` there writes them.

use crate::wire::{self, fields};
use half::f16;
use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The models, in f32, dynamic INT8, f16, and blocks of 4 bits.
pub const NAMES: [&str; 4] = ["model", "model_quantized", "model_fp16", "model_q4"];

/// What went wrong, in one sentence.
pub type Result<T = ()> = std::result::Result<T, String>;

/// Where the skeletons are, if they are there.
///
/// # Errors
/// A sentence that says what is not where.
pub fn skeletons() -> Result<PathBuf> {
    let folder = root().join("../shared/models/distilbert-base");
    match folder.join("model.weights.json").exists() {
        true => Ok(folder),
        false => Err(format!(
            "the graphs of the real-size models are not at ../shared/models/distilbert-base (beside {}); kernels and \
             the default model are benchmarked without them",
            root().display()
        )),
    }
}

/// Where complete models are.
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join("models")
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The complete model of that name, written unless it is there.
///
/// # Errors
/// A missing or wrong skeleton, a full disk: one sentence.
pub fn file(name: &str) -> Result<PathBuf> {
    let path = folder().join(format!("{name}.onnx"));
    if path.exists() {
        return Ok(path);
    }
    let source = skeletons()?;
    let read = |file: String| {
        let path = source.join(file);
        std::fs::read(&path).map_err(because(&path))
    };
    let (skeleton, list) = (read(format!("{name}.onnx"))?, read(format!("{name}.weights.json"))?);
    let weights = weights(&list)?;
    std::fs::create_dir_all(folder()).map_err(because(&folder()))?;
    // Under another name until it is complete: what has its name can be trusted.
    let partial = path.with_extension("partial");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial).map_err(because(&partial))?);
    materialize(&skeleton, &weights, &mut out)?;
    out.flush().map_err(because(&partial))?;
    std::fs::rename(&partial, &path).map_err(because(&path))?;
    Ok(path)
}

fn because<E: Display>(path: &Path) -> impl Fn(E) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

/// The token ids that recorded results are of.
pub fn ids(count: usize) -> Vec<i64> {
    (0..count as i64).map(|i| (i * 7919 + 11) % 29_000 + 1000).collect()
}

/// Element type of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of 4 bytes.
    F32,
    /// Of 2 bytes, rounded to nearest even.
    F16,
    /// -127..=127.
    I8,
    /// 1..=255.
    U8,
    /// Bytes that hold smaller things.
    Raw,
}

/// One weight's rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The initializer.
    pub name: String,
    /// Element type.
    pub kind: Kind,
    /// Number of elements.
    pub count: usize,
    /// Which weight it is.
    pub seed: u64,
    /// Of floats.
    pub scale: f32,
}

impl Weight {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        let size = match self.kind {
            Kind::F32 => 4,
            Kind::F16 => 2,
            Kind::I8 | Kind::U8 | Kind::Raw => 1,
        };
        self.count * size
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends the elements in `range` to `out`, little-endian.
    pub fn fill(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
        let words = range.map(|i| splitmix64((self.seed << 32).wrapping_add(i as u64)));
        let sum = |z: u64| (0..4).map(|k| (z >> (16 * k)) as u16 as i32).sum::<i32>() - 131_070;
        let float = |z: u64| sum(z) as f32 * self.scale;
        let byte = |z: u64| (f64::from(sum(z)) / 1192.0).round_ties_even().clamp(-127.0, 127.0) as i32;
        match self.kind {
            Kind::F32 => words.for_each(|z| out.extend(float(z).to_le_bytes())),
            Kind::F16 => words.for_each(|z| out.extend(f16::from_f32(float(z)).to_le_bytes())),
            Kind::I8 => out.extend(words.map(|z| byte(z) as u8)),
            Kind::U8 => out.extend(words.map(|z| (byte(z) + 128) as u8)),
            Kind::Raw => out.extend(words.map(|z| z as u8)),
        }
    }
}

fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Reads a `*.weights.json`.
///
/// # Errors
/// What is not as it should be there.
pub fn weights(json: &[u8]) -> Result<Vec<Weight>> {
    let list: Vec<serde_json::Value> = serde_json::from_slice(json).map_err(|e| format!("the list of weights: {e}"))?;
    let weight = |entry: &serde_json::Value| {
        let kind = match entry["dtype"].as_str()? {
            "float32" => Kind::F32,
            "float16" => Kind::F16,
            "int8" => Kind::I8,
            "uint8" => Kind::U8,
            "raw" => Kind::Raw,
            _ => return None,
        };
        Some(Weight {
            name: entry["name"].as_str()?.to_owned(),
            kind,
            count: usize::try_from(entry["count"].as_u64()?).ok()?,
            seed: entry["seed"].as_u64()?,
            scale: entry["scale"].as_f64().unwrap_or(0.0) as f32,
        })
    };
    let read = |entry| weight(entry).ok_or_else(|| format!("the list of weights has an unknown entry: {entry}"));
    list.iter().map(read).collect()
}

/// A part of the file to be written.
enum Piece<'a> {
    Same(&'a [u8]),
    New(Vec<u8>),
    Weight(&'a Weight),
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Piece::Same(bytes) => bytes.len(),
            Piece::New(bytes) => bytes.len(),
            Piece::Weight(weight) => weight.len(),
        }
    }
}

// Numbers of protobuf fields in onnx.proto.
const MODEL_GRAPH: u64 = 7;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_NAME: u64 = 8;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

/// Writes the model of the skeleton with these weights inside.
///
/// # Errors
/// A skeleton that is no ONNX file or lacks one of the weights, and those of `out`.
pub fn materialize(skeleton: &[u8], weights: &[Weight], out: &mut impl Write) -> Result<()> {
    let by_name: HashMap<&[u8], &Weight> = weights.iter().map(|w| (w.name.as_bytes(), w)).collect();
    let mut found = 0;
    let mut pieces = Vec::new();
    for field in fields(skeleton) {
        let field = field.ok_or_else(no_onnx)?;
        if field.number != MODEL_GRAPH {
            pieces.push(Piece::Same(field.all));
            continue;
        }
        let mut graph = Vec::new();
        for field in fields(field.content) {
            let field = field.ok_or_else(no_onnx)?;
            let tensor = if field.number == GRAPH_INITIALIZER { complete(field.content, &by_name)? } else { None };
            match tensor {
                Some(tensor) => {
                    found += 1;
                    graph.push(head(GRAPH_INITIALIZER, &tensor));
                    graph.extend(tensor);
                }
                None => graph.push(Piece::Same(field.all)),
            }
        }
        pieces.push(head(MODEL_GRAPH, &graph));
        pieces.extend(graph);
    }
    if found != weights.len() {
        return Err(format!("the skeleton has {found} of the {} weights in the list", weights.len()));
    }
    let fail = |error| format!("the model cannot be written: {error}");
    let mut buffer = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Same(bytes) => out.write_all(bytes).map_err(fail)?,
            Piece::New(bytes) => out.write_all(&bytes).map_err(fail)?,
            Piece::Weight(weight) => {
                for start in (0..weight.count).step_by(1 << 16) {
                    buffer.clear();
                    weight.fill(start..weight.count.min(start + (1 << 16)), &mut buffer);
                    out.write_all(&buffer).map_err(fail)?;
                }
            }
        }
    }
    Ok(())
}

fn no_onnx() -> String {
    "the skeleton is no ONNX file".into()
}

/// A tensor with its data, if it is one of the weights. Protobuf writes fields in the order of their numbers.
fn complete<'a>(tensor: &'a [u8], weights: &HashMap<&[u8], &'a Weight>) -> Result<Option<Vec<Piece<'a>>>> {
    let all = fields(tensor).collect::<Option<Vec<_>>>().ok_or_else(no_onnx)?;
    let name = all.iter().find(|field| field.number == TENSOR_NAME).map(|field| field.content);
    let Some(&weight) = name.and_then(|name| weights.get(name)) else { return Ok(None) };
    let (before, after): (Vec<_>, Vec<_>) = all.into_iter().partition(|field| field.number < TENSOR_RAW_DATA);
    let mut pieces: Vec<_> = before.iter().map(|field| Piece::Same(field.all)).collect();
    pieces.push(head(TENSOR_RAW_DATA, &[Piece::Weight(weight)]));
    pieces.push(Piece::Weight(weight));
    for field in after {
        match field.number {
            TENSOR_EXTERNAL_DATA => {}
            // Still written, as the default: inside the file.
            TENSOR_DATA_LOCATION => pieces.push(Piece::New(vec![(TENSOR_DATA_LOCATION << 3) as u8, 0])),
            _ => pieces.push(Piece::Same(field.all)),
        }
    }
    Ok(Some(pieces))
}

/// What stands before a field's content: number and length.
fn head<'a>(number: u64, content: &[Piece]) -> Piece<'a> {
    let mut bytes = Vec::new();
    wire::put_head(&mut bytes, number, content.iter().map(Piece::len).sum());
    Piece::New(bytes)
}
