//! Tensor data in files of its own.
//!
//! A model over 2 GB, or one whose weights are to be cached apart, names files beside it ("external data"): per tensor
//! a location, an offset and a length. Where these files come from is not the loader's business: a page fetches them
//! before, a program reads a folder. [`ExternalData`] is the seam.

use crate::error::LoadError;
use crate::proto::TensorProto;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Gives the files that a model names beside itself.
pub trait ExternalData {
    /// The whole content of the file called `location` (as the model spells it, relative to the model).
    ///
    /// It is called once per location and model.
    ///
    /// # Errors
    ///
    /// A sentence for people: why the file is not there, and how to give it.
    fn open(&self, location: &str) -> Result<Bytes, String>;
}

/// For models that are complete in one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExternalData;

impl ExternalData for NoExternalData {
    fn open(&self, _location: &str) -> Result<Bytes, String> {
        Err("give this file along with the model".into())
    }
}

/// Files given by name, in memory.
impl ExternalData for HashMap<String, Bytes> {
    fn open(&self, location: &str) -> Result<Bytes, String> {
        self.get(location).cloned().ok_or_else(|| "give this file along with the model".into())
    }
}

/// Files in a folder, usually the one that the model is in. Locations that lead out of it are refused.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl ExternalData for Folder {
    fn open(&self, location: &str) -> Result<Bytes, String> {
        let path = Path::new(location);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err("locations must stay inside the model's folder".into());
        }
        let path = self.0.join(path);
        std::fs::read(&path).map(Bytes::from).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Opens every file once.
pub(crate) struct ExternalFiles<'a> {
    source: &'a dyn ExternalData,
    opened: Vec<(String, Bytes)>,
}

impl<'a> ExternalFiles<'a> {
    pub fn new(source: &'a dyn ExternalData) -> Self {
        Self { source, opened: Vec::new() }
    }

    /// The bytes of a tensor that is stored elsewhere; `size` is what its type and dimensions ask for.
    pub fn read(&mut self, tensor: &TensorProto, size: usize) -> Result<Bytes, LoadError> {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = entry("location").unwrap_or_default();
        let error = |problem: String| LoadError::ExternalData {
            tensor: tensor.name.clone(),
            location: location.into(),
            problem,
        };
        let number = |key: &str, default: usize| match entry(key) {
            None | Some("") => Ok(default),
            Some(text) => text.parse().map_err(|_| error(format!("{key} '{text}' is no number of bytes"))),
        };
        let (offset, length) = (number("offset", 0)?, number("length", size)?);
        if length != size {
            return Err(error(format!("{length} bytes are given where its type and dimensions need {size}")));
        }
        let opened = self.opened.iter().find(|(name, _)| name == location).map(|(_, file)| file.clone());
        let file = match opened {
            Some(file) => file,
            None => {
                let file = self.source.open(location).map_err(error)?;
                self.opened.push((location.into(), file.clone()));
                file
            }
        };
        match offset.checked_add(length) {
            Some(end) if end <= file.len() => Ok(file.slice(offset..end)),
            _ => Err(error(format!(
                "{length} bytes at {offset} reach past its end at {}; it may be cut short or of another model",
                file.len()
            ))),
        }
    }
}
