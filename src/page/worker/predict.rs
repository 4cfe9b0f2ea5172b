//! The prediction of one image, as comparison, ablation and camera show it.

use crate::page::protocol::PredictionSummary;
use destseg_engine::Result;
use destseg_engine::data::image::RgbImage;
use destseg_engine::inspect::Detector;
use destseg_engine::platform::now_ms;

/// What a detector says about an image; its map's values come behind those that are in `maps`.
pub(super) async fn predict(
    detector: &Detector,
    image: &RgbImage,
    maps: &mut Vec<f32>,
) -> Result<PredictionSummary> {
    let start = now_ms();
    let found = detector.detect(image).await?;
    let map = found.map();
    maps.extend_from_slice(map.values());
    Ok(PredictionSummary {
        method: detector.method(),
        score: found.score,
        thresholds: detector.calibration().map(|calibration| calibration.thresholds()),
        probabilities: detector.gives_probabilities(),
        size: (map.width(), map.height()),
        unfamiliar: detector.is_unfamiliar(found.distance, found.difference),
        ms: now_ms() - start,
    })
}
