use super::*;
use crate::evaluation::{CategoryReport, Curves, ImageResult, Instance, KindRow, Metric, Metrics, Missing};
use crate::metrics::Ranking;
use crate::verdict::decision::Thresholds;

fn evaluation() -> Evaluation {
    let image = |name: &str, class: Class, score: f32| ImageResult {
        name: name.into(),
        class,
        size: (8, 8),
        score: Some(score),
        ..ImageResult::default()
    };
    let hole = || Class::Defective("hole & <crack>".into());
    let mut found = image("test/hole/1.png", hole(), 0.9);
    found.instances = Some(vec![
        Instance {
            area: 3,
            found_at: 0.7,
        },
        Instance {
            area: 5,
            found_at: 0.2,
        },
    ]);
    found.truth = vec![vec![(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)]];
    let mut broken = image("test/good/3.png", Class::Good, 0.0);
    broken.score = None;
    broken.problem = Some("the file is empty: choose another".into());
    let images = vec![
        image("test/good/1.png", Class::Good, 0.1),
        image("test/good/2.png", Class::Good, 0.6),
        found,
        image("test/hole/2.png", hole(), 0.3),
        broken,
    ];
    let metrics = Metrics::from_fn(|metric| (metric == Metric::ImageAuc).then_some(0.75));
    let ranking = Ranking::new(&[0.1, 0.6, 0.9, 0.3], &[false, false, true, true]).expect("fits");
    Evaluation {
        report: CategoryReport {
            category: "plates".into(),
            images: images.len(),
            segmentation: Some(metrics),
            ..CategoryReport::default()
        },
        model: "plates.safetensors".into(),
        thresholds: Some(Thresholds {
            image: 0.5,
            ..Thresholds::default()
        }),
        side: 8,
        images,
        kinds: vec![KindRow {
            kind: "hole & <crack>".into(),
            images: 2,
            metrics,
            detected: Some(0.5),
        }],
        curves: Curves {
            image_roc: ranking.roc(),
            image_pr: ranking.precision_recall(),
            ..Curves::default()
        },
        missing: vec![Missing {
            figure: "pixel AUC".into(),
            reason: "no masks".into(),
        }],
        notes: vec!["No defective image has a mask.".into()],
    }
}

#[test]
fn the_page_needs_nothing_else_and_says_everything() {
    let own = evaluation();
    let pictures = vec![vec![1, 2, 3], vec![4], vec![5], vec![6], vec![]];
    let part = Part {
        evaluation: &own,
        pictures: &pictures,
        threshold: 0.5,
    };
    let page = html(&[part]);
    for foreign in ["http:", "https:", "<script", "src=\"/", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for words in [
        "plates.safetensors on plates",
        "hole &amp; &lt;crack&gt;",
        "No defective image has a mask.",
        "pixel AUC: no masks.",
        "false alarm",
        "missed: hole",
        "1 of 2 defects marked",
        "the file is empty",
        "data:image/jpeg;base64,AQID",
        "n/a",
        "75.0",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert_eq!(page.matches("<img ").count(), 4);
    assert!(!page.contains("<crack>"));
    let wrong = page.find("false alarm").expect("is there");
    assert!(wrong < page.find("Right decisions").expect("is there"));
    // two parts begin with a comparison
    let both = html(&[part, part]);
    assert!(both.contains("Models on the same images") && !page.contains("Models on the same images"));
}

#[test]
fn tables_hold_every_image() {
    let own = evaluation();
    let table = csv(&own, 0.5);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[3],
        "test/hole/1.png,hole & <crack>,true,0.9,,true,2,1,0.0,,,,,"
    );
    assert!(
        lines[5].starts_with("test/good/3.png,good,false,,,,"),
        "{}",
        lines[5]
    );
    let back: Evaluation = serde_json::from_str(&json(&own)).expect("is JSON");
    assert_eq!(back, own);
}
