//! The files that `predict` writes into a folder: their names, and those of an earlier run.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::inputs::Input;

/// Ending of an image with its heat map.
pub(super) const OVERLAY: &str = ".overlay.png";
/// Ending of a raw map.
pub(super) const MAP: &str = ".map.png";

/// A name for the outputs of each image, all different: the file's without its ending, in the folders between the one given
/// and the file; behind the name of its folder where several are called alike, and with a number where folders are, too.
pub(super) fn output_names(images: &[&Input]) -> Vec<String> {
    let mut alike: HashMap<String, usize> = HashMap::new();
    for image in images {
        *alike.entry(own_name(image)).or_default() += 1;
    }
    let mut taken = HashSet::new();
    let names = images.iter().map(|image| {
        let name = own_name(image);
        let folder = image.path.parent().and_then(Path::file_name);
        let name = match folder {
            Some(folder) if alike[&name] > 1 && image.inner.as_os_str().is_empty() => {
                format!("{}_{name}", folder.to_string_lossy())
            }
            _ => name,
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut free = std::iter::once(name.clone()).chain(numbered);
        let free = free.find(|name| taken.insert(name.clone()));
        free.unwrap_or(name)
    });
    names.collect()
}

fn own_name(image: &Input) -> String {
    let stem = image.path.file_stem().unwrap_or_default();
    image.inner.join(stem).to_string_lossy().into_owned()
}

/// Whether a file is one of the pictures that an earlier run wrote into this folder or one below.
pub(super) fn is_output(file: &Path, folder: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let full = |path: &Path| path.canonicalize().ok();
    let is_below = || {
        full(file)
            .zip(full(folder))
            .is_some_and(|(file, folder)| file.starts_with(folder))
    };
    [OVERLAY, MAP].iter().any(|ending| name.ends_with(ending)) && is_below()
}

/// How many of these names have pictures in the folder already.
pub(super) fn count_replaced(names: &[String], folder: &Path) -> usize {
    let is_there = |name: &&String| folder.join(format!("{name}{OVERLAY}")).exists();
    names.iter().filter(is_there).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(images: &[&str]) -> Vec<String> {
        let inputs: Vec<Input> = images.iter().map(|path| Input::file(path.into())).collect();
        output_names(&inputs.iter().collect::<Vec<_>>())
    }

    #[test]
    fn files_of_a_folder_keep_their_folders() {
        let input = |path: &str, inner: &str| Input {
            path: path.into(),
            inner: inner.into(),
        };
        let inputs = [
            input("test/hole/000.png", "hole"),
            input("test/slub/000.png", "slub"),
            input("test/slub/000.jpg", "slub"),
        ];
        let names = output_names(&inputs.iter().collect::<Vec<_>>());
        assert_eq!(names, ["hole/000", "slub/000", "slub/000-2"]);
    }

    #[test]
    fn a_name_that_is_unique_stays() {
        assert_eq!(names(&["test/hole/000.png"]), ["000"]);
        assert_eq!(names(&["000.png", "a/001.png"]), ["000", "001"]);
    }

    #[test]
    fn equal_names_get_their_folder_and_then_a_number() {
        assert_eq!(
            names(&["test/hole/000.png", "test/slub/000.png", "test/slub/001.png"]),
            ["hole_000", "slub_000", "001"]
        );
        assert_eq!(names(&["a/x/0.png", "b/x/0.jpg", "0.png"]), ["x_0", "x_0-2", "0"]);
        // a name that looks like one with a folder
        assert_eq!(names(&["x_0.png", "x/0.png", "y/0.png"]), ["x_0", "x_0-2", "y_0"]);
    }

    #[test]
    fn pictures_of_an_earlier_run_are_known_by_name_and_place() {
        let folder = tempfile::tempdir().expect("creates");
        let path = folder.path();
        std::fs::create_dir(path.join("hole")).expect("creates");
        for name in ["0.png", "0.overlay.png", "0.map.png", "hole/0.overlay.png"] {
            std::fs::write(path.join(name), "").expect("writes");
        }
        let own = |name: &str, output: &Path| is_output(&path.join(name), output);
        assert!(own("0.overlay.png", path) && own("0.map.png", path) && !own("0.png", path));
        assert!(own("hole/0.overlay.png", path) && !own("0.overlay.png", &path.join("hole")));
        assert!(!own("0.overlay.png", &path.join("other")) && !own("1.overlay.png", path));
        let names = ["0", "1"].map(str::to_owned);
        assert_eq!(count_replaced(&names, path), 1);
    }
}
