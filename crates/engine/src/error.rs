//! What can go wrong, each as one sentence that says what is wrong and what to do.

use std::io::ErrorKind;
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
    #[error("cannot {action} {}: {}", path.display(), advice(action, reason))]
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

/// Why the system refused something, and what to do about it.
fn advice(action: &str, reason: &std::io::Error) -> String {
    let known = match reason.kind() {
        ErrorKind::NotFound if action == "read" => "there is no such file or folder; check the path",
        ErrorKind::NotFound => "its folder does not exist; create it first",
        ErrorKind::IsADirectory => "it is a folder; give a file",
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder; check the path",
        ErrorKind::AlreadyExists => "there is a file of this name; choose another name",
        ErrorKind::PermissionDenied => "it is not permitted; change the permissions or choose another path",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only; choose another path",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "there is no room left on the disk; free some and run again"
        }
        // of a temporary file, the reason names a path that means nothing to people
        _ => {
            return reason
                .to_string()
                .split(" at path ")
                .next()
                .unwrap_or_default()
                .to_owned();
        }
    };
    known.to_owned()
}

/// A number of things in words: `1 image`, `2 images`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    let what = if number == 1 { one } else { many };
    format!("{number} {what}")
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

/// A share as a percentage with no more digits than it needs, without the sign.
pub fn percent(share: f32) -> String {
    /// Steps of a percentage that are told apart.
    const STEPS: f32 = 10.0;
    ((100.0 * STEPS * share).round() / STEPS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_the_digits_they_need() {
        assert_eq!([0.001, 0.05, 0.07, 0.125].map(percent), ["0.1", "5", "7", "12.5"]);
    }

    #[test]
    fn system_errors_come_with_advice() {
        let said = |action, kind: ErrorKind| Error::io(action, "a/b.png")(kind.into()).to_string();
        assert_eq!(
            said("read", ErrorKind::NotFound),
            "cannot read a/b.png: there is no such file or folder; check the path"
        );
        assert_eq!(
            said("write", ErrorKind::NotFound),
            "cannot write a/b.png: its folder does not exist; create it first"
        );
        assert_eq!(
            said("read", ErrorKind::IsADirectory),
            "cannot read a/b.png: it is a folder; give a file"
        );
        for (kind, word) in [
            (ErrorKind::NotADirectory, "not a folder"),
            (ErrorKind::PermissionDenied, "permissions"),
            (ErrorKind::ReadOnlyFilesystem, "read-only"),
            (ErrorKind::StorageFull, "no room left"),
            (ErrorKind::QuotaExceeded, "no room left"),
            (ErrorKind::AlreadyExists, "another name"),
        ] {
            assert!(said("write", kind).contains(word), "{kind}");
        }
    }

    #[test]
    fn names_of_temporary_files_stay_out_of_messages() {
        let reason = std::io::Error::other("strange at path \"/x/.tmpHoOxKL\"");
        assert_eq!(
            Error::io("write", "a.png")(reason).to_string(),
            "cannot write a.png: strange"
        );
    }

    #[test]
    fn one_is_singular() {
        let said = [0, 1, 2].map(|number| count(number, "image", "images"));
        assert_eq!(said, ["0 images", "1 image", "2 images"]);
    }
}
