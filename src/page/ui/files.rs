//! Files that the visitor gives the page, by picker, drop or paste: images, folders and zip archives of
//! images, model files.

use std::rc::Rc;

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DataTransfer, File, FileList, HtmlInputElement};

use super::format;
use super::state::{Action, Dispatch, Given, ModelSource, Text, TrainAction};
use crate::page::shared::content::{self, Content, UserFile, open_zip};
use crate::page::shared::js::{call, get};
use destseg_engine::data::{labelled, paths};
use destseg_engine::files::zip;
use destseg_engine::order;

/// Model files above this many bytes are refused.
const MODEL_LIMIT: u64 = 500_000_000;
/// The extensions of model and teacher files, as a file picker wants them.
pub(crate) const MODEL_EXTENSIONS: &str = ".safetensors,.checkpoint,.pckl,.pth,.pt";
/// What a picker for images offers.
pub(crate) const IMAGE_TYPES: &str = "image/*,.zip";
/// A folder is searched for this many files at most.
const MOST_FILES: usize = 50_000;
/// Texts that are read to sort out a folder have so many bytes at most.
const MOST_TEXT: f64 = 20e6;

/// A file and its path in the folder it came with, or its name.
pub(crate) type Chosen = (String, File);

/// Takes in texture images.
pub(crate) fn take_textures(files: Vec<Chosen>, dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    spawn_local(async move {
        let Gathered { given, mut remarks } = gather(files).await;
        remarks.extend(given.left_out());
        if !given.images.is_empty() {
            dispatch.dispatch(Action::Train(TrainAction::AddTextures(given.images)));
        }
        for remark in remarks {
            dispatch.dispatch(Action::Notify(remark));
        }
    });
}

/// What the visitor gave.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The files, also those of folders and archives.
    pub(crate) given: Given,
    /// What is to be said about what could not be opened, one sentence each.
    pub(crate) remarks: Vec<String>,
}

/// Takes in files: a model file is opened, images join the queue or the collection.
pub(crate) fn take(files: Vec<Chosen>, dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    spawn_local(async move { open_models_and_images(files, &dispatch).await });
}

/// Takes in what was dropped, folders too.
pub(crate) fn take_dropped(data: Option<DataTransfer>, dispatch: &Dispatch) {
    let Some(data) = data else { return };
    // the event forgets them as soon as it is over
    let (files, entries) = (listed(data.files()), entries(&data));
    let dispatch = dispatch.clone();
    spawn_local(async move {
        let files = if entries.iter().any(|entry| get(entry, "isDirectory").is_truthy()) {
            walk(entries).await
        } else {
            files
        };
        open_models_and_images(files, &dispatch).await;
    });
}

async fn open_models_and_images(files: Vec<Chosen>, dispatch: &Dispatch) {
    let (models, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| is_model(path));
    let more_models = models.len() > 1;
    let mut first_model = None;
    if let Some((name, model)) = models.into_iter().next() {
        take_model(model, dispatch);
        first_model = Some(name);
    }
    let Gathered { given, mut remarks } = gather(files).await;
    if let Some(name) = first_model.filter(|_| more_models) {
        remarks.push(format!(
            "Only {name} was opened: give one model or teacher at a time."
        ));
    }
    if !given.is_empty() {
        dispatch.dispatch(Action::Add(given));
    }
    for remark in remarks {
        dispatch.dispatch(Action::Notify(remark));
    }
}

/// A model file that came alone: in a folder of images nobody means it.
fn is_model(path: &str) -> bool {
    let name = path.to_lowercase();
    !path.contains('/') && MODEL_EXTENSIONS.split(',').any(|ending| name.ends_with(ending))
}

/// All images among files and in archives, and what comes with them.
async fn gather(files: Vec<Chosen>) -> Gathered {
    let mut remarks = Vec::new();
    let (mut images, mut texts, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let archives = files.iter().filter(|(path, _)| paths::is_archive(path)).count();
    let is_alone = files.len() == 1;
    for (path, file) in files {
        let in_folder = path.contains('/');
        if paths::is_archive(&path) && !paths::is_litter(&path) {
            match open_zip(&file).await {
                Ok(found) => {
                    // texts may be about images that came with them
                    if found.images.is_empty() && (found.texts.is_empty() || is_alone) {
                        remarks.push(format!("{path} holds no images: choose another archive."));
                    }
                    // beside other files an archive stands for a folder
                    let inner = |inner: &str| match path.rsplit_once('.') {
                        Some((folder, _)) if in_folder || archives > 1 => format!("{folder}/{inner}"),
                        _ => inner.to_owned(),
                    };
                    let moved = |file: UserFile| UserFile {
                        path: inner(&file.path).into(),
                        ..file
                    };
                    images.extend(found.images.into_iter().map(moved));
                    texts.extend(found.texts.into_iter().map(moved));
                    others.extend(found.others.iter().map(|other| inner(other)));
                    remarks.extend(found.remarks);
                }
                Err(message) => remarks.push(format!("{path}: {message}")),
            }
        } else if in_folder && paths::is_litter(&path) {
            // nobody means it
        } else if in_folder && !paths::is_image(&path) && !paths::is_text(&path) {
            others.push(path);
        } else {
            let is_text = in_folder && paths::is_text(&path);
            let kind = if is_text { &mut texts } else { &mut images };
            kind.push(UserFile {
                path: path.into(),
                content: check(file, zip::MOST_BYTES, "images").map(Content::File),
            });
        }
    }
    let texts = read_texts(&images, texts, &mut remarks).await;
    Gathered {
        given: Given {
            images,
            texts,
            others,
        },
        remarks,
    }
}

/// Reads those texts that say how a folder is sorted out.
async fn read_texts(images: &[UserFile], texts: Vec<UserFile>, remarks: &mut Vec<String>) -> Vec<Text> {
    let all = images.iter().chain(&texts);
    let all: Vec<&str> = all.map(|file| &*file.path).collect();
    let wanted = labelled::texts_to_read(&all);
    let mut read = Vec::new();
    for (place, file) in (images.len()..).zip(texts) {
        let content = match &file.content {
            Ok(content) if wanted.contains(&place) => match bytes_of(content).await {
                Ok(bytes) => Some(bytes).filter(|bytes| labelled::is_useful(&file.path, bytes)),
                Err(reason) => {
                    remarks.push(format!("{} was left out: {reason}", paths::file_name(&file.path)));
                    None
                }
            },
            _ => None,
        };
        read.push(Text { file, content });
    }
    read
}

async fn bytes_of(content: &Content) -> Result<Vec<u8>, String> {
    let blob = content.blob().await?;
    if blob.size() > MOST_TEXT {
        let most = MOST_TEXT / 1e6;
        return Err(format!(
            "the page reads texts of at most {most} MB; evaluate it on the command line."
        ));
    }
    let bytes = content::read(&blob).await?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// Opens a file as a model, whatever its name.
pub(crate) fn take_model(file: File, dispatch: &Dispatch) {
    let name: Rc<str> = file.name().into();
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
        "{} is {size} MB; the limit for {what} is {limit} MB.",
        file.name()
    ))
}

/// The files of a list, each with its path in the folder that was chosen.
pub(crate) fn listed(list: Option<FileList>) -> Vec<Chosen> {
    let Some(list) = list else { return Vec::new() };
    let files = (0..list.length()).filter_map(|i| list.get(i));
    files
        .map(|file| {
            let path = get(&file, "webkitRelativePath").as_string().unwrap_or_default();
            let path = if path.is_empty() { file.name() } else { path };
            (path, file)
        })
        .collect()
}

/// The files of a paste.
pub(crate) fn pasted(data: Option<DataTransfer>) -> Vec<Chosen> {
    listed(data.and_then(|data| data.files()))
}

/// The files of a file input, which is emptied so that the same file can be chosen again.
pub(crate) fn chosen(event: &web_sys::Event) -> Vec<Chosen> {
    let input = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
    let Some(input) = input else { return Vec::new() };
    let files = listed(input.files());
    input.set_value("");
    files
}

/// The files and folders of a drop, in browsers that tell them apart.
fn entries(data: &DataTransfer) -> Vec<JsValue> {
    let items = data.items();
    let items = (0..items.length()).filter_map(|index| items.get(index));
    items
        .filter_map(|item| call(&item, "webkitGetAsEntry", &[]))
        .filter(JsValue::is_object)
        .collect()
}

/// All files below these folders. A folder that cannot be read is left out.
async fn walk(mut entries: Vec<JsValue>) -> Vec<Chosen> {
    let mut found = Vec::new();
    while let Some(entry) = entries.pop() {
        if found.len() + entries.len() > MOST_FILES {
            break;
        }
        let path = get(&entry, "fullPath").as_string().unwrap_or_default();
        if get(&entry, "isDirectory").is_truthy() {
            let Some(reader) = call(&entry, "createReader", &[]) else {
                continue;
            };
            // it gives a hundred at a time, and none at the end
            while let Some(some) = answer(&reader, "readEntries").await {
                let some = Array::from(&some);
                if some.length() == 0 {
                    break;
                }
                entries.extend(some);
            }
        } else if let Some(file) = answer(&entry, "file").await.and_then(|file| file.dyn_into().ok()) {
            found.push((path.trim_start_matches('/').to_owned(), file));
        }
    }
    order::sort_by(&mut found, |(a, _), (b, _)| a.cmp(b));
    found
}

/// What a method that answers by callbacks says.
async fn answer(object: &JsValue, method: &str) -> Option<JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        if call(object, method, &[&resolve, &reject]).is_none() {
            // a function of a promise cannot fail
            let _ = reject.call0(&JsValue::NULL);
        }
    });
    JsFuture::from(promise).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_come_alone() {
        assert!(is_model("Part.SAFETENSORS") && is_model("a.pth"));
        assert!(!is_model("runs/a.safetensors") && !is_model("a.png"));
    }
}
