//! Fetching shipped files: with progress, checked against the manifest, kept for the next visit.

use js_sys::{Reflect, Uint8Array};
use sha2::{Digest as _, Sha256};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, ReadableStreamDefaultReader, Response};

use super::scope;
use crate::page::protocol::ManifestFile;
use destseg_engine::{Error, Result};

/// Name of the browser cache; a new one forgets what older versions kept.
const CACHE: &str = "destseg-1";

/// The content of a shipped file, from the cache or the server. `report` gets the bytes so far.
pub(super) async fn download(file: &ManifestFile, report: &mut dyn FnMut(u64)) -> Result<Vec<u8>> {
    // the hash in the address keeps versions of a file apart
    let address = format!("{}?{}", file.file, file.sha256.get(..16).unwrap_or(&file.sha256));
    let cache = open_cache().await;
    if let Some(bytes) = from_cache(cache.as_ref(), &address).await
        && check(file, &bytes).is_ok()
    {
        report(file.bytes);
        return Ok(bytes);
    }
    let bytes = from_server(file, &address, report).await?;
    check(file, &bytes)?;
    if let Some(cache) = cache {
        keep(&cache, &address, &bytes).await;
    }
    Ok(bytes)
}

fn check(file: &ManifestFile, bytes: &[u8]) -> Result<()> {
    if (bytes.len() as u64) < file.bytes {
        return Err(Error::Download(format!(
            "the download of {} broke off after {} of {} bytes: check the connection and try again",
            file.file,
            bytes.len(),
            file.bytes
        )));
    }
    let hash: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if hash == file.sha256 {
        Ok(())
    } else {
        Err(Error::Download(format!(
            "{} is not the file this page was built with: reload the page",
            file.file
        )))
    }
}

async fn from_server(file: &ManifestFile, address: &str, report: &mut dyn FnMut(u64)) -> Result<Vec<u8>> {
    let failed = |reason: &str| {
        Error::Download(format!(
            "the download of {} failed ({reason}): check the connection and try again",
            file.file
        ))
    };
    let response = JsFuture::from(scope().fetch_with_str(address))
        .await
        .map_err(|_| failed("no answer"))?
        .unchecked_into::<Response>();
    if !response.ok() {
        return Err(failed(&format!("the server answered {}", response.status())));
    }
    let body = response.body().ok_or_else(|| failed("the answer is empty"))?;
    let reader = body.get_reader().unchecked_into::<ReadableStreamDefaultReader>();
    let mut bytes = Vec::new();
    loop {
        let Ok(chunk) = JsFuture::from(reader.read()).await else {
            return Err(Error::Download(format!(
                "the download of {} broke off after {} of {} bytes: check the connection and try again",
                file.file,
                bytes.len(),
                file.bytes
            )));
        };
        let property =
            |name: &str| Reflect::get(&chunk, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
        if property("done").is_truthy() {
            return Ok(bytes);
        }
        bytes.extend(property("value").unchecked_into::<Uint8Array>().to_vec());
        if bytes.len() as u64 > file.bytes {
            return Err(failed("it is longer than it should be"));
        }
        report(bytes.len() as u64);
    }
}

/// The browser's cache; none in private windows of some browsers or without https.
async fn open_cache() -> Option<Cache> {
    let caches = scope().caches().ok()?;
    JsFuture::from(caches.open(CACHE)).await.ok()?.dyn_into().ok()
}

async fn from_cache(cache: Option<&Cache>, address: &str) -> Option<Vec<u8>> {
    let found = JsFuture::from(cache?.match_with_str(address)).await.ok()?;
    let buffer = JsFuture::from(found.dyn_into::<Response>().ok()?.array_buffer().ok()?)
        .await
        .ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

async fn keep(cache: &Cache, address: &str, bytes: &[u8]) {
    let body = Uint8Array::from(bytes);
    let Ok(response) = Response::new_with_opt_js_u8_array(Some(&body)) else {
        return;
    };
    // a full disk only means that the next visit downloads again
    let _kept = JsFuture::from(cache.put_with_str(address, &response)).await;
}
