//! Files that the browser keeps for this page (the origin's private file system), for both halves of
//! it: trained inspectors, and the state of a training that may be interrupted.

use js_sys::{ArrayBuffer, AsyncIterator, Function, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, DomException, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemRemoveOptions, FileSystemWritableFileStream, StorageManager,
};

use super::js::get;
use destseg_engine::order;

/// Folder of the trainings that go on, one folder each, named by [`crate::page::protocol::RunInfo::run`].
pub const RUNS: &str = "runs";
/// Name of a run's record, a [`crate::page::protocol::KeptRun`], in its folder.
pub const RUN_RECORD: &str = "run.json";
/// Folder of the inspectors, one folder each.
pub const INSPECTORS: &str = "inspectors";

/// A folder of the browser's storage. Every failure is one sentence for the visitor.
#[derive(Debug, Clone)]
pub struct Folder(FileSystemDirectoryHandle);

impl Folder {
    /// The folder at this path, which is made if it is missing.
    ///
    /// # Errors
    /// If the browser keeps no files for this page, as in some private windows.
    pub async fn open(path: &[&str]) -> Result<Self, String> {
        let storage = get(&get(&js_sys::global(), "navigator"), "storage");
        if !get(&storage, "getDirectory").is_function() {
            return Err(REFUSED.into());
        }
        let root = storage.unchecked_into::<StorageManager>().get_directory();
        let mut folder = Self(done(root).await?.unchecked_into());
        for name in path {
            folder = folder.folder(name).await?;
        }
        Ok(folder)
    }

    /// The folder with this name in this one, made if it is missing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn folder(&self, name: &str) -> Result<Self, String> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let folder = done(self.0.get_directory_handle_with_options(name, &options)).await?;
        Ok(Self(folder.unchecked_into()))
    }

    /// Names of the files and folders in it, sorted.
    pub async fn names(&self) -> Vec<String> {
        let names: AsyncIterator = self.0.keys();
        let mut found = Vec::new();
        // a name that cannot be read ends the list
        while let Ok(promise) = names.next() {
            let Ok(entry) = JsFuture::from(promise).await else {
                break;
            };
            let Some(name) = get(&entry, "value").as_string() else {
                break;
            };
            found.push(name);
        }
        order::sort_by(&mut found, Ord::cmp);
        found
    }

    /// A file, which can be read later; none if there is no such file.
    pub async fn file(&self, name: &str) -> Option<Blob> {
        let handle = JsFuture::from(self.0.get_file_handle(name)).await.ok()?;
        let file = handle.unchecked_into::<FileSystemFileHandle>().get_file();
        JsFuture::from(file).await.ok()?.dyn_into().ok()
    }

    /// A file's content; none if there is no such file.
    pub async fn read(&self, name: &str) -> Option<Vec<u8>> {
        let buffer = JsFuture::from(self.file(name).await?.array_buffer()).await.ok()?;
        Some(Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()).to_vec())
    }

    /// Writes a file. Whatever happens meanwhile, the file has its old content or all of the new one.
    ///
    /// # Errors
    /// If the storage is full or the browser does not write.
    pub async fn write(&self, name: &str, content: &[u8]) -> Result<(), String> {
        self.write_parts(name, [content]).await
    }

    /// Writes a file part by part, so that the whole is never in memory; else as [`Self::write`].
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_parts<'a>(
        &self,
        name: &str,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), String> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let handle = done(self.0.get_file_handle_with_options(name, &options)).await?;
        if !get(&handle, "createWritable").is_function() {
            return Err(REFUSED.into());
        }
        let handle = handle.unchecked_into::<FileSystemFileHandle>();
        let stream = done(handle.create_writable()).await?;
        let stream = stream.unchecked_into::<FileSystemWritableFileStream>();
        for part in parts {
            let write = stream
                .write_with_js_u8_array(&Uint8Array::from(part))
                .map_err(|err| sentence(&err))?;
            done(write).await?;
        }
        // only now does the new content take the old one's place
        done(stream.close()).await.map(|_| ())
    }

    /// Removes a file, or a folder with all that is in it. What is not there is removed already.
    pub async fn remove(&self, name: &str) {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let _gone = JsFuture::from(self.0.remove_entry_with_options(name, &options)).await;
    }
}

/// Why nothing is kept.
const REFUSED: &str = "This browser keeps no files for this page, as in a private window: download what you \
                       want to keep.";

async fn done(promise: Promise) -> Result<JsValue, String> {
    JsFuture::from(promise).await.map_err(|err| sentence(&err))
}

fn sentence(error: &JsValue) -> String {
    match error.dyn_ref::<DomException>().map(DomException::name).as_deref() {
        Some("QuotaExceededError") => {
            "The browser's storage for this page is full: delete inspectors that you do not need, and download \
             this one."
                .into()
        }
        _ => REFUSED.into(),
    }
}

/// Says to all tabs with this page that a run goes on here. Dropping it, or closing the page, frees it.
#[derive(Debug)]
pub struct Lock {
    release: Function,
}

impl Lock {
    /// Takes the lock of a run; none if another tab has it, or the browser has no locks.
    pub async fn take(run: &str) -> Option<Self> {
        let locks = locks()?;
        let mut release = None;
        let (request, name) = (
            get(&locks, "request").dyn_into::<Function>().ok()?,
            lock_name(run),
        );
        let taken = Promise::new(&mut |resolve, _| {
            let held = Promise::new(&mut |end, _| release = Some(end));
            let callback = Closure::once_into_js(move |lock: JsValue| {
                // a promise that is resolved by a function cannot fail
                let _ = resolve.call1(&JsValue::NULL, &JsValue::from_bool(lock.is_object()));
                if lock.is_object() {
                    held.into()
                } else {
                    JsValue::UNDEFINED
                }
            });
            let options = Object::new();
            let _ = Reflect::set(&options, &"ifAvailable".into(), &JsValue::TRUE);
            let _ = request.call3(&locks, &JsValue::from_str(&name), &options, &callback);
        });
        let taken = JsFuture::from(taken).await.ok()?.is_truthy();
        release.filter(|_| taken).map(|release| Self { release })
    }

    /// The runs that go on in this or another tab.
    pub async fn held() -> Vec<String> {
        let held = async {
            let locks = locks()?;
            let query = get(&locks, "query").dyn_into::<Function>().ok()?;
            let answer = query.call0(&locks).ok()?.dyn_into::<Promise>().ok()?;
            let held = get(&JsFuture::from(answer).await.ok()?, "held");
            let names = js_sys::Array::from(&held).into_iter().filter_map(|lock| {
                let name = get(&lock, "name").dyn_into::<JsString>().ok()?;
                String::from(name).strip_prefix(&lock_name("")).map(str::to_owned)
            });
            Some(names.collect())
        };
        held.await.unwrap_or_default()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::NULL);
    }
}

fn locks() -> Option<JsValue> {
    let locks = get(&get(&js_sys::global(), "navigator"), "locks");
    locks.is_object().then_some(locks)
}

fn lock_name(run: &str) -> String {
    format!("destseg-run-{run}")
}
