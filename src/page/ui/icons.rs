//! Line icons, drawn in a 24 x 24 box in the colour of the text.

use yew::{Html, html};

/// A part with a spark: something new is learned.
pub(crate) const TEACH: &str = "M5 12h8v8H5zM9 12V8M17 3v8M13 7h8";
/// Bars on a line.
pub(crate) const MEASURE: &str = "M4 20h16M7 20v-6M12 20V6M17 20v-9";
/// Two frames beside each other.
pub(crate) const COMPARE: &str = "M4 5h6v14H4zM14 5h6v14h-6z";
/// A picture with a hill.
pub(crate) const PICTURE: &str = "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01";
/// A camera.
pub(crate) const CAMERA: &str = "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z";
/// An open folder.
pub(crate) const FOLDER: &str = "M4 19V6h6l2 2h8v3M4 19l3-8h14l-3 8z";
/// An arrow into a tray.
pub(crate) const SAVE: &str = "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14";
/// A cross.
pub(crate) const CLOSE: &str = "M6 6l12 12M18 6L6 18";
/// A tick.
pub(crate) const CHECK: &str = "M5 12.5l4.5 4.5L19 7.5";
/// A triangle with an exclamation mark.
pub(crate) const WARNING: &str = "M12 4L2.5 20h19zM12 10v4.5M12 17.5h.01";
/// A ring with a question mark.
pub(crate) const UNFAMILIAR: &str =
    "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 16.5h.01";
/// A ring with an exclamation mark.
pub(crate) const DEFECT: &str = "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7.5v5.5M12 16.5h.01";

/// An icon that says nothing which the text beside it does not say.
pub(crate) fn icon(path: &'static str) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d={path} />
        </svg>
    }
}
