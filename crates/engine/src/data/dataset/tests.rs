use std::fs;
use std::path::Path;

use super::*;
use crate::config::InputLayout;
use crate::data::image::{GrayImage, Rgb, RgbImage};
use crate::data::mask;

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
    let loaded = load_good(&files, 4, InputLayout::Squash).expect("loaded");
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
fn a_folder_is_sorted_out() {
    let folder = category();
    let test = TestSet::open(folder.path()).expect("has images");
    let shown: Vec<_> = test
        .set
        .images
        .iter()
        .map(|image| {
            (
                image.name.as_str(),
                image.masks.first().map(|mask| &test.files[*mask]),
            )
        })
        .collect();
    let path = |name: &str| folder.path().join("ground_truth").join(name);
    assert_eq!(
        shown,
        [
            ("test/good/000.png", None),
            ("test/hole/000.bmp", Some(&path("hole/000.png"))),
            ("test/scratch/000.png", Some(&path("scratch/000_mask.png"))),
        ]
    );
    assert_eq!(test.set.train_good.len(), 3);
    let read = mask::read(&path("hole/000.png")).expect("reads");
    let half = mask::truth(&read, 4).expect("is a mask");
    assert!(half.chunks(4).all(|row| row == [true, true, false, false]));
}

#[test]
fn unreadable_images_are_reported_by_name() {
    let folder = category();
    fs::write(folder.path().join("train/good/broken.png"), "not a png").expect("written");
    let files = Category::open(folder.path())
        .expect("a category")
        .train_good()
        .expect("images");
    let loaded = load_good(&files, 4, InputLayout::Squash).expect("the others are fine");
    assert_eq!((loaded.images.len(), loaded.skipped.len()), (3, 1));
    assert!(loaded.skipped[0].to_string().contains("broken.png"));
    let broken = [folder.path().join("train/good/broken.png")];
    let error = load_good(&broken, 4, InputLayout::Squash)
        .expect_err("nothing is left")
        .to_string();
    assert!(
        error.contains("of 1 good image none can be used") && error.contains("broken.png"),
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
    let test = || TestSet::open(root).expect_err("refused").to_string();
    assert!(test().contains("no test folder"));
    fs::create_dir_all(root.join("test/good")).expect("created");
    assert!(test().contains("holds no images"));
    assert!(TestSet::open(&root.join("missing")).is_err());
}

#[test]
fn a_folder_of_folders_says_where_its_images_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    save(&root.join("test/hole/0.png"), 1);
    save(&root.join(".hidden/0.png"), 1);
    fs::create_dir_all(root.join("test/empty")).expect("created");
    let said = some_image_files(root).expect_err("refused").to_string();
    let inner = root.join("test/hole");
    assert!(
        said.ends_with(&format!("give one of those, such as {}", inner.display())),
        "{said}"
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
