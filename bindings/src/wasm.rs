//! The exports of the `.wasm`: thin shells around [`fourlane_graph::Session`] and [`TextClassifier`].
//!
//! Only flat things cross the boundary: strings, typed arrays, arrays of these. The package's JavaScript makes them
//! into what people see, so nothing here is a public interface. A model's bytes are copied from JavaScript's memory
//! piece by piece, each tensor into memory of its own; files beside it stay in JavaScript's memory, and tensors of them
//! are copied as they are packed. An error is thrown as a string `code: sentence`; the codes are listed in `index.d.ts`.

use crate::{Error, Files, Options, SessionOptions, TextClassifier, TokenizerError};
use bytes::Bytes;
#[cfg(feature = "profile")]
use fourlane_graph::StepProfile;
use fourlane_graph::ir::{DType, Port, PortDim};
use fourlane_graph::{Data, Model, OpenSession, Outputs, TensorView};
use fourlane_onnx::{ExternalData, LoadError, ModelReader, StoredTensor};
use std::fmt::Display;
use std::hint::black_box;
use wasm_bindgen::prelude::*;

// What is called of JavaScript's own. (The crate js-sys declares all of it, and a table of functions that nobody calls
// stays in the module with it.)
#[wasm_bindgen]
extern "C" {
    /// Of any values.
    pub type Array;
    #[wasm_bindgen(constructor)]
    fn new() -> Array;
    #[wasm_bindgen(method)]
    fn push(this: &Array, value: &JsValue);
    #[wasm_bindgen(method, indexing_getter)]
    fn get(this: &Array, index: u32) -> JsValue;

    /// Bytes in JavaScript's memory.
    pub type Uint8Array;
    /// A copy.
    #[wasm_bindgen(constructor)]
    fn of(bytes: &[u8]) -> Uint8Array;
    #[wasm_bindgen(method, getter)]
    fn length(this: &Uint8Array) -> u32;
    #[wasm_bindgen(method)]
    fn subarray(this: &Uint8Array, begin: u32, end: u32) -> Uint8Array;
    /// Copies all of `source` to the beginning of `target`, which has room for it.
    #[wasm_bindgen(js_namespace = ["Uint8Array", "prototype", "set"], js_name = call)]
    fn copy(target: &mut [u8], source: &Uint8Array);
}

fn array(values: &[JsValue]) -> Array {
    let array = Array::new();
    values.iter().for_each(|value| array.push(value));
    array
}

/// A model file as it comes in, and then the files that it names beside itself.
#[wasm_bindgen]
pub struct ModelFile {
    /// Until all has come.
    reader: Option<ModelReader>,
    /// From then on.
    file: Option<fourlane_onnx::File>,
    beside: FilesBeside,
    buffer: Vec<u8>,
}

/// How much is copied out of JavaScript's memory at a time: into one place, again and again, since whatever is
/// allocated beside the tensors lives on as a hole among them.
const PIECE: u32 = 1 << 17;

/// Lets the memory grow at once by what a file of `length` bytes will take: tensor by tensor takes a tenth of the time
/// of loading. In a memory that has held as much already there may be room, in places that cannot be known.
fn make_room(length: usize) {
    if core::arch::wasm32::memory_size::<0>() < length >> 16 {
        // Freed at once, it is where the allocator takes from next. A refusal is told when the memory is needed.
        let mut room = Vec::<u8>::new();
        // A little less than the file: the allocator grows by the whole of what does not fit, so that the rest of the
        // room, which the last tensors fill, would stay empty.
        let _ = room.try_reserve_exact(length - length / 16);
        black_box(room); // or nothing would be allocated, as far as the compiler is concerned
    }
}

#[wasm_bindgen]
impl ModelFile {
    /// Of an ONNX file of `length` bytes, if that is known; see [`ModelReader::new`].
    #[wasm_bindgen(constructor)]
    pub fn new(length: Option<f64>) -> ModelFile {
        if let Some(length) = length {
            make_room(length as usize);
        }
        let reader = Some(ModelReader::new(length.map(|length| length as u64)));
        ModelFile { reader, file: None, beside: FilesBeside(Vec::new()), buffer: vec![0; PIECE as usize] }
    }

    /// Takes the next bytes of the file, however many.
    pub fn feed(&mut self, bytes: &Uint8Array) -> Result<(), JsValue> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        for start in (0..bytes.length()).step_by(PIECE as usize) {
            let piece = bytes.subarray(start, start.saturating_add(PIECE));
            let buffer = &mut self.buffer[..piece.length() as usize];
            copy(buffer, &piece);
            reader.feed(buffer).map_err(load_error)?;
        }
        Ok(())
    }

    /// Names of the files that must be added, after the last bytes were fed.
    pub fn external_files(&mut self) -> Result<Array, JsValue> {
        if let Some(reader) = self.reader.take() {
            self.buffer = Vec::new();
            self.file = Some(reader.finish().map_err(load_error)?);
        }
        let names = Array::new();
        if let Some(file) = &self.file {
            file.external_files().iter().for_each(|&name| names.push(&name.into()));
        }
        Ok(names)
    }

    /// Adds a file.
    pub fn add(&mut self, name: String, content: Uint8Array) {
        self.beside.0.push((name, content));
    }
}

impl ModelFile {
    fn load(mut self) -> Result<Model, JsValue> {
        self.external_files()?;
        let file = self.file.ok_or_else(|| error("invalid-model", &"the model was not read to its end"))?;
        file.load(&self.beside).map_err(load_error)
    }
}

/// Files in JavaScript's memory, of which tensors are copied when they are asked for.
struct FilesBeside(Vec<(String, Uint8Array)>);

impl FilesBeside {
    fn get(&self, location: &str) -> Result<&Uint8Array, String> {
        let file = self.0.iter().find(|(name, _)| name == location);
        file.map(|(_, content)| content).ok_or_else(|| "it was not given".into())
    }
}

impl ExternalData for FilesBeside {
    fn size(&self, location: &str) -> Result<u64, String> {
        Ok(self.get(location)?.length().into())
    }

    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, String> {
        let file = self.get(location)?;
        // A little more than asked for: then what the tensor is packed into fits where another one was, although it is
        // aligned and has sums of columns. Otherwise the memory grows by half of the weights.
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length + length / 64 + 64).map_err(|_| "there is not enough memory for it")?;
        bytes.resize(length, 0);
        // All numbers are at most the file's size, which is one of 32 bits.
        let offset = offset as u32;
        copy(&mut bytes, &file.subarray(offset, offset.saturating_add(length as u32)));
        Ok(bytes.into())
    }

    fn safetensors(&self, header: &[u8]) -> Result<Vec<StoredTensor>, String> {
        crate::safetensors::read(header).map_err(|error| error.to_string())
    }
}

/// Options come as flat arguments, in the order of the fields.
fn options(literal: bool, fast: bool) -> SessionOptions {
    SessionOptions { literal, fast, ..SessionOptions::default() }
}

/// What a session tells of itself: `[name, value]` pairs, which become an object's properties.
fn facts(session: Option<&fourlane_graph::Session>, options: SessionOptions) -> Array {
    let facts = Array::new();
    let fact = |name: &str, value: JsValue| facts.push(&array(&[name.into(), value]));
    fact("literal", options.literal.into());
    fact("accuracy", if options.fast && !options.literal { "fast" } else { "exact" }.into());
    let modes = Array::new();
    if let Some(session) = session {
        for (mode, count) in session.integer_modes() {
            modes.push(&array(&[mode.into(), (count as u32).into()]));
        }
    }
    fact("integerModes", modes.into());
    fact("memoryBytes", (session.map_or(0, |session| session.memory_bytes()) as u32).into());
    // Of the whole engine, in pages of 64 KiB.
    fact("engineBytes", (core::arch::wasm32::memory_size::<0>() as f64 * 65536.0).into());
    facts
}

/// A model with texts in and labels out.
#[wasm_bindgen]
pub struct Classifier {
    classifier: TextClassifier,
    options: SessionOptions,
}

#[wasm_bindgen]
impl Classifier {
    /// From the model and the files beside it that there are.
    #[wasm_bindgen(constructor)]
    pub fn new(
        model: ModelFile,
        literal: bool,
        fast: bool,
        config: Option<Vec<u8>>,
        tokenizer: Option<Vec<u8>>,
        vocab: Option<Vec<u8>>,
        tokenizer_config: Option<Vec<u8>>,
    ) -> Result<Classifier, JsValue> {
        let files = Files {
            tokenizer: tokenizer.as_deref(),
            vocab: vocab.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
            config: config.as_deref(),
        };
        let options = options(literal, fast);
        let classifier = TextClassifier::with_options(model.load()?, &files, options).map_err(classifier_error)?;
        Ok(Classifier { classifier, options })
    }

    /// See [`facts`].
    pub fn facts(&self) -> Array {
        let facts = facts(Some(self.classifier.session()), self.options);
        facts.push(&array(&["maxLength".into(), (self.classifier.max_length() as u32).into()]));
        facts
    }

    /// The labels, in the order of the model's outputs.
    pub fn labels(&self) -> Array {
        let labels = Array::new();
        self.classifier.labels().iter().for_each(|label| labels.push(&(&**label).into()));
        labels
    }

    /// Token ids of a text, as floats, which are exact up to 16 millions: the glue for arrays of these is there.
    pub fn tokenize(&self, text: &str) -> Vec<f32> {
        let mut ids = Vec::new();
        self.classifier.tokenize(text).iter().for_each(|&id| ids.push(id as f32));
        ids
    }

    /// The outputs for each text, one after the other.
    pub fn logits(&mut self, texts: &Array) -> Result<Vec<f32>, JsValue> {
        with_texts(texts, &mut |texts, flat| {
            self.classifier.logits(texts)?.iter().for_each(|logits| flat.extend_from_slice(logits));
            Ok(())
        })
    }

    /// For each text, index and score of the `top_k` best labels (0: of all), one after the other.
    pub fn classify(&mut self, texts: &Array, top_k: usize) -> Result<Vec<f32>, JsValue> {
        let options = Options { top_k: Some(top_k), ..Options::default() };
        with_texts(texts, &mut |texts, flat| {
            for label in self.classifier.classify(texts, &options)?.iter().flatten() {
                flat.extend_from_slice(&[label.index as f32, label.score]);
            }
            Ok(())
        })
    }
}

/// Appends what there is to say of texts.
type Run<'a> = &'a mut dyn FnMut(&[&str], &mut Vec<f32>) -> Result<(), Error>;

/// What `run` appends for the strings of an array; what is none is empty.
fn with_texts(array: &Array, run: Run) -> Result<Vec<f32>, JsValue> {
    let mut strings = Vec::new();
    for index in 0.. {
        let string = array.get(index);
        if string.is_undefined() {
            break;
        }
        strings.push(string.as_string().unwrap_or_default());
    }
    let mut texts = Vec::with_capacity(strings.len());
    strings.iter().for_each(|string| texts.push(string.as_str()));
    let mut flat = Vec::new();
    run(&texts, &mut flat).map_err(classifier_error)?;
    Ok(flat)
}

/// What runs a model.
enum Runner {
    Planned(Box<fourlane_graph::Session>),
    Open(Box<OpenSession>),
}

impl Runner {
    fn new(model: Model, options: SessionOptions) -> Result<Runner, fourlane_graph::Error> {
        Ok(match OpenSession::suits(&model) {
            true => Runner::Open(OpenSession::new(model, options).into()),
            false => Runner::Planned(fourlane_graph::Session::with_options(model, options)?.into()),
        })
    }

    fn run(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Outputs<'_>, fourlane_graph::Error> {
        match self {
            Runner::Planned(session) => session.run(inputs),
            Runner::Open(session) => session.run(inputs),
        }
    }
}

#[cfg(feature = "profile")]
#[wasm_bindgen]
extern "C" {
    /// Milliseconds.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

#[cfg(not(feature = "profile"))]
#[wasm_bindgen]
impl Classifier {
    /// Says that it cannot.
    pub fn profile(&mut self, _text: &str) -> Result<Array, JsValue> {
        Err(error("unsupported-task", &"this engine was built without the cargo feature 'profile'"))
    }
}

#[cfg(feature = "profile")]
#[wasm_bindgen]
impl Classifier {
    /// Runs a text. Of each step `[operator, node, bytes, milliseconds, shape of the first operand, of the result]`; of
    /// each region `[offset, bytes, first step, last step, what it holds]`.
    pub fn profile(&mut self, text: &str) -> Result<Array, JsValue> {
        let steps = Array::new();
        let mut visit = |step: StepProfile<'_>| {
            let told = [step.op.name().into(), step.name.into(), (step.bytes as u32).into(), step.time.into()];
            let told = array(&told);
            told.push(&numbers(step.input));
            told.push(&numbers(step.output));
            steps.push(&told);
        };
        let places = Array::new();
        for r in self.classifier.profile(text, &now, &mut visit).map_err(classifier_error)? {
            places.push(&numbers(&[r.offset, r.bytes, r.first, r.last, r.holds as usize]));
        }
        Ok(array(&[steps.into(), places.into()]))
    }
}

#[cfg(feature = "profile")]
fn numbers(numbers: &[usize]) -> Array {
    let array = Array::new();
    for &number in numbers {
        array.push(&(number as u32).into());
    }
    array
}

/// A model with tensors in and out.
#[wasm_bindgen]
pub struct Session {
    runner: Runner,
    options: SessionOptions,
    feeds: Vec<(String, Tensor)>,
}

#[wasm_bindgen]
impl Session {
    /// From a model.
    #[wasm_bindgen(constructor)]
    pub fn new(model: ModelFile, literal: bool, fast: bool) -> Result<Session, JsValue> {
        let options = options(literal, fast);
        let runner = Runner::new(model.load()?, options).map_err(run_error)?;
        Ok(Session { runner, options, feeds: Vec::new() })
    }

    /// See [`facts`].
    pub fn facts(&self) -> Array {
        let session = match &self.runner {
            Runner::Planned(session) => Some(&**session),
            Runner::Open(session) => session.session(),
        };
        facts(session, self.options)
    }

    /// The inputs and the outputs: `[name, type, dimension...]` of each.
    pub fn ports(&self) -> Array {
        let (inputs, outputs) = match &self.runner {
            Runner::Planned(session) => (session.inputs(), session.outputs()),
            Runner::Open(session) => (&session.model().inputs[..], &session.model().outputs[..]),
        };
        array(&[describe(inputs).into(), describe(outputs).into()])
    }

    /// Sets an input for the next run.
    pub fn feed(&mut self, name: String, dtype: &str, shape: &[u32], bytes: &[u8]) -> Result<(), JsValue> {
        let Some(&dtype) = DTYPES.iter().find(|known| known.name() == dtype) else {
            return Err(error("bad-input", &format!("input '{name}' is {dtype}, which no model takes here")));
        };
        let tensor = Tensor::new(dtype, shape, bytes);
        match self.feeds.iter_mut().find(|(fed, _)| *fed == name) {
            Some((_, fed)) => *fed = tensor,
            None => self.feeds.push((name, tensor)),
        }
        Ok(())
    }

    /// Computes the outputs from the inputs set since the last run: of each `[type, bytes of the elements, dimension...]`.
    pub fn run(&mut self) -> Result<Array, JsValue> {
        let feeds = std::mem::take(&mut self.feeds);
        let mut inputs = Vec::with_capacity(feeds.len());
        for (name, tensor) in &feeds {
            inputs.push((name.as_str(), tensor.view()));
        }
        let results = Array::new();
        for (_, view) in self.runner.run(&inputs).map_err(run_error)?.iter() {
            let told = array(&[view.data.dtype().name().into(), Uint8Array::of(bytes(view.data)).into()]);
            view.shape.iter().for_each(|&dim| told.push(&(dim as u32).into()));
            results.push(&told);
        }
        Ok(results)
    }
}

/// `[name, type, dimension...]` of each, where a free dimension is its name.
fn describe(ports: &[Port]) -> Array {
    let all = Array::new();
    for port in ports {
        let told = array(&[port.name.as_str().into(), port.dtype.runtime().name().into()]);
        for dim in port.dims.as_deref().unwrap_or_default() {
            told.push(&match dim {
                PortDim::Fixed(size) => (*size as u32).into(),
                PortDim::Symbol(name) => name.as_str().into(),
            });
        }
        all.push(&told);
    }
    all
}

/// The types that models take and give here.
const DTYPES: [DType; 6] = [DType::F32, DType::I64, DType::I32, DType::U8, DType::I8, DType::Bool];

/// A [`TensorView`] that owns what it shows.
struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    /// The elements, as whole words so that they are aligned, and how many bytes of that they are.
    words: Vec<u64>,
    size: usize,
}

impl Tensor {
    fn new(dtype: DType, dims: &[u32], bytes: &[u8]) -> Tensor {
        let mut shape = Vec::with_capacity(dims.len());
        dims.iter().for_each(|&dim| shape.push(dim as usize));
        let size = bytes.len() / dtype.size() * dtype.size();
        let mut words = vec![0; size.div_ceil(8)];
        let to: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        to[..size].copy_from_slice(&bytes[..size]);
        if dtype == DType::Bool {
            to.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Tensor { dtype, shape, words, size }
    }

    fn view(&self) -> TensorView<'_> {
        let bytes = &bytemuck::cast_slice(&self.words)[..self.size];
        let data = match self.dtype {
            DType::F32 => Data::F32(bytemuck::cast_slice(bytes)),
            DType::I64 => Data::I64(bytemuck::cast_slice(bytes)),
            DType::I32 => Data::I32(bytemuck::cast_slice(bytes)),
            DType::I8 => Data::I8(bytemuck::cast_slice(bytes)),
            DType::Bool => Data::Bool(bytes),
            // There are no others.
            _ => Data::U8(bytes),
        };
        TensorView { shape: &self.shape, data }
    }
}

fn bytes(data: Data<'_>) -> &[u8] {
    match data {
        Data::F32(values) => bytemuck::cast_slice(values),
        Data::I64(values) => bytemuck::cast_slice(values),
        Data::I32(values) => bytemuck::cast_slice(values),
        Data::U8(values) | Data::Bool(values) => values,
        Data::I8(values) => bytemuck::cast_slice(values),
    }
}

fn error(code: &str, message: &dyn Display) -> JsValue {
    JsValue::from_str(&format!("{code}: {message}"))
}

fn classifier_error(source: Error) -> JsValue {
    let code = match source {
        Error::Load(source) => return load_error(source),
        Error::Run(source) => return run_error(source),
        Error::NoTokenizer => "missing-file",
        Error::File { .. } => "invalid-model",
        Error::Tokenizer(TokenizerError::Unsupported { .. } | TokenizerError::Feature { .. }) => "unsupported-model",
        Error::Tokenizer(_) => "invalid-model",
        _ => "unsupported-model",
    };
    error(code, &source)
}

fn load_error(source: LoadError) -> JsValue {
    let code = match source {
        LoadError::UnsupportedOperators(_) => "unsupported-model",
        _ => "invalid-model",
    };
    error(code, &source)
}

fn run_error(source: fourlane_graph::Error) -> JsValue {
    use fourlane_graph::Error::*;
    let code = match source {
        InvalidModel { .. } => "invalid-model",
        Unsupported { .. } => "unsupported-model",
        OutOfMemory { .. } => "out-of-memory",
        _ => "bad-input",
    };
    error(code, &source)
}
