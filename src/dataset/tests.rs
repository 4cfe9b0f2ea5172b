use std::fs;
use std::path::Path;

use super::*;
use crate::config::Fit;
use crate::image::{GrayImage, Rgb, RgbImage};

fn save(path: &Path, grey: u8) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("created");
    RgbImage::from_pixel(8, 6, Rgb([grey; 3]))
        .save(path)
        .expect("saved");
}

/// A small category: three good images, one good test image, two kinds of defect.
fn category() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for (name, grey) in [("b.png", 20), ("a.PNG", 10), ("c.jpg", 30)] {
        save(&root.join("train/good").join(name), grey);
    }
    fs::write(root.join("train/good/notes.txt"), "text").expect("written");
    fs::write(root.join("train/good/.hidden.png"), "text").expect("written");
    save(&root.join("test/good/000.png"), 40);
    save(&root.join("test/scratch/000.png"), 50);
    save(&root.join("test/hole/000.bmp"), 60);
    fs::create_dir_all(root.join("ground_truth/scratch")).expect("created");
    fs::create_dir_all(root.join("ground_truth/hole")).expect("created");
    let mask = GrayImage::from_fn(8, 6, |x, _| ::image::Luma([if x < 4 { 255 } else { 0 }]));
    mask.save(root.join("ground_truth/scratch/000_mask.png"))
        .expect("saved");
    mask.save(root.join("ground_truth/hole/000.png")).expect("saved");
    folder
}

fn names(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|p| p.file_name().expect("named").to_string_lossy().into_owned())
        .collect()
}

#[test]
fn good_images_are_listed_in_order_and_loaded() {
    let folder = category();
    let files = Category::open(folder.path())
        .expect("a category")
        .train_good()
        .expect("images");
    assert_eq!(names(&files), ["a.PNG", "b.png", "c.jpg"]);
    let loaded = load_good(&files, 4, Fit::Squash).expect("loaded");
    assert!(loaded.skipped.is_empty());
    let greys: Vec<u8> = loaded
        .images
        .iter()
        .map(|image| image.get_pixel(3, 3)[0])
        .collect();
    assert_eq!(greys, [10, 20, 30]);
    assert!(loaded.images.iter().all(|image| image.dimensions() == (4, 4)));
}

#[test]
fn test_images_come_with_their_masks() {
    let folder = category();
    let items = Category::open(folder.path())
        .expect("a category")
        .test()
        .expect("images");
    let defects: Vec<&str> = items.iter().map(|item| item.defect.as_str()).collect();
    assert_eq!(defects, ["good", "hole", "scratch"]);
    for item in &items {
        let loaded = item.load(4).expect("loaded");
        let expected: &[bool] = if item.is_defective() {
            &[true, true, false, false]
        } else {
            &[false; 4]
        };
        assert!(
            loaded.mask.chunks(4).all(|row| row == expected),
            "{}",
            item.defect
        );
    }
}

#[test]
fn images_and_masks_without_a_partner_are_named() {
    let folder = category();
    let root = folder.path();
    let list = || Category::open(root).expect("a category").test();
    GrayImage::new(8, 6)
        .save(root.join("ground_truth/hole/007.png"))
        .expect("saved");
    let alone = list().expect_err("refused").to_string();
    assert!(
        alone.contains("ground_truth/hole/007.png belongs to no image"),
        "{alone}"
    );
    fs::remove_file(root.join("ground_truth/hole/007.png")).expect("removed");
    fs::remove_file(root.join("ground_truth/scratch/000_mask.png")).expect("removed");
    let scratch = list().expect_err("refused").to_string();
    assert!(scratch.contains("ground_truth/scratch/000_mask.png"), "{scratch}");
    fs::remove_dir_all(root.join("ground_truth")).expect("removed");
    let none = list().expect_err("refused").to_string();
    assert!(none.contains("has no mask"), "{none}");
}

#[test]
fn pictures_that_cannot_be_masks_are_refused() {
    let folder = category();
    let root = folder.path();
    let mask = root.join("ground_truth/hole/000.png");
    let items = Category::open(root).expect("a category").test().expect("images");
    let load = |picture: GrayImage| {
        picture.save(&mask).expect("saved");
        items[1].load(4)
    };
    let refused = |picture| load(picture).expect_err("refused").to_string();
    let size = refused(GrayImage::new(9, 6));
    assert!(size.contains("9 x 6") && size.contains("8 x 6"), "{size}");
    let photo = refused(GrayImage::from_fn(8, 6, |x, y| {
        ::image::Luma([(30 * x + y) as u8])
    }));
    assert!(photo.contains("hole/000.png is grey in"), "{photo}");
    let counted = refused(GrayImage::from_fn(8, 6, |x, _| ::image::Luma([u8::from(x > 4)])));
    assert!(counted.contains("nowhere brighter than 1 of 255"), "{counted}");
    let soft = GrayImage::from_fn(8, 6, |x, y| {
        ::image::Luma([if (x, y) == (4, 3) {
            128
        } else {
            255 * u8::from(x > 4)
        }])
    });
    load(soft).expect("one grey pixel at the edge is fine");
}

#[test]
fn unreadable_images_are_reported_by_name() {
    let folder = category();
    fs::write(folder.path().join("train/good/broken.png"), "not a png").expect("written");
    let files = Category::open(folder.path())
        .expect("a category")
        .train_good()
        .expect("images");
    let loaded = load_good(&files, 4, Fit::Squash).expect("the others are fine");
    assert_eq!((loaded.images.len(), loaded.skipped.len()), (3, 1));
    assert!(loaded.skipped[0].to_string().contains("broken.png"));
    let broken = [folder.path().join("train/good/broken.png")];
    let error = load_good(&broken, 4, Fit::Squash)
        .expect_err("nothing is left")
        .to_string();
    assert!(
        error.contains("none of the 1 good images") && error.contains("broken.png"),
        "{error}"
    );
}

#[test]
fn folders_that_are_no_data_set_are_explained() {
    let open = |path: &Path| Category::open(path).expect_err("refused").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    assert!(open(&root.join("missing")).contains("does not exist"));
    assert!(open(root).contains("train/good/000.png"));
    fs::write(root.join("file"), "text").expect("written");
    assert!(open(&root.join("file")).contains("is a file"));
    fs::create_dir_all(root.join("train/good")).expect("created");
    let empty = Category::open(root).expect("the layout is right");
    assert!(
        empty
            .train_good()
            .expect_err("refused")
            .to_string()
            .contains("holds no images")
    );
    assert!(
        empty
            .test()
            .expect_err("refused")
            .to_string()
            .contains("no test folder")
    );
    fs::create_dir_all(root.join("test/good")).expect("created");
    assert!(
        empty
            .test()
            .expect_err("refused")
            .to_string()
            .contains("holds no images")
    );
}

#[test]
fn categories_of_a_data_set_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    save(&folder.path().join("tile/train/good/0.png"), 1);
    save(&folder.path().join("bottle/train/good/0.png"), 1);
    fs::create_dir_all(folder.path().join("docs")).expect("created");
    let found: Vec<String> = categories(folder.path())
        .expect("two")
        .into_iter()
        .map(|c| c.name)
        .collect();
    assert_eq!(found, ["bottle", "tile"]);
    let one = categories(&folder.path().join("tile")).expect("itself");
    assert_eq!(one[0].name, "tile");
    assert!(
        categories(&folder.path().join("docs"))
            .expect_err("refused")
            .to_string()
            .contains("train/good")
    );
    assert!(
        categories(&folder.path().join("missing"))
            .expect_err("refused")
            .to_string()
            .contains("does not exist")
    );
}
