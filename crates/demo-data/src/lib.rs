//! A procedural data set that looks like an inspection line: free of licences, reproducible from a
//! seed, with defects drawn by other means than the Perlin anomalies of the training.
//!
//! Every picture is a `Surface` (colour, height, gloss) that is lit and photographed by
//! `scene::photograph`; a defect changes the surface, so it is lit and blurred like the rest, and
//! its mask is where the noise-free pictures of the good and the defective surface differ.

mod circuit;
mod fabric;
mod scene;
mod tablets;

use std::path::Path;

use ::image::ImageError;
use clap::ValueEnum;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use destseg_engine::data::image::{GrayImage, RgbImage};
use destseg_engine::{Error, Result};
use scene::{Camera, Surface, difference_mask, photograph};

/// Smallest and largest side of an image in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 256..=512;

/// What is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Category {
    /// Woven cloth.
    Fabric,
    /// Pills in a tray.
    Tablets,
    /// A printed circuit board.
    Circuit,
}

impl Category {
    /// All categories.
    pub const ALL: [Self; 3] = [Self::Fabric, Self::Tablets, Self::Circuit];

    /// The folder's name.
    pub fn id(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Tablets => "tablets",
            Self::Circuit => "circuit",
        }
    }

    /// Its kinds of defect, each a folder of the test set.
    pub fn defects(self) -> &'static [&'static str] {
        match self {
            Self::Fabric => fabric::DEFECTS,
            Self::Tablets => tablets::DEFECTS,
            Self::Circuit => circuit::DEFECTS,
        }
    }

    fn surface(self, size: usize, layout: &mut Pcg64, defect: Option<(&str, &mut Pcg64)>) -> Surface {
        match self {
            Self::Fabric => fabric::surface(size, layout, defect),
            Self::Tablets => tablets::surface(size, layout, defect),
            Self::Circuit => circuit::surface(size, layout, defect),
        }
    }
}

/// How much to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoConfig {
    /// What.
    pub category: Category,
    /// Seed of every random number.
    pub seed: u64,
    /// Side of the square images, 256 to 512.
    pub size: u32,
    /// Good images to train on.
    pub train_good: usize,
    /// Good images to test on.
    pub test_good: usize,
    /// Test images of each kind of defect.
    pub test_per_defect: usize,
}

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoImage {
    /// The photograph.
    pub image: RgbImage,
    /// 255 where defective; none for good ones.
    pub mask: Option<GrayImage>,
}

/// Which part of the data set a picture belongs to; each has random numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train/good`.
    Train,
    /// `test/good`.
    TestGood,
    /// `test/<defect>`, by the defect's position in [`Category::defects`].
    Defect(usize),
}

/// Draws picture `index` of a split; a function of its arguments alone.
///
/// # Errors
/// [`Error::Config`] for a size outside of 256 to 512 or an unknown defect.
pub fn draw(config: &DemoConfig, split: Split, index: usize) -> Result<DemoImage> {
    if !SIDES.contains(&config.size) {
        return Err(Error::Config(format!(
            "the images' side is {} but must lie between {} and {} pixels",
            config.size,
            SIDES.start(),
            SIDES.end()
        )));
    }
    let size = config.size as usize;
    let stream = |purpose: u64| {
        let split = match split {
            Split::Train => 0,
            Split::TestGood => 1,
            Split::Defect(kind) => 2 + kind as u64,
        };
        let place = (config.category as u64) << 56 | split << 40 | (index as u64) << 8 | purpose;
        Pcg64::seed_from_u64(config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place)
    };
    let good = config.category.surface(size, &mut stream(0), None);
    let camera = Camera::draw(size, &mut stream(1));
    let Split::Defect(kind) = split else {
        return Ok(DemoImage {
            image: photograph(&good, &camera, &mut stream(2)),
            mask: None,
        });
    };
    let name = config.category.defects().get(kind).ok_or_else(|| {
        Error::Config(format!(
            "the category {} has no defect number {kind}",
            config.category.id()
        ))
    })?;
    // a defect may by chance fall outside of the picture or be too faint to see: draw again
    const TRIES: u64 = 20;
    let mut attempt = 0;
    loop {
        let mut randomness = stream(3 + attempt);
        let bad = config
            .category
            .surface(size, &mut stream(0), Some((name, &mut randomness)));
        let mask = difference_mask(&good, &bad, &camera);
        attempt += 1;
        if scene::covered(&mask) > 0 || attempt == TRIES {
            return Ok(DemoImage {
                image: photograph(&bad, &camera, &mut stream(2)),
                mask: Some(mask),
            });
        }
    }
}

/// Writes `OUT/<category>` in MVTec layout, completely or not at all. `progress` gets the pictures
/// done and in all.
///
/// # Errors
/// [`Error::Config`] if the folder exists already, [`Error::Io`] if it cannot be written.
pub fn write(config: &DemoConfig, out: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<()> {
    let target = out.join(config.category.id());
    if target.exists() {
        return Err(Error::Config(format!(
            "{} exists already: choose another folder or remove it",
            target.display()
        )));
    }
    let temporary = tempfile::Builder::new()
        .prefix(".destseg-demo-")
        .tempdir_in(out)
        .map_err(Error::io("create a folder in", out))?;
    let mut jobs = Vec::new();
    let numbered =
        |count: usize, split: Split, folder: String| (0..count).map(move |i| (split, i, folder.clone()));
    jobs.extend(numbered(config.train_good, Split::Train, "train/good".into()));
    jobs.extend(numbered(config.test_good, Split::TestGood, "test/good".into()));
    for (kind, name) in config.category.defects().iter().enumerate() {
        jobs.extend(numbered(
            config.test_per_defect,
            Split::Defect(kind),
            format!("test/{name}"),
        ));
    }
    for (done, (split, index, folder)) in jobs.iter().enumerate() {
        let picture = draw(config, *split, *index)?;
        let save = |name: String, save: &dyn Fn(&Path) -> ::image::ImageResult<()>| {
            // a message names the place that the file is for
            save_in(temporary.path(), &name, save).map_err(Error::io("write", target.join(&name)))
        };
        save(format!("{folder}/{index:03}.png"), &|path| {
            picture.image.save(path)
        })?;
        if let (Some(mask), Some(kind)) = (&picture.mask, folder.strip_prefix("test/")) {
            let name = format!("ground_truth/{kind}/{index:03}_mask.png");
            save(name, &|path| mask.save(path))?;
        }
        progress(done + 1, jobs.len());
    }
    let folder = temporary.keep();
    // temporary folders are private; the data set is as readable as any other
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
            .map_err(Error::io("write", &target))?;
    }
    std::fs::rename(&folder, &target).map_err(Error::io("write", &target))
}

/// Saves a picture under a path from a folder, and makes the folders on the way.
fn save_in(
    folder: &Path,
    name: &str,
    save: &dyn Fn(&Path) -> ::image::ImageResult<()>,
) -> std::io::Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    save(&path).map_err(|err| match err {
        ImageError::IoError(reason) => reason,
        other => std::io::Error::other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(category: Category) -> DemoConfig {
        DemoConfig {
            category,
            seed: 5,
            size: 256,
            train_good: 1,
            test_good: 1,
            test_per_defect: 1,
        }
    }

    #[test]
    fn pictures_depend_on_their_place_alone() {
        for category in Category::ALL {
            let config = config(category);
            let picture = |split, index| draw(&config, split, index).expect("draws").image;
            assert_eq!(picture(Split::Train, 3), picture(Split::Train, 3));
            assert_ne!(picture(Split::Train, 3), picture(Split::Train, 4));
            assert_ne!(picture(Split::Train, 3), picture(Split::TestGood, 3));
        }
    }

    #[test]
    fn every_defect_shows_and_stays_a_part() {
        for category in Category::ALL {
            let config = config(category);
            for (kind, name) in category.defects().iter().enumerate() {
                for index in 0..3 {
                    let picture = draw(&config, Split::Defect(kind), index).expect("draws");
                    let area = scene::covered(&picture.mask.expect("a defect has a mask"));
                    let share = area as f64 / f64::from(config.size * config.size);
                    assert!(area >= 4, "{}/{name}/{index} covers {area} pixels", category.id());
                    assert!(
                        share < 0.6,
                        "{}/{name}/{index} covers {share:.2} of the picture",
                        category.id()
                    );
                }
            }
        }
    }

    #[test]
    fn writes_mvtec_layout_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = config(Category::Fabric);
        write(&config, folder.path(), &mut |_, _| ()).expect("writes");
        let root = folder.path().join("fabric");
        assert!(root.join("train/good/000.png").is_file());
        assert!(root.join("test/hole/000.png").is_file());
        assert!(root.join("ground_truth/hole/000_mask.png").is_file());
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
        assert!(matches!(
            write(&config, folder.path(), &mut |_, _| ()),
            Err(Error::Config(_))
        ));
    }
}
