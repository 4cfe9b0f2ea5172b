//! Files that the visitor gives the page, by picker, drop or paste.

use std::rc::Rc;

use wasm_bindgen::JsCast as _;
use web_sys::{Blob, DataTransfer, File, FileList, HtmlInputElement};

use super::client::Dispatch;
use super::format;
use super::state::{Action, ModelSource};

/// Images above this many bytes are refused.
const IMAGE_LIMIT: u64 = 100_000_000;
/// Model files above this many bytes are refused.
const MODEL_LIMIT: u64 = 500_000_000;
/// The extensions of model and teacher files, as a file picker wants them.
pub(crate) const MODEL_EXTENSIONS: &str = ".safetensors,.pckl,.pth,.pt";

/// Takes in files: a model file is opened, everything else joins the queue.
pub(crate) fn take(files: Vec<File>, dispatch: &Dispatch) {
    let is_model = |file: &File| {
        let name = file.name().to_lowercase();
        MODEL_EXTENSIONS.split(',').any(|ending| name.ends_with(ending))
    };
    let (models, images): (Vec<_>, Vec<_>) = files.into_iter().partition(is_model);
    let mut models = models.into_iter();
    if let Some(model) = models.next() {
        if models.len() > 0 {
            let message = format!(
                "Only {} was opened: give one model or teacher at a time.",
                model.name()
            );
            dispatch.dispatch(Action::Notify(message));
        }
        take_model(model, dispatch);
    }
    if !images.is_empty() {
        dispatch.dispatch(Action::Add(self::images(images)));
    }
}

/// Image files, or why they are refused.
pub(crate) fn images(files: Vec<File>) -> Vec<(Rc<str>, Result<Blob, String>)> {
    let checked = |file: File| (Rc::from(file.name()), check(file, IMAGE_LIMIT, "images"));
    files.into_iter().map(checked).collect()
}

/// Opens a file as a model, whatever its name.
pub(crate) fn take_model(file: File, dispatch: &Dispatch) {
    let name = file.name().into();
    dispatch.dispatch(match check(file, MODEL_LIMIT, "model files") {
        Ok(blob) => Action::OpenModel(ModelSource::File { name, blob }),
        Err(message) => Action::Notify(message),
    });
}

/// Refuses what is too large before a byte of it is read.
fn check(file: File, limit: u64, what: &str) -> Result<Blob, String> {
    let bytes = file.size() as u64;
    if bytes <= limit {
        return Ok(file.into());
    }
    let (size, limit) = (format::megabytes(bytes), limit / 1_000_000);
    Err(format!(
        "{} has {size} MB; open {what} of at most {limit} MB.",
        file.name()
    ))
}

/// The files of a list.
pub(crate) fn listed(list: Option<FileList>) -> Vec<File> {
    let Some(list) = list else { return Vec::new() };
    (0..list.length()).filter_map(|i| list.get(i)).collect()
}

/// The files of a drop or paste.
pub(crate) fn transferred(data: Option<DataTransfer>) -> Vec<File> {
    listed(data.and_then(|data| data.files()))
}

/// The files of a file input, which is emptied so that the same file can be chosen again.
pub(crate) fn chosen(event: &web_sys::Event) -> Vec<File> {
    let input = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
    let Some(input) = input else { return Vec::new() };
    let files = listed(input.files());
    input.set_value("");
    files
}
