//! A file read piece by piece, so that it need never be in memory as a whole.
//!
//! Nearly all of an ONNX file is the raw bytes of its tensors. Here the protobuf structure is followed down to them as
//! bytes come in, in pieces of any size; each tensor's bytes go straight to memory of their own, which is freed by
//! itself once the tensor has become something else, and kept as it is where an operator reads it so. Every other field
//! is gathered, message by message, and left to the decoder of `proto`.
//!
//! A length in a file is a claim. Memory for a tensor is taken ahead only as far as the file can reach, where its length
//! is known; otherwise in proportion to what has come.

use crate::File;
use crate::error::LoadError;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use prost::Message as _;

/// Reads an ONNX file from pieces of any size.
///
/// ```
/// use fourlane_onnx::{LoadError, ModelReader};
///
/// let mut reader = ModelReader::new(None);
/// let result = [b"not a", b" mode"].into_iter().try_for_each(|piece| reader.feed(piece));
/// assert!(matches!(result.and_then(|()| reader.finish().map(drop)), Err(LoadError::NotOnnx(_))));
/// ```
pub struct ModelReader {
    /// Messages that have begun, the whole file first, the innermost last.
    open: Vec<Open>,
    /// Fields of the open messages that are not read here, encoded as in the file.
    gathered: Vec<u8>,
    state: State,
    /// Bytes read.
    position: u64,
    /// Bytes of the file, if known: no promise, but what memory is taken ahead by.
    length: Option<u64>,
}

/// A message that has begun.
struct Open {
    message: Message,
    /// Position of its end.
    end: u64,
    /// Where its fields begin in `gathered`.
    start: usize,
}

/// The messages on the way to a tensor's bytes.
enum Message {
    Model(ModelProto),
    Graph(GraphProto),
    Node(NodeProto),
    Attribute(AttributeProto),
    Tensor(TensorProto),
}

/// What comes next.
enum State {
    /// A field: its number and type, as far as read.
    Key(Varint),
    /// The length of a field with this key.
    Length(u32, Varint),
    /// A number of up to this many more bytes, which ends where a byte says so.
    Number(usize),
    /// So many more bytes to be gathered.
    Bytes(u64),
    /// So many more bytes of a tensor, and those that have come.
    Raw(u64, Vec<u8>),
}

/// A number in base 128, lowest digit first; a digit's high bit says that another follows.
#[derive(Default)]
struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// The number, once complete.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, LoadError> {
        let digit = u64::from(byte & 0x7f);
        // Of the tenth digit one bit is left.
        if self.shift > 63 || (self.shift == 63 && digit > 1) {
            return Err(LoadError::CUT_OR_NO_PROTOBUF);
        }
        self.value |= digit << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.value))
    }
}

/// Types of fields, as the low bits of a key say.
mod wire {
    pub const NUMBER: u32 = 0;
    pub const EIGHT_BYTES: u32 = 1;
    pub const LENGTH: u32 = 2;
    pub const FOUR_BYTES: u32 = 5;
}

/// The key of a tensor's `raw_data`.
const RAW_DATA: u32 = 9 << 3 | wire::LENGTH;
/// What a tensor may take ahead of its bytes if nobody knows how long the file is.
const AHEAD: u64 = 1 << 20;
/// What the list of gathered fields may keep for the next message.
const KEEP: usize = 1 << 20;

/// Whether elements of this type are integers of 8 bits.
fn is_narrow(code: i32) -> bool {
    matches!(code, data_type::INT8 | data_type::UINT8)
}

/// Memory for a tensor of `bytes`: a little more than that. Weights are packed one after the other, each into the memory
/// that an earlier one's file bytes have left, and packed they are a little larger, those of `is_narrow` elements (8-bit
/// integers) by up to a 25th. (In WebAssembly memory that is freed but too small for the next is lost, since its memory
/// never shrinks.)
fn with_slack(bytes: u64, is_narrow: bool) -> u64 {
    let share = if is_narrow { (bytes / 24).min(1 << 18) } else { 0 };
    bytes.saturating_add(if bytes < 4096 { 0 } else { 64 + share })
}

impl Message {
    /// An empty message for a field with this key, if it leads to tensors.
    fn within(&self, key: u32) -> Option<Message> {
        if key & 7 != wire::LENGTH {
            return None;
        }
        Some(match (self, key >> 3) {
            (Message::Model(_), 7) => Message::Graph(GraphProto::default()),
            (Message::Graph(_), 1) => Message::Node(NodeProto::default()),
            (Message::Graph(_), 5) => Message::Tensor(TensorProto::default()),
            (Message::Node(_), 5) => Message::Attribute(AttributeProto::default()),
            (Message::Attribute(_), 5) => Message::Tensor(TensorProto::default()),
            _ => return None,
        })
    }

    /// Takes the fields that were gathered.
    fn merge(&mut self, fields: &[u8]) -> Result<(), LoadError> {
        Ok(match self {
            Message::Model(model) => model.merge(fields),
            Message::Graph(graph) => graph.merge(fields),
            Message::Node(node) => node.merge(fields),
            Message::Attribute(attribute) => attribute.merge(fields),
            Message::Tensor(tensor) => tensor.merge(fields),
        }?)
    }

    /// Takes a message that is complete. One that there may be once only takes the place of an earlier one.
    fn add(&mut self, inner: Message) {
        match (self, inner) {
            (Message::Model(model), Message::Graph(graph)) => model.graph = Some(graph),
            (Message::Graph(graph), Message::Node(node)) => graph.node.push(node),
            (Message::Graph(graph), Message::Tensor(tensor)) => graph.initializer.push(tensor),
            (Message::Node(node), Message::Attribute(attribute)) => node.attribute.push(attribute),
            (Message::Attribute(attribute), Message::Tensor(tensor)) => attribute.t = Some(tensor),
            // `within` makes no others.
            _ => {}
        }
    }
}

impl ModelReader {
    /// Begins to read a file of `length` bytes, if that is known; memory then need not be moved as it fills. A wrong length
    /// is no error.
    pub fn new(length: Option<u64>) -> ModelReader {
        let model = Open { message: Message::Model(ModelProto::default()), end: u64::MAX, start: 0 };
        let state = State::Key(Varint::default());
        ModelReader { open: vec![model], gathered: Vec::new(), state, position: 0, length }
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] as soon as it shows, [`LoadError::OutOfMemory`]. The reader is of no use then.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), LoadError> {
        loop {
            self.close()?;
            // What is empty is complete without another byte.
            if let State::Bytes(0) = self.state {
                self.state = State::Key(Varint::default());
                continue;
            }
            if let State::Raw(0, _) = self.state {
                self.finish_raw();
                continue;
            }
            let Some((&first, rest)) = piece.split_first() else { return Ok(()) };
            let used = match &mut self.state {
                State::Key(key) => {
                    if let Some(key) = key.push(first)? {
                        self.begin_field(key)?;
                    }
                    1
                }
                State::Length(key, length) => {
                    if let Some(length) = length.push(first)? {
                        let key = *key;
                        // The bytes begin after this one.
                        self.begin_bytes(key, length, rest.len() as u64)?;
                    }
                    1
                }
                State::Number(left) => {
                    self.gathered.push(first);
                    match left.checked_sub(1) {
                        _ if first < 0x80 => self.state = State::Key(Varint::default()),
                        Some(fewer) => *left = fewer,
                        None => return Err(LoadError::CUT_OR_NO_PROTOBUF),
                    }
                    1
                }
                State::Bytes(left) => {
                    let used = (*left).min(piece.len() as u64) as usize;
                    self.gathered.extend_from_slice(&piece[..used]);
                    *left -= used as u64;
                    used
                }
                State::Raw(left, raw) => {
                    let used = (*left).min(piece.len() as u64) as usize;
                    if raw.capacity() - raw.len() < used {
                        // Twice as much, at most what is to come.
                        let more = (raw.len() as u64).max(AHEAD).max(used as u64).min(*left);
                        reserve(raw, more)?;
                    }
                    raw.extend_from_slice(&piece[..used]);
                    *left -= used as u64;
                    used
                }
            };
            self.position += used as u64;
            piece = &piece[used..];
        }
    }

    /// The file, once all of it was fed.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`] if there should be more.
    pub fn finish(mut self) -> Result<File, LoadError> {
        self.feed(&[])?;
        let between_fields = matches!(self.state, State::Key(Varint { shift: 0, .. }));
        let (Some(Open { mut message, .. }), true, true) = (self.open.pop(), self.open.is_empty(), between_fields)
        else {
            return Err(LoadError::CUT_OR_NO_PROTOBUF);
        };
        message.merge(&self.gathered)?;
        match message {
            Message::Model(model) => Ok(File(model)),
            _ => Err(LoadError::CUT_OR_NO_PROTOBUF),
        }
    }

    fn innermost(&mut self) -> Result<&mut Open, LoadError> {
        self.open.last_mut().ok_or(LoadError::CUT_OR_NO_PROTOBUF)
    }

    /// Ends the messages that end here.
    fn close(&mut self) -> Result<(), LoadError> {
        while self.open.len() > 1 && matches!(self.state, State::Key(Varint { shift: 0, .. })) {
            let position = self.position;
            let end = self.innermost()?.end;
            if position < end {
                break;
            }
            let Some(Open { mut message, start, .. }) = self.open.pop().filter(|_| position == end) else {
                return Err(LoadError::CUT_OR_NO_PROTOBUF);
            };
            message.merge(&self.gathered[start..])?;
            self.gathered.truncate(start);
            if self.gathered.capacity() > KEEP && start < KEEP {
                self.gathered.shrink_to(KEEP);
            }
            self.innermost()?.message.add(message);
        }
        Ok(())
    }

    fn begin_field(&mut self, key: u64) -> Result<(), LoadError> {
        let key = u32::try_from(key).ok().filter(|key| key >> 3 > 0).ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
        self.state = match key & 7 {
            wire::LENGTH => State::Length(key, Varint::default()),
            wire::NUMBER => State::Number(9),
            wire::EIGHT_BYTES => State::Bytes(8),
            wire::FOUR_BYTES => State::Bytes(4),
            // Groups, which nothing has used for long.
            _ => return Err(LoadError::CUT_OR_NO_PROTOBUF),
        };
        if key & 7 != wire::LENGTH {
            gather_varint(&mut self.gathered, key.into());
        }
        Ok(())
    }

    /// Begins `length` bytes, of which `at_hand` are in this piece or behind them.
    fn begin_bytes(&mut self, key: u32, length: u64, at_hand: u64) -> Result<(), LoadError> {
        let (position, start) = (self.position + 1, self.gathered.len());
        let reach = self.length.map_or(0, |total| total.saturating_sub(position)).max(at_hand).max(AHEAD);
        let open = self.open.last_mut().ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
        let end = position.checked_add(length).filter(|&end| end <= open.end).ok_or(LoadError::CUT_OR_NO_PROTOBUF)?;
        if let Some(message) = open.message.within(key) {
            self.open.push(Open { message, end, start });
            self.state = State::Key(Varint::default());
        } else if let (RAW_DATA, Message::Tensor(_)) = (key, &open.message) {
            // What is known of the tensor by now: nearly always its type.
            open.message.merge(&self.gathered[open.start..])?;
            self.gathered.truncate(open.start);
            let is_narrow = matches!(&open.message, Message::Tensor(tensor) if is_narrow(tensor.data_type));
            let mut raw = Vec::new();
            reserve(&mut raw, with_slack(length.min(reach), is_narrow))?;
            self.state = State::Raw(length, raw);
        } else {
            gather_varint(&mut self.gathered, key.into());
            gather_varint(&mut self.gathered, length);
            self.state = State::Bytes(length);
        }
        Ok(())
    }

    fn finish_raw(&mut self) {
        let State::Raw(_, raw) = std::mem::replace(&mut self.state, State::Key(Varint::default())) else { return };
        if let Some(Open { message: Message::Tensor(tensor), .. }) = self.open.last_mut() {
            tensor.raw_data = Some(raw);
        }
    }
}

fn reserve(raw: &mut Vec<u8>, bytes: u64) -> Result<(), LoadError> {
    let reserved = usize::try_from(bytes).ok().and_then(|more| raw.try_reserve_exact(more).ok());
    reserved.ok_or(LoadError::OutOfMemory { bytes: bytes.saturating_add(raw.len() as u64) })
}

fn gather_varint(gathered: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        gathered.push(value as u8 | 0x80);
        value >>= 7;
    }
    gathered.push(value as u8);
}
