//! What can go wrong, each as one sentence that says what is wrong and what to do.

use std::path::PathBuf;

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure that input, files or the device can cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An image file that cannot be used; the text is a whole sentence without the file's name.
    #[error("{0}")]
    Image(String),
    /// A model or teacher file that cannot be used.
    #[error("{0}")]
    Model(String),
    /// A data set folder that cannot be used.
    #[error("{0}")]
    Dataset(String),
    /// A setting outside of what is possible.
    #[error("{0}")]
    Config(String),
    /// The compute device is missing, was lost or is too small.
    #[error("{0}")]
    Device(String),
    /// Training cannot go on.
    #[error("{0}")]
    Training(String),
    /// A metric that is not defined for the given scores and labels.
    #[error("{0}")]
    Metric(String),
    /// A download that failed or was cut off.
    #[error("{0}")]
    Download(String),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// Something about one file of several: the file's name, then the reason.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Box<Self>,
    },
}

impl Error {
    /// Wraps a system error with the action and the path it belongs to.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::Io { action, path, reason }
    }

    /// Says which file this error belongs to.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            reason: Box::new(self),
        }
    }
}

/// A message as a sentence: capital letter and full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let capital = letters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    let full_stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{capital}{}{full_stop}", letters.as_str())
}
