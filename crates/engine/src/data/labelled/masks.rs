//! Which masks and annotations belong to which image.

use std::collections::BTreeMap;

use super::Parsed;
use super::layout::{Place, Purpose};
use crate::data::paths::{ends_with, file_name};

/// What masks are found by: whether they lie in `train` or `test`, if in any, the other folders, and the stem.
type Key<'a> = (Option<Purpose>, Vec<&'a str>, &'a str);

/// Annotations of many images in one file.
struct Many<'a> {
    file: usize,
    /// Whether any image has one of its names.
    is_used: bool,
    /// The folders that its images lie below.
    folders: Vec<&'a str>,
    /// The images' paths.
    images: Vec<String>,
}

/// Masks and annotations by what they belong to.
#[derive(Default)]
pub(super) struct Masks<'a> {
    pictures: BTreeMap<Key<'a>, Vec<usize>>,
    annotations: BTreeMap<Key<'a>, Vec<usize>>,
    many: Vec<Many<'a>>,
    /// Files that belong to an image.
    pub(super) taken: Vec<usize>,
}

impl<'a> Masks<'a> {
    /// A picture.
    pub(super) fn add(&mut self, place: &Place<'a>, stem: &'a str, file: usize) {
        let (purpose, mut key) = (place.named_purpose(), place.key.clone());
        self.pictures
            .entry((purpose, key.clone(), stem))
            .or_default()
            .push(file);
        // a folder of masks for each image
        if let Some(own) = key.pop() {
            self.pictures.entry((purpose, key, own)).or_default().push(file);
        }
    }

    /// A text about one image.
    pub(super) fn add_annotation(&mut self, place: &Place<'a>, stem: &'a str, file: usize) {
        let key = (place.named_purpose(), place.key.clone(), stem);
        self.annotations.entry(key).or_default().push(file);
    }

    /// A text about images of these names; `present` are the images that there are.
    pub(super) fn add_many(&mut self, text: &Parsed<'a>, images: Vec<String>, present: &[Parsed<'a>]) {
        let mut folders = text.folders.clone();
        while folders.last().is_some_and(|last| Place::of(&[*last]).is_mask) {
            folders.pop();
        }
        self.many.push(Many {
            file: text.file,
            is_used: present
                .iter()
                .any(|image| images.iter().any(|name| file_name(name) == image.name)),
            folders,
            images,
        });
    }

    /// Those of an image. Masks that lie in one folder for all kinds belong to the only image of their name.
    pub(super) fn take(
        &mut self,
        image: &Parsed<'a>,
        place: &Place<'a>,
        names: &BTreeMap<&str, usize>,
    ) -> Vec<usize> {
        let is_only = names.get(image.stem) == Some(&1);
        let found = [&self.pictures, &self.annotations]
            .into_iter()
            .find_map(|all| find(all, image.stem, place, is_only));
        let found = found.unwrap_or_else(|| self.of_many(image));
        self.taken.extend(&found);
        found
    }

    /// Files about many images that name none of those here.
    pub(super) fn unused_many<'b, S: AsRef<str>>(&self, paths: &'b [S]) -> Vec<&'b str> {
        let unused = self.many.iter().filter(|own| !own.is_used);
        unused.map(|own| paths[own.file].as_ref()).collect()
    }

    /// The files about many images that name this one; of several those that lie nearest.
    fn of_many(&self, image: &Parsed<'a>) -> Vec<usize> {
        let path = image.path.replace('\\', "/");
        let names_it = |own: &&Many<'a>| {
            let mut names = own.images.iter().filter(|name| file_name(name) == image.name);
            image.folders.starts_with(&own.folders)
                && names.any(|name| ends_with(&path, name) || ends_with(name, &path))
        };
        let own: Vec<&Many<'a>> = self.many.iter().filter(names_it).collect();
        let nearest = own.iter().map(|many| many.folders.len()).max();
        own.iter()
            .filter(|many| Some(many.folders.len()) == nearest)
            .map(|many| many.file)
            .collect()
    }
}

fn find<'a>(
    all: &BTreeMap<Key<'a>, Vec<usize>>,
    stem: &'a str,
    place: &Place<'a>,
    is_only: bool,
) -> Option<Vec<usize>> {
    let mut key = place.key.clone();
    // masks beside `test` have no purpose of their own
    let at = |key: &[&'a str]| {
        let mut purposes = [place.named_purpose(), None].into_iter();
        purposes.find_map(|purpose| all.get(&(purpose, key.to_vec(), stem)).cloned())
    };
    at(&key).or_else(|| {
        if !is_only {
            return None;
        }
        key.pop();
        at(&key)
    })
}
