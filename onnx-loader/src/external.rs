//! Tensor data in files of its own.
//!
//! A model over 2 GB, or one whose weights are to be cached apart, names files beside it ("external data"): per tensor
//! a location, an offset and a length. Where these files come from is not the loader's business: a page fetches them
//! before, a program reads a folder. [`ExternalData`] is the seam. It is asked for one tensor at a time, so that
//! what a tensor becomes can take the place of its bytes, and no file need be in memory as a whole.
//!
//! A location that ends in `.safetensors` may come without an offset: then that file's header says where the tensor of
//! the initializer's name is, see `safetensors`.

use crate::error::LoadError;
use crate::proto::TensorProto;
use crate::safetensors::{Headers, StoredTensor};
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Gives the files that a model names beside itself, by their locations: as the model spells them, relative to the
/// model, with `/` between parts and without a leading `./`.
///
/// Errors are sentences for people: why the file is not there, and how to give it.
pub trait ExternalData {
    /// The length of a file in bytes.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    fn size(&self, location: &str) -> Result<u64, String>;

    /// `length` bytes of a file from `offset` on, which lie within its [`size`](ExternalData::size).
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, String>;

    /// Reads the header of a safetensors file: JSON, without the length before it. By the crate `safetensors` if the
    /// feature of that name is on; a build that it is too large for may have a reader of its own.
    ///
    /// # Errors
    ///
    /// If it is no such header.
    fn safetensors(&self, header: &[u8]) -> Result<Vec<StoredTensor>, String> {
        #[cfg(feature = "safetensors")]
        return crate::safetensors::parse(header);
        #[cfg(not(feature = "safetensors"))]
        Err(format!("its header of {} bytes is read in builds with the feature 'safetensors' only", header.len()))
    }
}

/// For models that are complete in one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExternalData;

const NOT_GIVEN: &str = "give this file along with the model";

impl ExternalData for NoExternalData {
    fn size(&self, _location: &str) -> Result<u64, String> {
        Err(NOT_GIVEN.into())
    }

    fn read(&self, _location: &str, _offset: u64, _length: usize) -> Result<Bytes, String> {
        Err(NOT_GIVEN.into())
    }
}

/// Files given by location, in memory. Tensors are slices of them.
impl ExternalData for HashMap<String, Bytes> {
    fn size(&self, location: &str) -> Result<u64, String> {
        self.get(location).map(|file| file.len() as u64).ok_or_else(|| NOT_GIVEN.into())
    }

    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, String> {
        let file = self.get(location).ok_or(NOT_GIVEN)?;
        let start =
            usize::try_from(offset).ok().filter(|start| start.checked_add(length).is_some_and(|e| e <= file.len()));
        start.map(|start| file.slice(start..start + length)).ok_or_else(|| "it is shorter than it was".into())
    }
}

/// Files in a folder, usually the one that the model is in. Locations that lead out of it are refused.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// Does something with a file, naming it if that fails.
    fn with<T>(&self, location: &str, act: impl FnOnce(&mut File) -> std::io::Result<T>) -> Result<T, String> {
        let path = Path::new(location);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err("locations must stay inside the model's folder".into());
        }
        let path = self.0.join(path);
        File::open(&path).and_then(|mut file| act(&mut file)).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl ExternalData for Folder {
    fn size(&self, location: &str) -> Result<u64, String> {
        self.with(location, |file| Ok(file.metadata()?.len()))
    }

    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, String> {
        let bytes = self.with(location, |file| {
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        });
        bytes.map(Bytes::from)
    }
}

/// The file that a tensor is in, if that is not the model itself.
pub(crate) fn location(tensor: &TensorProto) -> Option<&str> {
    let mut location = entry(tensor, "location").unwrap_or_default();
    while let Some(rest) = location.strip_prefix("./") {
        location = rest;
    }
    (tensor.data_location == 1).then_some(location)
}

/// What a tensor says about its place; writers leave out what they do not know, or leave it empty.
fn entry<'t>(tensor: &'t TensorProto, key: &str) -> Option<&'t str> {
    let entry = tensor.external_data.iter().find(|entry| entry.key == key)?;
    Some(entry.value.as_str()).filter(|value| !value.is_empty())
}

/// Finds tensors in files.
pub(crate) struct ExternalFiles<'a> {
    source: &'a dyn ExternalData,
    headers: Headers,
}

impl<'a> ExternalFiles<'a> {
    pub fn new(source: &'a dyn ExternalData) -> Self {
        Self { source, headers: Headers::default() }
    }

    /// The bytes of a tensor that is stored elsewhere; `size` is what its type and dimensions ask for.
    pub fn read(&mut self, tensor: &TensorProto, size: usize) -> Result<Bytes, LoadError> {
        let location = location(tensor).unwrap_or_default();
        self.find(tensor, location, size).map_err(|problem| LoadError::ExternalData {
            tensor: tensor.name.clone(),
            location: location.into(),
            problem,
        })
    }

    fn find(&mut self, tensor: &TensorProto, location: &str, size: usize) -> Result<Bytes, String> {
        if location.is_empty() {
            return Err("the model does not say which".into());
        }
        let number = |key: &str| match entry(tensor, key) {
            None => Ok(None),
            Some(text) => decimal(text).map(Some).ok_or_else(|| format!("{key} '{text}' is no number of bytes")),
        };
        let (offset, length): (Option<u64>, Option<u64>) = (number("offset")?, number("length")?);
        let held = self.source.size(location)?;
        let (offset, length) = match offset {
            None if location.ends_with(".safetensors") => self.headers.find(self.source, location, held, tensor)?,
            _ => (offset.unwrap_or(0), length.unwrap_or(size as u64)),
        };
        if length != size as u64 {
            return Err(format!("{length} bytes are given where its type and dimensions need {size}"));
        }
        if offset.checked_add(length).is_none_or(|end| end > held) {
            let cut = "it may be cut short or of another model";
            return Err(format!("{length} bytes at {offset} reach past its end at {held}; {cut}"));
        }
        self.source.read(location, offset, size)
    }
}

/// The number that `text` is, in digits. The standard library's parser multiplies in 128 bits on WebAssembly.
fn decimal(text: &str) -> Option<u64> {
    let append = |number: u64, digit: u8| {
        let fits = digit.is_ascii_digit() && number <= u64::MAX / 10;
        fits.then(|| number * 10)?.checked_add(u64::from(digit - b'0'))
    };
    text.bytes().try_fold(0, append).filter(|_| !text.is_empty())
}
