//! What a path in an archive or a folder says. Paths come from anyone and only name things: nothing is
//! ever written to them.

/// Endings of the image files that can be opened, in lower case.
const READABLE: [&str; 10] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff",
];
/// Endings of image files that cannot: they are taken for images to say so.
const UNREADABLE: [&str; 9] = ["avif", "heic", "heif", "jxl", "jp2", "j2k", "tga", "pgm", "ppm"];
/// Endings of those among them that some browsers can open.
pub const BY_BROWSER: [&str; 4] = ["avif", "heic", "heif", "jxl"];
/// Endings of text files that may say what images show: annotations and tables.
const TEXTS: [&str; 3] = ["json", "txt", "csv"];
/// Files that systems leave behind in folders.
const LITTER: [&str; 6] = [
    "__macosx",
    "thumbs.db",
    "desktop.ini",
    "@eadir",
    "$recycle.bin",
    "system volume information",
];

/// The path with plain slashes and without what leads out of the folder or cannot be shown. It may be
/// that of another file, too.
pub fn clean(path: &str) -> String {
    let path: String = path.chars().filter(|letter| !letter.is_control()).collect();
    let parts: Vec<&str> = path
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "." | "..") && !is_drive(part))
        .collect();
    if parts.is_empty() {
        "unnamed".into()
    } else {
        parts.join("/")
    }
}

fn is_drive(part: &str) -> bool {
    part.len() == 2 && part.ends_with(':')
}

/// The last part of a clean path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a path ends with all parts of another one.
pub(crate) fn ends_with(path: &str, end: &str) -> bool {
    let before = path.strip_suffix(end);
    before.is_some_and(|before| before.is_empty() || before.ends_with('/')) && !end.is_empty()
}

/// A path as a file of annotations names it, with plain slashes and without a dot in front.
pub(crate) fn plain(path: &str) -> String {
    let path = path.replace('\\', "/");
    path.trim_start_matches("./").to_owned()
}

/// The path's ending in lower case.
pub(crate) fn ending(path: &str) -> Option<String> {
    let (_, ending) = file_name(path).rsplit_once('.')?;
    Some(ending.to_lowercase())
}

/// Whether the path's ending is that of an image that can be opened.
pub fn is_readable_image(path: &str) -> bool {
    ending(path).is_some_and(|ending| READABLE.contains(&ending.as_str()))
}

/// Whether the path's ending is that of an image, be it one that cannot be opened.
pub fn is_image(path: &str) -> bool {
    is_readable_image(path) || ending(path).is_some_and(|ending| UNREADABLE.contains(&ending.as_str()))
}

/// Whether the path's ending is that of an archive that can be opened.
pub fn is_archive(path: &str) -> bool {
    ending(path).as_deref() == Some("zip")
}

/// Whether the path's ending is that of a text that may say what images show.
pub fn is_text(path: &str) -> bool {
    ending(path).is_some_and(|ending| TEXTS.contains(&ending.as_str()))
}

/// Whether it is hidden or left behind by a system: nobody means such a file.
pub fn is_litter(path: &str) -> bool {
    path.split(['/', '\\']).any(|part| {
        let hidden = part.starts_with('.') && !matches!(part, "." | "..");
        hidden || LITTER.contains(&part.to_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_stay_inside() {
        for (path, tame) in [
            ("a/b.png", "a/b.png"),
            ("../../etc/b.png", "etc/b.png"),
            ("/abs\\olute//./b.png", "abs/olute/b.png"),
            ("C:\\parts\\b.png", "parts/b.png"),
            ("a\u{0}\n/b\u{1b}[2J.png", "a/b[2J.png"),
            ("../..", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(clean(path), tame);
        }
        assert_eq!(file_name("a/b.png"), "b.png");
    }

    #[test]
    fn images_are_known_by_their_ending_and_litter_by_its_name() {
        assert!(is_image("a.b/c.JPG") && is_image("x.tiff"));
        assert!(
            is_readable_image("c.JPG")
                && is_readable_image("a/c.jfif")
                && is_readable_image("x.TIFF")
                && !is_readable_image("x.avif")
        );
        assert!(!is_image("png") && !is_image("a.png/readme") && !is_image("a.txt"));
        assert!(is_litter("__MACOSX/a/._b.png") && is_litter("a/.DS_Store") && is_litter("a\\Thumbs.db"));
        assert!(!is_litter("a/b.png") && !is_litter("../b.png"));
    }

    proptest! {
        #[test]
        fn clean_paths_are_relative_and_stay_clean(path in "(\\PC|[./\\\\:]|\\n){0,40}") {
            let tame = clean(&path);
            prop_assert!(!tame.is_empty() && !tame.starts_with('/'));
            prop_assert!(tame.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", tame);
            prop_assert_eq!(clean(&tame), tame);
        }
    }
}
