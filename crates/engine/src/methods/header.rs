//! The calibration in the head of a model file, changed without reading the weights behind it.

use serde_json::{Map, Value};

use super::file::MODEL_KEY;
use crate::verdict::calibration::Calibration;
use crate::{Error, Result};

/// Bytes that hold the length of the head that follows.
pub const LENGTH_BYTES: usize = 8;
/// Key of a safetensors file's metadata.
const METADATA: &str = "__metadata__";

/// How many bytes of a model file come before its weights, from its first [`LENGTH_BYTES`].
///
/// # Errors
/// [`Error::Model`] if that is no model file.
pub fn head_bytes(start: &[u8]) -> Result<usize> {
    /// Heads of model files have some ten kilobytes.
    const MOST: u64 = 64 << 20;
    let length = start.first_chunk().map(|length| u64::from_le_bytes(*length));
    match length {
        Some(length) if length <= MOST => Ok(LENGTH_BYTES + length as usize),
        _ => Err(no_model()),
    }
}

/// A new head with this calibration; `head` has all bytes before the weights, which follow it unchanged.
///
/// # Errors
/// [`Error::Model`] if that is no model file of this program.
pub fn with_calibration(head: &[u8], calibration: &Calibration) -> Result<Vec<u8>> {
    let text = head
        .get(LENGTH_BYTES..)
        .and_then(|text| std::str::from_utf8(text).ok());
    let mut head: Map<String, Value> = text
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(no_model)?;
    let own = head
        .get_mut(METADATA)
        .and_then(|metadata| metadata.get_mut(MODEL_KEY))
        .ok_or_else(no_model)?;
    let mut header: Map<String, Value> = own
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(no_model)?;
    let write = |err: serde_json::Error| Error::Model(format!("the thresholds cannot be written: {err}"));
    // by way of text, as the page's messages go: one copy of the code less
    let calibration = serde_json::to_string(calibration).map_err(write)?;
    header.insert(
        "calibration".into(),
        serde_json::from_str(&calibration).map_err(write)?,
    );
    *own = serde_json::to_string(&header).map_err(write)?.into();
    let mut text = serde_json::to_string(&head).map_err(write)?.into_bytes();
    // the weights stay aligned
    text.resize(text.len().next_multiple_of(LENGTH_BYTES), b' ');
    let length = (text.len() as u64).to_le_bytes();
    Ok([&length[..], &text].concat())
}

fn no_model() -> Error {
    Error::Model("this is not a model file of destseg: choose another file".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::facts::FileFacts;
    use crate::files::storage::Precision;
    use crate::methods::file::ModelFile;
    use crate::verdict::calibration::SetBy;

    #[test]
    fn a_file_keeps_everything_but_its_calibration() {
        let bytes = include_bytes!("../../../../models/fabric.safetensors");
        let before = ModelFile::parse(bytes).expect("is a model");
        let mut calibration = before.header.calibration.clone().expect("is calibrated");
        calibration.set(0.123, SetBy::Hand);
        let end = head_bytes(bytes).expect("has a head");
        let mut changed = with_calibration(&bytes[..end], &calibration).expect("is written");
        assert_eq!(changed.len() % 8, 0);
        changed.extend(&bytes[end..]);
        let after = ModelFile::parse(&changed).expect("is a model");
        assert_eq!(after.header.calibration, Some(calibration));
        assert_eq!(after.weights, before.weights);
        assert_eq!(
            (after.header.body, after.header.familiarity),
            (before.header.body, before.header.familiarity)
        );
    }

    #[test]
    fn a_file_says_what_it_was_trained_from_and_an_older_one_need_not() {
        let bytes = include_bytes!("../../../../models/fabric.safetensors");
        let mut model = ModelFile::parse(bytes).expect("is a model");
        model.header.set_files(None);
        let older = model.to_bytes(Precision::F16).expect("is written");
        assert!(!String::from_utf8_lossy(&older).contains("\\\"files\\\""));
        assert_eq!(ModelFile::parse(&older).expect("opens").header.files(), None);
        let files = FileFacts::of([("PNG", (640, 480)), ("JPEG", (640, 480))]);
        model.header.set_files(files.clone());
        let newer = model.to_bytes(Precision::F16).expect("is written");
        let opened = ModelFile::parse(&newer).expect("opens").header;
        assert_eq!(opened.files(), files.as_ref());
        // calibrating it again keeps that
        let end = head_bytes(&newer).expect("has a head");
        let calibration = Calibration::default();
        let mut changed = with_calibration(&newer[..end], &calibration).expect("is written");
        changed.extend(&newer[end..]);
        let header = ModelFile::parse(&changed).expect("opens").header;
        assert_eq!(header.files(), files.as_ref());
    }

    #[test]
    fn other_files_are_refused() {
        assert!(head_bytes(b"\x89PNG\r\n\x1a\n").is_err() && head_bytes(b"abc").is_err());
        let calibration = Calibration::default();
        assert!(with_calibration(b"abc", &calibration).is_err());
        assert!(with_calibration(b"\x02\0\0\0\0\0\0\0{}", &calibration).is_err());
    }
}
