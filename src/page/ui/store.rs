//! The inspectors that the browser keeps: one folder each, with the model file and what the page shows
//! of it.

use std::rc::Rc;

use gloo::events::EventListener;
use gloo::timers::callback::Timeout;
use js_sys::Uint8Array;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Blob;

use super::draw;
use super::state::{
    Action, Dispatch, Inspector, KEPT, KeptThreshold, ModelSource, RECORD_VERSION, ThresholdChange,
    TrainAction, Trained, Usage,
};
use crate::page::protocol::KeptRun;
use crate::page::shared::content::{self, Content};
use crate::page::shared::convert;
use crate::page::shared::js::{ask, get};
use crate::page::shared::store::{Folder, INSPECTORS, Lock, RUN_RECORD, RUNS};
use destseg_engine::methods::header;
use destseg_engine::order;
use destseg_engine::verdict::calibration::Calibration;

/// Names of an inspector's files.
const MODEL: &str = "model.safetensors";
const RECORD: &str = "inspector.json";
/// How often is looked for interrupted trainings, and the milliseconds between.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS_MS: u32 = 1500;
/// Entry of the small storage that says when what is kept was changed last.
const CHANGED: &str = "destseg-kept-changed";
/// Entry that says how many inspectors are kept: when a browser runs out of room, it clears the large storage, not this one.
const COUNT: &str = "destseg-kept";
/// Milliseconds after which a threshold that was moved is written into its inspector's file.
const SETTLED_MS: u32 = 400;
/// Before the names of kept thresholds in the small storage.
const THRESHOLD: &str = "destseg-threshold ";
/// Side of an inspector's picture in pixels.
const PICTURE: u32 = 96;

/// Tells the page what the browser keeps. Without storage there is nothing.
pub(crate) fn list(dispatch: &Dispatch) {
    list_again(dispatch.clone(), LOOKS);
}

/// Lists again whenever another tab of this page has changed what is kept, while the listener lives.
pub(crate) fn watch(dispatch: &Dispatch) -> Option<EventListener> {
    let dispatch = dispatch.clone();
    let window = web_sys::window()?;
    Some(EventListener::new(&window, "storage", move |_| list(&dispatch)))
}

/// Tells the other tabs that what is kept has changed: they hear of what is written to this storage.
async fn announce() {
    count().await;
    if let Some(storage) = small_storage() {
        // a tab that does not hear of it sees the change when it is opened again
        let _ = storage.set_item(CHANGED, &js_sys::Date::now().to_string());
    }
}

/// Writes down how many inspectors are kept. Answers how many there were more when that was done last.
async fn count() -> usize {
    let Some(storage) = small_storage() else { return 0 };
    let now = match Folder::open(&[INSPECTORS]).await {
        Ok(folder) => folder.names().await.len(),
        // nothing is known of a storage that cannot be opened
        Err(_) => return 0,
    };
    let before = storage.get_item(COUNT).ok().flatten();
    let before = before.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    // without it nothing is said next time
    let _ = storage.set_item(COUNT, &now.to_string());
    before.saturating_sub(now)
}

/// Asks the browser to keep what is there when it runs out of room; it may ask the visitor.
async fn ask_to_stay() {
    if let Some(window) = web_sys::window() {
        // whatever it decides, it keeps what it can; the list says what it decided
        let _ = ask(&window.navigator().storage(), "persist", &[]).await;
    }
}

/// Looks, and looks again while trainings go on elsewhere: that may be the engine of the page that was
/// just left, and end any moment.
fn list_again(dispatch: Dispatch, looks: u32) {
    spawn_local(async move {
        let gone = if looks == LOOKS { count().await } else { 0 };
        if gone > 0 {
            dispatch.dispatch(Action::Notify(format!(
                "The browser cleared its storage, and {gone} of your inspectors with it: open downloaded copies, and download \
                 what you want to keep."
            )));
        }
        let inspectors = inspectors().await;
        let (runs, elsewhere) = unfinished().await;
        dispatch.dispatch(Action::Train(TrainAction::Stored(
            inspectors,
            runs,
            usage().await,
        )));
        if elsewhere && looks > 1 {
            Timeout::new(BETWEEN_LOOKS_MS, move || list_again(dispatch, looks - 1)).forget();
        }
    });
}

/// What the page takes of the browser's storage; none where the browser does not tell.
async fn usage() -> Option<Usage> {
    let storage = web_sys::window()?.navigator().storage();
    let estimate = ask(&storage, "estimate", &[]).await?;
    Some(Usage {
        used: get(&estimate, "usage").as_f64()?,
        quota: get(&estimate, "quota").as_f64()?,
        stays: ask(&storage, "persisted", &[]).await?.is_truthy(),
    })
}

async fn inspectors() -> Vec<Inspector> {
    let Ok(folder) = Folder::open(&[INSPECTORS]).await else {
        return Vec::new();
    };
    let mut found: Vec<Inspector> = Vec::new();
    for id in folder.names().await {
        if let Ok(own) = folder.folder(&id).await
            && let Some(inspector) = record(&own, RECORD).await
        {
            found.push(inspector);
        }
    }
    order::sort_by(&mut found, |a, b| a.trained.total_cmp(&b.trained));
    found
}

/// Trainings that were interrupted, and whether there are others that go on elsewhere.
async fn unfinished() -> (Vec<KeptRun>, bool) {
    let Ok(folder) = Folder::open(&[RUNS]).await else {
        return (Vec::new(), false);
    };
    let mut elsewhere = false;
    let held = Lock::held().await;
    let mut found = Vec::new();
    for run in folder.names().await {
        if held.contains(&run) {
            elsewhere = true;
            continue;
        }
        let Ok(own) = folder.folder(&run).await else {
            continue;
        };
        match record(&own, RUN_RECORD).await {
            Some(kept) => found.push(kept),
            // it was interrupted before its first saving was over
            None => folder.remove(&run).await,
        }
    }
    (found, elsewhere)
}

async fn record<T: serde::de::DeserializeOwned>(folder: &Folder, name: &str) -> Option<T> {
    // as messages are read: reading from bytes, too, would be code for every type again
    serde_json::from_str(str::from_utf8(&folder.read(name).await?).ok()?).ok()
}

/// Keeps a trained model and forgets its run; `first` is a good image and its size.
///
/// # Errors
/// A sentence, if the browser keeps nothing or has no room.
pub(crate) async fn keep(
    trained: &Trained,
    first: Option<(Content, (u32, u32))>,
) -> Result<Inspector, String> {
    let picture = match first {
        Some((content, size)) => picture(&content, size).await,
        None => None,
    };
    let inspector = Inspector {
        version: RECORD_VERSION,
        quality: trained.info.calibration.as_ref().map(Calibration::quality),
        id: trained.info.run.run.clone(),
        name: trained.info.run.name.clone(),
        trained: js_sys::Date::now(),
        bytes: trained.file.size() as u64,
        images: trained.info.run.images,
        picture,
    };
    write(&inspector, &trained.file).await?;
    remove_run(&inspector.id).await;
    announce().await;
    ask_to_stay().await;
    Ok(inspector)
}

async fn write(inspector: &Inspector, file: &Blob) -> Result<(), String> {
    let folder = Folder::open(&[INSPECTORS, &inspector.id]).await?;
    let content = JsFuture::from(file.array_buffer())
        .await
        .map_err(|_| "The model file could not be read: download it instead.")?;
    folder.write(MODEL, &Uint8Array::new(&content).to_vec()).await?;
    rewrite(inspector).await
}

async fn rewrite(inspector: &Inspector) -> Result<(), String> {
    let folder = Folder::open(&[INSPECTORS, &inspector.id]).await?;
    let text = serde_json::to_vec(inspector).map_err(|_| "The inspector's name cannot be written.")?;
    folder.write(RECORD, &text).await
}

/// An image in small, as a `data:` address.
async fn picture(content: &Content, size: (u32, u32)) -> Option<String> {
    let bitmap = draw::decode(content, size, Some(PICTURE)).await?;
    draw::data_url(&bitmap)
}

/// The threshold that was in force for a model when the page was left, by [`State::threshold_name`].
///
/// [`State::threshold_name`]: super::state::State::threshold_name
pub(crate) fn kept_threshold(name: &str) -> Option<ThresholdChange> {
    let text = small_storage()?.get_item(&format!("{THRESHOLD}{name}")).ok()??;
    serde_json::from_str(&text).ok().map(ThresholdChange::Kept)
}

/// Keeps a model's threshold and corrections, unless they are as trained; an inspector's file has them, too, a moment
/// later.
pub(crate) fn keep_threshold(name: &str, calibration: &Calibration, dispatch: &Dispatch) {
    let now = KeptThreshold::of(calibration);
    if kept_threshold(name) == now.clone().map(ThresholdChange::Kept) {
        return;
    }
    if let Some(storage) = small_storage() {
        let key = format!("{THRESHOLD}{name}");
        // where nothing is stored, the threshold holds until the page is left
        let _ = match now.and_then(|now| serde_json::to_string(&now).ok()) {
            Some(text) => storage.set_item(&key, &text),
            None => storage.remove_item(&key),
        };
    }
    if let Some(id) = name.strip_prefix(KEPT) {
        write_calibration(id.to_owned(), calibration.clone(), dispatch);
    }
}

/// Writes a calibration into an inspector's file, unless another follows at once.
fn write_calibration(id: String, calibration: Calibration, dispatch: &Dispatch) {
    thread_local! {
        static WAITING: std::cell::RefCell<Option<Timeout>> = const { std::cell::RefCell::new(None) };
    }
    let dispatch = dispatch.clone();
    let write = move || {
        change(&dispatch, async move {
            let blob = file(&id)
                .await
                .ok_or("The inspector's file is no longer there.")?;
            let folder = Folder::open(&[INSPECTORS, &id]).await?;
            let damaged = |_| "The inspector's file is damaged: open a downloaded copy.".to_owned();
            let start = content::slice(&blob, 0.0, header::LENGTH_BYTES as f64).await?;
            let end = header::head_bytes(&start).map_err(damaged)? as f64;
            let head = content::slice(&blob, 0.0, end).await?;
            let head = header::with_calibration(&head, &calibration).map_err(damaged)?;
            let weights = content::slice(&blob, end, blob.size()).await?;
            folder.write_parts(MODEL, [&head[..], &weights]).await?;
            if let Some(inspector) = record::<Inspector>(&folder, RECORD).await {
                let quality = Some(calibration.quality());
                rewrite(&Inspector { quality, ..inspector }).await?;
            }
            Ok(())
        });
    };
    // dropping the one before cancels it
    WAITING.with(|waiting| drop(waiting.replace(Some(Timeout::new(SETTLED_MS, write)))));
}

fn small_storage() -> Option<web_sys::Storage> {
    web_sys::window().and_then(|window| window.local_storage().ok()?)
}

/// An inspector's model file.
async fn file(id: &str) -> Option<Blob> {
    Folder::open(&[INSPECTORS, id]).await.ok()?.file(MODEL).await
}

/// Loads an inspector.
pub(crate) fn open(inspector: &Inspector, dispatch: &Dispatch) {
    let (id, name): (Rc<str>, Rc<str>) = (inspector.id.as_str().into(), inspector.name.as_str().into());
    with_file(inspector, dispatch, move |blob, dispatch| {
        dispatch.dispatch(Action::OpenModel(ModelSource::Kept { id, name, blob }));
    });
}

/// Offers an inspector's model file for download.
pub(crate) fn download(inspector: &Inspector, dispatch: &Dispatch) {
    let name = file_name(&inspector.name);
    with_file(inspector, dispatch, move |blob, _| {
        // without a document there is no page to download from
        let _ = draw::download(&blob, &name);
    });
}

/// The same in the ONNX format.
pub(crate) fn download_onnx(inspector: &Inspector, dispatch: &Dispatch) {
    let name = file_name(&inspector.name).replace(ENDING, ".onnx");
    with_file(inspector, dispatch, move |blob, dispatch| {
        let dispatch = dispatch.clone();
        spawn_local(async move {
            match convert::onnx(&blob).await {
                // without a document there is no page to download from
                Ok(file) => drop(draw::download(&file, &name)),
                Err(sentence) => dispatch.dispatch(Action::Notify(sentence)),
            }
        });
    });
}

/// How a model file's name ends.
const ENDING: &str = ".safetensors";

/// A name for a model file.
pub(crate) fn file_name(name: &str) -> String {
    let tame = |letter: char| {
        if letter.is_alphanumeric() || letter == '-' {
            letter
        } else {
            '_'
        }
    };
    name.chars().map(tame).chain(ENDING.chars()).collect()
}

fn with_file(inspector: &Inspector, dispatch: &Dispatch, use_it: impl FnOnce(Blob, &Dispatch) + 'static) {
    let (id, name, dispatch) = (inspector.id.clone(), inspector.name.clone(), dispatch.clone());
    spawn_local(async move {
        match file(&id).await {
            Some(blob) => use_it(blob, &dispatch),
            None => {
                let message =
                    format!("The browser no longer has the file of {name}: open a downloaded copy.");
                dispatch.dispatch(Action::Notify(message));
                list(&dispatch);
            }
        }
    });
}

/// Gives an inspector another name.
pub(crate) fn rename(inspector: &Inspector, name: String, dispatch: &Dispatch) {
    let inspector = Inspector {
        name,
        ..inspector.clone()
    };
    change(dispatch, async move { rewrite(&inspector).await });
}

/// Makes a copy of an inspector.
pub(crate) fn duplicate(inspector: &Inspector, dispatch: &Dispatch) {
    let (from, now) = (inspector.id.clone(), js_sys::Date::now());
    let copy = Inspector {
        id: format!("{now}"),
        name: format!("{} (copy)", inspector.name),
        trained: now,
        ..inspector.clone()
    };
    change(dispatch, async move {
        let file = file(&from).await.ok_or("The file to copy is no longer there.")?;
        write(&copy, &file).await
    });
}

/// Deletes an inspector for good.
pub(crate) fn delete(inspector: &Inspector, dispatch: &Dispatch) {
    let id = inspector.id.clone();
    change(dispatch, async move {
        Folder::open(&[INSPECTORS]).await?.remove(&id).await;
        Ok(())
    });
}

/// Deletes what is kept of an interrupted training.
pub(crate) fn forget(run: &KeptRun, dispatch: &Dispatch) {
    let run = run.info.run.clone();
    change(dispatch, async move {
        remove_run(&run).await;
        Ok(())
    });
}

async fn remove_run(run: &str) {
    if let Ok(runs) = Folder::open(&[RUNS]).await {
        runs.remove(run).await;
    }
}

/// Changes what is kept, then shows it anew.
fn change(dispatch: &Dispatch, work: impl Future<Output = Result<(), String>> + 'static) {
    let dispatch = dispatch.clone();
    spawn_local(async move {
        if let Err(message) = work.await {
            dispatch.dispatch(Action::Notify(message));
        }
        announce().await;
        list(&dispatch);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_tame() {
        assert_eq!(file_name("Blech 3/A: grün"), "Blech_3_A__grün.safetensors");
    }
}
