use super::*;

fn shown(set: &LabelledSet) -> Vec<(&str, &str, Option<usize>)> {
    assert!(set.images.iter().all(|image| image.masks.len() < 2));
    let images = set.images.iter();
    images
        .map(|image| (&*image.name, image.class.name(), image.masks.first().copied()))
        .collect()
}

#[test]
fn the_layout_of_mvtec() {
    let set = classify_paths(&[
        "bottle/train/good/000.png",
        "bottle/test/good/000.png",
        "bottle/test/crack/000.png",
        "bottle/test/hole/000.png",
        "bottle/ground_truth/crack/000_mask.png",
        "bottle/ground_truth/hole/000.PNG",
        "bottle/license.txt",
        "bottle/test/good/.hidden.png",
        "__MACOSX/bottle/test/good/000.png",
        "bottle/test/good/001.avif",
    ]);
    assert_eq!(set.name.as_deref(), Some("bottle"));
    assert_eq!(set.train_good, [0]);
    assert_eq!(
        shown(&set),
        [
            ("test/good/000.png", "good", None),
            ("test/crack/000.png", "crack", Some(4)),
            ("test/hole/000.png", "hole", Some(5)),
        ]
    );
    assert_eq!(
        set.notes,
        [
            "1 image is left out (the first: bottle/test/good/001.avif): AVIF files are not read here; convert them to PNG or \
             JPEG."
        ]
    );
}

#[test]
fn who_opens_more_kinds_of_files_gets_them() {
    let paths = ["good/1.AVIF", "dent/2.heic", "dent/3.jp2"];
    let set = classify(&paths, &[], &crate::data::paths::BY_BROWSER);
    assert_eq!(
        shown(&set),
        [("good/1.AVIF", "good", None), ("dent/2.heic", "dent", None)]
    );
    assert!(set.notes.join(" ").contains("JP2 files are not read here"));
    assert!(classify_paths(&paths).images.is_empty());
}

#[test]
fn good_and_defective_with_and_without_masks() {
    let set = classify_paths(&["a/good/1.jpg", "a/defective/2.jpg", "a/masks/2.png"]);
    assert_eq!(
        shown(&set),
        [
            ("good/1.jpg", "good", None),
            ("defective/2.jpg", "defective", Some(2))
        ]
    );
    assert!(set.notes.is_empty(), "{:?}", set.notes);
    let set = classify_paths(&["good/1.jpg", "scratch/2.jpg", "scratch/2_mask.png", "dent/3.jpg"]);
    assert_eq!(
        shown(&set)[1..],
        [
            ("dent/3.jpg", "dent", None),
            ("scratch/2.jpg", "scratch", Some(2))
        ]
    );
    let set = classify_paths(&[
        "x/good/1.jpg",
        "x/scratch/2.jpg",
        "x/scratch/2_mask.png",
        "x/bad/dent/3.jpg",
    ]);
    assert_eq!(
        shown(&set)[1..],
        [
            ("bad/dent/3.jpg", "dent", None),
            ("scratch/2.jpg", "scratch", Some(2))
        ]
    );
    assert!(set.notes[0].contains("1 defective image has no mask (the first: bad/dent/3.jpg)"));
    let set = classify_paths(&["set/bad/7.png", "set/good/7.png", "set/gt/bad/7.png"]);
    assert_eq!(shown(&set)[1], ("bad/7.png", "defective", Some(2)));
}

#[test]
fn what_is_odd_is_said() {
    let notes = |paths: &[&str]| classify_paths(paths).notes.join(" ");
    assert!(notes(&["notes.txt"]).contains("no images to evaluate"));
    assert!(notes(&["d/good/1.png"]).contains("No image is labelled defective"));
    assert!(notes(&["d/bad/1.png"]).contains("No image is labelled good"));
    assert!(notes(&["1.png", "2.png"]).contains("2 images lie in no folder"));
    let orphan = notes(&["d/good/1.png", "d/bad/2.png", "d/masks/9.png"]);
    assert!(orphan.contains("No defective image has a mask"), "{orphan}");
    assert!(
        orphan.contains("1 mask belongs to no defective image (the first: d/masks/9.png)"),
        "{orphan}"
    );
}

#[test]
fn layouts_of_the_field() {
    let classes = |paths: &[&str]| -> Vec<(String, String, Vec<usize>)> {
        let images = classify_paths(paths).images.into_iter();
        images
            .map(|image| (image.name, image.class.name().to_owned(), image.masks))
            .collect()
    };
    let is = |paths: &[&str], expected: &[(&str, &str, &[usize])]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(name, class, masks)| (name.to_owned(), class.to_owned(), masks.to_vec()))
            .collect();
        assert_eq!(classes(paths), expected);
    };
    // two categories with the same names below
    is(
        &[
            "d/bottle/test/hole/000.png",
            "d/capsule/test/hole/000.png",
            "d/bottle/ground_truth/hole/000_mask.png",
            "d/capsule/ground_truth/hole/000_mask.png",
            "d/bottle/test/good/000.png",
        ],
        &[
            ("bottle/test/good/000.png", "good", &[]),
            ("bottle/test/hole/000.png", "hole", &[2]),
            ("capsule/test/hole/000.png", "hole", &[3]),
        ],
    );
    // MVTec LOCO: a folder of masks for each image
    is(
        &[
            "test/good/000.png",
            "test/logical/000.png",
            "test/logical/003.png",
            "ground_truth/logical/000/000.png",
            "ground_truth/logical/003/000.png",
            "ground_truth/logical/003/001.png",
        ],
        &[
            ("test/good/000.png", "good", &[]),
            ("test/logical/000.png", "logical", &[3]),
            ("test/logical/003.png", "logical", &[4, 5]),
        ],
    );
    // lots below the classes
    is(
        &[
            "test/good/lot_0/000.png",
            "test/hole/lot_0/000.png",
            "train/good/lot_0/1.png",
        ],
        &[
            ("test/good/lot_0/000.png", "good", &[]),
            ("test/hole/lot_0/000.png", "hole", &[]),
        ],
    );
    assert_eq!(
        classify_paths(&["test/good/a/0.png", "train/good/lot_0/1.png"]).train_good,
        [1]
    );
    // MVTec 3D-AD: pictures and heights side by side
    is(
        &[
            "test/crack/rgb/000.png",
            "test/crack/gt/000.png",
            "test/crack/xyz/000.tiff",
            "test/good/rgb/000.png",
        ],
        &[
            ("good/rgb/000.png", "good", &[]),
            ("crack/rgb/000.png", "crack", &[1]),
        ],
    );
    // MVTec AD 2: what is kept back has no class
    is(
        &[
            "test_public/good/0.png",
            "test_public/bad/1.png",
            "test_public/ground_truth/bad/1_mask.png",
            "test_private/2.png",
            "test_private_mixed/3.png",
            "validation/good/4.png",
        ],
        &[
            ("test_public/good/0.png", "good", &[]),
            ("test_public/bad/1.png", "defective", &[2]),
            ("test_private/2.png", "no class", &[]),
            ("test_private_mixed/3.png", "no class", &[]),
        ],
    );
    // VisA
    is(
        &[
            "candle/Data/Images/Normal/0.JPG",
            "candle/Data/Images/Anomaly/000.JPG",
            "candle/Data/Masks/Anomaly/000.png",
        ],
        &[
            ("Images/Normal/0.JPG", "good", &[]),
            ("Images/Anomaly/000.JPG", "defective", &[2]),
        ],
    );
    // BTAD
    is(
        &[
            "01/test/ok/1.bmp",
            "01/test/ko/2.bmp",
            "01/ground_truth/ko/2.png",
            "01/train/ok/3.bmp",
        ],
        &[
            ("test/ok/1.bmp", "good", &[]),
            ("test/ko/2.bmp", "defective", &[2]),
        ],
    );
    assert_eq!(
        classify_paths(&["01/test/ok/1.bmp", "01/train/ok/3.bmp"]).train_good,
        [1]
    );
    // KolektorSDD: masks beside their images tell the class
    is(
        &[
            "kos00/Part0.jpg",
            "kos00/Part0_label.bmp",
            "kos01/Part0.jpg",
            "kos01/Part0_label.bmp",
        ],
        &[
            ("kos00/Part0.jpg", "no class", &[1]),
            ("kos01/Part0.jpg", "no class", &[3]),
        ],
    );
    // KolektorSDD2
    is(
        &[
            "test/20000.png",
            "test/20000_GT.png",
            "train/1.png",
            "train/1_GT.png",
        ],
        &[("test/20000.png", "no class", &[1])],
    );
    assert_eq!(
        classify_paths(&["train/1.png", "train/1_GT.png", "train/2.png"]).train_masked,
        [(0, vec![1])]
    );
    // masks in folders with other names
    is(
        &["test/bad/0.png", "test/good/0.png", "labels/bad/0.png"],
        &[
            ("test/good/0.png", "good", &[]),
            ("test/bad/0.png", "defective", &[2]),
        ],
    );
    is(
        &["good/1.png", "bad/1.png", "bad_masks/1.png"],
        &[("good/1.png", "good", &[]), ("bad/1.png", "defective", &[2])],
    );
    // a photo of a label is no mask
    is(
        &["good/bottle_label.png", "bad/cap_label.png"],
        &[
            ("good/bottle_label.png", "good", &[]),
            ("bad/cap_label.png", "defective", &[]),
        ],
    );
    // one folder of masks for two kinds with equal names: nobody knows whose it is
    let paths = ["good/1.png", "hole/1.png", "dent/1.png", "masks/1.png"];
    let set = classify_paths(&paths);
    assert!(set.images.iter().all(|image| image.masks.is_empty()));
    assert!(
        set.notes
            .iter()
            .any(|note| note.contains("1 mask belongs to no defective image")),
        "{:?}",
        set.notes
    );
}

#[test]
fn masks_of_training_images_are_not_those_of_test_images() {
    let paths = ["train/1.png", "train/1_GT.png", "test/1.png", "test/1_GT.png"];
    let set = classify_paths(&paths);
    assert_eq!((set.images[0].file, &*set.images[0].masks), (2, &[3][..]));
    assert_eq!(set.train_masked, [(0, vec![1])]);
    let set = classify_paths(&["train/bad/1.png", "train/bad/1_mask.png", "test/bad/1.png"]);
    assert!(set.images[0].masks.is_empty());
}

#[test]
fn folders_beside_test_are_no_kinds_of_defects() {
    let set = classify_paths(&[
        "b/test/good/0.png",
        "b/test/hole/1.png",
        "b/result/1.overlay.png",
        "b/val/good/2.png",
        "b/train/defective/io/3.png",
        "b/train/good/4.png",
    ]);
    assert_eq!(
        shown(&set),
        [
            ("test/good/0.png", "good", None),
            ("test/hole/1.png", "hole", None),
            ("result/1.overlay.png", "no class", None)
        ]
    );
    assert_eq!(set.train_good, [5]);
}

#[test]
fn an_image_may_be_called_like_a_mask() {
    let set = classify_paths(&[
        "good/0.png",
        "bad/cap.png",
        "bad2/cap_label.png",
        "masks/cap_label.png",
    ]);
    let masks: Vec<(&str, &[usize])> = set.images.iter().map(|own| (&*own.name, &*own.masks)).collect();
    assert_eq!(
        masks,
        [
            ("good/0.png", &[][..]),
            ("bad2/cap_label.png", &[3]),
            ("bad/cap.png", &[])
        ]
    );
}

#[test]
fn what_was_understood_is_said() {
    let set = classify_paths(&[
        "test/good/0.png",
        "test/hole/1.png",
        "test/dent/2.png",
        "ground_truth/hole/1_mask.png",
        "test_private/4.png",
    ]);
    assert_eq!(
        set.summary(),
        "4 test images: 1 good, 2 defective (1 dent, 1 hole), 1 without a label; 1 of them with masks"
    );
}

/// Name, class and files of all images.
fn marked<S: AsRef<str>>(paths: &[S], texts: &[(usize, Vec<u8>)]) -> Vec<(String, String, Vec<usize>)> {
    let images = classify(paths, texts, &[]).images.into_iter();
    images
        .map(|image| (image.name, image.class.name().to_owned(), image.masks))
        .collect()
}

fn images(expected: &[(&str, &str, &[usize])]) -> Vec<(String, String, Vec<usize>)> {
    let own =
        |&(name, class, masks): &(&str, &str, &[usize])| (name.to_owned(), class.to_owned(), masks.to_vec());
    expected.iter().map(own).collect()
}

#[test]
fn annotations_take_the_place_of_masks() {
    // LabelMe beside its images, a mask that is painted counts more
    let paths = [
        "d/bad/1.png",
        "d/bad/1.json",
        "d/bad/2.png",
        "d/bad/2.json",
        "d/bad/2_mask.png",
        "d/good/3.png",
    ];
    assert!(texts_to_read(&paths).is_empty());
    assert_eq!(
        marked(&paths, &[]),
        images(&[
            ("good/3.png", "good", &[]),
            ("bad/1.png", "defective", &[1]),
            ("bad/2.png", "defective", &[4])
        ])
    );
    // YOLO in folders of its own, with a split
    let paths = [
        "images/test/a.jpg",
        "labels/test/a.txt",
        "images/train/b.jpg",
        "labels/train/b.txt",
        "classes.txt",
    ];
    assert_eq!(marked(&paths, &[]), images(&[("test/a.jpg", "no class", &[1])]));
    assert_eq!(classify_paths(&paths).train_masked, [(2, vec![3])]);
}

fn coco(names: &[&str]) -> Vec<u8> {
    let images: Vec<String> = (0..)
        .zip(names)
        .map(|(id, name)| format!(r#"{{"id":{id},"file_name":"{name}","width":9,"height":9}}"#))
        .collect();
    format!(r#"{{"images":[{}],"annotations":[]}}"#, images.join(",")).into_bytes()
}

#[test]
fn tables_of_coco_are_about_the_images_that_they_name() {
    let paths = [
        "d/annotations/val.json",
        "d/val/images/1.png",
        "d/images/2.png",
        "d/images/3.png",
        "d/config.json",
    ];
    assert_eq!(texts_to_read(&paths), [0, 4]);
    let texts = [
        (0, coco(&["2.png", "other.png"])),
        (4, b"{\"images\":[]}".to_vec()),
    ];
    assert_eq!(
        marked(&paths, &texts),
        images(&[
            ("images/2.png", "no class", &[0]),
            ("images/3.png", "no class", &[])
        ])
    );
    // one in each folder
    let paths = [
        "train/_a.coco.json",
        "train/1.png",
        "test/_a.coco.json",
        "test/1.png",
        "_a.coco.json",
    ];
    let texts = [0, 2, 4].map(|file| (file, coco(&["1.png"])));
    let set = classify(&paths, &texts, &[]);
    assert_eq!(set.train_masked, [(1, vec![0])]);
    assert_eq!(
        marked(&paths, &texts),
        images(&[("test/1.png", "no class", &[2])])
    );
}

#[test]
fn a_table_says_what_the_images_of_visa_are_for() {
    let paths = [
        "candle/Data/Images/Normal/0.JPG",
        "candle/Data/Images/Normal/1.JPG",
        "candle/Data/Images/Anomaly/0.JPG",
        "candle/Data/Masks/Anomaly/0.png",
        "candle/Data/Images/Anomaly/1.JPG",
        "split_csv/1cls.csv",
    ];
    assert_eq!(texts_to_read(&paths), [5]);
    let table = "object,split,label,image,mask\n\
                 candle,train,normal,candle/Data/Images/Normal/0.JPG,\n\
                 candle,test,normal,candle/Data/Images/Normal/1.JPG,\n\
                 candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png\n\
                 candle,train,anomaly,candle/Data/Images/Anomaly/1.JPG,\n\
                 pcb1,train,normal,pcb1/Data/Images/Normal/0.JPG,\n";
    let texts = [(5, table.as_bytes().to_vec())];
    let set = classify(&paths, &texts, &[]);
    assert_eq!((&set.train_good[..], set.has_split), (&[0][..], true));
    assert_eq!(
        marked(&paths, &texts),
        images(&[
            ("Images/Normal/1.JPG", "good", &[]),
            ("Images/Anomaly/0.JPG", "defective", &[3]),
        ])
    );
    // a table of something else says nothing
    let texts = [(5, b"image,score\ncandle/Data/Images/Normal/0.JPG,3\n".to_vec())];
    assert_eq!(classify(&paths, &texts, &[]), classify_paths(&paths));
}

#[test]
fn a_table_without_a_split_leaves_the_folders_theirs() {
    let paths = [
        "b/train/good/0.png",
        "b/test/good/1.png",
        "b/test/hole/2.png",
        "b/ground_truth/hole/2_mask.png",
        "b/labels.csv",
    ];
    let table =
        "image,label\ntrain/good/0.png,good\n./test/good/1.png,good\ntest/hole/2.png,\"hole, large\"\n";
    let set = classify(&paths, &[(4, table.as_bytes().to_vec())], &[]);
    assert_eq!((&set.train_good[..], set.has_split), (&[0][..], true));
    let found: Vec<(&str, &str, &[usize])> = set
        .images
        .iter()
        .map(|own| (&*own.name, own.class.name(), &own.masks[..]))
        .collect();
    assert_eq!(
        found,
        [
            ("test/good/1.png", "good", &[][..]),
            ("test/hole/2.png", "hole, large", &[3])
        ]
    );
    // a column of something else is no class
    let table = "image,label\ntrain/good/0.png,bottle\ntest/good/1.png,bottle\n";
    assert_eq!(
        classify(&paths, &[(4, table.as_bytes().to_vec())], &[]),
        classify_paths(&paths)
    );
    // names of nothing that is here
    let table = "image,label\nother/0.png,good\n";
    let notes = classify(&paths, &[(4, table.as_bytes().to_vec())], &[]).notes;
    assert!(notes[0].contains("names none of the images here"), "{notes:?}");
}

#[test]
fn of_the_tables_of_visa_the_published_one_counts() {
    let paths = [
        "a/0.png",
        "split_csv/2cls_highshot.csv",
        "split_csv/1cls.csv",
        "other/x.csv",
        "a/0.png.json",
    ];
    assert_eq!(texts_to_read(&paths), [2, 3]);
}
