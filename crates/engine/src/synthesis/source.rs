//! Where pasted textures come from: photographs in a folder, or the built-in patterns.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rand_pcg::Pcg64;

use super::random::{below, uniform};
use super::texture::{Pattern, Texture};
use crate::data::dataset::image_files;
use crate::data::image::{RgbImage, read, resize};
use crate::{Error, Result};

/// Memory for textures that stay decoded, in bytes: the whole DTD at 256 x 256 needs 1.1 GB.
const CACHE_BYTES: usize = 1_200_000_000;

/// What anomalies are filled with.
#[derive(Debug)]
pub enum TextureSource {
    /// The built-in patterns, one kind as likely as another.
    Procedural,
    /// Images in memory, square and of the input's size.
    Images(Vec<RgbImage>),
    /// Image files, decoded when first drawn.
    Folder(TextureFolder),
}

/// Image files to draw textures from.
#[derive(Debug)]
pub struct TextureFolder {
    size: usize,
    files: Vec<(PathBuf, OnceLock<RgbImage>)>,
}

/// Which texture was drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum TextureChoice {
    /// A built-in pattern.
    Procedural(Texture),
    /// The image of this index.
    Image(usize),
    /// A file.
    File(PathBuf),
    /// The good image itself, its channels multiplied by these.
    Recoloured([f32; 3]),
}

/// A texture whose pixels can be asked for.
pub(super) enum Drawn<'a> {
    Pattern(Pattern),
    Image(Cow<'a, RgbImage>),
    Recoloured(&'a RgbImage, [f32; 3]),
}

/// The image in another brightness and tint, far enough to be seen.
pub(super) fn recoloured<'a>(image: &'a RgbImage, rng: &mut Pcg64) -> (Drawn<'a>, TextureChoice) {
    /// Least and greatest change of the brightness, darker or brighter.
    const BRIGHTNESS: (f32, f32) = (0.08, 0.4);
    /// Greatest change of a channel beside it.
    const TINT: f32 = 0.15;
    let change = uniform(rng, BRIGHTNESS.0, BRIGHTNESS.1);
    let change = if below(rng, 2) == 0 { change } else { -change };
    let gains = std::array::from_fn(|_| 1.0 + change + uniform(rng, -TINT, TINT));
    (Drawn::Recoloured(image, gains), TextureChoice::Recoloured(gains))
}

impl Drawn<'_> {
    pub(super) fn colour(&self, x: usize, y: usize) -> [u8; 3] {
        match self {
            Self::Pattern(pattern) => pattern.colour(x, y),
            Self::Image(image) => image.get_pixel(x as u32, y as u32).0,
            Self::Recoloured(image, gains) => {
                let pixel = image.get_pixel(x as u32, y as u32).0;
                std::array::from_fn(|c| (f32::from(pixel[c]) * gains[c]).round().clamp(0.0, 255.0) as u8)
            }
        }
    }
}

impl TextureSource {
    /// All images below a folder, at any depth, to be resized to `size` x `size`.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read, [`Error::Dataset`] if there is no image.
    pub fn folder(root: &Path, size: usize) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            files.extend(image_files(&folder)?);
            for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
                let path = entry.map_err(Error::io("read", &folder))?.path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                }
            }
        }
        if files.is_empty() {
            return Err(Error::Dataset(format!(
                "the texture folder {} holds no images: give a folder with PNG or JPEG files, or none for the built-in textures",
                root.display()
            )));
        }
        files.sort();
        let files = files.into_iter().map(|path| (path, OnceLock::new())).collect();
        Ok(Self::Folder(TextureFolder { size, files }))
    }

    /// How many textures there are to draw from; `None` if they never end.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Procedural => None,
            Self::Images(images) => Some(images.len()),
            Self::Folder(folder) => Some(folder.files.len()),
        }
    }

    /// In words, for the record of a training.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn description(&self) -> String {
        match self.count() {
            None => "built-in procedural textures".into(),
            Some(images) => crate::error::count(images, "texture image", "texture images"),
        }
    }

    /// Draws a whole texture as a picture of `size` x `size`.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`] if a texture file cannot be read.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn picture(&self, size: usize, rng: &mut Pcg64) -> Result<RgbImage> {
        let (texture, _) = self.draw(size, &[], rng)?;
        Ok(RgbImage::from_fn(size as u32, size as u32, |x, y| {
            ::image::Rgb(texture.colour(x as usize, y as usize))
        }))
    }

    /// Draws a texture for pictures of `size` x `size`; built-in ones of these `kinds`.
    pub(super) fn draw(
        &self,
        size: usize,
        kinds: &[Texture],
        rng: &mut Pcg64,
    ) -> Result<(Drawn<'_>, TextureChoice)> {
        match self {
            Self::Images(images) if !images.is_empty() => {
                let index = below(rng, images.len() as u32) as usize;
                Ok((
                    Drawn::Image(fitted(&images[index], size)),
                    TextureChoice::Image(index),
                ))
            }
            Self::Folder(folder) => {
                let index = below(rng, folder.files.len() as u32) as usize;
                let image = match folder.image(index)? {
                    Cow::Borrowed(image) => fitted(image, size),
                    Cow::Owned(image) => Cow::Owned(fitted(&image, size).into_owned()),
                };
                Ok((
                    Drawn::Image(image),
                    TextureChoice::File(folder.files[index].0.clone()),
                ))
            }
            Self::Procedural | Self::Images(_) => {
                let kind = Texture::draw(kinds, rng);
                Ok((
                    Drawn::Pattern(kind.pattern(size, rng)),
                    TextureChoice::Procedural(kind),
                ))
            }
        }
    }
}

/// The image at the wanted size.
fn fitted(image: &RgbImage, size: usize) -> Cow<'_, RgbImage> {
    if image.dimensions() == (size as u32, size as u32) {
        Cow::Borrowed(image)
    } else {
        Cow::Owned(resize(image, size, size))
    }
}

impl TextureFolder {
    /// A texture, from memory if it was drawn before and is among those that memory is for.
    fn image(&self, index: usize) -> Result<Cow<'_, RgbImage>> {
        let (path, cached) = &self.files[index];
        if let Some(image) = cached.get() {
            return Ok(Cow::Borrowed(image));
        }
        let image = resize(&read(path)?, self.size, self.size);
        if (index + 1) * image.as_raw().len() > CACHE_BYTES {
            return Ok(Cow::Owned(image));
        }
        Ok(Cow::Borrowed(cached.get_or_init(|| image)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::sample_rng;

    #[test]
    fn folders_are_searched_at_any_depth_and_drawn_from() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("a/b")).expect("created");
        for (name, grey) in [("a/b/one.png", 10), ("two.JPG.png", 200)] {
            RgbImage::from_pixel(9, 5, ::image::Rgb([grey; 3]))
                .save(folder.path().join(name))
                .expect("saved");
        }
        std::fs::write(folder.path().join("notes.txt"), "no image").expect("written");
        let source = TextureSource::folder(folder.path(), 16).expect("two textures");
        assert_eq!(source.count(), Some(2));
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..20 {
            let (texture, choice) = source.draw(16, &[], &mut sample_rng(0, 0, index)).expect("drawn");
            let TextureChoice::File(path) = choice else {
                panic!("not a file")
            };
            let expected = if path.ends_with("one.png") { 10 } else { 200 };
            assert_eq!(texture.colour(15, 15), [expected; 3]);
            seen.insert(path);
        }
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_folder_without_images_and_a_broken_one_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = TextureSource::folder(folder.path(), 16)
            .expect_err("no images")
            .to_string();
        assert!(error.contains("holds no images"), "{error}");
        std::fs::write(folder.path().join("broken.png"), "not a png").expect("written");
        let source = TextureSource::folder(folder.path(), 16).expect("one file");
        let Err(error) = source.draw(16, &[], &mut sample_rng(0, 0, 0)) else {
            panic!("drew a broken file")
        };
        assert!(error.to_string().contains("broken.png"), "{error}");
        assert!(TextureSource::folder(&folder.path().join("missing"), 16).is_err());
    }
}
