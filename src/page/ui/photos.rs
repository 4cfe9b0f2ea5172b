//! Photos of a real part that come with the page: fetched when the visitor asks for them, then taken in like the
//! visitor's own.

use wasm_bindgen_futures::spawn_local;

use super::client;
use super::state::{Action, Dispatch, Room};
use crate::page::protocol::Photos;
use crate::page::shared::content::{Content, UserFile};
use destseg_engine::data::paths;

/// Shows a room and gives it some of the photos.
pub(crate) fn take(room: Room, which: fn(Photos) -> Vec<String>, dispatch: &Dispatch) {
    dispatch.dispatch(Action::Enter(room));
    let dispatch = dispatch.clone();
    spawn_local(async move {
        dispatch.dispatch(match fetch(which).await {
            Ok(photos) => Action::Photos(room, photos),
            Err(message) => Action::Notify(message),
        });
    });
}

async fn fetch(which: fn(Photos) -> Vec<String>) -> Result<Vec<UserFile>, String> {
    let mut photos = Vec::new();
    for path in which(client::fetch_manifest().await?.photos) {
        let photo = client::fetch_blob(&path).await;
        let photo =
            photo.map_err(|()| "The photos could not be fetched: check the connection and try again.")?;
        photos.push(UserFile {
            path: paths::file_name(&path).into(),
            content: Ok(Content::File(photo)),
        });
    }
    Ok(photos)
}
