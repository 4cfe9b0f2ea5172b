use ::image::Luma;

use super::*;

const SIZE: (u32, u32) = (50, 40);

fn marks(name: &str, text: &str) -> Result<Marks> {
    let file = MarkFile {
        name,
        bytes: Ok(text.as_bytes()),
    };
    read(&[file], "set/a/7.png", SIZE)
}

fn mask(marks: Result<Marks>) -> GrayImage {
    match marks.expect("is read") {
        Marks::Mask(mask) => mask,
        label @ Marks::Label(_) => panic!("{label:?}"),
    }
}

fn count(mask: &GrayImage) -> usize {
    mask.pixels().filter(|pixel| pixel.0[0] > 0).count()
}

fn labelme(shapes: &str) -> Result<Marks> {
    marks(
        "7.json",
        &format!(
            r#"{{"version":"5.4.1","shapes":[{shapes}],"imagePath":"7.png","imageData":null,"imageHeight":40,"imageWidth":50}}"#
        ),
    )
}

#[test]
fn outlines_of_labelme_are_masks() {
    let square = r#"{"label":"scratch","points":[[10,5],[30,5],[30,20],[10,20]],"shape_type":"polygon"}"#;
    let own = mask(labelme(square));
    assert_eq!((own.dimensions(), count(&own)), (SIZE, 20 * 15));
    assert_eq!(
        [own[(10, 5)], own[(29, 19)], own[(30, 19)], own[(9, 5)]],
        [255, 255, 0, 0].map(|v| Luma([v]))
    );
    // a triangle: of each row the centres left of its edge
    let own = mask(labelme(r#"{"label":"dent","points":[[0,0],[20,0],[0,20]]}"#));
    assert_eq!(count(&own), 19 * 20 / 2);
    let own = mask(labelme(
        r#"{"label":"hole","points":[[20,20],[30,20]],"shape_type":"circle"}"#,
    ));
    let area = std::f32::consts::PI * 100.0;
    assert!((count(&own) as f32 - area).abs() < 0.03 * area, "{}", count(&own));
    // beyond the border, and too thin for a centre
    let own = mask(labelme(
        r#"{"label":"hole","points":[[-9,-9],[60,-9],[60,60],[-9,60]]}"#,
    ));
    assert_eq!(count(&own), 50 * 40);
    let own = mask(labelme(
        r#"{"label":"crack","points":[[3.1,4.2],[3.2,4.3],[3.1,4.3]]}"#,
    ));
    assert_eq!((count(&own), own[(3, 4)]), (1, Luma([255])));
    // no defect at all
    assert_eq!(count(&mask(labelme(""))), 0);
    assert_eq!(
        count(&mask(labelme(r#"{"label":"OK","points":[[0,0],[9,0],[9,9]]}"#))),
        0
    );
}

#[test]
fn boxes_lines_and_points_give_the_class_alone() {
    for shape in ["rectangle", "line", "point", "linestrip"] {
        let own = labelme(&format!(
            r#"{{"label":"x","points":[[1,1],[9,9]],"shape_type":"{shape}"}}"#
        ));
        assert_eq!(own.expect("is read"), Marks::Label(true), "{shape}");
    }
    assert_eq!(
        marks("7.txt", "0 0.5 0.5 0.1 0.2\n1 .2 .2 .1 .1\n").expect("is read"),
        Marks::Label(true)
    );
    assert!(!marks("7.txt", "").expect("is read").is_defective());
    assert!(!marks("7.txt", "\n").expect("is read").is_defective());
    let own = mask(marks("7.txt", "3 0.2 0.125 0.6 0.125 0.6 0.5 0.2 0.5"));
    assert_eq!((count(&own), own[(10, 5)]), (20 * 15, Luma([255])));
}

/// A table of two images; `annotation` is of the second.
fn coco(annotation: &str) -> String {
    format!(
        r#"{{"info":{{}},"images":[{{"id":1,"file_name":"b/7.png","width":50,"height":40}},
        {{"id":2,"file_name":"a/7.png","width":50,"height":40}}],
        "annotations":[{{"id":1,"image_id":1,"category_id":1,"bbox":[0,0,9,9]}}{annotation}],
        "categories":[{{"id":1,"name":"hole"}},{{"id":2,"name":"part"}}]}}"#
    )
}

#[test]
fn a_table_of_coco_is_about_the_image_that_it_names() {
    let polygon = r#",{"id":2,"image_id":2,"category_id":1,"segmentation":[[10,5,30,5,30,20,10,20],[0,0,5,0,5,2,0,2]]}"#;
    assert_eq!(count(&mask(marks("all.json", &coco(polygon)))), 20 * 15 + 5 * 2);
    assert_eq!(
        names(coco("").as_bytes()).expect("is a table"),
        ["b/7.png", "a/7.png"]
    );
    assert_eq!(names(b"{\"images\":3}"), None);
    // nothing is said about it: good
    assert_eq!(count(&mask(marks("all.json", &coco("")))), 0);
    let part = r#",{"image_id":2,"category_id":2,"segmentation":[[10,5,30,5,30,20]]}"#;
    assert_eq!(count(&mask(marks("all.json", &coco(part)))), 0);
    let only_box = r#",{"image_id":2,"category_id":1,"bbox":[1,2,3,4],"segmentation":[]}"#;
    assert_eq!(
        marks("all.json", &coco(only_box)).expect("is read"),
        Marks::Label(true)
    );
    let table = coco("");
    let about = |image: &str| {
        let file = MarkFile {
            name: "all.json",
            bytes: Ok(table.as_bytes()),
        };
        read(&[file], image, SIZE).map_err(|err| err.to_string())
    };
    assert!(
        about("c/8.png")
            .expect_err("is not named")
            .contains("do not name this image")
    );
    assert!(
        about("7.png")
            .expect_err("is named twice")
            .contains("several images")
    );
    assert_eq!(about("b/7.png").expect("is named"), Marks::Label(true));
}

/// The numbers are those of pycocotools 2.0.11 for a rectangle, a pixel and a line.
#[test]
fn run_lengths_of_coco_are_those_of_its_own_tools() {
    let packed = r#",{"image_id":2,"category_id":1,"segmentation":{"size":[40,50],"counts":"e<?i00000000000000000000000000000000000000\\=BSGS1J"}}"#;
    let own = mask(marks("all.json", &coco(packed)));
    let expected = GrayImage::from_fn(50, 40, |x, y| {
        let is_marked = (10..30).contains(&x) && (5..20).contains(&y)
            || (x, y) == (40, 33)
            || x == 45 && (2..38).contains(&y);
        Luma([255 * u8::from(is_marked)])
    });
    assert!(own == expected, "{} pixels", count(&own));
    let plain = r#",{"image_id":2,"category_id":1,"segmentation":{"size":[40,50],"counts":[3,4,1993]}}"#;
    let own = mask(marks("all.json", &coco(plain)));
    assert_eq!(
        (count(&own), own[(0, 3)], own[(0, 7)]),
        (4, Luma([255]), Luma([0]))
    );
    // of another size, or too long: the class alone
    for wrong in [
        r#""size":[50,40],"counts":[3,4]"#,
        r#""size":[40,50],"counts":[3,4000]"#,
        r#""size":[40,50],"counts":"~""#,
    ] {
        let text = coco(&format!(
            r#",{{"image_id":2,"category_id":1,"segmentation":{{{wrong}}}}}"#
        ));
        assert_eq!(
            marks("all.json", &text).expect("is read"),
            Marks::Label(true),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_no_annotation_is_said() {
    let said = |name: &str, text: &str| marks(name, text).expect_err("is refused").to_string();
    assert!(said("7.json", "{}").contains("no annotation of LabelMe or COCO"));
    assert!(said("7.txt", "a photo of a pill").contains("no annotation of YOLO"));
    assert!(said("7.txt", "0 1 2").contains("no annotation of YOLO"));
    assert!(said("7.json", r#"{"shapes":[]}"#).contains("imageWidth"));
    let huge = r#"{"shapes":[],"imageWidth":900000,"imageHeight":900000}"#;
    assert!(said("7.json", huge).contains("too large"));
}

#[test]
fn outlines_and_boxes_of_one_image_are_united() {
    let outline =
        r#"{"shapes":[{"label":"x","points":[[0,0],[9,0],[9,9],[0,9]]}],"imageWidth":50,"imageHeight":40}"#;
    let files = |other: &'static str| {
        [
            MarkFile {
                name: "a.json",
                bytes: Ok(outline.as_bytes()),
            },
            MarkFile {
                name: "a.txt",
                bytes: Ok(other.as_bytes()),
            },
        ]
    };
    assert_eq!(
        read(&files("0 .5 .5 .1 .1"), "a.png", SIZE).expect("is read"),
        Marks::Label(true)
    );
    assert_eq!(count(&mask(read(&files(""), "a.png", SIZE))), 81);
}
