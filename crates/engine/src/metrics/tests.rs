use proptest::prelude::*;

use super::*;
use crate::data::map::AnomalyMap;
use crate::test_support::{self, Fixture};

/// Scores and masks of images of 6 x 5, with many ties and both zeros.
const SIZE: (usize, usize) = (6, 5);

fn cases() -> impl Strategy<Value = (Vec<f32>, Vec<bool>)> {
    (1usize..4).prop_flat_map(|images| {
        let count = images * SIZE.0 * SIZE.1;
        let score = prop_oneof![
            (0u8..6).prop_map(|v| f32::from(v) / 5.0),
            Just(-0.0),
            -1.0f32..1.0
        ];
        (
            prop::collection::vec(score, count),
            prop::collection::vec(prop::bool::weighted(0.3), count),
        )
    })
}

fn distinct_descending(scores: &[f32]) -> Vec<f32> {
    let mut scores = scores.to_vec();
    scores.sort_by(|a, b| b.partial_cmp(a).expect("no NaN"));
    scores.dedup();
    scores
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Flagged entries: all, and those of them that are defective.
fn counts(scores: &[f32], labels: &[bool], threshold: f32) -> (usize, usize) {
    let flagged = scores
        .iter()
        .zip(labels)
        .filter(|(score, _)| **score >= threshold);
    (
        flagged.clone().count(),
        flagged.filter(|(_, label)| **label).count(),
    )
}

fn naive_auc(scores: &[f32], labels: &[bool]) -> f64 {
    let of = |kind| {
        scores
            .iter()
            .zip(labels)
            .filter(move |(_, l)| **l == kind)
            .map(|(s, _)| *s)
    };
    let (mut wins, mut pairs) = (0.0, 0.0);
    for positive in of(true) {
        for negative in of(false) {
            pairs += 1.0;
            wins += if positive > negative {
                1.0
            } else if positive == negative {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / pairs
}

fn naive_ap(scores: &[f32], labels: &[bool]) -> f64 {
    let total = labels.iter().filter(|l| **l).count();
    let (mut sum, mut recall) = (0.0, 0.0);
    for threshold in distinct_descending(scores) {
        let (flagged, found) = counts(scores, labels, threshold);
        sum += (share(found, total) - recall) * share(found, flagged);
        recall = share(found, total);
    }
    sum
}

fn naive_f1(scores: &[f32], labels: &[bool]) -> f64 {
    let total = labels.iter().filter(|l| **l).count();
    let f1 = |threshold| {
        let (flagged, found) = counts(scores, labels, threshold);
        let (precision, recall) = (share(found, flagged), share(found, total));
        if found == 0 {
            0.0
        } else {
            2.0 * precision * recall / (precision + recall)
        }
    };
    distinct_descending(scores)
        .into_iter()
        .map(f1)
        .fold(0.0, f64::max)
}

/// Regions as lists of pixel indices, by merging touching pixels until nothing changes.
fn naive_regions(masks: &[bool]) -> Vec<Vec<usize>> {
    let (width, area) = (SIZE.0, SIZE.0 * SIZE.1);
    let place = |i: usize| (i / area, (i % area / width) as i64, (i % width) as i64);
    let touch = |a: usize, b: usize| {
        let (a, b) = (place(a), place(b));
        a.0 == b.0 && (a.1 - b.1).abs() <= 1 && (a.2 - b.2).abs() <= 1
    };
    let mut regions: Vec<Vec<usize>> = (0..masks.len()).filter(|&i| masks[i]).map(|i| vec![i]).collect();
    'merge: loop {
        for a in 0..regions.len() {
            for b in a + 1..regions.len() {
                if regions[a]
                    .iter()
                    .any(|&i| regions[b].iter().any(|&j| touch(i, j)))
                {
                    let other = regions.swap_remove(b);
                    regions[a].extend(other);
                    continue 'merge;
                }
            }
        }
        return regions;
    }
}

fn naive_aupro(scores: &[f32], masks: &[bool], limit: f64) -> f64 {
    let regions = naive_regions(masks);
    let background = masks.iter().filter(|m| !**m).count();
    let mut curve = vec![(0.0, 0.0)];
    for threshold in distinct_descending(scores) {
        let (flagged, found) = counts(scores, masks, threshold);
        let overlap: f64 = regions
            .iter()
            .map(|region| {
                share(
                    region.iter().filter(|&&i| scores[i] >= threshold).count(),
                    region.len(),
                )
            })
            .sum();
        curve.push((share(flagged - found, background), overlap / regions.len() as f64));
    }
    let area: f64 = curve
        .windows(2)
        .map(|pair| {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            if x0 >= limit || x1 == x0 {
                return 0.0;
            }
            let end = x1.min(limit);
            let y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0);
            (end - x0) * (y0 + y_end) / 2.0
        })
        .sum();
    area / limit
}

fn naive_iap(scores: &[f32], masks: &[bool]) -> (f64, f64) {
    let mut thresholds: Vec<f32> = naive_regions(masks)
        .iter()
        .map(|region| {
            let mut values: Vec<f32> = region.iter().map(|&i| scores[i]).collect();
            values.sort_by(|a, b| b.partial_cmp(a).expect("no NaN"));
            values[values.len() / 2]
        })
        .collect();
    thresholds.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    let precision = |threshold| {
        let (flagged, found) = counts(scores, masks, threshold);
        share(found, flagged)
    };
    let interpolated: Vec<f64> = (0..thresholds.len())
        .map(|i| thresholds[..=i].iter().map(|&t| precision(t)).fold(0.0, f64::max))
        .collect();
    // Ten times the missed instances must not exceed all instances.
    let last = (0..thresholds.len())
        .filter(|i| 10 * i <= thresholds.len())
        .max()
        .expect("one region");
    (
        interpolated.iter().sum::<f64>() / interpolated.len() as f64,
        interpolated[last],
    )
}

fn close(a: f64, b: f64) -> Result<(), TestCaseError> {
    prop_assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    Ok(())
}

proptest! {
    #[test]
    fn agrees_with_the_definitions((scores, masks) in cases(), limit in 0.01f64..1.0) {
        let any = masks.iter().any(|m| *m);
        let all = masks.iter().all(|m| *m);
        let ranking = Ranking::of_images(&scores, &masks, SIZE).expect("well formed");
        prop_assert_eq!(ranking.auc().is_ok(), any && !all);
        prop_assert_eq!(ranking.aupro(limit).is_ok(), any && !all);
        prop_assert_eq!(ranking.average_precision().is_ok(), any);
        prop_assert_eq!(ranking.instance_ap().is_ok(), any);
        if any {
            close(average_precision(&scores, &masks).expect("defined"), naive_ap(&scores, &masks))?;
            let (threshold, f1) = best_f1_threshold(&scores, &masks).expect("defined");
            close(f1, naive_f1(&scores, &masks))?;
            let (flagged, found) = counts(&scores, &masks, threshold);
            let total = masks.iter().filter(|m| **m).count();
            close(f1, 2.0 * found as f64 / (flagged + total) as f64)?;
            let ours = instance_ap(&scores, &masks, SIZE).expect("defined");
            let (iap, iap90) = naive_iap(&scores, &masks);
            close(ours.iap, iap)?;
            close(ours.iap90, iap90)?;
            prop_assert_eq!(ours.instances, naive_regions(&masks).len());
        }
        if any && !all {
            close(pixel_auc(&scores, &masks).expect("defined"), naive_auc(&scores, &masks))?;
            close(aupro(&scores, &masks, SIZE, limit).expect("defined"), naive_aupro(&scores, &masks, limit))?;
        }
    }
}

#[test]
fn reference_cases() {
    let Ok(expected) = std::fs::read(test_support::path("metrics_expected.json")) else {
        eprintln!("skipped: metrics_expected.json is not there");
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("JSON");
    for case in ["case1", "case2", "case3"] {
        let Some(fixture) = Fixture::open(&format!("metrics_{case}.safetensors")) else {
            return;
        };
        let expected = &expected[case];
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        let near = |ours: f64, theirs: &serde_json::Value, tolerance: f64| {
            assert!(
                (ours - number(theirs)).abs() <= tolerance,
                "{case}: {ours} is not {theirs}"
            );
        };
        let scores = fixture.f32("preds");
        let masks: Vec<bool> = fixture.u8("masks").into_iter().map(|v| v != 0).collect();
        assert_eq!(fixture.shape("preds"), [12, 1, 64, 64]);

        let regions = &expected["kornia_gpu_path"];
        let pro = aupro(&scores, &masks, (64, 64), AUPRO_LIMIT).expect("defined");
        near(pro, &regions["aupro"], 1e-3);
        near(pro, &regions["aupro_exact"], 1e-6);
        let iap = instance_ap(&scores, &masks, (64, 64)).expect("defined");
        near(iap.iap, &regions["iap"], 1e-6);
        near(iap.iap90, &regions["iap90"], 1e-6);
        assert_eq!(Some(iap.instances as u64), regions["n_instances"].as_u64());
        near(
            pixel_auc(&scores, &masks).expect("defined"),
            &expected["pixel_auc"],
            1e-5,
        );
        near(
            average_precision(&scores, &masks).expect("defined"),
            &expected["pixel_ap"],
            1e-5,
        );

        let image_scores: Vec<f32> = scores
            .chunks(64 * 64)
            .map(|values| AnomalyMap::new(64, 64, values.to_vec()).expect("finite").score())
            .collect();
        let labels: Vec<bool> = masks.chunks(64 * 64).map(|mask| mask.contains(&true)).collect();
        for (i, (&ours, &label)) in image_scores.iter().zip(&labels).enumerate() {
            near(f64::from(ours), &expected["image_scores"][i], 1e-6);
            assert_eq!(
                u64::from(label),
                expected["image_labels"][i].as_u64().expect("0 or 1")
            );
        }
        near(
            image_auc(&image_scores, &labels).expect("defined"),
            &expected["image_auc"],
            1e-9,
        );
    }
}

#[test]
fn what_cannot_be_ranked_is_refused_with_one_sentence() {
    let message = |result: Result<f64>| result.expect_err("refused").to_string();
    assert!(message(image_auc(&[0.1, 0.2], &[true])).contains("2 scores but 1 labels"));
    assert!(message(image_auc(&[0.1, f32::NAN], &[true, false])).contains("number 2 is not a number"));
    assert!(message(image_auc(&[0.1, 0.2], &[true, true])).contains("all 2 entries are labelled defective"));
    assert!(message(pixel_auc(&[0.1, 0.2], &[false, false])).contains("none of the 2 entries"));
    assert!(message(average_precision(&[], &[])).contains("none of the 0 entries"));
    assert!(message(aupro(&[0.1; 5], &[true; 5], (2, 2), 0.3)).contains("2 x 2"));
    assert!(message(aupro(&[0.1; 4], &[true, false, true, true], (2, 2), 0.0)).contains("limit"));
    assert!(instance_ap(&[0.1; 4], &[false; 4], (2, 2)).is_err());
    assert!(best_f1_threshold(&[0.1; 4], &[false; 4]).is_err());
}

#[test]
fn infinite_scores_have_their_place() {
    let scores = [f32::NEG_INFINITY, f32::INFINITY, 0.0, f32::NEG_INFINITY];
    let labels = [true, true, false, false];
    assert_eq!(
        image_auc(&scores, &labels).expect("defined"),
        naive_auc(&scores, &labels)
    );
    let (threshold, _) = best_f1_threshold(&scores, &labels).expect("defined");
    assert_eq!(threshold, f32::INFINITY);
}
